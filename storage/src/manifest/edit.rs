//! One change of the manifest, and its bytes.
//!
//! An edit is `u8 kind` and a body (integers LEB128 unless said otherwise; an id is 16 bytes):
//!
//! | kind | name | body |
//! | --- | --- | --- |
//! | 1 | instance | 8 bytes: random, born with the directory, first half of its SSTables' ids |
//! | 2 | create table | table, keyspace, log position |
//! | 3 | drop table | table, log position |
//! | 4 | truncate table | table, log position, count, that many SSTable ids that go |
//! | 5 | add SSTable | table, id, file length |
//! | 6 | remove SSTable | table, id |
//! | 7 | covered | table, start position, end position: the log interval is in SSTables |
//! | 8 | reserve ids | first SSTable sequence number not yet reserved |
//! | 9 | time | zigzag: the latest trusted wall clock, seconds since the epoch |
//! | 10 | log founded | nothing: the commit log has been begun, so it must be there |
//! | 11 | log durable | position up to which the commit log was durable, so must still be |
//! | 12 | log closed | count, then each: length, name: files that the log must find when opened |
//! | 13 | log gaps | count, then each: position at which a recycled segment of the log began |
//! | 14 | tokens | table, id, zigzag, zigzag: tokens of the SSTable's first and last partition |
//! | 15 | set aside | table, id: the SSTable was damaged, and is no part of the table any more |
//!
//! Worked example, kind 7 for table 3 and positions 0 to 300: `07 03 00 ac 02`.
#![cfg_attr(not(test), deny(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used))]

use std::collections::BTreeSet;
use std::fmt;

use helenus_platform::codec::{CodecError, Put, Reader};

use crate::model::{KeyspaceId, LogPosition, SsTableId, TableId, Token};

/// One change of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Edit {
    Instance([u8; 8]),
    CreateTable { table: TableId, keyspace: KeyspaceId, position: LogPosition },
    DropTable { table: TableId, position: LogPosition },
    TruncateTable { table: TableId, position: LogPosition, sstables: Vec<SsTableId> },
    AddSsTable { table: TableId, id: SsTableId, file_bytes: u64 },
    RemoveSsTable { table: TableId, id: SsTableId },
    Covered { table: TableId, start: LogPosition, end: LogPosition },
    ReserveIds { next: u64 },
    Time { seconds: i64 },
    LogFounded,
    LogDurable { position: LogPosition },
    LogClosed { files: Vec<String> },
    LogGaps { positions: BTreeSet<LogPosition> },
    Tokens { table: TableId, id: SsTableId, first: Token, last: Token },
    SetAside { table: TableId, id: SsTableId },
}

const INSTANCE: u8 = 1;
const CREATE_TABLE: u8 = 2;
const DROP_TABLE: u8 = 3;
const TRUNCATE_TABLE: u8 = 4;
const ADD_SSTABLE: u8 = 5;
const REMOVE_SSTABLE: u8 = 6;
const COVERED: u8 = 7;
const RESERVE_IDS: u8 = 8;
const TIME: u8 = 9;
const LOG_FOUNDED: u8 = 10;
const LOG_DURABLE: u8 = 11;
const LOG_CLOSED: u8 = 12;
const LOG_GAPS: u8 = 13;
const TOKENS: u8 = 14;
const SET_ASIDE: u8 = 15;
/// No file name of the log is longer.
const NAME_BYTES_MAX: usize = 255;

