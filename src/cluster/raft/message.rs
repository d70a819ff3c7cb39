//! What members say to one another, and how it is written.
//!
//! ```text
//! message:  u8 kind | u64 LE term | body
//!   1 vote            u8 pre-vote | u64 LE last index | u64 LE last term
//!   2 vote reply      u8 pre-vote | u8 granted
//!   3 append          u64 LE previous index | u64 LE its term | u64 LE commit |
//!                     varint count | entries
//!   4 append reply    u8 matched | u64 LE index
//!   5 snapshot        u64 LE index | u64 LE its term | config | varint length | state
//! entry:    u64 LE index | u64 LE term | i64 LE wall clock, microseconds |
//!           u8 1 and a config, or 0 | varint length | payload
//! config:   varint count | host ids of voters | varint count | host ids of learners
//! ```
//!
//! All of it comes from another machine and is distrusted: lengths and counts are bounded before
//! anything is made of them.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::sync::Arc;

use bytes::Bytes;
use helenus_platform::codec::{CodecError, Put, Reader};

use super::{Config, Entry, Snapshot};

/// The most that one entry may say, and far more than any real one.
pub const ENTRY_BYTES_MAX: usize = 16 << 20;
/// The largest state that is sent.
pub const STATE_BYTES_MAX: usize = 256 << 20;
/// No group holds so many elections; one that says so would leave no term for the next.
const TERM_MAX: u64 = 1 << 62;
/// Most entries of one message.
const ENTRIES_MAX: u64 = 65_536;

const VOTE: u8 = 1;
const VOTE_REPLY: u8 = 2;
const APPEND: u8 = 3;
const APPEND_REPLY: u8 = 4;
const SNAPSHOT: u8 = 5;

/// See the file's head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message {
    /// Asks for a vote in `term`, or whether there would be one.
    Vote {
        /// Only asks; changes nothing.
        pre: bool,
        /// The term that is stood for.
        term: u64,
        /// The candidate's newest entry.
        last_index: u64,
        /// Its term.
        last_term: u64,
    },
    /// The answer.
    VoteReply {
        /// What was asked.
        pre: bool,
        /// The term stood for if granted; otherwise the newest that is known.
        term: u64,
        /// Whether there is a vote.
        granted: bool,
    },
    /// The leader's entries after one that it names; often none.
    Append {
        /// The leader's term.
        term: u64,
        /// The entry before the first.
        prev_index: u64,
        /// Its term.
        prev_term: u64,
        /// Up to where entries are committed.
        commit: u64,
        /// What follows.
        entries: Vec<Entry>,
    },
    /// The answer to entries or a snapshot.
    AppendReply {
        /// The newest term that is known.
        term: u64,
        /// Whether everything up to `index` is the leader's. Otherwise it is where to try again.
        matched: bool,
        /// See there.
        index: u64,
    },
    /// The leader's state, for somebody whose next entry is gone.
    Snapshot {
        /// The leader's term.
        term: u64,
        /// The state.
        snapshot: Snapshot,
    },
}

impl Message {
    /// Appends the message.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Message::Vote { pre, term, last_index, last_term } => {
                out.put_u8(VOTE);
                out.put_u64_le(*term);
                out.put_u8(u8::from(*pre));
                out.put_u64_le(*last_index);
                out.put_u64_le(*last_term);
            }
            Message::VoteReply { pre, term, granted } => {
                out.put_u8(VOTE_REPLY);
                out.put_u64_le(*term);
                out.put_u8(u8::from(*pre));
                out.put_u8(u8::from(*granted));
            }
            Message::Append { term, prev_index, prev_term, commit, entries } => {
                out.put_u8(APPEND);
                out.put_u64_le(*term);
                out.put_u64_le(*prev_index);
                out.put_u64_le(*prev_term);
                out.put_u64_le(*commit);
                out.put_varint(entries.len() as u64);
                entries.iter().for_each(|entry| entry.encode(out));
            }
            Message::AppendReply { term, matched, index } => {
                out.put_u8(APPEND_REPLY);
                out.put_u64_le(*term);
                out.put_u8(u8::from(*matched));
                out.put_u64_le(*index);
            }
            Message::Snapshot { term, snapshot } => {
                out.put_u8(SNAPSHOT);
                out.put_u64_le(*term);
                out.put_u64_le(snapshot.index);
                out.put_u64_le(snapshot.term);
                snapshot.config.encode(out);
                out.put_bytes_varint(&snapshot.state);
            }
        }
    }

    /// Reads a message, to its end.
    pub fn decode(bytes: &[u8]) -> Result<Message, CodecError> {
        let mut reader = Reader::new(bytes);
        let r = &mut reader;
        let unknown = r.error("message of a known kind");
        let kind = r.u8()?;
        let error = r.error("a term");
        let term = r.u64_le()?;
        if term > TERM_MAX {
            return Err(error);
        }
        let message = match kind {
            VOTE => Message::Vote {
                pre: flag(r)?,
                term,
                last_index: r.u64_le()?,
                last_term: r.u64_le()?,
            },
            VOTE_REPLY => Message::VoteReply { pre: flag(r)?, term, granted: flag(r)? },
            APPEND => {
                let (prev_index, prev_term) = (r.u64_le()?, r.u64_le()?);
                let commit = r.u64_le()?;
                let error = r.error("number of entries");
                let count = r.varint()?;
                if count > ENTRIES_MAX || prev_index > u64::MAX - ENTRIES_MAX {
                    return Err(error);
                }
                let entries = (0..count).map(|_| Entry::decode(r)).collect::<Result<_, _>>()?;
                Message::Append { term, prev_index, prev_term, commit, entries }
            }
            APPEND_REPLY => Message::AppendReply { term, matched: flag(r)?, index: r.u64_le()? },
            SNAPSHOT => {
                let (index, at) = (r.u64_le()?, r.u64_le()?);
                let config = Arc::new(Config::decode(r)?);
                let state = Bytes::copy_from_slice(r.bytes_varint(STATE_BYTES_MAX)?);
                let snapshot = Snapshot { index, term: at, config, state };
                Message::Snapshot { term, snapshot }
            }
            _ => return Err(unknown),
        };
        if r.is_empty() { Ok(message) } else { Err(r.error("end of the message")) }
    }
}

impl Entry {
    /// Appends the entry; see the file's head.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_u64_le(self.index);
        out.put_u64_le(self.term);
        out.put_i64_le(self.wall_micros);
        match &self.config {
            Some(config) => {
                out.put_u8(1);
                config.encode(out);
            }
            None => out.put_u8(0),
        }
        out.put_bytes_varint(&self.payload);
    }

    /// Reads what [`Entry::encode`] wrote.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Entry, CodecError> {
        let (index, term) = (reader.u64_le()?, reader.u64_le()?);
        let wall_micros = reader.i64_le()?;
        let config = match flag(reader)? {
            true => Some(Arc::new(Config::decode(reader)?)),
            false => None,
        };
        let payload = Bytes::copy_from_slice(reader.bytes_varint(ENTRY_BYTES_MAX)?);
        Ok(Entry { index, term, wall_micros, config, payload })
    }
}

fn flag(reader: &mut Reader<'_>) -> Result<bool, CodecError> {
    let error = reader.error("a flag");
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(error),
    }
}
