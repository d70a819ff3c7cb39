//! Why a read over several replicas has no answer.

use std::net::IpAddr;

use cql_lite::wire::{Consistency, ErrorKind, Failures, Progress};

use crate::error::Error;

/// Why a read ended without its answer. Numbers are as Cassandra gives them.
#[derive(Debug)]
pub enum ReadError {
    /// Too few replicas answered in time, or a replica did not acknowledge in time what it lacked.
    Timeout {
        /// How many answered.
        received: usize,
        /// How many had to.
        block_for: usize,
        /// Somebody answered with the data, and not with its digest only.
        data_present: bool,
    },
    /// Too many replicas failed.
    Failure {
        /// How many answered.
        received: usize,
        /// How many had to.
        block_for: usize,
        /// See `Timeout`.
        data_present: bool,
        /// Which failed, with the protocol's reasons.
        failures: Vec<(IpAddr, u16)>,
    },
    /// This node's own engine failed, or a replica sent what makes no sense.
    Engine(helenus_storage::Error),
}

impl From<helenus_storage::Error> for ReadError {
    fn from(error: helenus_storage::Error) -> ReadError {
        ReadError::Engine(error)
    }
}

impl ReadError {
    /// What the client is told.
    #[must_use]
    pub fn into_error(self, consistency: Consistency) -> Error {
        let number = |count: usize| i32::try_from(count).unwrap_or(i32::MAX);
        match self {
            ReadError::Timeout { received, block_for, data_present } => {
                let (received, block_for) = (number(received), number(block_for));
                let progress = Progress { consistency, received, block_for };
                let what = format!("Operation timed out - received only {received} responses.");
                Error::new(ErrorKind::ReadTimeout { progress, data_present }, what)
            }
            ReadError::Failure { received, block_for, data_present, failures } => {
                let (received, block_for) = (number(received), number(block_for));
                let progress = Progress { consistency, received, block_for };
                let count = number(failures.len());
                let what = format!(
                    "Operation failed - received {received} responses and {count} failures"
                );
                let failures = Failures { count, reasons: failures };
                Error::new(ErrorKind::ReadFailure { progress, failures, data_present }, what)
            }
            ReadError::Engine(error) => error.into(),
        }
    }
}
