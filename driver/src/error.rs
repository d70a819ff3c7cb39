//! What can go wrong with a session.

use cql_lite::wire::ErrorBody;

/// Why a session could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data directory could not be opened.
    #[error("{0}")]
    Open(#[from] helenus::node::OpenError),
    /// The session's threads could not be started.
    #[error("cannot start threads: {0}")]
    Threads(std::io::Error),
    /// The node refused the statement; the code is that of the native protocol.
    #[error("{}", .0.message)]
    Refused(ErrorBody),
    /// A value is too large, or there are too many.
    #[error("{0}")]
    Values(cql_lite::wire::WireError),
    /// The node answered with something that cannot be: a defect.
    #[error("the node's answer cannot be understood: {0}")]
    Answer(String),
}
