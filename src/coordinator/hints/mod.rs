//! Hints: mutations kept for replicas that are away, and given to them when they are back.
//!
//! [`HintStore`] keeps them in append-only files by target (`format` draws them); it does its I/O
//! when it is told to, so its caller needs a worker that may wait. [`HintDispatch`] decides which
//! target is sent how much, and when; it does nothing itself.
//!
//! A hint that was taken survives `kill -9` and a power cut once [`HintStore::flush`] has returned,
//! which is to be called at least every second; what was taken since the last call may be lost,
//! since the coordinator's client was promised nothing by a hint. A hint is delivered at least
//! once: after a restart those of the oldest file of a target may come again.

mod dispatch;
mod format;
mod inspect;
mod service;
mod store;
#[cfg(test)]
mod tests;

pub use dispatch::{DispatchOptions, HintDispatch, Send};
pub use format::HintFileError;
pub use inspect::inspect;
pub use service::{Counts, Hints, HintsWorld};
pub use store::{
    Hint, HintBatch, HintCounts, HintCursor, HintError, HintOptions, HintStore, HostId,
    SmallestGrace, Taken,
};
