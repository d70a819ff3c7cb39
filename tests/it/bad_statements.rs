//! Statements and bound values that make no sense or are far too large: each gets an error that
//! names the thing, in Cassandra's words where it has them, and the node goes on as before.

use cql_lite::wire::{
    BatchBuilder, BatchKind, BatchStatement, BoundValue, Consistency, ErrorBody, ErrorKind,
    ProtocolVersion, Query, QueryOptions, Request, Response, ResultBody, StatementSource, Values,
};

use crate::process::{Node, TempDir};
use crate::raw_client::{Heard, Neighbour, RawClient};

/// What a node may hold that is asked for the impossible, in a build without optimisation.
const MEMORY_MAX: u64 = 320 << 20;
const KEYSPACE: &str = "CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', \
                        'replication_factor': 1}";

/// A node with an empty keyspace `k`, and a client of it.
struct Stage {
    client: RawClient,
    node: Node,
    _dir: TempDir,
}

impl Stage {
    fn new(settings: &[&str]) -> Self {
        let dir = TempDir::new();
        let node = Node::start(dir.path(), settings);
        let mut client = RawClient::open(&node, ProtocolVersion::V5, false);
        client.run(KEYSPACE);
        Stage { client, node, _dir: dir }
    }

    fn with_tables(settings: &[&str], tables: &[&str]) -> Self {
        let mut stage = Self::new(settings);
        tables.iter().for_each(|table| stage.client.run(table));
        stage
    }

    fn end(mut self) {
        self.client.assert_alive();
        if let Some(peak) = self.node.peak_memory() {
            assert!(peak < MEMORY_MAX, "{} MiB", peak >> 20);
        }
        assert_eq!(self.node.stop().code(), Some(0));
    }
}

fn bytes(value: &[u8]) -> BoundValue<'_> {
    BoundValue::Bytes(value)
}

fn error_of(response: Response, case: &str) -> ErrorBody {
    match response {
        Response::Error(error) => error,
        other => panic!("{case}: {other:?}"),
    }
}

fn assert_invalid(response: Response, expected: &str, case: &str) {
    let error = error_of(response, case);
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::Invalid, expected), "{case}");
}

const VOID: Response = Response::Result(ResultBody::Void);

#[test]
fn values_of_the_wrong_length_are_refused_for_every_type() {
    let nine = &[1_u8; 9][..];
    let minus = &[0xff_u8; 18][..];
    let cases: &[(&str, &[u8], &str)] = &[
        ("ascii", b"\xe9", "Invalid byte for ascii: -23"),
        ("bigint", nine, "Expected 8 or 0 byte long (9)"),
        ("boolean", nine, "Expected 1 or 0 byte value (9)"),
        ("date", nine, "Expected 4 byte long for date (9)"),
        ("decimal", b"\0\0\0", "Expected 0 or at least 4 bytes (3)"),
        ("double", nine, "Expected 8 or 0 byte value for a double (9)"),
        ("duration", b"\0\0", "Expected at least 3 bytes for a duration (2)"),
        ("float", nine, "Expected 4 or 0 byte value for a float (9)"),
        ("inet", b"\x01\x02\x03", "Expected 4 or 16 byte inetaddress; got 010203"),
        ("int", nine, "Expected 4 or 0 byte int (9)"),
        ("smallint", nine, "Expected 2 bytes for a smallint (9)"),
        ("text", b"\xc3\x28", "String didn't validate."),
        ("time", nine, "Expected 8 byte long for time (9)"),
        ("timestamp", nine, "Expected 8 or 0 byte long for date (9)"),
        ("timeuuid", nine, "UUID should be 16 or 0 bytes (9)"),
        ("tinyint", nine, "Expected 1 byte for a tinyint (9)"),
        ("uuid", nine, "UUID should be 16 or 0 bytes (9)"),
        ("varchar", b"\xff", "String didn't validate."),
        ("list<int>", b"\0", "Not enough bytes to read a list"),
        ("set<int>", b"\x7f\xff\xff\xff", "Not enough bytes to read a set"),
        ("map<int, int>", b"\0\0\0\x01\0\0", "Not enough bytes to read a map"),
        ("list<int>", minus, "The data cannot be deserialized as a list"),
        ("frozen<list<int>>", b"\0\0\0\x01\0\0\0\x01x", "Expected 4 or 0 byte int (1)"),
        ("frozen<set<int>>", b"\0\0\0\0x", "Unexpected extraneous bytes after set value"),
        ("frozen<map<int, int>>", b"\0", "Not enough bytes to read a map"),
        ("tuple<int, text>", b"\0", "Not enough bytes to read size of 0th component"),
        ("tuple<int, text>", minus, "Invalid remaining data after end of tuple value"),
        ("frozen<u>", b"\0", "Not enough bytes to read size of 0th field a"),
        ("u", minus, "Invalid remaining data after end of UDT value"),
        ("vector<float, 3>", nine, "Not enough bytes to read a vector<float, 3>"),
        ("vector<float, 3>", minus, "Unexpected 6 extraneous bytes after vector<float, 3> value"),
    ];
    let mut stage = Stage::with_tables(&[], &["CREATE TYPE k.u (a int, b text)"]);
    for (index, (ty, value, expected)) in cases.iter().enumerate() {
        stage.client.run(&format!("CREATE TABLE k.t{index} (k int PRIMARY KEY, v {ty})"));
        let insert = stage.client.prepare(&format!("INSERT INTO k.t{index} (k, v) VALUES (1, ?)"));
        assert_invalid(stage.client.execute(&insert, &[bytes(value)]), expected, ty);
        assert!(stage.client.rows(&format!("SELECT * FROM k.t{index}")).is_empty(), "{ty}");
    }
    stage.end();
}

