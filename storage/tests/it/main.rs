//! Integration tests of the storage engine.

mod log_basic;
mod log_rig;
mod sstable;
