//! What a strategy sees and says. A strategy is pure: files' figures in, plan out.

use crate::model::{SsTableId, Token};

/// What a strategy may know of one SSTable.
#[derive(Clone, Debug, PartialEq)]
pub struct Candidate {
    /// The SSTable.
    pub id: SsTableId,
    /// Its file's length.
    pub file_bytes: u64,
    /// Partitions in it.
    pub partitions: u64,
    /// The token of its first partition.
    pub token_min: Token,
    /// The token of its last partition.
    pub token_max: Token,
    /// Share of its cells that are tombstones which may be purged, 0 to 1, estimated.
    pub purgeable: f64,
}

/// What ought to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// The SSTables to be merged into new ones.
    pub inputs: Vec<SsTableId>,
    /// The token ring is cut into this many equal parts (a power of two); an output file ends
    /// where a part ends.
    pub parts: u32,
    /// Why.
    pub reason: Reason,
}

/// Why a compaction runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// Too many files of a level overlap.
    Overlap,
    /// A file holds many tombstones that may be purged.
    Tombstones,
    /// Somebody asked.
    Request,
}

/// Decides what to compact.
pub trait Strategy: Send + Sync {
    /// The most urgent compaction of these files, none of which is being compacted.
    fn plan(&self, candidates: &[Candidate]) -> Option<Plan>;

    /// Into how many parts of the ring the outcome of merging these files should be cut.
    fn parts(&self, inputs: &[&Candidate]) -> u32;

    /// How many compactions are waiting to be done, estimated.
    fn pending(&self, candidates: &[Candidate]) -> usize;
}