#[test]
fn constants_of_the_wrong_type_are_refused() {
    let types = ["boolean", "int", "text", "uuid", "timestamp", "blob", "list<int>", "frozen<u>"];
    let mut stage = Stage::with_tables(&[], &["CREATE TYPE k.u (a int, b text)"]);
    for (index, ty) in types.iter().enumerate() {
        stage.client.run(&format!("CREATE TABLE k.t{index} (k int PRIMARY KEY, v {ty})"));
        let mut refused = |value: &str, expected: String| {
            let text = format!("INSERT INTO k.t{index} (k, v) VALUES (1, {value})");
            assert_invalid(stage.client.query(&text), &expected, &text);
        };
        let constant = |kind: &str, text: &str| {
            format!("Invalid {kind} constant ({text}) for \"v\" of type {ty}")
        };
        refused("1.5", constant("FLOAT", "1.5"));
        refused("1h", constant("DURATION", "1h"));
        if *ty != "boolean" {
            refused("true", constant("BOOLEAN", "true"));
        }
        if !matches!(*ty, "int" | "timestamp") {
            refused("1", constant("INTEGER", "1"));
        }
        if *ty != "blob" {
            refused("0xff", constant("HEX", "0xff"));
        }
        refused("{1}", format!("Invalid set literal for v of type {ty}"));
        refused("{'a': 1}", format!("Invalid map literal for v of type {ty}"));
        refused("(1, 2)", format!("Invalid tuple type literal for v of type {ty}"));
        match *ty {
            "list<int>" => refused(
                "['a']",
                "Invalid list literal for v: value 'a' is not of type int".to_owned(),
            ),
            _ => refused("[1]", format!("Invalid list literal for v of type {ty}")),
        }
    }
    stage.end();
}

const KEYED: &str =
    "CREATE TABLE k.t (k text, c text, v text, l list<text>, s text static, PRIMARY KEY (k, c))";

