//! Why the shell could not do what it was asked.

use std::io;

use cql_lite::wire::{ErrorBody, ErrorKind, Response};

use super::connection::is_wrong_request;

/// Why the shell could not do what it was asked.
#[derive(Debug)]
pub(super) enum Failure {
    /// The node answered with an error.
    Refused(ErrorBody),
    /// The node wants a user and a password, and there is none.
    LoginNeeded,
    /// The connection is gone, or could not be made.
    Lost(String),
    /// What was typed makes no sense to the shell itself.
    Usage(String),
    /// Something else went wrong: a file, a value.
    Failed(String),
    /// The user pressed Ctrl-C.
    Interrupted,
    /// Nobody reads the output any more.
    OutputClosed,
}

impl Failure {
    /// The connection is gone.
    pub(super) fn lost(message: String) -> Self {
        Failure::Lost(message)
    }

    /// The node answered with what cannot be an answer here.
    pub(super) fn unexpected(response: &Response) -> Self {
        match response {
            Response::Error(error) => Failure::Refused(error.clone()),
            other => Failure::Lost(format!("the node answered with {}", other.opcode())),
        }
    }

    /// Reading or writing `what` failed.
    pub(super) fn file(what: &std::path::Path, error: &io::Error) -> Self {
        Failure::Failed(format!("{}: {error}", what.display()))
    }

    /// The exit code of a program that ends because of it: 2 if what was asked is wrong, 1 if it
    /// was right and failed.
    pub(super) fn exit_code(&self) -> u8 {
        match self {
            Failure::Refused(error) if is_wrong_request(error) => 2,
            Failure::Usage(_) | Failure::LoginNeeded => 2,
            Failure::Interrupted => 130,
            _ => 1,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Failure::Refused(error) => write!(formatter, "{}", refused(error)),
            Failure::LoginNeeded => {
                formatter.write_str("the node wants a user and a password: -u USER -p PASSWORD")
            }
            Failure::Lost(message) | Failure::Usage(message) | Failure::Failed(message) => {
                formatter.write_str(message)
            }
            Failure::Interrupted => formatter.write_str("cancelled"),
            Failure::OutputClosed => formatter.write_str("nobody reads the output"),
        }
    }
}

/// The error as cqlsh words it, so that what is known about one helps with the other.
fn refused(error: &ErrorBody) -> String {
    let (class, name) = names(&error.kind);
    let message = &error.message;
    match error.kind {
        ErrorKind::Syntax => format!("{class}: {message}"),
        ref kind => {
            let code = kind.code();
            format!("{class}: Error from server: code={code:04x} [{name}] message=\"{message}\"")
        }
    }
}

/// The name of the exception that Python's driver raises, and its name of the code.
fn names(kind: &ErrorKind) -> (&'static str, &'static str) {
    match kind {
        ErrorKind::Server => ("ServerError", "Server error"),
        ErrorKind::Protocol => ("ProtocolException", "Protocol error"),
        ErrorKind::BadCredentials => ("AuthenticationFailed", "Bad credentials"),
        ErrorKind::Unavailable { .. } => ("Unavailable", "Unavailable exception"),
        ErrorKind::Overloaded => ("OverloadedErrorMessage", "Coordinator node overloaded"),
        ErrorKind::Bootstrapping => {
            ("IsBootstrappingErrorMessage", "Coordinator node is bootstrapping")
        }
        ErrorKind::Truncate => ("TruncateError", "Error during truncate"),
        ErrorKind::WriteTimeout { .. } => {
            ("WriteTimeout", "Coordinator node timed out waiting for replica nodes' responses")
        }
        ErrorKind::ReadTimeout { .. } => {
            ("ReadTimeout", "Coordinator node timed out waiting for replica nodes' responses")
        }
        ErrorKind::ReadFailure { .. } => ("ReadFailure", "Replica(s) failed to execute read"),
        ErrorKind::FunctionFailure { .. } => ("FunctionFailure", "User Defined Function failure"),
        ErrorKind::WriteFailure { .. } => ("WriteFailure", "Replica(s) failed to execute write"),
        ErrorKind::CdcWriteFailure => {
            ("CDCWriteException", "Failed to execute write due to CDC space exhaustion")
        }
        ErrorKind::CasWriteUnknown { .. } => ("CasWriteUnknown", "CAS write unknown"),
        ErrorKind::Syntax => ("SyntaxException", "Syntax error in CQL query"),
        ErrorKind::Unauthorized => ("Unauthorized", "Unauthorized"),
        ErrorKind::Invalid => ("InvalidRequest", "Invalid query"),
        ErrorKind::Config => {
            ("ConfigurationException", "Query invalid because of configuration issue")
        }
        ErrorKind::AlreadyExists { .. } => ("AlreadyExists", "Item already exists"),
        ErrorKind::Unprepared { .. } => {
            ("PreparedQueryNotFound", "Requested prepared query not found")
        }
    }
}
