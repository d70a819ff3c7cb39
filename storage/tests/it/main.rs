//! The engine's integration tests: against a model, against a disk with faults, path by path.

mod collect;
mod compaction_load;
mod crash;
mod crash_script;
mod damage;
mod encode;
mod flips;
mod format_docs;
mod harness;
mod log_basic;
mod log_crash;
mod log_damage;
mod log_format;
mod log_rig;
mod log_script;
mod log_threads;
mod model;
mod model_test;
mod ops;
mod paths;
mod replay;
mod replica;
mod smoke;
mod snapshot;
mod sstable;
mod threads;
