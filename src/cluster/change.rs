//! What an entry of the metadata log says: who proposed it, and which changes it makes.
//!
//! ```text
//! payload:  u8 version (2) | 16 bytes id of the proposal | changes
//! changes:  varint count | that many
//! change:   u8 kind | body
//!   1 schema          a schema change (schema/codec.rs)
//!   2 member          varint length | a member (cluster/members.rs)
//!   3 feature level   varint
//!   4 received        16 bytes host id | u64 LE ring version
//!   5 settled         u32 LE keyspace id
//! ```
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use helenus_platform::codec::{Put, Reader};
use helenus_storage::model::KeyspaceId;

use super::members::Member;
use crate::error::{Error, Result};
use crate::schema::{self, CHANGE_VERSION};

const PAYLOAD_VERSION: u8 = 2;
const SCHEMA: u8 = 1;
const MEMBER: u8 = 2;
const LEVEL: u8 = 3;
const RECEIVED: u8 = 4;
const SETTLED: u8 = 5;
/// Longest encoded member, in bytes.
const MEMBER_BYTES_MAX: usize = 64 << 10;

/// One change of what the cluster agrees on. Results, never requests: whoever applies it arrives
/// at the same state.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Of the schema, or of a whole table's data.
    Schema(schema::Change),
    /// Makes or replaces a member.
    PutMember(Member),
    /// Raises the level at which nodes write what others may read.
    FeatureLevel(u32),
    /// A member has all the data that the ring of this version brings it.
    Received {
        /// Which member.
        host: [u8; 16],
        /// The ring's version ([`ClusterState::ring_version`](super::state::ClusterState)).
        ring_version: u64,
    },
    /// All replicas of a keyspace whose replication was changed have its data: from now on it is
    /// where the new replication says.
    Settled {
        /// Which keyspace.
        keyspace: KeyspaceId,
    },
}

impl From<schema::Change> for Change {
    fn from(change: schema::Change) -> Change {
        Change::Schema(change)
    }
}

/// What identifies a proposal, so that its proposer knows it again.
pub type ProposalId = [u8; 16];

/// The payload of an entry.
pub fn encode_payload(id: &ProposalId, changes: &[Change]) -> Vec<u8> {
    let mut bytes = vec![PAYLOAD_VERSION];
    bytes.put_bytes(id);
    put_changes(changes, &mut bytes);
    bytes
}

/// Reads the payload of an entry.
///
/// # Errors
/// It is not one, or of another version.
pub fn decode_payload(bytes: &[u8]) -> Result<(ProposalId, Vec<Change>)> {
    let mut reader = Reader::new(bytes);
    check_version(&mut reader, "an entry", PAYLOAD_VERSION)?;
    let id = reader.bytes(16).map_err(|error| unreadable(&error))?;
    let id = id.try_into().unwrap_or_default();
    Ok((id, read_changes(&mut reader)?))
}

pub(super) fn put_changes(changes: &[Change], out: &mut Vec<u8>) {
    out.put_varint(changes.len() as u64);
    for change in changes {
        match change {
            Change::Schema(change) => {
                out.put_u8(SCHEMA);
                change.encode(out);
            }
            Change::PutMember(member) => {
                let mut body = Vec::new();
                member.encode(&mut body);
                out.put_u8(MEMBER);
                out.put_bytes_varint(&body);
            }
            Change::FeatureLevel(level) => {
                out.put_u8(LEVEL);
                out.put_varint(u64::from(*level));
            }
            Change::Received { host, ring_version } => {
                out.put_u8(RECEIVED);
                out.put_bytes(host);
                out.put_u64_le(*ring_version);
            }
            Change::Settled { keyspace } => {
                out.put_u8(SETTLED);
                out.put_u32_le(keyspace.0);
            }
        }
    }
}

/// Reads changes to the end.
pub(super) fn read_changes(reader: &mut Reader<'_>) -> Result<Vec<Change>> {
    let count = reader.varint().map_err(|error| unreadable(&error))?;
    let mut changes = Vec::new();
    for _ in 0..count {
        changes.push(read_change(reader)?);
    }
    if !reader.is_empty() {
        return Err(Error::server("metadata log: bytes follow the end of an entry"));
    }
    Ok(changes)
}

fn read_change(reader: &mut Reader<'_>) -> Result<Change> {
    let unknown = reader.error("change of a known kind");
    let read = |reader: &mut Reader<'_>| match reader.u8()? {
        SCHEMA => Ok(None),
        MEMBER => {
            let mut body = Reader::new(reader.bytes_varint(MEMBER_BYTES_MAX)?);
            let member = Member::decode(&mut body)?;
            let end = body.is_empty().then_some(Some(Change::PutMember(member)));
            end.ok_or_else(|| body.error("end of a member"))
        }
        LEVEL => {
            let error = reader.error("feature level");
            let level = u32::try_from(reader.varint()?).map_err(|_| error)?;
            Ok(Some(Change::FeatureLevel(level)))
        }
        RECEIVED => {
            let host = reader.bytes(16)?.try_into().unwrap_or_default();
            Ok(Some(Change::Received { host, ring_version: reader.u64_le()? }))
        }
        SETTLED => Ok(Some(Change::Settled { keyspace: KeyspaceId(reader.u32_le()?) })),
        _ => Err(unknown),
    };
    match read(reader).map_err(|error| unreadable(&error))? {
        Some(change) => Ok(change),
        None => {
            check_version(&mut reader.clone(), "a change", CHANGE_VERSION)?;
            let change = schema::Change::decode(reader).map_err(|error| unreadable(&error))?;
            Ok(Change::Schema(change))
        }
    }
}

pub(super) fn unreadable(error: &dyn std::fmt::Display) -> Error {
    Error::server(format!("metadata log: {error}"))
}

/// Reads a version and refuses any but the one that is known.
pub(super) fn check_version(reader: &mut Reader<'_>, whose: &str, known: u8) -> Result<()> {
    let found = reader.u8().map_err(|error| unreadable(&error))?;
    if found != known {
        return Err(Error::server(format!(
            "metadata log: {whose} has version {found}, this program reads {known}: use the \
             program that wrote it"
        )));
    }
    Ok(())
}