impl Edit {
    /// Appends the edit's bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Edit::Instance(instance) => {
                out.put_u8(INSTANCE);
                out.put_bytes(instance);
            }
            Edit::CreateTable { table, keyspace, position } => {
                put(out, CREATE_TABLE, &[table.0.into(), keyspace.0.into(), position.0]);
            }
            Edit::DropTable { table, position } => {
                put(out, DROP_TABLE, &[table.0.into(), position.0]);
            }
            Edit::TruncateTable { table, position, sstables } => {
                let count = sstables.len() as u64;
                put(out, TRUNCATE_TABLE, &[table.0.into(), position.0, count]);
                sstables.iter().for_each(|id| out.put_bytes(&id.0));
            }
            Edit::AddSsTable { table, id, file_bytes } => {
                put(out, ADD_SSTABLE, &[table.0.into()]);
                out.put_bytes(&id.0);
                out.put_varint(*file_bytes);
            }
            Edit::RemoveSsTable { table, id } => {
                put(out, REMOVE_SSTABLE, &[table.0.into()]);
                out.put_bytes(&id.0);
            }
            Edit::Covered { table, start, end } => {
                put(out, COVERED, &[table.0.into(), start.0, end.0]);
            }
            Edit::ReserveIds { next } => put(out, RESERVE_IDS, &[*next]),
            Edit::Time { seconds } => {
                out.put_u8(TIME);
                out.put_zigzag(*seconds);
            }
            Edit::LogFounded => out.put_u8(LOG_FOUNDED),
            Edit::LogDurable { position } => put(out, LOG_DURABLE, &[position.0]),
            Edit::LogClosed { files } => {
                put(out, LOG_CLOSED, &[files.len() as u64]);
                files.iter().for_each(|name| out.put_bytes_varint(name.as_bytes()));
            }
            Edit::LogGaps { positions } => {
                put(out, LOG_GAPS, &[positions.len() as u64]);
                positions.iter().for_each(|position| out.put_varint(position.0));
            }
            Edit::Tokens { table, id, first, last } => {
                put(out, TOKENS, &[table.0.into()]);
                out.put_bytes(&id.0);
                out.put_zigzag(first.0);
                out.put_zigzag(last.0);
            }
            Edit::SetAside { table, id } => {
                put(out, SET_ASIDE, &[table.0.into()]);
                out.put_bytes(&id.0);
            }
        }
    }

    /// Reads one edit.
    pub(crate) fn decode(from: &mut Reader<'_>) -> Result<Edit, CodecError> {
        let kind = from.u8()?;
        Ok(match kind {
            INSTANCE => Edit::Instance(array(from)?),
            CREATE_TABLE => Edit::CreateTable {
                table: table(from)?,
                keyspace: KeyspaceId(small(from)?),
                position: position(from)?,
            },
            DROP_TABLE => Edit::DropTable { table: table(from)?, position: position(from)? },
            TRUNCATE_TABLE => {
                let (table, position) = (table(from)?, position(from)?);
                let count = from.varint()?;
                if count > from.remaining() as u64 / 16 {
                    return Err(from.error("more SSTables than bytes"));
                }
                let ids = (0..count).map(|_| Ok(SsTableId(array(from)?)));
                Edit::TruncateTable { table, position, sstables: ids.collect::<Result<_, _>>()? }
            }
            ADD_SSTABLE => Edit::AddSsTable {
                table: table(from)?,
                id: SsTableId(array(from)?),
                file_bytes: from.varint()?,
            },
            REMOVE_SSTABLE => {
                Edit::RemoveSsTable { table: table(from)?, id: SsTableId(array(from)?) }
            }
            COVERED => {
                Edit::Covered { table: table(from)?, start: position(from)?, end: position(from)? }
            }
            RESERVE_IDS => Edit::ReserveIds { next: from.varint()? },
            TIME => Edit::Time { seconds: from.zigzag()? },
            LOG_FOUNDED => Edit::LogFounded,
            LOG_DURABLE => Edit::LogDurable { position: position(from)? },
            LOG_CLOSED => {
                let count = from.varint()?;
                if count > from.remaining() as u64 {
                    return Err(from.error("more file names than bytes"));
                }
                let names = (0..count).map(|_| name(from));
                Edit::LogClosed { files: names.collect::<Result<_, _>>()? }
            }
            LOG_GAPS => {
                let count = from.varint()?;
                if count > from.remaining() as u64 {
                    return Err(from.error("more log positions than bytes"));
                }
                let positions = (0..count).map(|_| position(from));
                Edit::LogGaps { positions: positions.collect::<Result<_, _>>()? }
            }
            TOKENS => Edit::Tokens {
                table: table(from)?,
                id: SsTableId(array(from)?),
                first: Token(from.zigzag()?),
                last: Token(from.zigzag()?),
            },
            SET_ASIDE => Edit::SetAside { table: table(from)?, id: SsTableId(array(from)?) },
            _ => return Err(from.error("unknown kind of manifest edit")),
        })
    }
}

