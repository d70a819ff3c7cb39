//! What can go wrong, by what to do next.

use std::error::Error as StdError;
use std::fmt;

/// The result of everything here.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong. [`Error::kind`] says what to do; the text says what was being done to what;
/// [`Error::code`] is the node's own code, if the node refused.
///
/// ```
/// # helenus_driver::doc(|session| async move {
/// use helenus_driver::ErrorKind;
///
/// let error = session.query("SELECT nothing FROM app.todo", ()).await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Invalid);
/// assert_eq!(error.code(), Some(0x2200));
/// assert!(error.to_string().contains("nothing"));
/// # Ok(()) });
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    code: Option<i32>,
    message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What to do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The statement, a value or an option is wrong: correct the program.
    Invalid,
    /// What is to be created is there already.
    AlreadyExists,
    /// The user is not known, or may not do this.
    Unauthorized,
    /// Nothing was done, for now: nodes are down, too busy or still starting. Try again later.
    Unavailable,
    /// No answer in time. A write may have been made or not: make it again if that does no harm.
    Timeout,
    /// The node or the cluster failed to do it; its log has the cause.
    Failed,
    /// The rows are not of the type that was asked for: correct the program or the schema.
    Mismatch,
    /// The data directory belongs to a running process, which the message names: end that one,
    /// or connect to it.
    InUse,
    /// The data directory is damaged, newer than this program, or its disk fails.
    Storage,
    /// The session has been closed: open another.
    Closed,
}

impl ErrorKind {
    /// The kind of one of the native protocol's error codes.
    pub(crate) fn of_code(code: i32) -> Self {
        match code {
            0x0100 | 0x2100 => ErrorKind::Unauthorized,
            0x1000..=0x1002 => ErrorKind::Unavailable,
            0x1100 | 0x1200 | 0x1700 => ErrorKind::Timeout,
            0x000A | 0x1400 | 0x2000 | 0x2200 | 0x2300 => ErrorKind::Invalid,
            0x2400 => ErrorKind::AlreadyExists,
            _ => ErrorKind::Failed,
        }
    }
}

impl Error {
    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The native protocol's code, if a node refused: 0x2200 for an invalid statement, for
    /// example.
    #[must_use]
    pub fn code(&self) -> Option<i32> {
        self.0.code
    }

    /// What happened, in the node's own words if a node refused.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Box::new(Inner { kind, code: None, message: message.into(), source: None }))
    }

    pub(crate) fn coded(code: i32, message: impl Into<String>) -> Self {
        let kind = ErrorKind::of_code(code);
        Self(Box::new(Inner { kind, code: Some(code), message: message.into(), source: None }))
    }

    pub(crate) fn caused(
        kind: ErrorKind,
        message: impl Into<String>,
        source: impl StdError + Send + Sync + 'static,
    ) -> Self {
        let source = Some(Box::new(source) as Box<dyn StdError + Send + Sync>);
        Self(Box::new(Inner { kind, code: None, message: message.into(), source }))
    }

    pub(crate) fn values(error: scylla_cql_core::serialize::SerializationError) -> Self {
        let message = format!("the values do not fit the statement: {}", chain(&error));
        Self::caused(ErrorKind::Invalid, message, error)
    }

    pub(crate) fn mismatch(error: impl StdError + Send + Sync + 'static) -> Self {
        let message = format!("the rows are not of the type asked for: {}", chain(&error));
        Self::caused(ErrorKind::Mismatch, message, error)
    }

    #[cfg(all(feature = "embedded", feature = "cluster"))]
    pub(crate) fn elsewhere() -> Self {
        let message = "the statement was prepared by another session: prepare it with this one";
        Self::new(ErrorKind::Invalid, message)
    }

    pub(crate) fn timeout(after: std::time::Duration) -> Self {
        Self::new(ErrorKind::Timeout, format!("no answer within {after:?}"))
    }
}

/// An error with what caused it, in one line.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        next = cause.source();
    }
    text
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.0.kind)?;
        if let Some(code) = self.0.code {
            write!(formatter, " ({code:#06x})")?;
        }
        write!(formatter, ": {}", self.0.message)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_ref().map(|source| source.as_ref() as _)
    }
}
