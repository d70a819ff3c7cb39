//! Descriptions of columns: in the result of a query and of a preparation (§4.2.5.2, §4.2.5.4).
//!
//! ```text
//! rows:      flags int | column count int | [paging state bytes] | [new metadata id short bytes]
//!            | unless NO_METADATA: [keyspace string, table string] | columns
//! bindings:  flags int | column count int | v4 on: key count int, key index short each
//!            | [keyspace string, table string] | columns
//! column:    [keyspace string, table string] | name string | type option
//! ```
//!
//! Keyspace and table stand once in front when all columns come from one table.

use helenus_platform::codec::{Put, Reader};

use crate::types::CqlType;
use crate::wire::error::{Result, WireError};
use crate::wire::notation::{PutNotation, ReadNotation};
use crate::wire::type_spec::{put_type, read_type};
use crate::wire::version::ProtocolVersion;

/// Bits of the flags.
pub(super) mod bit {
    pub(crate) const GLOBAL_TABLE: u32 = 0x0001;
    pub(crate) const HAS_MORE_PAGES: u32 = 0x0002;
    pub(crate) const NO_METADATA: u32 = 0x0004;
    pub(crate) const METADATA_CHANGED: u32 = 0x0008;
}

/// A column of a result, or a marker of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSpec {
    /// Its keyspace.
    pub keyspace: String,
    /// Its table.
    pub table: String,
    /// Its name, or the marker's.
    pub name: String,
    /// Its type.
    pub ty: CqlType,
}

/// The columns of a result, already in the form of one protocol version: prepared statements keep
/// it, so that an execution only copies it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodedColumns {
    version: ProtocolVersion,
    /// `GLOBAL_TABLE` or nothing.
    flags: u32,
    count: u32,
    /// What follows the paging state and the metadata id.
    bytes: Vec<u8>,
}

impl EncodedColumns {
    /// Encodes columns.
    pub fn new(columns: &[ColumnSpec], version: ProtocolVersion) -> Self {
        let mut bytes = Vec::new();
        let flags = put_columns(columns, version, &mut bytes);
        EncodedColumns { version, flags, count: columns.len() as u32, bytes }
    }

    /// The version that it is encoded for.
    pub fn version(&self) -> ProtocolVersion {
        self.version
    }

    /// How many columns there are.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there are no columns.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Columns of which only the number is known.
    pub(super) fn of_unknown(mut self, count: usize) -> Self {
        self.count = count as u32;
        self
    }

    /// Appends the metadata of rows. `skip` leaves the columns out, for a client that has them.
    /// Returns where a paging state would have to be inserted, relative to what was appended.
    pub(super) fn put_rows_metadata(
        &self,
        skip: bool,
        new_metadata_id: Option<&[u8]>,
        out: &mut impl Put,
    ) -> usize {
        let changed = if new_metadata_id.is_some() { bit::METADATA_CHANGED } else { 0 };
        let flags = if skip { bit::NO_METADATA } else { self.flags };
        out.put_u32_be(flags | changed);
        out.put_u32_be(self.count);
        if let Some(id) = new_metadata_id {
            out.put_short_bytes(id);
        }
        if !skip {
            out.put_bytes(&self.bytes);
        }
        8
    }
}

/// Appends the columns with what stands before them; returns the flags that say so.
fn put_columns(columns: &[ColumnSpec], version: ProtocolVersion, out: &mut impl Put) -> u32 {
    let global = columns.split_first().filter(|(first, rest)| {
        rest.iter().all(|spec| spec.keyspace == first.keyspace && spec.table == first.table)
    });
    if let Some((first, _)) = global {
        out.put_string(&first.keyspace);
        out.put_string(&first.table);
    }
    for column in columns {
        if global.is_none() {
            out.put_string(&column.keyspace);
            out.put_string(&column.table);
        }
        out.put_string(&column.name);
        put_type(&column.ty, version, out);
    }
    if global.is_some() { bit::GLOBAL_TABLE } else { 0 }
}

fn read_columns(reader: &mut Reader<'_>, flags: u32, count: u32) -> Result<Vec<ColumnSpec>> {
    let table = |reader: &mut Reader<'_>| -> Result<(String, String)> {
        Ok((reader.string()?.to_owned(), reader.string()?.to_owned()))
    };
    let global =
        if flags & bit::GLOBAL_TABLE != 0 && count > 0 { Some(table(reader)?) } else { None };
    let mut columns = Vec::new();
    for _ in 0..count {
        let (keyspace, table) = match &global {
            Some(global) => global.clone(),
            None => table(reader)?,
        };
        let name = reader.string()?.to_owned();
        columns.push(ColumnSpec { keyspace, table, name, ty: read_type(reader)? });
    }
    Ok(columns)
}