/// For `helenus inspect`.
impl fmt::Display for Edit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Edit::Instance(instance) => write!(f, "instance {}", instance.escape_ascii()),
            Edit::CreateTable { table, keyspace, position } => {
                write!(f, "create table {} of keyspace {}", table.0, keyspace.0)?;
                write!(f, " at position {}", position.0)
            }
            Edit::DropTable { table, position } => {
                write!(f, "drop table {} at position {}", table.0, position.0)
            }
            Edit::TruncateTable { table, position, sstables } => {
                write!(f, "truncate table {} at position {}", table.0, position.0)?;
                write!(f, ", without SSTables {sstables:?}")
            }
            Edit::AddSsTable { table, id, file_bytes } => {
                write!(f, "add to table {} SSTable {id} of {file_bytes} bytes", table.0)
            }
            Edit::RemoveSsTable { table, id } => {
                write!(f, "remove from table {} SSTable {id}", table.0)
            }
            Edit::Covered { table, start, end } => {
                write!(f, "covered in table {}: positions {} to {}", table.0, start.0, end.0)
            }
            Edit::ReserveIds { next } => write!(f, "SSTable numbers below {next} are reserved"),
            Edit::Time { seconds } => write!(f, "time {seconds} s"),
            Edit::LogFounded => write!(f, "the commit log is founded"),
            Edit::LogDurable { position } => {
                write!(f, "the commit log is durable up to {}", position.0)
            }
            Edit::LogClosed { files } => write!(f, "the commit log is closed with {files:?}"),
            Edit::LogGaps { positions } => {
                let positions: Vec<u64> = positions.iter().map(|position| position.0).collect();
                write!(f, "the commit log has let go of its segments at {positions:?}")
            }
            Edit::Tokens { table, id, first, last } => {
                write!(f, "in table {} SSTable {id} has tokens", table.0)?;
                write!(f, " {} to {}", first.0, last.0)
            }
            Edit::SetAside { table, id } => {
                write!(f, "set aside from table {} SSTable {id}, which was damaged", table.0)
            }
        }
    }
}

fn put(out: &mut Vec<u8>, kind: u8, numbers: &[u64]) {
    out.put_u8(kind);
    numbers.iter().for_each(|number| out.put_varint(*number));
}

fn small(from: &mut Reader<'_>) -> Result<u32, CodecError> {
    u32::try_from(from.varint()?).map_err(|_| from.error("id over 32 bits"))
}

fn table(from: &mut Reader<'_>) -> Result<TableId, CodecError> {
    small(from).map(TableId)
}

fn position(from: &mut Reader<'_>) -> Result<LogPosition, CodecError> {
    from.varint().map(LogPosition)
}

fn name(from: &mut Reader<'_>) -> Result<String, CodecError> {
    let bytes = from.bytes_varint(NAME_BYTES_MAX)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| from.error("file name that is not UTF-8"))
}

fn array<const N: usize>(from: &mut Reader<'_>) -> Result<[u8; N], CodecError> {
    let bytes = from.bytes(N)?;
    bytes.try_into().map_err(|_| from.error("id too short"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examples() -> Vec<Edit> {
        let table = TableId(3);
        let id = SsTableId([7; 16]);
        let position = LogPosition(1 << 40);
        vec![
            Edit::Instance([9; 8]),
            Edit::CreateTable { table, keyspace: KeyspaceId(2), position },
            Edit::DropTable { table, position },
            Edit::TruncateTable { table, position, sstables: vec![id, SsTableId([8; 16])] },
            Edit::AddSsTable { table, id, file_bytes: 12345 },
            Edit::RemoveSsTable { table, id },
            Edit::Covered { table, start: LogPosition(0), end: LogPosition(300) },
            Edit::ReserveIds { next: 1025 },
            Edit::Time { seconds: -5 },
            Edit::LogFounded,
            Edit::LogDurable { position },
            Edit::LogClosed { files: vec!["segment-1.log".to_owned(), String::new()] },
            Edit::LogGaps { positions: BTreeSet::from([LogPosition(0), position]) },
            Edit::Tokens { table, id, first: Token(i64::MIN), last: Token(7) },
            Edit::SetAside { table, id },
        ]
    }

    #[test]
    fn every_edit_survives_its_bytes() {
        for edit in examples() {
            let mut bytes = Vec::new();
            edit.encode(&mut bytes);
            let mut reader = Reader::new(&bytes);
            assert_eq!(Edit::decode(&mut reader).unwrap(), edit);
            assert!(reader.is_empty());
            for len in 0..bytes.len() {
                let _ = Edit::decode(&mut Reader::new(&bytes[..len])).unwrap_err();
            }
        }
    }

    #[test]
    fn the_worked_example_decodes() {
        let edit = Edit::decode(&mut Reader::new(&[0x07, 0x03, 0x00, 0xac, 0x02])).unwrap();
        assert_eq!(edit, examples()[6]);
    }

    #[test]
    fn a_huge_count_is_refused_before_memory_is_taken() {
        let bytes = [TRUNCATE_TABLE, 3, 0, 0xff, 0xff, 0xff, 0xff, 0x0f];
        let _ = Edit::decode(&mut Reader::new(&bytes)).unwrap_err();
    }
}
