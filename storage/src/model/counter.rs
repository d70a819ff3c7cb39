//! Counters: a cell whose value is a list of shards, one per replica that led increments.
//!
//! ```text
//! value = shards, ascending by id, each 36 bytes:
//!   16  host id
//!   u32 big-endian   generation of that host's counter id
//!   i64 little-endian  clock: microseconds; grows with every increment of this shard
//!   i64 little-endian  count: the sum of all increments of this shard
//! ```
//!
//! A shard only ever grows, so of two versions of it the one with the higher clock includes the
//! other, and merging lists is taking the newer of each shard. The clock is a timestamp in
//! microseconds, so a row, range or partition deletion hides exactly the shards at or below its
//! timestamp, in whatever order things are merged; the cell's timestamp is its newest clock. The
//! deletion of the counter column itself wins over every shard, as in Cassandra: a deleted counter
//! cannot be used again until its tombstone is purged.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::cmp::Ordering;

use helenus_platform::codec::{Put, Reader};

use crate::error::{Error, Result};

/// Bytes of one encoded shard.
pub const SHARD_BYTES: usize = 36;

/// Who leads a shard: a host, and the generation of its counter id. A host takes a new generation
/// after any stop that may have lost increments it had already counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CounterId {
    /// The host.
    pub host: [u8; 16],
    /// Its generation.
    pub generation: u32,
}

/// What one replica has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Who counted.
    pub id: CounterId,
    /// Microseconds; the higher clock includes the lower.
    pub clock: i64,
    /// The sum of its increments.
    pub count: i64,
}

impl Shard {
    /// The shard that follows `before` (what the leader last wrote, if anything) when `delta` is
    /// added at `timestamp` (microseconds). Sums wrap around at 64 bits, as Cassandra's do.
    pub fn after(before: Option<Shard>, id: CounterId, delta: i64, timestamp: i64) -> Shard {
        match before {
            None => Shard { id, clock: timestamp, count: delta },
            Some(before) => Shard {
                id,
                clock: timestamp.max(before.clock.saturating_add(1)),
                count: before.count.wrapping_add(delta),
            },
        }
    }

    /// Appends the shard to an encoded list.
    pub fn encode(&self, out: &mut Vec<u8>) {
        out.put_bytes(&self.id.host);
        out.put_u32_be(self.id.generation);
        out.put_i64_le(self.clock);
        out.put_i64_le(self.count);
    }

    fn decode(bytes: &[u8]) -> Result<Shard> {
        let mut reader = Reader::new(bytes);
        let mut host = [0; 16];
        host.copy_from_slice(reader.bytes(16)?);
        let generation = reader.u32_be()?;
        let (clock, count) = (reader.i64_le()?, reader.i64_le()?);
        Ok(Shard { id: CounterId { host, generation }, clock, count })
    }

    /// Of two versions of one shard, the one that includes the other.
    fn newer(self, other: Shard) -> Shard {
        debug_assert_eq!(self.id, other.id);
        if (self.clock, self.count) >= (other.clock, other.count) { self } else { other }
    }
}

/// The shards of a counter's value, checked for length and order.
pub fn shards(value: &[u8]) -> Result<Shards<'_>> {
    let mut all = Shards { chunks: value.chunks_exact(SHARD_BYTES) };
    let check = all.clone();
    let mut previous = None;
    for shard in check {
        if previous.is_some_and(|previous| previous >= shard.id) {
            return Err(Error::corrupt("the shards of a counter are out of order"));
        }
        previous = Some(shard.id);
    }
    if !all.chunks.by_ref().remainder().is_empty() {
        return Err(Error::corrupt("a counter ends inside a shard"));
    }
    Ok(all)
}

/// Iterates over the shards of a counter's value; see [`shards`].
#[derive(Clone, Debug)]
pub struct Shards<'a> {
    chunks: std::slice::ChunksExact<'a, u8>,
}

impl Iterator for Shards<'_> {
    type Item = Shard;

    fn next(&mut self) -> Option<Shard> {
        // A chunk has the length of a shard, and every such byte string decodes.
        self.chunks.next().and_then(|chunk| Shard::decode(chunk).ok())
    }
}

