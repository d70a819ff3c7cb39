//! What a start makes of the segments it finds: where the log ends, and whether it is damaged.
//!
//! Every group header tells how far the log was durable when it was written. Let D be the
//! largest such position that any intact header tells. Below D everything was synced once: what
//! is missing or broken there is corruption. At or above D nothing was promised to survive a
//! power cut: the first thing that is missing or broken there is where the log ends, the torn
//! tail, and what stands behind that is dropped.
//!
//! The decision is then made durable, in an order that lets the next start come to the same one
//! wherever this one is interrupted:
//! 1. a fresh segment is created, so that its base, above every position ever given out, is kept;
//! 2. segments behind the torn tail are retired, the last one first, so that none is left whose
//!    predecessor is gone;
//! 3. what is kept above D is synced: it may so far be in the system's cache only;
//! 4. the torn segment is sealed there, and what stood behind is cut off.
//!
//! Two things are told from a torn tail although they stand above D: a group in which one bit is
//! turned, which no torn write looks like (`chain::flipped_bit`); and a segment that another one
//! names as the one before it, and that is not there although nobody has recycled it.
//!
//! A segment has its full length before it has its name, so one that is shorter and not sealed
//! was cut short by something else: that is corruption wherever D is.
//!
//! No record of an earlier run is touched, and none is added to an old segment.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::collections::BTreeSet;
use std::sync::Arc;

use super::chain::{Chain, first_torn_group, flipped_bit, load, open_segment, walk};
use super::format::GroupHeader;
use super::options::LogOptions;
use super::segment::{Segment, SegmentStore, segment_name};
use crate::error::{Error, ErrorKind, Result};
use crate::model::LogPosition;

/// A segment that is part of the log, up to `end`.
pub(crate) struct Kept {
    pub(crate) segment: Arc<Segment>,
    /// Log position behind its last byte in use.
    pub(crate) end: u64,
}

/// A log ready to go on.
pub(crate) struct Recovered {
    /// A fresh, empty segment.
    pub(crate) active: Arc<Segment>,
    /// Segments to be replayed, in order.
    pub(crate) kept: Vec<Kept>,
    /// Damage that was passed over because the options said so.
    pub(crate) skipped: Vec<Error>,
}

struct Found {
    segment: Arc<Segment>,
    chain: Chain,
}

/// What belongs to the log and what does not.
struct Verdict {
    kept: Vec<Kept>,
    dropped: Vec<Arc<Segment>>,
    /// The segment that ends without a seal, and where.
    torn: Option<(Arc<Segment>, u64)>,
}

/// Finds the log's end, and begins a fresh segment behind it.
pub(crate) fn recover(store: &SegmentStore, options: &LogOptions) -> Result<Recovered> {
    let mut skipped = Vec::new();
    let mut found = Vec::new();
    let (mut bytes, mut unreadable) = (Vec::new(), BTreeSet::new());
    let mut next_base = options.min_position.0;
    for base in store.scan()? {
        match open_segment(store, base) {
            Ok(segment) => {
                next_base = next_base.max(segment.limit());
                load(&segment, &mut bytes)?;
                let chain = walk(&segment.header, segment.salt, &bytes);
                found.push(Found { segment, chain });
            }
            Err(error) => {
                if !options.skip_corrupt || error.kind() != ErrorKind::Corrupt {
                    return Err(error);
                }
                next_base = next_base.max(base.saturating_add(options.segment_bytes));
                store.retire(&store.dir.join(segment_name(base)), base, true)?;
                skipped.push(error);
                unreadable.insert(base);
            }
        }
    }
    for error in lost(store, options, &found, &unreadable) {
        if !options.skip_corrupt {
            return Err(error);
        }
        skipped.push(error);
    }
    let told = found.iter().map(|found| found.chain.durable).max().unwrap_or(0);
    let end = found.iter().map(|found| found.chain.end).max().unwrap_or(0);
    let durable = told.max(options.durable_position.0);
    if end < options.durable_position.0 && !options.skip_corrupt {
        let what = format!(
            "the commit log ends at position {end} and was durable up to {durable}: a segment \
             is missing or damaged"
        );
        let last = found.last().map_or(store.dir.as_path(), |last| &last.segment.path);
        return Err(Error::corrupt(what).at_file(last, None));
    }
    let verdict = judge(found, durable, options.skip_corrupt, &mut skipped)?;
    let last = verdict.kept.last().map(|kept| kept.segment.base());
    let active = store.create(next_base, options.segment_bytes, last)?;
    for segment in verdict.dropped.iter().rev() {
        store.retire(&segment.path, segment.base(), false)?;
    }
    for kept in verdict.kept.iter().filter(|kept| kept.end > durable) {
        sync(&kept.segment)?;
    }
    if let Some((segment, end)) = &verdict.torn {
        seal(segment, *end)?;
    }
    Ok(Recovered { active, kept: verdict.kept, skipped })
}