#[test]
fn too_few_too_many_null_and_unset_values_are_refused_where_they_make_no_sense() {
    let mut stage = Stage::with_tables(&[], &[KEYED]);
    let client = &mut stage.client;
    let insert = client.prepare("INSERT INTO k.t (k, c, v) VALUES (?, ?, ?)");
    let (a, null, unset) = (bytes(b"a"), BoundValue::Null, BoundValue::Unset);
    for count in [0, 1, 2, 4, 100] {
        let expected = format!("there were 3 markers(?) in CQL but {count} bound variables");
        assert_invalid(client.execute(&insert, &vec![a; count]), &expected, "count");
    }
    let cases = [
        ([null, a, a], "Invalid null value in condition for column k"),
        ([a, null, a], "Invalid null value in condition for column c"),
        ([unset, a, a], "Invalid unset value for column k"),
        ([a, unset, a], "Invalid unset value for column c"),
        ([bytes(b""), a, a], "Key may not be empty"),
    ];
    for (values, expected) in cases {
        assert_invalid(client.execute(&insert, &values), expected, expected);
    }
    assert_eq!(client.execute(&insert, &[a, bytes(b""), unset]), VOID);
    assert_eq!(client.execute(&insert, &[a, a, null]), VOID);
    let row = "WHERE k = 'a' AND c = 'b'";
    let cases = [
        ("SELECT v FROM k.t WHERE k IN ?", null, "Invalid null value for IN restriction on k"),
        ("SELECT v FROM k.t LIMIT ?", null, "Invalid null value of limit"),
        ("SELECT v FROM k.t LIMIT ?", bytes(&[0xff; 4]), "LIMIT must be strictly positive"),
        ("SELECT v FROM k.t LIMIT ?", bytes(&[0; 8]), "Expected 4 or 0 byte int (8)"),
        (
            "SELECT v FROM k.t WHERE token(k) > ?",
            null,
            "Invalid null value in condition for column partition key token",
        ),
        (&format!("UPDATE k.t SET l[?] = 'x' {row}"), null, "Invalid null value for list index"),
        (
            &format!("UPDATE k.t USING TTL ? SET v = 'x' {row}"),
            bytes(&[0xff; 4]),
            "A TTL must be greater or equal to 0, but was -1",
        ),
        (
            &format!("UPDATE k.t USING TTL ? SET v = 'x' {row}"),
            bytes(&[0x7f, 0, 0, 0]),
            "ttl is too large. requested (2130706432) maximum (630720000)",
        ),
        (
            &format!("UPDATE k.t USING TIMESTAMP ? SET v = 'x' {row}"),
            null,
            "Invalid null value of timestamp",
        ),
        (
            &format!("UPDATE k.t SET v = 'x' {row} IF v = ?"),
            unset,
            "Invalid 'unset' value in condition",
        ),
    ];
    for (text, value, expected) in cases {
        let statement = client.prepare(text);
        assert_invalid(client.execute(&statement, &[value]), expected, text);
    }
    stage.end();
}

#[test]
fn keys_over_64_kib_are_refused_and_those_below_are_not() {
    let composite = "CREATE TABLE k.two (a text, b text, c text, d text, v text, \
                     PRIMARY KEY ((a, b), c, d))";
    let mut stage = Stage::with_tables(&[], &[KEYED, composite]);
    let client = &mut stage.client;
    let (most, over) = (vec![b'x'; 65_535], vec![b'x'; 65_536]);
    let (a, most, over) = (bytes(b"a"), bytes(&most), bytes(&over));
    let too_long = |bytes: usize| format!("Key length of {bytes} is longer than maximum of 65535");
    let writes = [
        "INSERT INTO k.t (k, c, v) VALUES (?, ?, 'v')",
        "UPDATE k.t SET v = 'v' WHERE k = ? AND c = ?",
        "UPDATE k.t SET v = 'v' WHERE k = ? AND c IN (?, 'other')",
        "DELETE FROM k.t WHERE k = ? AND c = ?",
        "INSERT INTO k.t (k, c, v) VALUES (?, ?, 'v') IF NOT EXISTS",
    ];
    for text in writes {
        let statement = client.prepare(text);
        assert_invalid(client.execute(&statement, &[over, a]), &too_long(65_536), text);
        let of_row = if text.contains("'other'") { [65_536, 5] } else { [65_536, 0] };
        assert_invalid(client.execute(&statement, &[a, over]), &too_long(of_row[0]), text);
        let done = client.execute(&statement, &[most, most]);
        assert!(matches!(done, Response::Result(_)), "{text}: {done:?}");
    }
    let select = client.prepare("SELECT v FROM k.t WHERE k = ?");
    assert_invalid(client.execute(&select, &[over]), &too_long(65_536), "SELECT");
    // Of a composite key the whole counts, with its framing; of a row each value by itself.
    let insert = client.prepare("INSERT INTO k.two (a, b, c, d, v) VALUES (?, ?, ?, ?, 'v')");
    assert_invalid(client.execute(&insert, &[most, a, a, a]), &too_long(65_542), "composite");
    assert_invalid(client.execute(&insert, &[a, a, over, a]), &too_long(65_537), "row");
    assert_eq!(client.execute(&insert, &[a, a, most, most]), VOID);
    assert_eq!(client.rows("SELECT v FROM k.two").len(), 1);
    stage.end();
}