/// What a client reads: the sum of the shards, wrapping around at 64 bits.
pub fn total(value: &[u8]) -> Result<i64> {
    Ok(shards(value)?.fold(0, |sum, shard| i64::wrapping_add(sum, shard.count)))
}

/// The shard of `id` in a counter's value.
pub fn find(value: &[u8], id: CounterId) -> Result<Option<Shard>> {
    Ok(shards(value)?.find(|shard| shard.id == id))
}

/// The newest clock of a counter's value, which is its cell's timestamp; `None` without shards.
pub fn newest_clock(value: &[u8]) -> Result<Option<i64>> {
    Ok(shards(value)?.map(|shard| shard.clock).max())
}

/// Appends the union of two values to `out`: of each shard the newer version.
pub fn merge(left: &[u8], right: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let (mut lefts, mut rights) = (shards(left)?, shards(right)?);
    let (mut left, mut right) = (lefts.next(), rights.next());
    loop {
        let order = match (&left, &right) {
            (None, None) => return Ok(()),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(left), Some(right)) => left.id.cmp(&right.id),
        };
        let from_left = if order.is_le() { left.take() } else { None };
        let from_right = if order.is_ge() { right.take() } else { None };
        match (from_left, from_right) {
            (Some(one), Some(other)) => one.newer(other).encode(out),
            (Some(one), None) | (None, Some(one)) => one.encode(out),
            (None, None) => {}
        }
        if order.is_le() {
            left = lefts.next();
        }
        if order.is_ge() {
            right = rights.next();
        }
    }
}

/// Appends the shards with a clock above `timestamp` to `out`.
pub fn retain_newer(value: &[u8], timestamp: i64, out: &mut Vec<u8>) -> Result<()> {
    for shard in shards(value)?.filter(|shard| shard.clock > timestamp) {
        shard.encode(out);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(host: u8, clock: i64, count: i64) -> Shard {
        Shard { id: CounterId { host: [host; 16], generation: 1 }, clock, count }
    }

    fn value(shards: &[Shard]) -> Vec<u8> {
        let mut out = Vec::new();
        shards.iter().for_each(|shard| shard.encode(&mut out));
        out
    }

    #[test]
    fn the_newer_version_of_each_shard_stays() {
        let left = value(&[shard(1, 10, 5), shard(2, 7, 1)]);
        let right = value(&[shard(1, 9, 50), shard(2, 8, 2), shard(3, 1, -4)]);
        let (mut out, mut back) = (Vec::new(), Vec::new());
        merge(&left, &right, &mut out).unwrap();
        merge(&right, &left, &mut back).unwrap();
        assert_eq!(out, value(&[shard(1, 10, 5), shard(2, 8, 2), shard(3, 1, -4)]));
        assert_eq!(out, back);
        assert_eq!(total(&out).unwrap(), 3);
        assert_eq!(newest_clock(&out).unwrap(), Some(10));
    }

    #[test]
    fn increments_raise_the_clock_even_if_time_stands_still() {
        let id = shard(1, 0, 0).id;
        let first = Shard::after(None, id, 5, 100);
        let second = Shard::after(Some(first), id, -2, 100);
        assert_eq!((second.clock, second.count), (101, 3));
        assert_eq!(find(&value(&[second]), id).unwrap(), Some(second));
    }

    #[test]
    fn a_deletion_hides_the_shards_up_to_its_timestamp() {
        let all = value(&[shard(1, 10, 5), shard(2, 7, 1)]);
        let mut out = Vec::new();
        retain_newer(&all, 7, &mut out).unwrap();
        assert_eq!(out, value(&[shard(1, 10, 5)]));
    }

    #[test]
    fn odd_lengths_and_orders_are_refused() {
        let two = value(&[shard(1, 10, 5), shard(2, 7, 1)]);
        assert!(total(&two[..SHARD_BYTES + 1]).is_err());
        assert!(total(&value(&[shard(2, 1, 1), shard(1, 1, 1)])).is_err());
        assert!(total(&value(&[shard(2, 1, 1), shard(2, 1, 1)])).is_err());
        assert_eq!(total(&[]).unwrap(), 0);
    }
}
