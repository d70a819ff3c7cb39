//! The shortest way through everything.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use helenus_storage::TableOptions;
use helenus_storage::model::{Cell, ColumnId, Liveness, MutationBuilder, RowBuilder, TableId};
use helenus_storage::read::{Partitions, ReadCommand};

use crate::collect::{Cuts, read};
use crate::harness::{Db, KEYSPACE, key, small_options};

const TABLE: TableId = TableId(1);

fn insert(key_number: u8, value: &[u8], timestamp: i64) -> Vec<u8> {
    let mut row = RowBuilder::new();
    row.liveness(Liveness::new(timestamp));
    row.cell(Cell::live(ColumnId(3), timestamp, value));
    let row = row.finish().unwrap();
    let key = key(key_number);
    let mut mutation = MutationBuilder::new(KEYSPACE, key.as_ref());
    mutation.table(TABLE).row(&[0x80], &row);
    mutation.finish().unwrap()
}

fn values(db: &Db) -> Vec<(u8, Vec<u8>)> {
    let start = helenus_storage::model::PartitionBound::Min;
    let end = helenus_storage::model::PartitionBound::Max;
    let command = ReadCommand::new(TABLE, Partitions::Range { start, end }, db.now());
    let partitions = read(db.engine(), &command, Cuts::NONE).unwrap();
    let mut values: Vec<(u8, Vec<u8>)> =
        partitions.iter().map(|p| (p.key.key[1], p.rows[0].1.cells[0].3.0.clone())).collect();
    values.sort();
    values
}

#[test]
fn what_is_written_is_read_after_flush_compaction_restart_and_crash() {
    let mut db = Db::new(1, small_options(), &[(TABLE, TableOptions::default())]);
    db.open().unwrap();
    let mut expected: Vec<(u8, Vec<u8>)> = Vec::new();
    for n in 0..40u8 {
        let value = vec![n; 20];
        db.write(&[&insert(n, &value, 1000 + i64::from(n))]).unwrap();
        expected.push((n, value));
    }
    assert_eq!(values(&db), expected);
    db.flush().unwrap();
    assert_eq!(values(&db), expected);
    for n in 0..20u8 {
        let value = vec![n + 100; 3];
        db.write(&[&insert(n, &value, 5000)]).unwrap();
        expected[n as usize].1 = value;
    }
    assert_eq!(values(&db), expected);
    db.crash();
    assert_eq!(values(&db), expected);
    db.flush().unwrap();
    assert_eq!(db.engine().table_stats(TABLE).unwrap().sstables, 2);
    db.compact().unwrap();
    assert_eq!(db.engine().table_stats(TABLE).unwrap().sstables, 1);
    assert_eq!(values(&db), expected);
    db.close().unwrap();
    db.open().unwrap();
    assert_eq!(values(&db), expected);
    db.engine().truncate(TABLE).unwrap();
    assert_eq!(values(&db), []);
    db.crash();
    assert_eq!(values(&db), []);
}
