//! How much one modification may write: what Cassandra refuses, and what would make a small
//! request grow large in memory.

use cql_lite::types::partition_key;
use cql_lite::types::text::{cast_text, hex};
use helenus_storage::model::RowBuilder;
use helenus_storage::model::mutation::MAX_MUTATION_BYTES;

use crate::error::{Error, Result};
use crate::schema::Table;

/// Most of a partition key that an error shows, in bytes of its text.
const KEY_SHOWN_BYTES_MAX: usize = 256;

/// Refuses a request whose mutations have more bytes than one record of the log can hold: a few
/// bound values, written to every row of a long IN, are far larger than the request was.
pub(super) fn check_bytes(table: &Table, key: &[u8], bytes: usize, max: usize) -> Result<()> {
    if bytes <= max {
        return Ok(());
    }
    let mut shown = partition_text(table, key);
    shown.truncate(shown.floor_char_boundary(KEY_SHOWN_BYTES_MAX));
    Err(Error::invalid(format!(
        "Rejected an oversized mutation ({bytes}/{max}) for keyspace: {}. Top keys are: \
         {}.{shown}. {WHERE_FROM}",
        table.keyspace, table.name
    )))
}

/// Where the maximum of a mutation comes from.
const WHERE_FROM: &str = "The maximum is half of commit_log.segment_bytes, and 16777216 for one \
    partition";
const _: () = assert!(MAX_MUTATION_BYTES == 16_777_216);

/// Refuses a row that is over the maximum already, while its cells are being added.
#[inline]
pub(super) fn check_row(row: &RowBuilder, max: usize) -> Result<()> {
    if row.bytes() <= max {
        return Ok(());
    }
    Err(Error::invalid(format!(
        "Rejected an oversized mutation (a row of over {max} bytes). {WHERE_FROM}"
    )))
}

/// A partition key as text, its components joined by colons.
fn partition_text(table: &Table, key: &[u8]) -> String {
    let parts = partition_key::split(key, table.partition_key.len()).unwrap_or_default();
    let texts = table
        .partition_key
        .iter()
        .zip(parts)
        .map(|(column, part)| cast_text(&column.ty, part).unwrap_or_else(|_| hex(part)));
    texts.collect::<Vec<_>>().join(":")
}

/// The most bytes of one clustering value, as Cassandra has it.
pub(super) const CLUSTERING_BYTES_MAX: usize = 65_535;

/// Refuses a row with a clustering value that is too long; `lengths` are those of all its values.
pub(super) fn check_clustering(lengths: impl Iterator<Item = usize> + Clone) -> Result<()> {
    if lengths.clone().all(|length| length <= CLUSTERING_BYTES_MAX) {
        return Ok(());
    }
    let all: usize = lengths.sum();
    Err(Error::invalid(format!(
        "Key length of {all} is longer than maximum of {CLUSTERING_BYTES_MAX}"
    )))
}
