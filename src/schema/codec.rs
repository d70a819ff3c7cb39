//! Schema changes as bytes: what a metadata-log entry and a snapshot of the schema hold.
//!
//! ```text
//! change:    u8 version (1), u8 tag, varint length, body of that length
//!   1 put keyspace   varint id, text name, u8 kind, u8 durable writes, map replication
//!   2 drop keyspace  text name
//!   3 put table      table
//!   4 drop table     text keyspace, text name, varint id
//!   5 put type       udt
//!   6 drop type      text keyspace, text name
//!   7 truncate       varint table id
//! map:       varint count, then per entry: text name, text value
//! table:     varint id, 16 bytes uuid, text keyspace, text name, u8 flags (1 counter, 2 view),
//!            varint next column id, varint count + columns, options,
//!            varint count of dropped columns, then per column: column, zigzag dropped at (µs)
//! column:    varint id, text name, type, u8 kind, varint position, u8 descending
//! options:   text additional_write_policy, u8 allow_auto_snapshot, u64 LE bits of
//!            bloom_filter_fp_chance, u8 caching keys, varint rows cached (0 none, 1 all, n + 1),
//!            u8 cdc, text comment, map compaction, map compression, text memtable, u64 LE bits of
//!            crc_check_chance, zigzag default_time_to_live, varint count + (text, bytes)
//!            extensions, zigzag gc_grace_seconds, u8 incremental_backups, zigzag
//!            max_index_interval, zigzag memtable_flush_period_in_ms, zigzag min_index_interval,
//!            u8 read_repair, text speculative_retry
//! ```
//!
//! Types, UDTs and texts are laid out in `type_codec.rs`.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::collections::BTreeMap;
use std::sync::Arc;

use helenus_platform::codec::{CodecError, Put, Reader};
use helenus_storage::model::{ColumnId, KeyspaceId, TableId};

use super::change::{Change, KeyspaceDefinition};
use super::column::{Column, ColumnKind};
use super::keyspace::{KeyspaceKind, KeyspaceOptions};
use super::options::{Caching, ReadRepair, RowsCached, TableOptions};
use super::table::{DroppedColumn, Table, TableSource};
use super::type_codec::{count, cql_type, put_text, put_type, put_udt, text, udt};

/// Version of the encoding of one change.
pub(crate) const VERSION: u8 = 1;

const PUT_KEYSPACE: u8 = 1;
const DROP_KEYSPACE: u8 = 2;
const PUT_TABLE: u8 = 3;
const DROP_TABLE: u8 = 4;
const PUT_TYPE: u8 = 5;
const DROP_TYPE: u8 = 6;
const TRUNCATE: u8 = 7;

const FLAG_COUNTER: u8 = 1;
const FLAG_VIEW: u8 = 2;

/// Longest encoded change, in bytes; a table of thousands of columns stays well below.
const CHANGE_BYTES_MAX: usize = 16 << 20;
/// Longest value of one table extension, in bytes.
const EXTENSION_BYTES_MAX: usize = 1 << 20;

type Decoded<T> = Result<T, CodecError>;

impl Change {
    /// Appends the change.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut body = Vec::new();
        let tag = match self {
            Change::PutKeyspace(definition) => {
                put_keyspace(&mut body, definition);
                PUT_KEYSPACE
            }
            Change::DropKeyspace { name } => {
                put_text(&mut body, name);
                DROP_KEYSPACE
            }
            Change::PutTable(table) => {
                put_table(&mut body, table);
                PUT_TABLE
            }
            Change::DropTable { keyspace, name, id } => {
                put_text(&mut body, keyspace);
                put_text(&mut body, name);
                body.put_varint(u64::from(id.0));
                DROP_TABLE
            }
            Change::PutType(definition) => {
                put_udt(&mut body, definition);
                PUT_TYPE
            }
            Change::DropType { keyspace, name } => {
                put_text(&mut body, keyspace);
                put_text(&mut body, name);
                DROP_TYPE
            }
            Change::Truncate { table } => {
                body.put_varint(u64::from(table.0));
                TRUNCATE
            }
        };
        out.put_u8(VERSION);
        out.put_u8(tag);
        out.put_bytes_varint(&body);
    }

    /// Reads one change.
    pub fn decode(reader: &mut Reader<'_>) -> Decoded<Change> {
        let error = reader.error("schema change of a known version");
        if reader.u8()? != VERSION {
            return Err(error);
        }
        let error = reader.error("schema change of a known kind");
        let tag = reader.u8()?;
        let mut body = Reader::new(reader.bytes_varint(CHANGE_BYTES_MAX)?);
        let r = &mut body;
        let change = match tag {
            PUT_KEYSPACE => Change::PutKeyspace(keyspace(r)?),
            DROP_KEYSPACE => Change::DropKeyspace { name: text(r)? },
            PUT_TABLE => Change::PutTable(Arc::new(table(r)?)),
            DROP_TABLE => {
                Change::DropTable { keyspace: text(r)?, name: text(r)?, id: TableId(id(r)?) }
            }
            PUT_TYPE => Change::PutType(Arc::new(udt(r)?)),
            DROP_TYPE => Change::DropType { keyspace: text(r)?, name: text(r)? },
            TRUNCATE => Change::Truncate { table: TableId(id(r)?) },
            _ => return Err(error),
        };
        if body.is_empty() { Ok(change) } else { Err(body.error("end of schema change")) }
    }
}

