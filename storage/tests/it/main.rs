//! The engine's integration tests: against a model, against a disk with faults, path by path.

mod collect;
mod harness;
mod log_basic;
mod log_crash;
mod log_damage;
mod log_rig;
mod log_script;
mod model;
mod model_test;
mod ops;
mod smoke;
mod sstable;
