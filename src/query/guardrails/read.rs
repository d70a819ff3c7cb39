//! Reads that cost more than they may: too many tombstones, too large an answer.
//!
//! Here the sentences are not those of other guardrails, and the failure is a READ_FAILURE: in
//! Cassandra it is the replica that gives up.

use std::sync::Arc;

use cql_lite::wire::{Consistency, ErrorKind, Failures, Progress, failure_reason};
use helenus_storage::model::Token;

use crate::error::Error;
use crate::query::services::Services;
use crate::schema::Table;

/// The most characters of a statement that a warning shows, as in Cassandra.
const STATEMENT_CHARS_MAX: usize = 512;

/// This node gave up, and nobody else was asked.
fn failed(
    services: &Services,
    consistency: Consistency,
    reason: u16,
    with_data: bool,
) -> ErrorKind {
    ErrorKind::ReadFailure {
        progress: Progress { consistency, received: 0, block_for: 1 },
        failures: Failures { count: 1, reasons: vec![(services.address.ip(), reason)] },
        data_present: with_data,
    }
}

/// The error for a page with more tombstones than a read may step over.
#[cold]
pub(crate) fn too_many_tombstones(services: &Services, consistency: Consistency) -> Error {
    let reason = failure_reason::READ_TOO_MANY_TOMBSTONES;
    Error::new(
        failed(services, consistency, reason, false),
        format!(
            "Operation failed - received 0 responses and 1 failures: READ_TOO_MANY_TOMBSTONES \
             from /{}",
            services.address
        ),
    )
}

/// The warning for a page with many tombstones.
#[cold]
pub(crate) fn many_tombstones(
    rows: u64,
    tombstones: u64,
    statement: &Arc<str>,
    token: Option<Token>,
) -> String {
    let shown: String = statement.chars().take(STATEMENT_CHARS_MAX).collect();
    let token = token.map_or_else(|| "none".to_owned(), |token| token.0.to_string());
    format!(
        "Read {rows} live rows and {tombstones} tombstone cells for query {shown}; token {token} \
         (see tombstone_warn_threshold)"
    )
}

/// How the rows of one answer stand to a threshold of their size.
fn size_sentence(table: &Table, what: &str, threshold: u64, token: Option<Token>) -> String {
    let with = token.map_or_else(String::new, |token| format!(" with token: {}", token.0));
    format!(
        "Read on table {}.{} has exceeded the size {what} threshold of {} bytes{with}",
        table.keyspace,
        table.name,
        grouped(threshold)
    )
}

/// The error for an answer with more bytes than it may have.
#[cold]
pub(crate) fn too_large(
    services: &Services,
    consistency: Consistency,
    table: &Table,
    token: Option<Token>,
) -> Error {
    let threshold = services.guardrails.limits.coordinator_read_size.fail();
    Error::new(
        failed(services, consistency, failure_reason::READ_SIZE, true),
        size_sentence(table, "failure", threshold, token),
    )
}

/// The warning for a large answer.
#[cold]
pub(crate) fn large(table: &Table, threshold: u64, token: Option<Token>) -> String {
    size_sentence(table, "warning", threshold, token)
}

/// A number with commas between its thousands.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::grouped;

    #[test]
    fn thousands_have_commas() {
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }
}
