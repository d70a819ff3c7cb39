//! Snapshots, changes and their bytes.

use std::collections::BTreeMap;
use std::sync::Arc;

use cql_lite::types::{CqlType, UdtType};
use helenus_platform::codec::Reader;
use helenus_storage::model::{ColumnId, KeyspaceId, TableId};

use super::*;

fn column(id: u32, name: &str, ty: CqlType, kind: ColumnKind, position: usize) -> Column {
    Column {
        id: ColumnId(id),
        name: name.to_owned(),
        ty,
        kind,
        position,
        descending: position == 1,
    }
}

fn sample_type() -> Arc<UdtType> {
    let fields = vec![
        ("street".to_owned(), CqlType::Text),
        ("tags".to_owned(), CqlType::Frozen(Box::new(CqlType::Set(Box::new(CqlType::Int))))),
    ];
    Arc::new(UdtType { keyspace: "ks".to_owned(), name: "address".to_owned(), fields })
}

fn sample_table() -> Table {
    let mut table = Table {
        id: TableId(2000),
        uuid: [7; 16],
        keyspace: "ks".to_owned(),
        name: "t".to_owned(),
        partition_key: Vec::new(),
        clustering: Vec::new(),
        statics: Vec::new(),
        regulars: Vec::new(),
        options: TableOptions::default(),
        dropped: BTreeMap::new(),
        next_column_id: 9,
        counter: false,
        source: TableSource::Stored,
    };
    let map = CqlType::Map(Box::new(CqlType::Text), Box::new(CqlType::Udt(sample_type())));
    table.insert_column(column(1, "k", CqlType::Int, ColumnKind::PartitionKey, 0));
    table.insert_column(column(2, "c1", CqlType::Timeuuid, ColumnKind::Clustering, 0));
    table.insert_column(column(3, "c2", CqlType::Decimal, ColumnKind::Clustering, 1));
    table.insert_column(column(5, "z", map, ColumnKind::Regular, 0));
    let vector = CqlType::Vector(Box::new(CqlType::Float), 3);
    table.insert_column(column(4, "a", vector, ColumnKind::Regular, 0));
    let tuple = CqlType::Tuple(vec![CqlType::Inet, CqlType::Duration]);
    table.insert_column(column(6, "s", tuple, ColumnKind::Static, 0));
    let gone = column(7, "gone", CqlType::Blob, ColumnKind::Regular, 0);
    table.dropped.insert("gone".to_owned(), DroppedColumn { column: gone, dropped_at: -5 });
    table.options.caching.rows = RowsCached::Count(10);
    table.options.extensions.insert("x".to_owned(), vec![0, 255]);
    table
}

fn sample_changes() -> Vec<Change> {
    let options = KeyspaceOptions {
        replication: BTreeMap::from([("class".to_owned(), "SimpleStrategy".to_owned())]),
        durable_writes: true,
    };
    vec![
        Change::PutKeyspace(KeyspaceDefinition {
            id: KeyspaceId(70),
            name: "ks".to_owned(),
            kind: KeyspaceKind::User,
            options,
        }),
        Change::PutType(sample_type()),
        Change::PutTable(Arc::new(sample_table())),
        Change::Truncate { table: TableId(2000) },
        Change::DropTable { keyspace: "ks".to_owned(), name: "t".to_owned(), id: TableId(2000) },
        Change::DropType { keyspace: "ks".to_owned(), name: "address".to_owned() },
        Change::DropKeyspace { name: "ks".to_owned() },
    ]
}

#[test]
fn every_change_survives_its_bytes() {
    let mut bytes = Vec::new();
    let changes = sample_changes();
    changes.iter().for_each(|change| change.encode(&mut bytes));
    let mut reader = Reader::new(&bytes);
    for change in &changes {
        assert_eq!(&Change::decode(&mut reader).unwrap(), change);
    }
    assert!(reader.is_empty());
}

#[test]
fn damaged_changes_are_errors() {
    let mut bytes = Vec::new();
    sample_changes()[2].encode(&mut bytes);
    for length in 0..bytes.len() {
        assert!(Change::decode(&mut Reader::new(&bytes[..length])).is_err(), "{length}");
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 0xff;
        // Any outcome but a panic or a huge allocation will do: checksums stand elsewhere.
        drop(Change::decode(&mut Reader::new(&damaged)));
    }
}

