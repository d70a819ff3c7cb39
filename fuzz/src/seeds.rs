//! Small inputs that get far, one list for each target.

use bytes::BytesMut;
use cql_lite::types::CqlType;
use cql_lite::wire::segment::{SegmentMode, wrap_envelopes};
use cql_lite::wire::{
    BoundValue, Consistency, Execute, Opcode, Prepare, ProtocolVersion, Query, QueryOptions,
    Request, ValuesBuilder, put_type,
};
use helenus_platform::codec::Put;
use helenus_storage::model::{
    Cell, ColumnId, Deletion, KeyspaceId, Liveness, MutationBuilder, PartitionKeyRef,
    PositionRange, RowBuilder, Slice, TableId, Token,
};

use crate::files::DIRECTORY;

/// Each target's seeds.
pub fn all() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    vec![
        ("frames", frames()),
        ("segments", segments()),
        ("parser", STATEMENTS.iter().map(|text| text.as_bytes().to_vec()).collect()),
        ("values", values()),
        ("mutation", mutations()),
        ("files", files()),
        ("execute", execute()),
        ("gossip", crate::gossip::seeds()),
        ("internode", crate::internode::seeds()),
        ("pages", crate::pages::seeds()),
        ("commands", crate::commands::seeds()),
    ]
}

const STATEMENTS: [&str; 26] = [
    "CREATE KEYSPACE IF NOT EXISTS k WITH replication = {'class': 'NetworkTopologyStrategy', 'dc1': 3} AND durable_writes = false",
    "CREATE TABLE k.t (a int, b text, s text static, c frozen<map<text, list<int>>>, PRIMARY \
     KEY ((a, b), c)) WITH CLUSTERING ORDER BY (c DESC) AND gc_grace_seconds = 10",
    "CREATE TYPE IF NOT EXISTS t (a int, b frozen<tuple<int, vector<float, 3>>>)",
    "CREATE CUSTOM INDEX i ON k.t (keys(m)) USING 'sai' WITH OPTIONS = {'a': 'b'}",
    "CREATE MATERIALIZED VIEW v AS SELECT * FROM t WHERE a IS NOT NULL AND b > 1 PRIMARY KEY (a, b)",
    "CREATE OR REPLACE FUNCTION f (a int) RETURNS NULL ON NULL INPUT RETURNS int LANGUAGE java AS $$ return a; $$",
    "CREATE AGGREGATE a (int) SFUNC f STYPE int FINALFUNC g INITCOND 0",
    "ALTER TABLE t ADD (a int, b set<text>)",
    "ALTER TABLE t RENAME a TO b AND c TO d",
    "INSERT INTO t (a, b) VALUES (1, 'x') IF NOT EXISTS USING TTL 10 AND TIMESTAMP 5",
    "INSERT INTO t JSON '{\"a\": 1}' DEFAULT UNSET",
    "UPDATE t USING TTL ? SET a = a + 1, b[2] = 'c', l = [1] + l, u.f = 5, m = m - {'a'} WHERE \
     k = 1 AND (c, d) IN ((1, 2), (3, 4)) IF a = 1 AND b[1] IN (1, 2)",
    "DELETE a, b[1], u.f FROM t USING TIMESTAMP 1 WHERE k = 1 AND c > 2 IF EXISTS",
    "BEGIN UNLOGGED BATCH USING TIMESTAMP 1 INSERT INTO t (a) VALUES (1); DELETE FROM t WHERE a = ?; APPLY BATCH",
    "SELECT DISTINCT a, token(a) AS t, writetime(b), ttl(c), cast(d AS text), count(*), (int) \
     5, -a * (b + 2) % 3 FROM k.t WHERE token(a) >= token(1) PER PARTITION LIMIT 2 LIMIT ? \
     ALLOW FILTERING",
    "SELECT JSON * FROM t WHERE a IN (1, 2) AND b CONTAINS KEY 'x' AND c BETWEEN 1 AND 2 GROUP BY a, b ORDER BY c DESC",
    "SELECT m['a'], l[1..2], u.f FROM t WHERE v LIKE '%a' ORDER BY v ANN OF [1.0, 2.0] LIMIT 3",
    "SELECT {1, 2}, {'a': 1}, [1.5e-3, -NaN, Infinity], (1, 'a'), 0xCAFE, 1h30m, P1Y2M, \
     00000000-0000-1000-8000-000000000000, true, null, :named, ? FROM t",
    "GRANT SELECT ON TABLE k.t TO r",
    "CREATE ROLE IF NOT EXISTS r WITH PASSWORD = 'p' AND LOGIN = true AND ACCESS TO DATACENTERS {'a'}",
    "LIST ALL PERMISSIONS ON ALL KEYSPACES OF r NORECURSIVE",
    "DESCRIBE FULL SCHEMA",
    "DESCRIBE TABLE \"K\".\"t\" WITH INTERNALS",
    "TRUNCATE TABLE k.t",
    "DROP TABLE IF EXISTS k.t; -- done",
    "/* c */ USE \"A b\"\"c\";",
];

