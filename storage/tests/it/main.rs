//! Integration tests of the storage engine.

mod log_basic;
mod log_crash;
mod log_damage;
mod log_format;
mod log_rig;
mod log_script;
mod sstable;
