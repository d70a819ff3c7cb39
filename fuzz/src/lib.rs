//! What each fuzz target does with its input. A target panics when an invariant is broken.
//!
//! Built with `--cfg fuzzing`, checksums are constant, so that inputs get past them: what decodes
//! a file is then tried on bytes that no checksum has vouched for.

pub mod commands;
pub mod execute;
pub mod files;
pub mod frames;
pub mod gossip;
pub mod internode;
mod lab;
pub mod mutation;
pub mod pages;
pub mod parser;
pub mod seeds;
pub mod segments;
mod sink;
pub mod values;

/// A target's name and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// All targets.
pub const TARGETS: [Target; 11] = [
    ("frames", frames::run),
    ("segments", segments::run),
    ("parser", parser::run),
    ("values", values::run),
    ("mutation", mutation::run),
    ("files", files::run),
    ("execute", execute::run),
    ("gossip", gossip::run),
    ("internode", internode::run),
    ("pages", pages::run),
    ("commands", commands::run),
];
