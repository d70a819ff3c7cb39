//! The members of the cluster, as the metadata log has agreed on them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use helenus_platform::codec::{CodecError, Put, Reader};

use super::raft;
use super::ring::{self, MEMBERS_MAX, Ring, RingError};

/// What this program can read and write of what nodes share.
pub const FEATURE_LEVEL: u32 = 1;
/// Most members that vote on the metadata; the others only follow.
pub const VOTERS_MAX: usize = 5;
/// More tokens than any member has.
const TOKENS_MAX: u64 = 4096;
/// Longest name of a data centre or rack, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Where a member is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum MemberState {
    /// Has its tokens, and receives the data that they bring; owns nothing yet.
    Joining = 1,
    /// Owns its ranges.
    Normal = 2,
    /// Owns its ranges, and gives their data away.
    Leaving = 3,
    /// Gone for good: this host id does not come back.
    Left = 4,
}

impl MemberState {
    fn of(byte: u8) -> Option<MemberState> {
        use MemberState as S;
        [S::Joining, S::Normal, S::Leaving, S::Left].into_iter().find(|state| *state as u8 == byte)
    }
}

impl std::fmt::Display for MemberState {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            MemberState::Joining => "joining",
            MemberState::Normal => "normal",
            MemberState::Leaving => "leaving",
            MemberState::Left => "left",
        })
    }
}

/// A member of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The node, for ever.
    pub host_id: [u8; 16],
    /// Where other nodes reach it.
    pub internode_address: SocketAddr,
    /// Where clients reach it.
    pub cql_address: SocketAddr,
    /// Its data centre.
    pub data_center: String,
    /// Its rack there.
    pub rack: String,
    /// Its places on the ring, ascending; none once it has left.
    pub tokens: Vec<i64>,
    /// Where it is in its life.
    pub state: MemberState,
    /// The highest feature level that its program supports.
    pub feature_level: u32,
    /// Whether it votes on the metadata.
    pub voter: bool,
}

impl Member {
    /// As the ring sees it.
    pub fn on_ring(&self) -> ring::Member {
        ring::Member {
            host_id: self.host_id,
            data_center: self.data_center.clone(),
            rack: self.rack.clone(),
            tokens: self.tokens.clone(),
        }
    }

    /// Appends the member:
    ///
    /// ```text
    /// 16 bytes host id | u8 state | u8 votes | varint feature level | address | address |
    /// text data centre | text rack | varint count | that many i64 LE tokens
    /// address:  u8 4 or 6 | 4 or 16 bytes | u16 BE port       text: varint length | UTF-8
    /// ```
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_bytes(&self.host_id);
        out.put_u8(self.state as u8);
        out.put_u8(u8::from(self.voter));
        out.put_varint(u64::from(self.feature_level));
        put_address(out, &self.internode_address);
        put_address(out, &self.cql_address);
        out.put_bytes_varint(self.data_center.as_bytes());
        out.put_bytes_varint(self.rack.as_bytes());
        out.put_varint(self.tokens.len() as u64);
        self.tokens.iter().for_each(|token| out.put_i64_le(*token));
    }

    /// Reads what [`Member::encode`] wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Member, CodecError> {
        let host_id = reader.bytes(16)?.try_into().unwrap_or_default();
        let error = reader.error("state of a member");
        let state = MemberState::of(reader.u8()?).ok_or(error)?;
        let voter = reader.u8()? != 0;
        let error = reader.error("feature level");
        let feature_level = u32::try_from(reader.varint()?).map_err(|_| error)?;
        let internode_address = address(reader)?;
        let cql_address = address(reader)?;
        let data_center = text(reader)?;
        let rack = text(reader)?;
        let error = reader.error("number of tokens");
        let count = reader.varint()?;
        if count > TOKENS_MAX {
            return Err(error);
        }
        let tokens = (0..count).map(|_| reader.i64_le()).collect::<Result<_, _>>()?;
        Ok(Member {
            host_id,
            internode_address,
            cql_address,
            data_center,
            rack,
            tokens,
            state,
            feature_level,
            voter,
        })
    }
}