fn requests(version: ProtocolVersion) -> Vec<(Opcode, BytesMut)> {
    let mut values = ValuesBuilder::positional();
    for value in [BoundValue::Bytes(&[0, 0, 0, 1]), BoundValue::Null, BoundValue::Unset] {
        values.push(value).expect("three values");
    }
    let mut named = ValuesBuilder::named();
    named.push_named("a", BoundValue::Bytes(b"x")).expect("a value");
    let keyspace = (version == ProtocolVersion::V5).then_some("k");
    let options = QueryOptions {
        values: values.values(),
        page_size: Some(100),
        paging_state: Some(&[1, 2, 3]),
        serial_consistency: Some(Consistency::LocalSerial),
        timestamp: Some(7),
        keyspace,
        now_in_seconds: keyspace.map(|_| 5),
        ..QueryOptions::default()
    };
    let plain = QueryOptions { values: named.values(), ..QueryOptions::default() };
    let metadata_id = keyspace.map(|_| &[9_u8; 16][..]);
    [
        Request::Startup(vec![("CQL_VERSION", "3.0.0"), ("COMPRESSION", "lz4")]),
        Request::Options,
        Request::Query(Query { text: "SELECT * FROM t", options }),
        Request::Query(Query { text: "SELECT * FROM t WHERE a = :a", options: plain }),
        Request::Prepare(Prepare { text: "SELECT * FROM t", keyspace }),
        Request::Execute(Execute { id: &[1; 16], result_metadata_id: metadata_id, options }),
        Request::AuthResponse(Some(b"\0user\0password")),
    ]
    .iter()
    .map(|request| {
        let mut body = BytesMut::new();
        request.encode_body(version, &mut body);
        (request.opcode(), body)
    })
    .collect()
}

fn frames() -> Vec<Vec<u8>> {
    let versions = [ProtocolVersion::V3, ProtocolVersion::V4, ProtocolVersion::V5];
    let mut seeds = Vec::new();
    for (index, version) in versions.into_iter().enumerate() {
        for (opcode, body) in requests(version) {
            let mut seed = vec![index as u8, 0, opcode as u8];
            seed.extend_from_slice(&body);
            seeds.push(seed);
        }
    }
    seeds
}

fn segments() -> Vec<Vec<u8>> {
    let text: Vec<u8> = STATEMENTS.concat().into_bytes();
    [(0, SegmentMode::Plain), (1, SegmentMode::Lz4)]
        .into_iter()
        .flat_map(|(byte, mode)| {
            [&text[..], &text[..5]].map(|body| {
                let mut out = BytesMut::new();
                wrap_envelopes(&crate::segments::envelope(body), mode, &mut out);
                [&[byte], &out[..]].concat()
            })
        })
        .collect()
}

