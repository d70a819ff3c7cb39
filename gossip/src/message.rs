//! The three messages of an exchange, and their bytes. docs/format/gossip.md tells the same with
//! an example.
//!
//! ```text
//! "HG" | u8 version 1 | u32 CRC-32 of all that follows
//!      | u8 kind: 1 SYN, 2 ACK, 3 ACK2
//!      | u8 flags: 01 SHADOW, 02 WHOLE
//!      | varint length, cluster name (UTF-8, 1 to 255 bytes)
//!      | 16 bytes cluster id, zero if the sender belongs to no cluster yet
//!      | 16 bytes host id of the sender | varint generation of the sender
//!      | varint number of the exchange
//! SYN  | 16 bytes window start | 16 bytes window end | digests
//! ACK  | digests (requests) | node deltas
//! ACK2 | node deltas
//!
//! digests      varint count, then of each:
//!              16 bytes host id | zigzag generation - sender's | varint version
//! node deltas  varint count, then of each:
//!              16 bytes host id | zigzag generation - sender's | varint after
//!              | varint heartbeat - after, 0 if the heartbeat is not there
//!              | varint count of entries, then of each:
//!                u8 key | varint version - the one before (after, for the first)
//!                | varint length, value (at most 1024 bytes)
//! ```
//!
//! Digests of a SYN stand by ascending host id, each once, all inside of the window. A delta says
//! something, its versions ascend, and no key is there twice. A message has at most 1 MiB.
//! Whatever else arrives is refused as a whole. What decodes takes at most 24 times the message's
//! bytes of memory (a list of empty values does); an ordinary message twice.

mod decode;

use std::sync::Arc;

use helenus_platform::checksum::crc32;
use helenus_platform::codec::{Put, varint_len};

use crate::delta::{NodeDelta, encoded_len, generation_len};
use crate::digest::{Digest, Window};
use crate::error::MessageError;
use crate::id::{ClusterId, Generation, HostId};

/// Longest message, in bytes.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;
/// Longest name of a cluster, in bytes.
pub const CLUSTER_NAME_BYTES_MAX: usize = 255;

pub(crate) const MAGIC: [u8; 2] = *b"HG";
pub(crate) const VERSION: u8 = 1;
/// Magic, version and checksum.
pub(crate) const PREFIX_BYTES: usize = 7;
/// The sender only looks around: it must not be taken for a member.
pub(crate) const FLAG_SHADOW: u8 = 1;
/// Nothing was left out of the deltas for want of room.
pub(crate) const FLAG_WHOLE: u8 = 2;
pub(crate) const KIND_SYN: u8 = 1;
pub(crate) const KIND_ACK: u8 = 2;
pub(crate) const KIND_ACK2: u8 = 3;
/// Most bytes that a count takes in a message.
const COUNT_BYTES: usize = 4;

/// A message from one node to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// The name of the sender's cluster.
    pub cluster_name: Arc<str>,
    /// The sender's cluster, if it belongs to one.
    pub cluster_id: Option<ClusterId>,
    /// The sender.
    pub host: HostId,
    /// The sender's life.
    pub generation: Generation,
    /// Chosen by who began the exchange; an answer repeats it.
    pub exchange: u64,
    /// In a SYN: the sender only looks around. In an ACK: the answer to such a SYN.
    pub shadow: bool,
    /// What it says.
    pub body: Body,
}

/// The three kinds of message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Body {
    /// Begins an exchange: what the sender has.
    Syn {
        /// Which nodes it speaks of.
        window: Window,
        /// What it has of them, by ascending host id.
        digests: Arc<[Digest]>,
    },
    /// Answers a SYN.
    Ack {
        /// What its sender has of nodes of which the SYN's sender has more.
        requests: Vec<Digest>,
        /// What the SYN's sender lacks.
        deltas: Vec<NodeDelta>,
        /// Whether nothing was left out for want of room.
        whole: bool,
    },
    /// Answers the requests of an ACK.
    Ack2 {
        /// What was asked for.
        deltas: Vec<NodeDelta>,
    },
}

impl Message {
    /// Bytes before the body.
    pub(crate) fn header_len(&self) -> usize {
        let name = self.cluster_name.len();
        PREFIX_BYTES
            + 2
            + varint_len(name as u64)
            + name
            + 32
            + varint_len(self.generation.0)
            + varint_len(self.exchange)
    }