pub(super) fn put_address(out: &mut Vec<u8>, address: &SocketAddr) {
    match address.ip() {
        IpAddr::V4(ip) => {
            out.put_u8(4);
            out.put_bytes(&ip.octets());
        }
        IpAddr::V6(ip) => {
            out.put_u8(6);
            out.put_bytes(&ip.octets());
        }
    }
    out.put_u16_be(address.port());
}

pub(super) fn address(reader: &mut Reader<'_>) -> Result<SocketAddr, CodecError> {
    let error = reader.error("kind of an address");
    let ip = match reader.u8()? {
        4 => IpAddr::from(<[u8; 4]>::try_from(reader.bytes(4)?).unwrap_or_default()),
        6 => IpAddr::from(<[u8; 16]>::try_from(reader.bytes(16)?).unwrap_or_default()),
        _ => return Err(error),
    };
    Ok(SocketAddr::new(ip, reader.u16_be()?))
}

fn text(reader: &mut Reader<'_>) -> Result<String, CodecError> {
    let error = reader.error("a name");
    let bytes = reader.bytes_varint(NAME_BYTES_MAX)?;
    std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| error)
}

/// All members, those that have left included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    by_host: BTreeMap<[u8; 16], Arc<Member>>,
}

impl Members {
    /// With this member made or replaced.
    #[must_use]
    pub fn with(mut self, member: Member) -> Members {
        self.by_host.insert(member.host_id, Arc::new(member));
        self
    }

    /// A member by its host id.
    pub fn get(&self, host_id: &[u8; 16]) -> Option<&Arc<Member>> {
        self.by_host.get(host_id)
    }

    /// Whether that host was a member and is none any more.
    pub fn has_left(&self, host_id: &[u8; 16]) -> bool {
        self.get(host_id).is_some_and(|member| member.state == MemberState::Left)
    }

    /// Everybody, by host id, those that have left included.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.by_host.values()
    }

    /// Those that have not left, by host id.
    pub fn present(&self) -> impl Iterator<Item = &Arc<Member>> {
        self.by_host.values().filter(|member| member.state != MemberState::Left)
    }

    /// Who votes on the metadata, and who follows.
    pub fn config(&self) -> raft::Config {
        let of = |voter: bool| -> BTreeSet<[u8; 16]> {
            let such = self.present().filter(|member| member.voter == voter);
            such.map(|member| member.host_id).collect()
        };
        raft::Config { voters: of(true), learners: of(false) }
    }

    /// The ring of those that own ranges now.
    ///
    /// # Errors
    /// A token with two owners, or too many members.
    pub fn ring(&self) -> Result<Ring, RingError> {
        use MemberState::{Leaving, Normal};
        self.ring_of(|state| matches!(state, Normal | Leaving))
    }

    /// The ring as it will be when everybody who joins has joined, and who leaves has left.
    ///
    /// # Errors
    /// As [`Members::ring`].
    pub fn next_ring(&self) -> Result<Ring, RingError> {
        use MemberState::{Joining, Normal};
        self.ring_of(|state| matches!(state, Normal | Joining))
    }

    /// The ring of everybody who has tokens, so that none is given twice.
    ///
    /// # Errors
    /// As [`Members::ring`].
    pub fn full_ring(&self) -> Result<Ring, RingError> {
        if self.by_host.len() > MEMBERS_MAX {
            return Err(RingError::TooManyMembers(self.by_host.len()));
        }
        self.ring_of(|state| state != MemberState::Left)
    }

    fn ring_of(&self, counts: impl Fn(MemberState) -> bool) -> Result<Ring, RingError> {
        let members = self.present().filter(|member| counts(member.state));
        Ring::new(members.map(|member| member.on_ring()).collect())
    }
}
