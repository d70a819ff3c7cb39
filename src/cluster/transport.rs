//! How members reach one another about metadata, and what they say.
//!
//! ```text
//! request:  u8 version (1) | u8 kind | 16 bytes cluster id | 16 bytes sender | its address |
//!           16 bytes receiver, 0 for whoever has the address | body
//!   1 raft       a message (raft/message.rs)
//!   2 propose    u64 LE planned against | u8 1 and a config, or 0 | varint length | payload
//!   3 await      u64 LE version
//!   4 join       a member without tokens (cluster/members.rs); the cluster id is 0, unless the
//!                node has been in a cluster
//! reply:    u8 version (1) | u8 kind | body
//!   0 refused    varint length | a sentence
//!   1 raft       a message
//!   2 taken      u64 LE index
//!   3 conflict   u64 LE the leader's newest index
//!   4 elsewhere  u8 1 and 16 bytes leader, or 0
//!   5 applied    u64 LE version
//!   6 joined     16 bytes cluster id | u64 LE version | the member with its tokens
//!   7 left       the sender of the request has left the cluster, and is no member any more
//! ```
//!
//! All of it comes from another machine and is distrusted.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::net::SocketAddr;

use bytes::Bytes;
use helenus_platform::codec::{CodecError, Put, Reader};
use helenus_platform::runtime::BoxFuture;

use super::members::{Member, address, put_address};
use super::raft::{Config, ENTRY_BYTES_MAX, Message, NodeId};

const VERSION: u8 = 1;
/// Longest sentence of a refusal, in bytes.
const SENTENCE_BYTES_MAX: usize = 4096;

/// Where a member is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberAddress {
    /// Who it is, if that is known: the connection must be to nobody else.
    pub host_id: Option<NodeId>,
    /// Where other nodes reach it.
    pub address: SocketAddr,
}

/// Why a request was not answered. It may have arrived all the same.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TransportError(pub String);

/// Brings requests to other members and their replies back.
pub trait MetadataTransport: Send + Sync {
    /// Sends a request, and waits for the reply as long as the caller does. The other side gives
    /// it to its `Metadata::handle`.
    fn call(
        &self,
        to: MemberAddress,
        request: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, TransportError>>;
}

/// The transport of a node that has no others.
#[derive(Clone, Copy, Debug)]
pub struct NoTransport;

impl MetadataTransport for NoTransport {
    fn call(
        &self,
        to: MemberAddress,
        _request: Bytes,
    ) -> BoxFuture<'static, Result<Bytes, TransportError>> {
        let error = TransportError(format!("no connection to {}: this node is alone", to.address));
        Box::pin(std::future::ready(Err(error)))
    }
}

/// Says who is up, as far as anybody can know.
pub trait Liveness: Send + Sync {
    /// Whether a change of the schema should wait for this member.
    fn is_up(&self, host_id: &NodeId) -> bool;
}

/// Takes everybody for up.
#[derive(Clone, Copy, Debug)]
pub struct AllUp;

impl Liveness for AllUp {
    fn is_up(&self, _host_id: &NodeId) -> bool {
        true
    }
}