fn id(reader: &mut Reader<'_>) -> Decoded<u32> {
    let error = reader.error("id of 32 bits");
    u32::try_from(reader.varint()?).map_err(|_| error)
}

fn int(reader: &mut Reader<'_>) -> Decoded<i32> {
    let error = reader.error("integer of 32 bits");
    i32::try_from(reader.zigzag()?).map_err(|_| error)
}

fn boolean(reader: &mut Reader<'_>) -> Decoded<bool> {
    let error = reader.error("boolean");
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(error),
    }
}

fn put_map(out: &mut Vec<u8>, map: &BTreeMap<String, String>) {
    out.put_varint(map.len() as u64);
    for (name, value) in map {
        put_text(out, name);
        put_text(out, value);
    }
}

fn map(reader: &mut Reader<'_>) -> Decoded<BTreeMap<String, String>> {
    let count = count(reader)?;
    (0..count).map(|_| Ok((text(reader)?, text(reader)?))).collect()
}

fn put_keyspace(out: &mut Vec<u8>, definition: &KeyspaceDefinition) {
    out.put_varint(u64::from(definition.id.0));
    put_text(out, &definition.name);
    out.put_u8(definition.kind as u8);
    out.put_u8(u8::from(definition.options.durable_writes));
    put_map(out, &definition.options.replication);
}

fn keyspace(reader: &mut Reader<'_>) -> Decoded<KeyspaceDefinition> {
    let id = KeyspaceId(id(reader)?);
    let name = text(reader)?;
    let error = reader.error("kind of keyspace");
    let kind = match reader.u8()? {
        0 => KeyspaceKind::User,
        1 => KeyspaceKind::System,
        2 => KeyspaceKind::Virtual,
        _ => return Err(error),
    };
    let durable_writes = boolean(reader)?;
    let options = KeyspaceOptions { replication: map(reader)?, durable_writes };
    Ok(KeyspaceDefinition { id, name, kind, options })
}

fn put_table(out: &mut Vec<u8>, table: &Table) {
    out.put_varint(u64::from(table.id.0));
    out.put_bytes(&table.uuid);
    put_text(out, &table.keyspace);
    put_text(out, &table.name);
    let view = if table.source == TableSource::View { FLAG_VIEW } else { 0 };
    out.put_u8(if table.counter { FLAG_COUNTER } else { 0 } | view);
    out.put_varint(u64::from(table.next_column_id));
    out.put_varint(table.columns().count() as u64);
    table.columns().for_each(|column| put_column(out, column));
    put_options(out, &table.options);
    out.put_varint(table.dropped.len() as u64);
    for dropped in table.dropped.values() {
        put_column(out, &dropped.column);
        out.put_zigzag(dropped.dropped_at);
    }
}

fn table(reader: &mut Reader<'_>) -> Decoded<Table> {
    let id = TableId(id(reader)?);
    let error = reader.error("table uuid");
    let uuid = reader.bytes(16)?.try_into().map_err(|_| error)?;
    let (keyspace, name) = (text(reader)?, text(reader)?);
    let error = reader.error("table flags");
    let flags = reader.u8()?;
    if flags & !(FLAG_COUNTER | FLAG_VIEW) != 0 {
        return Err(error);
    }
    let next_column_id = self::id(reader)?;
    let column_count = count(reader)?;
    let columns: Vec<Column> = (0..column_count).map(|_| column(reader)).collect::<Decoded<_>>()?;
    let options = options(reader)?;
    let dropped_count = count(reader)?;
    let mut dropped = BTreeMap::new();
    for _ in 0..dropped_count {
        let column = column(reader)?;
        let dropped_at = reader.zigzag()?;
        dropped.insert(column.name.clone(), DroppedColumn { column, dropped_at });
    }
    let source = if flags & FLAG_VIEW != 0 { TableSource::View } else { TableSource::Stored };
    let mut table = Table {
        id,
        uuid,
        keyspace,
        name,
        partition_key: Vec::new(),
        clustering: Vec::new(),
        statics: Vec::new(),
        regulars: Vec::new(),
        options,
        dropped,
        next_column_id,
        counter: flags & FLAG_COUNTER != 0,
        source,
    };
    columns.into_iter().for_each(|column| table.insert_column(column));
    Ok(table)
}