#[test]
fn applying_makes_finds_and_removes() {
    let changes = sample_changes();
    let empty = Schema::new();
    let full = empty.apply_all(&changes[..3], 3).unwrap();
    assert_eq!(full.version, 3);
    assert_ne!(full.schema_version, empty.schema_version);
    assert_eq!(full.schema_version[6] >> 4, 3);
    let table = full.table("ks", "t").unwrap();
    assert_eq!(full.table_by_id(TableId(2000)).unwrap().name, "t");
    assert_eq!(full.next_table_id(), TableId(2001));
    assert_eq!(full.next_keyspace_id(), KeyspaceId(71));
    let names: Vec<&str> = table.columns().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["k", "c1", "c2", "s", "a", "z"]);
    assert!(table.uses_type("ks", "address"));

    let again = Schema::new().apply_all(&full.as_changes(), 9).unwrap();
    assert_eq!(again.schema_version, full.schema_version);

    let dropped = full.apply_all(&changes[4..], 4).unwrap();
    assert!(dropped.keyspace("ks").is_none());
    assert!(dropped.tables().is_empty());
    assert_eq!(dropped.schema_version, empty.schema_version);
    assert_eq!(dropped.next_table_id(), TableId(2001), "ids are never reused");
    assert!(full.table("ks", "t").is_some(), "the older snapshot stays as it was");
}

#[test]
fn options_speak_as_cassandra() {
    let with = |name: &str, value: &str| {
        let mut given = Properties::default();
        given.add(name, Property::Text(value.to_owned())).unwrap();
        TableOptions::default().with(&given).map_err(|error| error.message)
    };
    assert_eq!(with("gc_grace_seconds", "60").unwrap().gc_grace_seconds, 60);
    assert_eq!(with("colour", "red").unwrap_err(), "Unknown property 'colour'");
    assert_eq!(
        with("gc_grace_seconds", "-1").unwrap_err(),
        "gc_grace_seconds must be greater than or equal to 0 (got -1)"
    );
    assert_eq!(
        with("gc_grace_seconds", "x").unwrap_err(),
        "Invalid integer value x for 'gc_grace_seconds'"
    );
    assert_eq!(
        with("default_time_to_live", "630720001").unwrap_err(),
        "default_time_to_live must be less than or equal to 630720000 (got 630720001)"
    );
    assert_eq!(
        with("compaction", "x").unwrap_err(),
        "Invalid value for property 'compaction'. It should be a map."
    );
    let mut given = Properties::default();
    let map = [("x".to_owned(), "0x0aFF".to_owned()), ("y".to_owned(), "0x".to_owned())];
    given.add("extensions", Property::Map(map.into())).unwrap();
    let extensions = TableOptions::default().with(&given).unwrap().extensions;
    assert_eq!(extensions["x"], [10, 255]);
    assert!(extensions["y"].is_empty());
    assert_eq!(with("speculative_retry", "99PERCENTILE").unwrap().speculative_retry, "99p");
}

#[test]
fn what_has_no_effect_is_said() {
    let warnings = |given: &[(&str, Property)]| {
        let mut properties = Properties::default();
        for (name, value) in given {
            properties.add(name, value.clone()).unwrap();
        }
        TableOptions::default().with(&properties).unwrap().warnings(&properties)
    };
    let text = |value: &str| Property::Text(value.to_owned());
    let map = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Property::Map(pairs.collect())
    };
    let zstd = warnings(&[("compression", map(&[("class", "ZstdCompressor")]))]);
    assert_eq!(zstd, ["ZstdCompressor is kept, but data is compressed with LZ4 in this version"]);
    assert!(warnings(&[("compression", map(&[("class", "NoopCompressor")]))]).is_empty());
    let chunks = map(&[("class", "LZ4Compressor"), ("chunk_length_in_kb", "64")]);
    assert_eq!(
        warnings(&[("compression", chunks), ("cdc", text("true")), ("comment", text("x"))]),
        ["These table options are kept but have no effect in this version of Helenus: cdc, \
          compression.chunk_length_in_kb"]
    );
    let defaults = map(&[("class", "SizeTieredCompactionStrategy"), ("min_threshold", "4")]);
    assert!(warnings(&[("compaction", defaults), ("read_repair", text("blocking"))]).is_empty());
}
