//! One file of the faulty disk: what reads see, what is on the platter, and what lies between.

use std::collections::BTreeSet;
use std::io;

use super::CutOptions;
use crate::random::Random;

/// What a device writes whole or not at all, in bytes.
pub(super) const SECTOR_BYTES: u64 = 512;

/// A change that the platter has not got yet.
#[derive(Debug, Clone)]
enum Change {
    Write {
        offset: u64,
        bytes: Vec<u8>,
    },
    SetLen(u64),
    /// Grows to at least this length.
    Grow(u64),
}

/// A file's contents in their three states.
#[derive(Debug, Clone, Default)]
pub(super) struct Inode {
    /// What the process sees: the system's cache.
    cached: Vec<u8>,
    /// What a power cut cannot take.
    durable: Vec<u8>,
    /// Changes in `cached` that `durable` lacks, oldest first. After a failed sync a change is
    /// in neither list nor platter, though the cache still shows it.
    pending: Vec<Change>,
    /// Bytes for which room is reserved on the device.
    reserved: u64,
}

/// A length or offset as an index into memory.
fn index(n: u64) -> io::Result<usize> {
    usize::try_from(n).map_err(|_| io::ErrorKind::InvalidInput.into())
}

fn write(to: &mut Vec<u8>, offset: u64, bytes: &[u8]) {
    let Ok(start) = index(offset) else { return };
    let end = start.saturating_add(bytes.len());
    if to.len() < end {
        to.resize(end, 0);
    }
    if let Some(place) = to.get_mut(start..end) {
        place.copy_from_slice(bytes);
    }
}

impl Change {
    fn apply(&self, to: &mut Vec<u8>) {
        match self {
            Change::Write { offset, bytes } => write(to, *offset, bytes),
            Change::SetLen(len) => to.resize(index(*len).unwrap_or(usize::MAX), 0),
            Change::Grow(len) => {
                let len = index(*len).unwrap_or(usize::MAX);
                to.resize(to.len().max(len), 0);
            }
        }
    }

    /// A write cut at the sector borders of the file; other changes are whole.
    fn sectors(&self) -> Vec<(Option<u64>, Change)> {
        let Change::Write { offset, bytes } = self else { return vec![(None, self.clone())] };
        let (mut at, mut rest) = (*offset, bytes.as_slice());
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let room = (SECTOR_BYTES - at % SECTOR_BYTES) as usize;
            let (piece, left) = rest.split_at(room.min(rest.len()));
            let change = Change::Write { offset: at, bytes: piece.to_vec() };
            pieces.push((Some(at / SECTOR_BYTES), change));
            at += piece.len() as u64;
            rest = left;
        }
        pieces
    }
}

impl Inode {
    pub(super) fn len(&self) -> u64 {
        self.cached.len() as u64
    }

    pub(super) fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<usize> {
        let from = self.cached.get(index(offset)?..).unwrap_or_default();
        let n = from.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..n), from.get(..n)) {
            to.copy_from_slice(from);
        }
        Ok(n)
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.cached);
        self.pending.push(change);
    }

    pub(super) fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let end = offset.checked_add(bytes.len() as u64).ok_or(io::ErrorKind::InvalidInput)?;
        index(end)?;
        if !bytes.is_empty() {
            self.reserved = self.reserved.max(end);
            self.change(Change::Write { offset, bytes: bytes.to_vec() });
        }
        Ok(())
    }

    /// How many of the bytes at `offset..end` already have room on the device.
    pub(super) fn room(&self, offset: u64, end: u64) -> u64 {
        self.reserved.min(end).saturating_sub(offset)
    }

    pub(super) fn set_len(&mut self, len: u64) -> io::Result<()> {
        index(len)?;
        self.reserved = self.reserved.min(len);
        self.change(Change::SetLen(len));
        Ok(())
    }

    pub(super) fn allocate(&mut self, len: u64) -> io::Result<()> {
        index(len)?;
        self.reserved = self.reserved.max(len);
        if self.len() < len {
            self.change(Change::Grow(len));
        }
        Ok(())
    }

    pub(super) fn sync(&mut self) {
        for change in self.pending.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// A sync that fails: some changes arrive, the others are forgotten by everybody but the
    /// cache. So a later sync succeeds without them.
    pub(super) fn fail_sync(&mut self, random: &dyn Random) {
        for change in std::mem::take(&mut self.pending) {
            if random.chance(0.5) {
                change.apply(&mut self.durable);
            }
        }
    }

    /// What is left of the file when power comes back.
    pub(super) fn cut_power(&mut self, options: CutOptions, random: &dyn Random) {
        let pending = std::mem::take(&mut self.pending);
        match options {
            CutOptions { torn: false, reorder: false } => {}
            CutOptions { torn: true, reorder: false } => self.keep_prefix(&pending, random),
            CutOptions { torn: false, reorder: true } => {
                let odds = survival_odds(random);
                for change in pending.iter().filter(|_| random.chance(odds)) {
                    change.apply(&mut self.durable);
                }
            }
            CutOptions { torn: true, reorder: true } => self.keep_sectors(&pending, random),
        }
        self.cached = self.durable.clone();
        self.reserved = self.len();
    }

    /// Changes in the order they were made, the last one torn at a sector.
    fn keep_prefix(&mut self, pending: &[Change], random: &dyn Random) {
        let kept = random.below(pending.len() as u64 + 1) as usize;
        let (whole, rest) = pending.split_at(kept.min(pending.len()));
        for change in whole {
            change.apply(&mut self.durable);
        }
        let torn = rest.first().map(Change::sectors).unwrap_or_default();
        let kept = random.below(torn.len() as u64 + 1) as usize;
        for (_, piece) in torn.iter().take(kept) {
            piece.apply(&mut self.durable);
        }
    }

    /// Each sector ends as it was after some number of its changes, whatever the others do.
    fn keep_sectors(&mut self, pending: &[Change], random: &dyn Random) {
        let odds = survival_odds(random);
        let mut stopped = BTreeSet::new();
        for (sector, piece) in pending.iter().flat_map(Change::sectors) {
            if sector.is_some_and(|sector| stopped.contains(&sector)) {
                continue;
            }
            if random.chance(odds) {
                piece.apply(&mut self.durable);
            } else {
                stopped.extend(sector);
            }
        }
        // The length can be on the platter before the bytes are: then they read as zeros.
        if random.chance(0.2) {
            let longest = self.cached.len().max(self.durable.len());
            self.durable.resize(longest, 0);
        }
    }

    /// Flips a bit in the cache and on the platter.
    pub(super) fn flip_bit(&mut self, bit: u64) -> io::Result<()> {
        let at = index(bit / 8)?;
        let mask = 1u8 << (bit % 8);
        let byte = self.cached.get_mut(at).ok_or(io::ErrorKind::UnexpectedEof)?;
        *byte ^= mask;
        if let Some(byte) = self.durable.get_mut(at) {
            *byte ^= mask;
        }
        Ok(())
    }
}

/// How likely one change survives a reordering cut: mostly lost, half, mostly kept.
pub(super) fn survival_odds(random: &dyn Random) -> f64 {
    match random.below(3) {
        0 => 0.1,
        1 => 0.5,
        _ => 0.9,
    }
}