fn put_column(out: &mut Vec<u8>, column: &Column) {
    out.put_varint(u64::from(column.id.0));
    put_text(out, &column.name);
    put_type(out, &column.ty);
    out.put_u8(column.kind as u8);
    out.put_varint(column.position as u64);
    out.put_u8(u8::from(column.descending));
}

fn column(reader: &mut Reader<'_>) -> Decoded<Column> {
    let id = ColumnId(id(reader)?);
    let name = text(reader)?;
    let ty = cql_type(reader)?;
    let error = reader.error("kind of column");
    let kind = match reader.u8()? {
        0 => ColumnKind::PartitionKey,
        1 => ColumnKind::Clustering,
        2 => ColumnKind::Static,
        3 => ColumnKind::Regular,
        _ => return Err(error),
    };
    let position = self::id(reader)? as usize;
    Ok(Column { id, name, ty, kind, position, descending: boolean(reader)? })
}

fn put_options(out: &mut Vec<u8>, options: &TableOptions) {
    put_text(out, &options.additional_write_policy);
    out.put_u8(u8::from(options.allow_auto_snapshot));
    out.put_u64_le(options.bloom_filter_fp_chance.to_bits());
    out.put_u8(u8::from(options.caching.keys));
    out.put_varint(match options.caching.rows {
        RowsCached::None => 0,
        RowsCached::All => 1,
        RowsCached::Count(rows) => u64::from(rows) + 1,
    });
    out.put_u8(u8::from(options.cdc));
    put_text(out, &options.comment);
    put_map(out, &options.compaction);
    put_map(out, &options.compression);
    put_text(out, &options.memtable);
    out.put_u64_le(options.crc_check_chance.to_bits());
    out.put_zigzag(i64::from(options.default_time_to_live));
    out.put_varint(options.extensions.len() as u64);
    for (name, value) in &options.extensions {
        put_text(out, name);
        out.put_bytes_varint(value);
    }
    out.put_zigzag(i64::from(options.gc_grace_seconds));
    out.put_u8(u8::from(options.incremental_backups));
    out.put_zigzag(i64::from(options.max_index_interval));
    out.put_zigzag(i64::from(options.memtable_flush_period_in_ms));
    out.put_zigzag(i64::from(options.min_index_interval));
    out.put_u8(options.read_repair as u8);
    put_text(out, &options.speculative_retry);
}

fn options(r: &mut Reader<'_>) -> Decoded<TableOptions> {
    Ok(TableOptions {
        additional_write_policy: text(r)?,
        allow_auto_snapshot: boolean(r)?,
        bloom_filter_fp_chance: f64::from_bits(r.u64_le()?),
        caching: Caching { keys: boolean(r)?, rows: rows_cached(r)? },
        cdc: boolean(r)?,
        comment: text(r)?,
        compaction: map(r)?,
        compression: map(r)?,
        memtable: text(r)?,
        crc_check_chance: f64::from_bits(r.u64_le()?),
        default_time_to_live: int(r)?,
        extensions: extensions(r)?,
        gc_grace_seconds: int(r)?,
        incremental_backups: boolean(r)?,
        max_index_interval: int(r)?,
        memtable_flush_period_in_ms: int(r)?,
        min_index_interval: int(r)?,
        read_repair: if boolean(r)? { ReadRepair::None } else { ReadRepair::Blocking },
        speculative_retry: text(r)?,
    })
}

fn rows_cached(reader: &mut Reader<'_>) -> Decoded<RowsCached> {
    let error = reader.error("number of cached rows");
    match reader.varint()? {
        0 => Ok(RowsCached::None),
        1 => Ok(RowsCached::All),
        rows => u32::try_from(rows - 1).map(RowsCached::Count).map_err(|_| error),
    }
}

fn extensions(reader: &mut Reader<'_>) -> Decoded<BTreeMap<String, Vec<u8>>> {
    let count = count(reader)?;
    (0..count)
        .map(|_| Ok((text(reader)?, reader.bytes_varint(EXTENSION_BYTES_MAX)?.to_vec())))
        .collect()
}
