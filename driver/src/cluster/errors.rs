//! The network driver's errors as ours, with the node's own code and message where there are some.

use std::error::Error as StdError;

use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind, DbError, ExecutionError,
    MetadataError, NewSessionError, PrepareError, RequestAttemptError, UseKeyspaceError,
};
use scylla::frame::protocol_features::ProtocolFeatures;

use crate::error::{Error, ErrorKind};

fn refused(error: &DbError, message: String) -> Error {
    match error {
        // A code that is another on every connection.
        DbError::RateLimitReached { .. } => Error::new(ErrorKind::Unavailable, message),
        error => Error::coded(error.code(&ProtocolFeatures::default()), message),
    }
}

fn caused(kind: ErrorKind, error: impl StdError + Send + Sync + 'static) -> Error {
    Error::caused(kind, error.to_string(), error)
}

pub(super) fn execution(error: ExecutionError) -> Error {
    match error {
        ExecutionError::LastAttemptError(error) => attempt(error),
        ExecutionError::PrepareError(error) => preparing(error),
        ExecutionError::RequestTimeout(after) => Error::timeout(after),
        ExecutionError::UseKeyspaceError(error) => using(error),
        ExecutionError::BadQuery(_) => caused(ErrorKind::Invalid, error),
        ExecutionError::EmptyPlan | ExecutionError::ConnectionPoolError(_) => {
            caused(ErrorKind::Unavailable, error)
        }
        // The change was made; whether every node knows it is open.
        ExecutionError::SchemaAgreementError(_) | ExecutionError::MetadataError(_) => {
            caused(ErrorKind::Timeout, error)
        }
        error => caused(ErrorKind::Failed, error),
    }
}

pub(super) fn preparing(error: PrepareError) -> Error {
    match error {
        PrepareError::AllAttemptsFailed { first_attempt } => attempt(first_attempt),
        PrepareError::ConnectionPoolError(_) => caused(ErrorKind::Unavailable, error),
        error => caused(ErrorKind::Failed, error),
    }
}

fn using(error: UseKeyspaceError) -> Error {
    match error {
        UseKeyspaceError::RequestError(error) => attempt(error),
        UseKeyspaceError::RequestTimeout(after) => Error::timeout(after),
        error => caused(ErrorKind::Invalid, error),
    }
}

fn attempt(error: RequestAttemptError) -> Error {
    match error {
        RequestAttemptError::DbError(error, message) => refused(&error, message),
        // What was sent may have arrived.
        RequestAttemptError::BrokenConnectionError(_) => caused(ErrorKind::Timeout, error),
        RequestAttemptError::UnableToAllocStreamId => caused(ErrorKind::Unavailable, error),
        RequestAttemptError::SerializationError(_)
        | RequestAttemptError::CqlRequestSerialization(_) => caused(ErrorKind::Invalid, error),
        error => caused(ErrorKind::Failed, error),
    }
}

/// Why no connection could be made.
pub(super) fn connecting(error: NewSessionError, nodes: &[String]) -> Error {
    let (kind, code) = match &error {
        NewSessionError::EmptyKnownNodesList | NewSessionError::IllegalConfig(_) => {
            (ErrorKind::Invalid, None)
        }
        NewSessionError::MetadataError(MetadataError::ConnectionPoolError(
            ConnectionPoolError::Broken { last_connection_error },
        )) => setup(last_connection_error),
        _ => (ErrorKind::Unavailable, None),
    };
    let message = format!("cannot connect to {}: {error}", nodes.join(", "));
    match code {
        Some(code) => Error::coded(code, message),
        None => Error::caused(kind, message, error),
    }
}

/// What the last node that was tried had against it.
fn setup(error: &ConnectionError) -> (ErrorKind, Option<i32>) {
    let ConnectionError::ConnectionSetupRequestError(error) = error else {
        return (ErrorKind::Unavailable, None);
    };
    match error.get_error() {
        ConnectionSetupRequestErrorKind::DbError(error, _)
            if !matches!(error, DbError::RateLimitReached { .. }) =>
        {
            (ErrorKind::Unavailable, Some(error.code(&ProtocolFeatures::default())))
        }
        ConnectionSetupRequestErrorKind::MissingAuthentication => (ErrorKind::Unauthorized, None),
        _ => (ErrorKind::Unavailable, None),
    }
}
