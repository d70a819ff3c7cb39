//! Prepared statements: what is told of their markers, and what values do.

use cql_lite::types::CqlType;
use cql_lite::wire::{
    BoundValue, Consistency, ProtocolVersion, QueryOptions, Values, ValuesBuilder,
};
use helenus_platform::codec::Put;

use super::harness::Node;
use crate::query::statement_id;

fn node() -> Node {
    let node = Node::with_keyspace();
    for statement in [
        "CREATE TABLE t (a int, b text, c int, d int, s int static, v int, l list<int>, \
         m map<text, int>, PRIMARY KEY ((a, b), c, d))",
        "CREATE TABLE one (k int PRIMARY KEY, v int, w text)",
    ] {
        node.run(statement).unwrap();
    }
    node
}

#[test]
fn markers_are_named_and_typed_as_cassandra_does() {
    let node = node();
    let cases = [
        ("SELECT * FROM t WHERE a = ? AND b = ?", "a int, b text", "0 1"),
        ("SELECT * FROM t WHERE b = ? AND a = ?", "b text, a int", "1 0"),
        ("SELECT * FROM t WHERE a = ? AND b = 'x'", "a int", ""),
        ("SELECT * FROM t WHERE a IN ? AND b = ?", "in(a) list<int>, b text", ""),
        ("SELECT * FROM one WHERE k = ? LIMIT ?", "k int, [limit] int", "0"),
        (
            "SELECT * FROM t PER PARTITION LIMIT ? LIMIT ?",
            "[per_partition_limit] int, [limit] int",
            "",
        ),
        (
            "SELECT * FROM one WHERE token(k) > ? AND token(k) <= ?",
            "partition key token bigint, partition key token bigint",
            "",
        ),
        (
            "SELECT * FROM t WHERE a = ? AND b = ? AND (c, d) > (?, ?)",
            "a int, b text, c int, d int",
            "0 1",
        ),
        (
            "SELECT * FROM t WHERE a = ? AND b = ? AND (c, d) > ?",
            "a int, b text, (c,d) frozen<tuple<int, int>>",
            "0 1",
        ),
        (
            "SELECT * FROM t WHERE a = ? AND b = ? AND (c, d) IN ?",
            "a int, b text, in(c,d) list<frozen<tuple<int, int>>>",
            "0 1",
        ),
        (
            "SELECT * FROM t WHERE a = ? AND b = ? AND c IN (?, ?)",
            "a int, b text, c int, c int",
            "0 1",
        ),
        ("SELECT * FROM t WHERE l CONTAINS ? ALLOW FILTERING", "value(l) int", ""),
        ("SELECT * FROM t WHERE m[?] = ? ALLOW FILTERING", "key(m) text, value(m) int", ""),
        (
            "INSERT INTO one (k, v) VALUES (?, ?) USING TTL ? AND TIMESTAMP ?",
            "k int, v int, [ttl] int, [timestamp] bigint",
            "0",
        ),
        ("INSERT INTO one (k, v, w) VALUES (:x, :y, :x)", "x int, y int, x text", "0"),
        ("INSERT INTO one JSON ?", "[json] text", ""),
        (
            "UPDATE t SET l[?] = ?, m[?] = ?, v = ? WHERE a = ? AND b = ? AND c = ? AND d = ?",
            "idx(l) int, value(l) int, key(m) text, value(m) int, v int, a int, b text, c int, \
             d int",
            "5 6",
        ),
        (
            "UPDATE one SET v = ? WHERE k = ? IF v = ? AND w IN ?",
            "v int, k int, v int, in(w) list<text>",
            "1",
        ),
        ("DELETE FROM one USING TIMESTAMP ? WHERE k = ?", "[timestamp] bigint, k int", "1"),
        (
            "BEGIN BATCH USING TIMESTAMP ? INSERT INTO one (k, v) VALUES (?, ?); \
             UPDATE one SET v = ? WHERE k = ?; APPLY BATCH",
            "[timestamp] bigint, k int, v int, v int, k int",
            "1",
        ),
    ];
    for (text, markers, keys) in cases {
        let prepared = node.prepare(text).unwrap();
        let got: Vec<String> = prepared
            .markers
            .iter()
            .map(|marker| format!("{} {}", marker.name, marker.ty))
            .collect();
        assert_eq!(got.join(", "), markers, "{text}");
        let got: Vec<String> = prepared.key_indexes.iter().map(u16::to_string).collect();
        assert_eq!(got.join(" "), keys, "{text}");
    }
}

