//! The `helenus` binary from outside: as a process, and through a real driver.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::print_stderr, reason = "what a node logs belongs to the test that it fails")]
#![expect(clippy::disallowed_methods, reason = "tests look at the node from outside its seams")]

mod admin;
mod bad_frames;
mod bad_statements;
mod cluster;
mod data_directory;
mod full_disk;
mod guardrails;
mod limits;
mod process;
mod raw_client;
mod scylla_driver;
mod shell;