/// The segments that others name as the ones before them, and that are not there without having
/// been recycled.
fn lost(
    store: &SegmentStore,
    options: &LogOptions,
    found: &[Found],
    unreadable: &BTreeSet<u64>,
) -> Vec<Error> {
    let Some(gaps) = &options.gaps else { return Vec::new() };
    let there: BTreeSet<u64> = found.iter().map(|found| found.segment.base()).collect();
    let named = found.iter().filter_map(|found| found.segment.previous());
    let is_lost = |base: &u64| {
        !there.contains(base) && !unreadable.contains(base) && !gaps.contains(&LogPosition(*base))
    };
    let missing = |base| {
        let what = "a commit log segment is missing: the one behind it is there";
        Error::corrupt(what).at_file(&store.dir.join(segment_name(base)), None)
    };
    named.filter(is_lost).map(missing).collect()
}

fn judge(
    found: Vec<Found>,
    durable: u64,
    skip_corrupt: bool,
    skipped: &mut Vec<Error>,
) -> Result<Verdict> {
    let mut verdict = Verdict { kept: Vec::new(), dropped: Vec::new(), torn: None };
    let mut ended = false;
    let mut bytes = Vec::new();
    for Found { segment, chain } in found {
        if ended {
            verdict.dropped.push(segment);
            continue;
        }
        if !chain.sealed && (chain.end < durable || chain.short) {
            let error = segment.corrupt(chain.what, chain.end);
            if !skip_corrupt {
                return Err(error);
            }
            // Replay finds its own way from one intact group to the next.
            skipped.push(error);
            verdict.kept.push(Kept { end: segment.limit(), segment });
            continue;
        }
        let mut end = chain.end;
        if end > durable {
            load(&segment, &mut bytes)?;
            let torn = first_torn_group(&segment.header, segment.salt, &bytes, durable);
            if let Some(torn) = torn {
                ended = true;
                end = torn;
            }
        }
        if !chain.sealed || ended {
            ended = true;
            load(&segment, &mut bytes)?;
            let offset = usize::try_from(end - segment.base()).unwrap_or(usize::MAX);
            if let Some(at) = flipped_bit(&segment.header, segment.salt, &bytes, offset) {
                let what =
                    "a bit is flipped in what was written last; what stands behind it is lost";
                let error = segment.corrupt(what, at);
                if !skip_corrupt {
                    return Err(error);
                }
                skipped.push(error);
            }
            if end == segment.first() {
                verdict.dropped.push(segment);
                continue;
            }
            verdict.torn = Some((segment.clone(), end));
        }
        verdict.kept.push(Kept { segment, end });
    }
    Ok(verdict)
}

fn sync(segment: &Segment) -> Result<()> {
    let synced = segment.file.sync_data();
    synced.map_err(|error| Error::io("syncing a commit log segment", &segment.path, error))
}

/// Ends a segment at `end`. Everything before must be durable: the seal says so.
fn seal(segment: &Segment, end: u64) -> Result<()> {
    let header = GroupHeader { length: 0, position: end, durable: end, records: 0, seal: true };
    let offset = end - segment.base();
    let encoded = header.encode(segment.salt);
    // Only a file with a durable seal is ever shorter than its header says.
    let sealed = segment
        .file
        .write_all_at(offset, &encoded)
        .and_then(|()| segment.file.sync_data())
        .and_then(|()| segment.file.set_len(offset + encoded.len() as u64));
    sealed.map_err(|error| Error::io("ending a torn commit log segment", &segment.path, error))
}
