//! When tombstones may be dropped: a histogram of bounded size over seconds.
//!
//! Every drop time is rounded *up* to a multiple of the histogram's grain, so an estimate never
//! calls something droppable too early. The grain begins at a minute and doubles whenever there
//! would be more than [`BINS_MAX`] bins. Same input, same bins: the order of additions and merges
//! does not show.
//!
//! ```text
//! histogram := u8 grain: log2 of the multiple of a minute
//!              varint number of bins
//!              per bin, ascending: varint drop time / grain minus that of the bin before,
//!                                  varint count
//! ```
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::collections::BTreeMap;

use helenus_platform::codec::{CodecError, Put, Reader};

/// Most bins a histogram has.
pub(crate) const BINS_MAX: usize = 100;
/// Seconds of the finest grain.
const GRAIN_SECONDS: u64 = 60;
/// With this exponent one bin holds all of time.
const EXPONENT_MAX: u8 = 58;

/// How many tombstones become droppable when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DropTimes {
    exponent: u8,
    /// From drop time in grains, rounded up, to count.
    bins: BTreeMap<u64, u64>,
}

impl DropTimes {
    fn grain(&self) -> u64 {
        GRAIN_SECONDS << self.exponent.min(EXPONENT_MAX)
    }

    /// Counts `count` tombstones whose deletion (or expiry) was at this second.
    pub(crate) fn add(&mut self, local_deletion_time: i64, count: u64) {
        let seconds = u64::try_from(local_deletion_time).unwrap_or(0);
        *self.bins.entry(seconds.div_ceil(self.grain())).or_default() += count;
        while self.bins.len() > BINS_MAX && self.exponent < EXPONENT_MAX {
            self.coarsen();
        }
    }

    fn coarsen(&mut self) {
        self.exponent += 1;
        for (bin, count) in std::mem::take(&mut self.bins) {
            *self.bins.entry(bin.div_ceil(2)).or_default() += count;
        }
    }

    /// An estimate of how many were made before this second; never too many.
    pub fn before(&self, seconds: i64) -> u64 {
        // A bin of drop time d holds deletions up to d; all are before `seconds` if d is.
        let limit = u64::try_from(seconds).unwrap_or(0).div_ceil(self.grain());
        self.bins.range(..limit).fold(0, |sum, (_, count)| sum.saturating_add(*count))
    }

    /// All that were counted.
    pub fn total(&self) -> u64 {
        self.bins.values().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// The bins, ascending: (second by which all of them had been made, how many).
    pub fn bins(&self) -> impl Iterator<Item = (i64, u64)> + '_ {
        let grain = self.grain();
        self.bins.iter().map(move |(bin, count)| {
            (i64::try_from(bin.saturating_mul(grain)).unwrap_or(i64::MAX), *count)
        })
    }

    /// Appends the histogram.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u8(self.exponent);
        out.put_varint(self.bins.len() as u64);
        let mut last = 0;
        for (bin, count) in &self.bins {
            out.put_varint(bin - last);
            out.put_varint(*count);
            last = *bin;
        }
    }

    /// Reads a histogram.
    pub(crate) fn decode(reader: &mut Reader<'_>) -> Result<DropTimes, CodecError> {
        let exponent = reader.u8()?;
        let bins = reader.varint()?;
        if exponent > EXPONENT_MAX || bins > BINS_MAX as u64 {
            return Err(reader.error("size of a histogram"));
        }
        let mut histogram = DropTimes { exponent, bins: BTreeMap::new() };
        let mut bin = 0u64;
        for _ in 0..bins {
            let step = reader.varint()?;
            bin = bin.checked_add(step).ok_or(reader.error("bin of a histogram"))?;
            histogram.bins.insert(bin, reader.varint()?);
        }
        Ok(histogram)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_small_never_counts_too_early_and_forgets_no_one() {
        let mut histogram = DropTimes::default();
        let times: Vec<i64> = (0..5000i64).map(|n| 1_700_000_000 + n * n % 1_000_003).collect();
        for time in &times {
            histogram.add(*time, 1);
        }
        assert!(histogram.bins().count() <= BINS_MAX);
        assert_eq!(histogram.total(), 5000);
        for at in (1_700_000_000..1_701_100_000).step_by(9_999) {
            let exact = times.iter().filter(|time| **time < at).count() as u64;
            let grain = histogram.grain() as i64;
            let sure = times.iter().filter(|time| **time < at - 2 * grain).count() as u64;
            let estimate = histogram.before(at);
            assert!(sure <= estimate && estimate <= exact, "{sure} {estimate} {exact}");
        }
        let mut reversed = DropTimes::default();
        times.iter().rev().for_each(|time| reversed.add(*time, 1));
        assert_eq!(histogram, reversed);
    }

    #[test]
    fn extremes_have_a_place_and_bytes_come_back() {
        let mut histogram = DropTimes::default();
        histogram.add(i64::MAX, 2);
        histogram.add(-5, 3);
        (0..1000).for_each(|n| histogram.add(n << 50, 1));
        assert_eq!(histogram.total(), 1005);
        let mut out = Vec::new();
        histogram.encode(&mut out);
        assert_eq!(DropTimes::decode(&mut Reader::new(&out)).unwrap(), histogram);
        for cut in 0..out.len() {
            assert!(DropTimes::decode(&mut Reader::new(&out[..cut])).is_err());
        }
        assert_eq!(DropTimes::default().before(i64::MAX), 0);
    }
}
