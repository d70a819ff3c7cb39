//! SSTables through their public face: written, read, damaged, described.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod corruption;
mod docs;
mod model;
mod reads;
mod support;
mod wide;