    /// Bytes that [`Message::encode`] appends.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        let base = self.generation;
        let digests = |list: &[Digest]| {
            let each = list.iter().map(|digest| digest_len(digest, base));
            varint_len(list.len() as u64) + each.sum::<usize>()
        };
        let deltas = |list: &[NodeDelta]| {
            let each = list.iter().map(|delta| encoded_len(delta, base));
            varint_len(list.len() as u64) + each.sum::<usize>()
        };
        self.header_len()
            + match &self.body {
                Body::Syn { digests: list, .. } => 32 + digests(list),
                Body::Ack { requests, deltas: list, .. } => digests(requests) + deltas(list),
                Body::Ack2 { deltas: list } => deltas(list),
            }
    }

    /// Appends the message's bytes.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut rest = Vec::with_capacity(self.encoded_len());
        let (kind, whole) = match self.body {
            Body::Syn { .. } => (KIND_SYN, false),
            Body::Ack { whole, .. } => (KIND_ACK, whole),
            Body::Ack2 { .. } => (KIND_ACK2, false),
        };
        rest.put_u8(kind);
        rest.put_u8(if self.shadow { FLAG_SHADOW } else { 0 } | if whole { FLAG_WHOLE } else { 0 });
        rest.put_bytes_varint(self.cluster_name.as_bytes());
        rest.put_u128_be(self.cluster_id.map_or(0, |id| id.0));
        rest.put_u128_be(self.host.0);
        rest.put_varint(self.generation.0);
        rest.put_varint(self.exchange);
        match &self.body {
            Body::Syn { window, digests } => {
                rest.put_u128_be(window.start.0);
                rest.put_u128_be(window.end.0);
                put_digests(digests, self.generation, &mut rest);
            }
            Body::Ack { requests, deltas, .. } => {
                put_digests(requests, self.generation, &mut rest);
                put_deltas(deltas, self.generation, &mut rest);
            }
            Body::Ack2 { deltas } => put_deltas(deltas, self.generation, &mut rest),
        }
        out.put_bytes(&MAGIC);
        out.put_u8(VERSION);
        out.put_u32_be(crc32(&rest));
        out.put_bytes(&rest);
    }

    /// Reads a message that takes all of `bytes`.
    pub fn decode(bytes: &[u8]) -> Result<Message, MessageError> {
        decode::message(bytes)
    }
}

/// Bytes of a digest in a message whose sender has the generation `base`.
pub(crate) fn digest_len(digest: &Digest, base: Generation) -> usize {
    16 + generation_len(digest.generation, base) + varint_len(digest.version)
}

fn put_digests(digests: &[Digest], base: Generation, out: &mut Vec<u8>) {
    out.put_varint(digests.len() as u64);
    for digest in digests {
        out.put_u128_be(digest.host.0);
        out.put_zigzag(digest.generation.0.wrapping_sub(base.0) as i64);
        out.put_varint(digest.version);
    }
}

fn put_deltas(deltas: &[NodeDelta], base: Generation, out: &mut Vec<u8>) {
    out.put_varint(deltas.len() as u64);
    for delta in deltas {
        out.put_u128_be(delta.host.0);
        out.put_zigzag(delta.generation.0.wrapping_sub(base.0) as i64);
        out.put_varint(delta.after);
        out.put_varint(delta.heartbeat.saturating_sub(delta.after));
        out.put_varint(delta.entries.len() as u64);
        let mut version = delta.after;
        for entry in &delta.entries {
            out.put_u8(entry.key.0);
            out.put_varint(entry.version.saturating_sub(version));
            out.put_bytes_varint(&entry.value);
            version = entry.version;
        }
    }
}

/// How many bytes of a message are left while its body is put together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room(usize);

impl Room {
    /// What the configured limit leaves of `message`, of which the lists are still empty.
    pub(crate) fn of(message: &Message, message_bytes_max: usize) -> Room {
        // Two counts and a window.
        Room(message_bytes_max.saturating_sub(message.header_len() + 2 * COUNT_BYTES + 32))
    }

    pub(crate) fn left(self) -> usize {
        self.0
    }

    /// Takes `bytes`, if they are there.
    pub(crate) fn take(&mut self, bytes: usize) -> bool {
        let enough = bytes <= self.0;
        if enough {
            self.0 -= bytes;
        }
        enough
    }
}

#[cfg(test)]
mod tests;