#[test]
fn a_mutation_over_the_maximum_is_refused_with_the_setting_behind_it() {
    let tables = [KEYED, "CREATE TABLE k.l (k int PRIMARY KEY, v list<blob>)"];
    let mut stage = Stage::with_tables(&["commit_log.segment_bytes=1_048_576"], &tables);
    let client = &mut stage.client;
    let refused = |response: Response, case: &str| {
        let error = error_of(response, case);
        assert_eq!(error.kind, ErrorKind::Invalid, "{case}: {error:?}");
        let message = &error.message;
        assert!(message.starts_with("Rejected an oversized mutation ("), "{case}: {message}");
        assert!(message.contains("524288"), "{case}: {message}");
        assert!(message.contains("half of commit_log.segment_bytes"), "{case}: {message}");
        error.message
    };
    let insert = client.prepare("INSERT INTO k.t (k, c, v) VALUES ('the key', 'c', ?)");
    assert_eq!(client.execute(&insert, &[bytes(&[b'x'; 500_000])]), VOID);
    for size in [524_280, 524_288, 600_000, 15 << 20] {
        let message = refused(client.execute(&insert, &[bytes(&vec![b'y'; size])]), "one value");
        assert!(message.contains("for keyspace: k. Top keys are: t.the key."), "{message}");
    }
    // A small request that is a large write: every row gets the value.
    let many = client.prepare("UPDATE k.t SET v = ? WHERE k IN ? AND c IN ?");
    let names = |count: u32| {
        let mut list = count.to_be_bytes().to_vec();
        for index in 0..count {
            list.extend(4_u32.to_be_bytes());
            list.extend(format!("{index:04}").into_bytes());
        }
        list
    };
    let (keys, rows) = (names(100), names(600));
    let values = [bytes(&[b'z'; 100_000]), bytes(&keys), bytes(&rows)];
    refused(client.execute(&many, &values), "many rows");
    // A list of nothing: four bytes of request a cell.
    let count = 3_000_000_u32;
    let mut list = count.to_be_bytes().to_vec();
    list.resize(4 + 4 * count as usize, 0);
    let insert_list = client.prepare("INSERT INTO k.l (k, v) VALUES (1, ?)");
    refused(client.execute(&insert_list, &[bytes(&list)]), "empty elements");
    let rows = client.rows("SELECT v FROM k.t");
    assert_eq!(rows.iter().collect::<Vec<_>>(), [[Some(&[b'x'; 500_000][..])]]);
    assert!(client.rows("SELECT v FROM k.l").is_empty());
    stage.end();
}