/// A request, with who sent it to whom.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Request {
    pub(super) cluster_id: [u8; 16],
    pub(super) from: NodeId,
    /// Where the sender is reached, which may be news.
    pub(super) from_address: SocketAddr,
    /// Zero: whoever has the address.
    pub(super) to: NodeId,
    pub(super) body: RequestBody,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum RequestBody {
    Raft(Message),
    Propose { base: u64, config: Option<Config>, payload: Bytes },
    Await { version: u64 },
    Join(Member),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reply {
    Refused(String),
    Raft(Message),
    Taken(u64),
    Conflict(u64),
    Elsewhere(Option<NodeId>),
    Applied(u64),
    Joined { cluster_id: [u8; 16], version: u64, member: Member },
    Left,
}

/// Whether these bytes are the request of a node that wants to be taken in: the only one that who
/// belongs to no cluster may send.
#[must_use]
pub fn is_join(request: &[u8]) -> bool {
    matches!(request, [VERSION, 4, ..])
}

impl Request {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        out.put_u8(match &self.body {
            RequestBody::Raft(_) => 1,
            RequestBody::Propose { .. } => 2,
            RequestBody::Await { .. } => 3,
            RequestBody::Join(_) => 4,
        });
        out.put_bytes(&self.cluster_id);
        out.put_bytes(&self.from);
        put_address(&mut out, &self.from_address);
        out.put_bytes(&self.to);
        match &self.body {
            RequestBody::Raft(message) => message.encode(&mut out),
            RequestBody::Propose { base, config, payload } => {
                out.put_u64_le(*base);
                match config {
                    Some(config) => {
                        out.put_u8(1);
                        config.encode(&mut out);
                    }
                    None => out.put_u8(0),
                }
                out.put_bytes_varint(payload);
            }
            RequestBody::Await { version } => out.put_u64_le(*version),
            RequestBody::Join(member) => member.encode(&mut out),
        }
        out.into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Request, CodecError> {
        let mut reader = Reader::new(bytes);
        let kind = kind(&mut reader)?;
        let cluster_id = id(&mut reader)?;
        let from = id(&mut reader)?;
        let from_address = address(&mut reader)?;
        let to = id(&mut reader)?;
        let unknown = reader.error("request of a known kind");
        let body = match kind {
            1 => RequestBody::Raft(Message::decode(reader.rest())?),
            2 => {
                let base = reader.u64_le()?;
                let config = match reader.u8()? {
                    0 => None,
                    _ => Some(Config::decode(&mut reader)?),
                };
                let payload = Bytes::copy_from_slice(reader.bytes_varint(ENTRY_BYTES_MAX)?);
                RequestBody::Propose { base, config, payload }
            }
            3 => RequestBody::Await { version: reader.u64_le()? },
            4 => RequestBody::Join(Member::decode(&mut reader)?),
            _ => return Err(unknown),
        };
        if kind != 1 && !reader.is_empty() {
            return Err(reader.error("end of the request"));
        }
        Ok(Request { cluster_id, from, from_address, to, body })
    }
}

impl Reply {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = vec![VERSION];
        match self {
            Reply::Refused(sentence) => {
                out.put_u8(0);
                let end = sentence.floor_char_boundary(SENTENCE_BYTES_MAX);
                out.put_bytes_varint(sentence.as_bytes().get(..end).unwrap_or_default());
            }
            Reply::Raft(message) => {
                out.put_u8(1);
                message.encode(&mut out);
            }
            Reply::Taken(index) => {
                out.put_u8(2);
                out.put_u64_le(*index);
            }
            Reply::Conflict(last) => {
                out.put_u8(3);
                out.put_u64_le(*last);
            }
            Reply::Elsewhere(leader) => {
                out.put_u8(4);
                out.put_u8(u8::from(leader.is_some()));
                leader.iter().for_each(|leader| out.put_bytes(leader));
            }
            Reply::Applied(version) => {
                out.put_u8(5);
                out.put_u64_le(*version);
            }
            Reply::Joined { cluster_id, version, member } => {
                out.put_u8(6);
                out.put_bytes(cluster_id);
                out.put_u64_le(*version);
                member.encode(&mut out);
            }
            Reply::Left => out.put_u8(7),
        }
        out.into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Reply, CodecError> {
        let mut reader = Reader::new(bytes);
        let unknown = reader.error("reply of a known kind");
        let reply = match kind(&mut reader)? {
            0 => {
                let sentence = reader.bytes_varint(SENTENCE_BYTES_MAX)?;
                Reply::Refused(String::from_utf8_lossy(sentence).into_owned())
            }
            1 => return Message::decode(reader.rest()).map(Reply::Raft),
            2 => Reply::Taken(reader.u64_le()?),
            3 => Reply::Conflict(reader.u64_le()?),
            4 => Reply::Elsewhere(match reader.u8()? {
                0 => None,
                _ => Some(id(&mut reader)?),
            }),
            5 => Reply::Applied(reader.u64_le()?),
            6 => Reply::Joined {
                cluster_id: id(&mut reader)?,
                version: reader.u64_le()?,
                member: Member::decode(&mut reader)?,
            },
            7 => Reply::Left,
            _ => return Err(unknown),
        };
        if reader.is_empty() { Ok(reply) } else { Err(reader.error("end of the reply")) }
    }
}

fn kind(reader: &mut Reader<'_>) -> Result<u8, CodecError> {
    let error = reader.error("metadata message of version 1");
    if reader.u8()? != VERSION {
        return Err(error);
    }
    reader.u8()
}

fn id(reader: &mut Reader<'_>) -> Result<[u8; 16], CodecError> {
    Ok(reader.bytes(16)?.try_into().unwrap_or_default())
}