#[test]
fn an_id_is_the_digest_of_keyspace_and_text() {
    let prepared = node().prepare("SELECT * FROM one").unwrap();
    assert_eq!(prepared.id, statement_id(Some("ks"), "SELECT * FROM one"));
    assert_ne!(prepared.id, statement_id(None, "SELECT * FROM one"));
    // md5("ksSELECT * FROM one")
    let hex: String = prepared.id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex.len(), 32);
    assert_eq!(prepared.columns.as_ref().unwrap()[1].ty, CqlType::Int);
}

fn int(value: i32) -> Vec<u8> {
    let mut bytes = Vec::new();
    bytes.put_i32_be(value);
    bytes
}

fn run(node: &Node, text: &str, values: &[BoundValue<'_>]) -> Result<Vec<String>, String> {
    let prepared = node.prepare(text).map_err(|error| error.message)?;
    let mut builder = ValuesBuilder::positional();
    values.iter().for_each(|value| builder.push(*value).unwrap());
    let options = QueryOptions { values: builder.values(), ..QueryOptions::default() };
    let answer = node.execute(&prepared, &options).map_err(|error| error.message)?;
    Ok(answer.literals().iter().map(|row| row.join(" | ")).collect())
}

#[test]
fn null_deletes_and_unset_leaves_alone() {
    let node = node();
    let insert = "INSERT INTO one (k, v, w) VALUES (?, ?, ?)";
    let select = "SELECT v, w FROM one WHERE k = 1";
    let (one, five) = (int(1), int(5));
    let key = BoundValue::Bytes(&one);
    run(&node, insert, &[key, BoundValue::Bytes(&five), BoundValue::Bytes(b"w")]).unwrap();
    run(&node, insert, &[key, BoundValue::Unset, BoundValue::Null]).unwrap();
    assert_eq!(run(&node, select, &[]).unwrap(), ["5 | null"]);
    let update = "UPDATE one USING TTL ? SET v = ? WHERE k = ?";
    let six = int(6);
    run(&node, update, &[BoundValue::Unset, BoundValue::Bytes(&six), key]).unwrap();
    assert_eq!(run(&node, "SELECT v, ttl(v) FROM one", &[]).unwrap(), ["6 | null"]);
    assert_eq!(
        run(&node, "SELECT v FROM one LIMIT ?", &[BoundValue::Unset]).unwrap(),
        ["6"],
        "an unset limit is none"
    );
}

#[test]
fn wrong_values_are_refused() {
    let node = node();
    let insert = "INSERT INTO one (k, v) VALUES (?, ?)";
    let one = int(1);
    let key = BoundValue::Bytes(&one);
    let cases: [(&[BoundValue<'_>], &str); 6] = [
        (&[key], "there were 2 markers(?) in CQL but 1 bound variables"),
        (&[key, BoundValue::Bytes(b"abc")], "Expected 4 or 0 byte int (3)"),
        (&[BoundValue::Null, key], "Invalid null value in condition for column k"),
        (&[BoundValue::Unset, key], "Invalid unset value for column k"),
        (&[BoundValue::Bytes(b""), key], "Key may not be empty"),
        (&[BoundValue::Bytes(b"12345"), key], "Expected 4 or 0 byte int (5)"),
    ];
    for (values, message) in cases {
        assert_eq!(run(&node, insert, values).unwrap_err(), message);
    }
    node.run("CREATE TABLE b (k blob PRIMARY KEY)").unwrap();
    let long = vec![1; 65_536];
    assert_eq!(
        run(&node, "INSERT INTO b (k) VALUES (?)", &[BoundValue::Bytes(&long)]).unwrap_err(),
        "Key length of 65536 is longer than maximum of 65535"
    );
    let list = "SELECT * FROM one WHERE k IN ?";
    assert_eq!(
        run(&node, list, &[BoundValue::Bytes(&[0, 0, 0, 1, 0, 0, 0, 3, 1, 2, 3])]).unwrap_err(),
        "Expected 4 or 0 byte int (3)"
    );
    assert!(run(&node, list, &[BoundValue::Bytes(&[0xff; 4])]).is_err());
    assert!(run(&node, list, &[BoundValue::Bytes(&[0x7f, 0xff, 0xff, 0xff])]).is_err());
}

#[test]
fn named_values_find_their_markers() {
    let node = node();
    let prepared = node.prepare("INSERT INTO one (k, v) VALUES (:key, :value)").unwrap();
    let (one, two) = (int(1), int(2));
    let mut builder = ValuesBuilder::named();
    builder.push_named("value", BoundValue::Bytes(&two)).unwrap();
    builder.push_named("key", BoundValue::Bytes(&one)).unwrap();
    let options = QueryOptions { values: builder.values(), ..QueryOptions::default() };
    node.execute(&prepared, &options).unwrap();
    assert_eq!(run(&node, "SELECT k, v FROM one", &[]).unwrap(), ["1 | 2"]);
    let mut builder = ValuesBuilder::named();
    builder.push_named("key", BoundValue::Bytes(&one)).unwrap();
    let options = QueryOptions { values: builder.values(), ..QueryOptions::default() };
    let error = node.execute(&prepared, &options).unwrap_err();
    assert_eq!(error.message, "there were 2 markers(?) in CQL but 1 bound variables");
}

#[test]
fn levels_that_make_no_sense_are_refused() {
    let node = node();
    let check = |text: &str, consistency, serial| {
        let prepared = node.prepare(text).unwrap();
        let options = QueryOptions {
            consistency,
            serial_consistency: serial,
            values: Values::EMPTY,
            ..QueryOptions::default()
        };
        node.execute(&prepared, &options).map(|_| ()).map_err(|error| error.message)
    };
    assert_eq!(
        check("SELECT * FROM one", Consistency::Any, None).unwrap_err(),
        "ANY ConsistencyLevel is only supported for writes"
    );
    let insert = "INSERT INTO one (k, v) VALUES (1, 1)";
    assert_eq!(
        check(insert, Consistency::Serial, None).unwrap_err(),
        "You must use conditional updates for serializable writes"
    );
    let conditional = "INSERT INTO one (k, v) VALUES (1, 1) IF NOT EXISTS";
    assert_eq!(
        check(conditional, Consistency::One, Some(Consistency::Quorum)).unwrap_err(),
        "Invalid consistency for conditional update. Must be one of SERIAL or LOCAL_SERIAL"
    );
    assert!(check(conditional, Consistency::One, Some(Consistency::LocalSerial)).is_ok());
}

#[test]
fn a_plan_holds_until_its_table_changes() {
    let node = node();
    let prepared = node.prepare("SELECT * FROM one").unwrap();
    let other = node.prepare("SELECT * FROM t").unwrap();
    node.run("ALTER TABLE one ADD x int").unwrap();
    let schema = node.services.metadata.schema();
    assert!(!prepared.is_current(&schema));
    assert!(other.is_current(&schema));
    let again = node.prepare("SELECT * FROM one").unwrap();
    assert_eq!(again.id, prepared.id);
    assert_ne!(again.metadata_id, prepared.metadata_id);
    let columns = again.encoded_columns(ProtocolVersion::V4);
    assert_eq!(columns.len(), 4);
}