#[test]
fn what_nests_a_thousand_deep_is_refused() {
    let tables = [
        "CREATE TABLE k.l (k int PRIMARY KEY, v list<int>)",
        "CREATE TABLE k.t (k text PRIMARY KEY)",
    ];
    let mut stage = Stage::with_tables(&[], &tables);
    let client = &mut stage.client;
    let around = |open: &str, inside: &str, close: &str, depth: usize| {
        format!("{}{inside}{}", open.repeat(depth), close.repeat(depth))
    };
    for depth in [1000, 100_000] {
        let texts = [
            format!("INSERT INTO k.l (k, v) VALUES (1, {})", around("[", "1", "]", depth)),
            format!("INSERT INTO k.l (k, v) VALUES (1, {})", around("{", "1", "}", depth)),
            format!("INSERT INTO k.l (k, v) VALUES (1, {})", around("{a: ", "1", "}", depth)),
            format!("SELECT k FROM k.t WHERE k = {}", around("(", "'a'", ")", depth)),
            format!("SELECT k FROM k.t WHERE {}", around("(", "k = 'a'", ")", depth)),
            format!("SELECT {} FROM k.t", around("- ", "1", "", depth)),
            format!("SELECT {} FROM k.t", around("blobastext(", "k", ")", depth)),
            format!("SELECT {} FROM k.t", around("CAST(", "k", " AS text)", depth)),
            format!("SELECT {}1 FROM k.t", around("(text) ", "", "", depth)),
            format!("CREATE TABLE k.n (k {} PRIMARY KEY)", around("tuple<", "int", ">", depth)),
            format!("CREATE TABLE k.n (k {} PRIMARY KEY)", around("frozen<", "int", ">", depth)),
            format!("CREATE TYPE k.n (a {})", around("vector<", "int", ", 2>", depth)),
            format!("ALTER TABLE k.t ADD v {}", around("list<", "int", ">", depth)),
        ];
        for text in texts {
            let error = error_of(client.query(&text), &text[..50]);
            assert_eq!(error.kind, ErrorKind::Syntax, "{}: {error:?}", &text[..50]);
            let message = &error.message;
            assert!(message.contains("nested too deeply (more than 128 levels)"), "{message}");
        }
        let json = around("[", "1", "]", depth);
        let text = format!("INSERT INTO k.l JSON '{{\"k\": 1, \"v\": {json}}}'");
        let error = error_of(client.query(&text), "JSON");
        assert!(error.message.contains("it nests too deep"), "{error:?}");
        let ty = around("org.apache.cassandra.db.marshal.ListType(", "Int32Type", ")", depth);
        let error = error_of(client.query(&format!("CREATE TYPE k.n (a '{ty}')")), "a type string");
        assert!(error.message.starts_with("Unable to find abstract-type class"));
        assert!(error.message.len() < 5000, "an error quotes only so much of a statement");
    }
    // As deep as a type can be, and a value that goes on where the type has ended.
    let depth = 60;
    let ty = around("frozen<list<", "int", ">>", depth);
    client.run(&format!("CREATE TABLE k.deep (k int PRIMARY KEY, v {ty})"));
    let insert = client.prepare("INSERT INTO k.deep (k, v) VALUES (1, ?)");
    let nested = |depth: usize| {
        let mut value = 7_u32.to_be_bytes().to_vec();
        for _ in 0..depth {
            let mut outer = 1_u32.to_be_bytes().to_vec();
            outer.extend((value.len() as u32).to_be_bytes());
            outer.extend(value);
            value = outer;
        }
        value
    };
    assert_eq!(client.execute(&insert, &[bytes(&nested(depth))]), VOID);
    let expected = format!("Expected 4 or 0 byte int ({})", nested(1000 - depth).len());
    assert_invalid(client.execute(&insert, &[bytes(&nested(1000))]), &expected, "1000 deep");
    stage.end();
}

/// `item` as often as it fits into a statement of 15 MiB.
fn filled(open: &str, item: &str, close: &str) -> String {
    let count = ((15 << 20) - open.len() - close.len()) / item.len();
    format!("{open}{}{close}", item.repeat(count))
}

#[test]
fn statements_of_millions_of_tokens_are_refused_in_bounded_memory() {
    let tables = [
        "CREATE TABLE k.t (k int PRIMARY KEY, v int)",
        "CREATE TABLE k.l (k int PRIMARY KEY, v list<int>)",
    ];
    let mut stage = Stage::with_tables(&[], &tables);
    let neighbour = Neighbour::start(&stage.node);
    let client = &mut stage.client;
    let texts = [
        filled("BEGIN BATCH ", "DELETE FROM k.t WHERE k=1;", " APPLY BATCH"),
        filled("INSERT INTO k.l (k, v) VALUES (1, [", "1,", "1])"),
        filled("INSERT INTO k.l (k, v) VALUES (1, {", "1:1,", "1:1})"),
        filled("INSERT INTO k.l (", "k,", "k) VALUES (1)"),
        filled("SELECT v FROM k.t WHERE k IN (", "1,", "1)"),
        filled("SELECT v FROM k.t WHERE k IN (", "?,", "?)"),
        filled("SELECT v FROM k.t WHERE ", "k=1 AND ", "k=1"),
        filled("SELECT ", "k,", "k FROM k.t"),
        filled("SELECT ", "1+", "1 FROM k.t"),
        filled("CREATE TABLE k.x (k int PRIMARY KEY, ", "a int,", "b int)"),
        filled("CREATE TABLE k.x (k int PRIMARY KEY) WITH caching = {", "'a':'b',", "'b':'b'}"),
        filled("UPDATE k.t SET v=1 WHERE k=1 IF ", "v=1 AND ", "v=1"),
    ];
    for text in texts {
        let error = error_of(client.query(&text), &text[..50]);
        assert_eq!(error.kind, ErrorKind::Syntax, "{error:?}");
        let message = &error.message;
        assert!(message.contains("the statement has more than 524288 tokens"), "{message}");
    }
    let text = filled("INSERT INTO k.l JSON '{\"k\":1,\"v\":[", "1,", "1]}'");
    let error = error_of(client.query(&text), "JSON");
    assert!(error.message.contains("it has more than 524288 values"), "{error:?}");
    // One token of 15 MiB is no reason to refuse, and no reason to send all of it back.
    let text = filled("INSERT INTO k.t (k, v) VALUES (1, '", "x", "')");
    let error = error_of(client.query(&text), "a long constant");
    assert_eq!(error.kind, ErrorKind::Invalid);
    assert!(error.message.len() < 5000);
    let count = 3_000_000_u32;
    let mut list = count.to_be_bytes().to_vec();
    list.resize(4 + 4 * count as usize, 0);
    let select = client.prepare("SELECT v FROM k.t WHERE k IN ?");
    let expected = "The IN restriction on k has 3000000 values, the maximum is 65535";
    assert_invalid(client.execute(&select, &[bytes(&list)]), expected, "IN");
    assert!(neighbour.finish() >= 10);
    stage.end();
}

