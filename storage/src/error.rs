//! The one error of this crate: what kind of failure, what was being done, and where.
//!
//! | kind       | what it means to the caller                       | retry?               |
//! |------------|---------------------------------------------------|----------------------|
//! | Corrupt    | bytes fail their checksum or break their layout   | no: name the place   |
//! | Io         | the disk refused                                  | no: see the cause    |
//! | DiskFull   | no space left on the device                       | after space is freed |
//! | Full       | memtables are full and flushing has not caught up | yes, later           |
//! | Closed     | the engine was closed or has failed before        | after a restart      |
//! | Invalid    | the caller asked for something that cannot be     | no                   |
//! | TooLarge   | a value exceeds a named limit                     | no                   |
//! | NotFound   | no such table, file or section                    | no                   |
//! | Newer      | written by a newer version of the format          | with a newer binary  |
//! | Locked     | the directory is in use by another process        | after it ends        |
//! | Overloaded | too much work is waiting already                  | yes, later           |
//!
//! The error is one pointer wide, so that a `Result` on a hot path costs nothing.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use helenus_platform::codec::CodecError;

use crate::model::TableId;

/// `Result` with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure an [`Error`] is; the table above says what to do about each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Bytes fail their checksum or break their layout.
    Corrupt,
    /// The disk refused.
    Io,
    /// No space is left on the device.
    DiskFull,
    /// The memtables are full and flushing has not caught up.
    Full,
    /// The engine was closed, or has failed before.
    Closed,
    /// The caller asked for something that cannot be.
    Invalid,
    /// A value exceeds a named limit.
    TooLarge,
    /// No such table, file or section.
    NotFound,
    /// The bytes were written by a newer version of the format.
    Newer,
    /// The directory is in use by another process.
    Locked,
    /// Too much work is waiting already.
    Overloaded,
}

/// Where a failure happened.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Place {
    /// Nowhere in particular.
    #[default]
    Unknown,
    /// At this offset of the bytes that were being decoded.
    Offset(usize),
    /// In this file, and at this offset if one is known.
    File {
        /// The file's path.
        path: PathBuf,
        /// Bytes from its start.
        offset: Option<u64>,
    },
    /// In this table.
    Table(TableId),
}

/// A failure of the storage engine.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    what: Cow<'static, str>,
    place: Place,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error of this kind; `what` says what is wrong, or what was being done.
    pub fn new(kind: ErrorKind, what: impl Into<Cow<'static, str>>) -> Error {
        Error(Box::new(Inner { kind, what: what.into(), place: Place::Unknown, source: None }))
    }

    /// Bytes that break their layout.
    pub fn corrupt(what: impl Into<Cow<'static, str>>) -> Error {
        Error::new(ErrorKind::Corrupt, what)
    }

    /// A request that cannot be met as it stands.
    pub fn invalid(what: impl Into<Cow<'static, str>>) -> Error {
        Error::new(ErrorKind::Invalid, what)
    }

    /// A failed disk operation on `path`; a full device gets its own kind.
    pub fn io(what: impl Into<Cow<'static, str>>, path: &Path, source: io::Error) -> Error {
        let kind = match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => ErrorKind::DiskFull,
            io::ErrorKind::NotFound => ErrorKind::NotFound,
            _ => ErrorKind::Io,
        };
        Error::new(kind, what).at_file(path, None).caused_by(source)
    }

    /// The same error, placed.
    #[must_use]
    pub fn at(mut self, place: Place) -> Error {
        self.0.place = place;
        self
    }

    /// The same error, placed in a file.
    #[must_use]
    pub fn at_file(self, path: &Path, offset: Option<u64>) -> Error {
        self.at(Place::File { path: path.to_owned(), offset })
    }

    /// The same error with its cause.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Error {
        self.0.source = Some(source.into());
        self
    }

    /// An error around this one: same kind and place, saying what was being done when it arose.
    #[must_use]
    pub fn during(self, what: impl Into<Cow<'static, str>>) -> Error {
        let (kind, place) = (self.kind(), self.place().clone());
        Error::new(kind, what).at(place).caused_by(self)
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Where it happened.
    pub fn place(&self) -> &Place {
        &self.0.place
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Unknown => Ok(()),
            Place::Offset(offset) => write!(f, " at byte {offset}"),
            Place::File { path, offset: None } => write!(f, " in {}", path.display()),
            Place::File { path, offset: Some(offset) } => {
                write!(f, " in {} at byte {offset}", path.display())
            }
            Place::Table(table) => write!(f, " in table {}", table.0),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.0.what, self.0.place)?;
        match &self.0.source {
            Some(source) => write!(f, ": {source}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.0.kind)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.0.source {
            Some(source) => Some(source.as_ref()),
            None => None,
        }
    }
}

impl From<CodecError> for Error {
    fn from(error: CodecError) -> Error {
        Error::corrupt(error.what).at(Place::Offset(error.offset))
    }
}

const _: () = assert!(size_of::<Error>() == size_of::<usize>());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_names_the_deed_the_place_and_the_cause() {
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let error = Error::io("writing a segment", Path::new("/d/1.log"), full);
        assert_eq!(error.kind(), ErrorKind::DiskFull);
        let text = error.during("flushing").to_string();
        assert!(
            text.starts_with("flushing in /d/1.log: writing a segment in /d/1.log: "),
            "{text}"
        );
    }

    #[test]
    fn a_decoding_error_keeps_its_offset() {
        let error = Error::from(CodecError { offset: 7, what: "a row ends early" });
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert_eq!(error.to_string(), "a row ends early at byte 7");
    }
}