/// The metadata of rows, as a client decodes it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowsMetadata {
    /// How many columns a row has.
    pub column_count: usize,
    /// The columns; none if the client asked to leave them out.
    pub columns: Option<Vec<ColumnSpec>>,
    /// Where the next page begins; none on the last.
    pub paging_state: Option<Vec<u8>>,
    /// The id of this metadata, if it is not the one that the client named (v5).
    pub new_metadata_id: Option<Vec<u8>>,
}

/// Most columns that a decoder believes in.
const COLUMNS_MAX: u32 = u16::MAX as u32;

fn read_count(reader: &mut Reader<'_>) -> Result<u32> {
    let count = reader.u32_be()?;
    if count > COLUMNS_MAX {
        return Err(WireError::malformed(format!("a result of {count} columns")));
    }
    Ok(count)
}

impl RowsMetadata {
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self> {
        let flags = reader.u32_be()?;
        let count = read_count(reader)?;
        let has_state = flags & bit::HAS_MORE_PAGES != 0;
        let paging_state = if has_state { reader.bytes_or_null()? } else { None };
        let changed = flags & bit::METADATA_CHANGED != 0;
        if changed && flags & bit::NO_METADATA != 0 {
            // §4.2.5.2: without the columns a client would take the new id for the old columns.
            return Err(WireError::malformed("a result whose columns changed and are left out"));
        }
        let new_metadata_id = if changed { Some(reader.short_bytes()?.to_vec()) } else { None };
        let columns = if flags & bit::NO_METADATA == 0 {
            Some(read_columns(reader, flags, count)?)
        } else {
            None
        };
        Ok(RowsMetadata {
            column_count: count as usize,
            columns,
            paging_state: paging_state.map(<[u8]>::to_vec),
            new_metadata_id,
        })
    }
}

/// What PREPARE answers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Prepared {
    /// The id by which to execute the statement.
    pub id: Vec<u8>,
    /// The id of the result's metadata (v5).
    pub result_metadata_id: Vec<u8>,
    /// The markers.
    pub bindings: Vec<ColumnSpec>,
    /// The positions of the markers that make up the partition key, in its order; empty if not
    /// every part of it is a marker.
    pub key_indexes: Vec<u16>,
    /// The columns of the result; none for statements without one.
    pub columns: Option<Vec<ColumnSpec>>,
}

impl Prepared {
    /// Appends the body of the result.
    pub fn put(&self, version: ProtocolVersion, out: &mut impl Put) {
        out.put_short_bytes(&self.id);
        if version >= ProtocolVersion::V5 {
            out.put_short_bytes(&self.result_metadata_id);
        }
        let mut bindings = Vec::new();
        let flags = put_columns(&self.bindings, version, &mut bindings);
        out.put_u32_be(flags);
        out.put_u32_be(self.bindings.len() as u32);
        if version >= ProtocolVersion::V4 {
            out.put_u32_be(self.key_indexes.len() as u32);
            for index in &self.key_indexes {
                out.put_u16_be(*index);
            }
        }
        out.put_bytes(&bindings);
        let columns = self.columns.as_deref().unwrap_or_default();
        let encoded = EncodedColumns::new(columns, version);
        encoded.put_rows_metadata(self.columns.is_none(), None, out);
    }

    /// Reads the body of the result.
    pub fn read(reader: &mut Reader<'_>, version: ProtocolVersion) -> Result<Self> {
        let id = reader.short_bytes()?.to_vec();
        let has_metadata_id = version >= ProtocolVersion::V5;
        let result_metadata_id =
            if has_metadata_id { reader.short_bytes()?.to_vec() } else { Vec::new() };
        let flags = reader.u32_be()?;
        let count = read_count(reader)?;
        let mut key_indexes = Vec::new();
        if version >= ProtocolVersion::V4 {
            for _ in 0..reader.u32_be()? {
                key_indexes.push(reader.u16_be()?);
            }
        }
        let bindings = read_columns(reader, flags, count)?;
        let columns = RowsMetadata::read(reader)?.columns;
        Ok(Prepared { id, result_metadata_id, bindings, key_indexes, columns })
    }
}