#[test]
fn in_restrictions_that_multiply_are_refused() {
    let table = "CREATE TABLE k.t (a blob, b blob, c blob, d blob, PRIMARY KEY ((a, b), c, d))";
    let mut stage = Stage::with_tables(&[], &[table]);
    let client = &mut stage.client;
    let list = |count: u32, size: usize| {
        let mut list = count.to_be_bytes().to_vec();
        for index in 0..count {
            list.extend((size as u32).to_be_bytes());
            let mut value = vec![0; size];
            value[..4].copy_from_slice(&index.to_be_bytes());
            list.extend(value);
        }
        list
    };
    for list in [list(120, 60_000), list(300, 4)] {
        for text in [
            "SELECT * FROM k.t WHERE a IN ? AND b IN ?",
            "SELECT * FROM k.t WHERE a = 0x00 AND b = 0x00 AND c IN ? AND d IN ?",
            "DELETE FROM k.t WHERE a = 0x00 AND b = 0x00 AND c IN ? AND d IN ?",
        ] {
            let statement = client.prepare(text);
            let error = error_of(client.execute(&statement, &[bytes(&list), bytes(&list)]), text);
            assert_eq!(error.kind, ErrorKind::Invalid);
            let expected = "The IN restrictions of this statement name more than 65535 ";
            assert!(error.message.starts_with(expected), "{error:?}");
        }
    }
    stage.end();
}

#[test]
fn a_statement_of_100_mib_is_refused() {
    for (settings, over) in [(&[][..], 16 << 20), (&["limits.frame_bytes=200_000_000"], 16 << 20)] {
        let mut stage = Stage::new(settings);
        let text = format!("SELECT key FROM system.local{}", " ".repeat(100 << 20));
        let error = error_of(stage.client.query(&text), "100 MiB");
        assert_eq!(error.kind, ErrorKind::Invalid);
        assert!(error.message.contains(&over.to_string()), "{error:?}");
        assert!(error.message.contains(&(100 << 20).to_string()[..4]), "{error:?}");
        stage.end();
    }
}

#[test]
fn the_largest_batch_there_is_neither_stops_nor_swells_the_node() {
    let mut stage = Stage::with_tables(&[], &["CREATE TABLE k.t (k int PRIMARY KEY, v int)"]);
    let neighbour = Neighbour::start(&stage.node);
    let client = &mut stage.client;
    let insert = client.prepare("INSERT INTO k.t (k, v) VALUES (?, 1)");
    let keys: Vec<[u8; 4]> = (0..65_535_u32).map(u32::to_be_bytes).collect();
    let batch = |same: bool| {
        let mut batch = BatchBuilder::new();
        for key in &keys {
            let mut values = cql_lite::wire::ValuesBuilder::positional();
            values.push(bytes(if same { &keys[0] } else { key })).unwrap();
            let source = StatementSource::Prepared(insert.id());
            batch.push(&BatchStatement { source, values: values.values() }).unwrap();
        }
        batch
    };
    let options = QueryOptions::default();
    let mut ask = |builder: &BatchBuilder| {
        let statements = builder.statements(ProtocolVersion::V5);
        let kind = BatchKind::Logged;
        client.ask(&Request::Batch(cql_lite::wire::Batch { kind, statements, options }))
    };
    assert_invalid(ask(&batch(false)), "Batch too large", "65535 partitions");
    assert_eq!(ask(&batch(true)), VOID);
    assert_eq!(client.rows("SELECT * FROM k.t").len(), 1);
    assert!(neighbour.finish() >= 10);
    stage.end();
}

