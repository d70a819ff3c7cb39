//! The options of COPY.

/// Their names.
pub(in crate::cli::shell) const OPTION_NAMES: [&str; 1] = ["HEADER"];