fn values() -> Vec<Vec<u8>> {
    let list = |ty: CqlType| CqlType::List(Box::new(ty));
    let int = [0, 0, 0, 4, 0, 0, 0, 7];
    let one = [&[0, 0, 0, 1], &int[..]].concat();
    let seeds: Vec<(CqlType, Vec<u8>)> = vec![
        (CqlType::Int, vec![0, 0, 0, 7]),
        (CqlType::Text, b"text".to_vec()),
        (CqlType::Boolean, vec![1]),
        (CqlType::Double, 1.5_f64.to_be_bytes().to_vec()),
        (CqlType::Float, f32::NAN.to_be_bytes().to_vec()),
        (CqlType::Varint, vec![0x00, 0xff]),
        (CqlType::Decimal, vec![0, 0, 0, 2, 0x64]),
        (CqlType::Duration, vec![0x02, 0x04, 0x06]),
        (CqlType::Inet, vec![127, 0, 0, 1]),
        (CqlType::Timeuuid, vec![0, 0, 0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0, 0, 0, 0, 1]),
        (CqlType::Time, 5_u64.to_be_bytes().to_vec()),
        (CqlType::Date, vec![0x80, 0, 0, 0]),
        (list(CqlType::Int), one.clone()),
        (list(list(CqlType::Int)), [&[0, 0, 0, 1, 0, 0, 0, 12], &one[..]].concat()),
        (CqlType::Tuple(vec![CqlType::Int, CqlType::Text]), int.to_vec()),
    ];
    seeds
        .into_iter()
        .map(|(ty, value)| {
            let mut seed = Vec::new();
            put_type(&ty, ProtocolVersion::V5, &mut seed);
            [seed, value.clone(), value].concat()
        })
        .collect()
}

fn mutations() -> Vec<Vec<u8>> {
    let deletion = Deletion::new(5, 1_700_000_000);
    let row = |cells: u32| {
        let mut row = RowBuilder::new();
        row.liveness(Liveness { timestamp: 9, ttl: 0, expiry: i64::MAX });
        for column in 0..cells {
            row.cell(Cell::live(ColumnId(column + 1), 9 + i64::from(column), b"value"));
        }
        row.finish().expect("a row")
    };
    let slice = |bytes: &[u8]| Slice::from(std::sync::Arc::<[u8]>::from(bytes));
    let range = PositionRange { start: slice(&[0x30, 1]), end: slice(&[0x30, 9]) };
    [0, 1, 4]
        .into_iter()
        .map(|cells| {
            let key = PartitionKeyRef { token: Token(-7), key: b"key" };
            let mut mutation = MutationBuilder::new(KeyspaceId(1), key);
            let table = mutation.table(TableId(1));
            table.row(&[0x30, 5, 0x80], &row(cells)).range_tombstone(&range, deletion);
            if cells > 1 {
                table.partition_deletion(deletion);
                table.static_row(&row(1)).expect("a static row");
                mutation.table(TableId(2)).row(&[0x31], &row(2));
            }
            mutation.finish().expect("a mutation")
        })
        .collect()
}

fn files() -> Vec<Vec<u8>> {
    let whole = DIRECTORY.iter().enumerate();
    whole.map(|(index, (_, bytes))| [&[index as u8], &bytes[..]].concat()).collect()
}

fn execute() -> Vec<Vec<u8>> {
    let mut seeds = Vec::new();
    for statement in 0..14_u8 {
        for value in [&[0, 0, 0, 1][..], b"{\"k\": 1}", &[0, 0, 0, 0], &[]] {
            let mut seed = vec![statement, 0x50];
            for _ in 0..6 {
                seed.put_u8(value.len() as u8);
                seed.extend_from_slice(value);
            }
            seeds.push(seed);
        }
    }
    seeds.extend(crate::execute::paging_seeds());
    seeds
}