#[test]
fn unknown_options_and_levels_are_refused_by_name() {
    let mut stage = Stage::with_tables(&[], &["CREATE TABLE k.t (k int PRIMARY KEY, v int)"]);
    let client = &mut stage.client;
    let mut refused = |text: &str, kind: ErrorKind, expected: &str| {
        let error = error_of(client.query(text), text);
        assert_eq!((error.kind, error.message.as_str()), (kind, expected), "{text}");
    };
    let mut table = |with: &str, kind: ErrorKind, expected: &str| {
        refused(
            &format!("CREATE TABLE k.x (k int PRIMARY KEY) WITH {with}"),
            kind.clone(),
            expected,
        );
        refused(&format!("ALTER TABLE k.t WITH {with}"), kind, expected);
    };
    table("wings = 1", ErrorKind::Syntax, "Unknown property 'wings'");
    table(
        "compaction = {'class': 'Nope'}",
        ErrorKind::Config,
        "Unable to find compaction strategy class 'org.apache.cassandra.db.compaction.Nope'",
    );
    for (class, own, other) in [
        ("SizeTieredCompactionStrategy", "'bucket_low': 0.6", "scaling_parameters"),
        ("LeveledCompactionStrategy", "'sstable_size_in_mb': 160", "scaling_parameters"),
        ("TimeWindowCompactionStrategy", "'compaction_window_unit': 'DAYS'", "fanout_size"),
        ("UnifiedCompactionStrategy", "'scaling_parameters': 'T4'", "bucket_low"),
    ] {
        let options =
            format!("compaction = {{'class': '{class}', {own}, 'wings': '2', '{other}': '1'}}");
        let mut unknown = ["wings", other];
        unknown.sort_unstable();
        let unknown = unknown.join(", ");
        let expected = format!("Properties specified [{unknown}] are not understood by {class}");
        table(&options, ErrorKind::Config, &expected);
    }
    let compression = "compression = {'class': 'LZ4Compressor', 'wings': '2'}";
    table(compression, ErrorKind::Config, "Unknown compression options wings");
    table(
        "caching = {'wings': 'x'}",
        ErrorKind::Config,
        "Invalid caching sub-options [wings]: only 'keys' and 'rows_per_partition' are allowed",
    );
    table(
        "gc_grace_seconds = -1",
        ErrorKind::Config,
        "gc_grace_seconds must be greater than or equal to 0 (got -1)",
    );
    let keyspace = "CREATE KEYSPACE x WITH replication = {'class': 'SimpleStrategy', \
                    'replication_factor': 1";
    refused(
        &format!("{keyspace}, 'wings': 2}}"),
        ErrorKind::Config,
        "Unrecognized strategy option {wings} passed to SimpleStrategy for keyspace x",
    );
    refused(&format!("{keyspace}}} AND wings = 2"), ErrorKind::Syntax, "Unknown property 'wings'");
    for (text, level, serial, expected) in [
        (
            "SELECT * FROM k.t",
            Consistency::Any,
            None,
            "ANY ConsistencyLevel is only supported for writes",
        ),
        (
            "INSERT INTO k.t (k) VALUES (1)",
            Consistency::Serial,
            None,
            "You must use conditional updates for serializable writes",
        ),
        (
            "INSERT INTO k.t (k) VALUES (1) IF NOT EXISTS",
            Consistency::One,
            Some(Consistency::Quorum),
            "Invalid consistency for conditional update. Must be one of SERIAL or LOCAL_SERIAL",
        ),
    ] {
        let serial_consistency = serial;
        let options = QueryOptions {
            consistency: level,
            serial_consistency,
            values: Values::EMPTY,
            ..QueryOptions::default()
        };
        let response = client.ask(&Request::Query(Query { text, options }));
        assert_invalid(response, expected, text);
    }
    client.send(1, &Request::Startup(vec![("WINGS", "2")]));
    assert!(matches!(client.hear(), Heard::Answer(1, Response::Error(_))));
    stage.end();
}
