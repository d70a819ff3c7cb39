"""What an application does with the Python driver, at every protocol version."""

import datetime
import decimal
import ipaddress
import threading
import uuid

import pytest
from cassandra import AlreadyExists, ConsistencyLevel, InvalidRequest
from cassandra.cluster import EXEC_PROFILE_DEFAULT
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.protocol import SyntaxException
from cassandra.query import BatchStatement, BatchType, SimpleStatement, dict_factory
from cassandra.util import Date, Duration, OrderedMapSerializedKey, Time

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def table(session, definition, name="t"):
    session.execute(f"DROP TABLE IF EXISTS {name}")
    session.execute(f"CREATE TABLE {name} ({definition})")


SCALARS = {
    "ascii": ["plain", ""],
    "bigint": [0, -(2**63), 2**63 - 1],
    "blob": [b"", b"\x00\xff" * 100],
    "boolean": [True, False],
    "date": [Date(datetime.date(2024, 2, 29)), Date(-1)],
    "decimal": [decimal.Decimal("-12345678901234567890.123456789"), decimal.Decimal("1E+10")],
    "double": [0.0, -1.5e300, float("inf")],
    "duration": [Duration(1, 2, 3), Duration(-1, -2, -3)],
    "float": [0.5, -0.25],
    "inet": ["127.0.0.1", "2001:db8::1"],
    "int": [0, -(2**31), 2**31 - 1],
    "smallint": [-(2**15), 2**15 - 1],
    "text": ["grüße, 世界", ""],
    "time": [Time("13:30:54.234567891"), Time(0)],
    "timestamp": [datetime.datetime(2024, 2, 29, 13, 30, 54, 234000)],
    "timeuuid": [uuid.uuid1()],
    "tinyint": [-128, 127],
    "uuid": [uuid.uuid4()],
    "varint": [0, -(2**200), 2**200, 127, 128, -128, -129],
}


@pytest.mark.parametrize("cql", sorted(SCALARS))
def test_every_scalar_goes_there_and_back(session, cql):
    table(session, f"k int PRIMARY KEY, v {cql}")
    insert = session.prepare("INSERT INTO t (k, v) VALUES (?, ?)")
    select = session.prepare("SELECT v FROM t WHERE k = ?")
    for k, value in enumerate([*SCALARS[cql], None]):
        session.execute(insert, (k, value))
        assert session.execute(select, (k,)).one().v == value


@pytest.mark.parametrize("cql", sorted(set(SCALARS) - {"duration"}))
def test_every_scalar_can_be_a_key(session, cql):
    table(session, f"p {cql}, c {cql}, v int, PRIMARY KEY (p, c)")
    insert = session.prepare("INSERT INTO t (p, c, v) VALUES (?, ?, ?)")
    values = [v for v in SCALARS[cql] if v not in ("", b"")]
    for p in values:
        for i, c in enumerate(values):
            session.execute(insert, (p, c, i))
    select = session.prepare("SELECT v FROM t WHERE p = ? AND c = ?")
    for p in values:
        for i, c in enumerate(values):
            assert session.execute(select, (p, c)).one().v == i


def test_collections_tuples_vectors_and_nesting(session):
    table(
        session,
        "k int PRIMARY KEY, l list<int>, s set<text>, m map<text, bigint>, "
        "fl frozen<list<frozen<map<int, text>>>>, t tuple<int, text, frozen<list<int>>>, "
        "v vector<float, 3>, sv vector<text, 2>, deep map<int, frozen<map<text, frozen<set<uuid>>>>>",
    )
    ids = {uuid.uuid4(), uuid.uuid4()}
    row = (
        1, [3, 1, 2, 1], {"b", "a"}, {"x": 1, "y": -2}, [{1: "one"}, {}], (1, None, [1, 2]),
        [1.0, 2.5, -3.0], ["a", "bc"], {7: {"ids": ids}},
    )
    insert = session.prepare(f"INSERT INTO t (k, l, s, m, fl, t, v, sv, deep) VALUES ({','.join('?' * 9)})")
    session.execute(insert, row)
    got = session.execute("SELECT k, l, s, m, fl, t, v, sv, deep FROM t WHERE k = 1").one()
    assert got.l == [3, 1, 2, 1]
    assert set(got.s) == {"a", "b"} and list(got.s) == ["a", "b"]
    assert dict(got.m) == {"x": 1, "y": -2}
    assert [dict(m) for m in got.fl] == [{1: "one"}, {}]
    assert tuple(got.t) == (1, None, [1, 2])
    assert got.v == [1.0, 2.5, -3.0]
    assert got.sv == ["a", "bc"]
    assert {k: {a: set(b) for a, b in v.items()} for k, v in got.deep.items()} == {7: {"ids": ids}}
    session.execute("UPDATE t SET l = l + [9], s = s - {'a'}, m['z'] = 26, l[0] = 30 WHERE k = 1")
    got = session.execute("SELECT l, s, m FROM t WHERE k = 1").one()
    assert (got.l, set(got.s), dict(got.m)) == ([30, 1, 2, 1, 9], {"b"}, {"x": 1, "y": -2, "z": 26})
    session.execute("DELETE l[1], m['x'] FROM t WHERE k = 1")
    got = session.execute("SELECT l, m FROM t WHERE k = 1").one()
    assert (got.l, dict(got.m)) == ([30, 2, 1, 9], {"y": -2, "z": 26})


def test_user_defined_types(session):
    session.execute("DROP TABLE IF EXISTS people")
    session.execute("DROP TYPE IF EXISTS person")
    session.execute("DROP TYPE IF EXISTS address")
    session.execute("CREATE TYPE address (street text, zip int, tags frozen<set<text>>)")
    session.execute("CREATE TYPE person (name text, home frozen<address>)")
    session.execute("CREATE TABLE people (k int PRIMARY KEY, p frozen<person>, open address)")

    class Address:
        def __init__(self, street=None, zip=None, tags=None, country=None):
            self.street, self.zip, self.tags, self.country = street, zip, tags, country

    class Person:
        def __init__(self, name=None, home=None):
            self.name, self.home = name, home

    session.cluster.register_user_type(session.keyspace, "address", Address)
    session.cluster.register_user_type(session.keyspace, "person", Person)
    insert = session.prepare("INSERT INTO people (k, p, open) VALUES (?, ?, ?)")
    session.execute(insert, (1, Person("Ada", Address("Main", 7, {"x"})), Address("Side", None, None)))
    row = session.execute("SELECT p, open, p.home AS home, open.street AS street FROM people").one()
    assert (row.p.name, row.p.home.street, row.p.home.zip, set(row.p.home.tags)) == ("Ada", "Main", 7, {"x"})
    assert (row.open.street, row.open.zip) == ("Side", None)
    assert (row.home.street, row.street) == ("Main", "Side")
    session.execute("UPDATE people SET open.zip = 12 WHERE k = 1")
    session.execute("ALTER TYPE address ADD country text")
    row = session.execute("SELECT open, p FROM people WHERE k = 1").one()
    assert (row.open.street, row.open.zip) == ("Side", 12)


def test_schema_metadata_follows_changes(session):
    session.execute("DROP TABLE IF EXISTS meta")
    session.execute(
        "CREATE TABLE meta (a int, b text, c timeuuid, d decimal, s text static, v map<int, text>, "
        "PRIMARY KEY ((a, b), c, d)) WITH CLUSTERING ORDER BY (c DESC, d ASC) "
        "AND comment = 'a table' AND gc_grace_seconds = 100 AND default_time_to_live = 1000"
    )
    metadata = session.cluster.metadata.keyspaces[session.keyspace]
    assert metadata.replication_strategy.export_for_schema().startswith("{'class': 'SimpleStrategy'")
    meta = metadata.tables["meta"]
    assert [c.name for c in meta.partition_key] == ["a", "b"]
    assert [(c.name, c.is_reversed) for c in meta.clustering_key] == [("c", True), ("d", False)]
    assert meta.columns["s"].is_static
    assert meta.columns["v"].cql_type == "map<int, text>"
    assert meta.options["comment"] == "a table"
    assert meta.options["gc_grace_seconds"] == 100
    assert "CLUSTERING ORDER BY (c DESC, d ASC)" in meta.export_as_string()
    session.execute("ALTER TABLE meta ADD w int")
    assert "w" in metadata.tables["meta"].columns
    session.execute("ALTER TABLE meta DROP w")
    assert "w" not in metadata.tables["meta"].columns
    session.execute("DROP TABLE meta")
    assert "meta" not in metadata.tables
    assert session.cluster.metadata.partitioner == "org.apache.cassandra.dht.Murmur3Partitioner"
    assert session.cluster.metadata.token_map is not None
    assert len(session.cluster.metadata.all_hosts()) == 1
    assert "system" in session.cluster.metadata.keyspaces


def test_events_reach_another_client(node, session):
    other = node.cluster(session.cluster.protocol_version)
    watcher = other.connect()
    seen = threading.Event()
    try:
        session.execute("DROP TABLE IF EXISTS seen_by_others")
        session.execute("CREATE TABLE seen_by_others (k int PRIMARY KEY)")
        for _ in range(100):
            keyspace = other.metadata.keyspaces.get(session.keyspace)
            if keyspace and "seen_by_others" in keyspace.tables:
                seen.set()
                break
            threading.Event().wait(0.1)
        assert seen.is_set(), "the event of another client's CREATE TABLE did not arrive"
        assert watcher.execute("SELECT release_version FROM system.local").one()[0].startswith("5.0.")
    finally:
        other.shutdown()


def test_prepared_statements_survive_schema_changes(session):
    table(session, "k int PRIMARY KEY, v int")
    select = session.prepare("SELECT * FROM t WHERE k = ?")
    insert = session.prepare("INSERT INTO t (k, v) VALUES (?, ?)")
    session.execute(insert, (1, 2))
    assert tuple(session.execute(select, (1,)).one()) == (1, 2)
    session.execute("ALTER TABLE t ADD w text")
    session.execute("UPDATE t SET w = 'new' WHERE k = 1")
    assert session.execute(select, (1,)).one().w == "new" or session.cluster.protocol_version == 4
    session.execute(insert, (2, 3))
    session.execute("DROP TABLE t")
    session.execute("CREATE TABLE t (k int PRIMARY KEY, v int)")
    session.execute(insert, (1, 5))
    assert session.execute(select, (1,)).one().v == 5


def test_paging_over_a_hundred_thousand_rows(session):
    table(session, "p int, c int, v text, PRIMARY KEY (p, c)")
    insert = session.prepare("INSERT INTO t (p, c, v) VALUES (?, ?, ?)")
    rows = 100_000 if session.cluster.protocol_version == 5 and not session.cluster.compression else 5_000
    for first in range(0, rows, 100):
        batch = BatchStatement(BatchType.UNLOGGED)
        for i in range(first, first + 100):
            batch.add(insert, (first // 1000, i, f"value {i}"))
        session.execute(batch)
    statement = SimpleStatement("SELECT p, c, v FROM t", fetch_size=997)
    seen = sorted((row.p, row.c, row.v) for row in session.execute(statement))
    assert seen == [(i // 1000, i, f"value {i}") for i in range(rows)]
    reverse = SimpleStatement("SELECT c FROM t WHERE p = 3 ORDER BY c DESC", fetch_size=77)
    assert [row.c for row in session.execute(reverse)] == list(range(3999, 2999, -1))
    limited = SimpleStatement("SELECT c FROM t LIMIT 2500", fetch_size=1000)
    assert len(list(session.execute(limited))) == 2500
    per = SimpleStatement("SELECT c FROM t PER PARTITION LIMIT 3", fetch_size=7)
    assert len(list(session.execute(per))) == 3 * (rows // 1000)
    assert session.execute("SELECT count(*) FROM t").one()[0] == rows
    result = session.execute(SimpleStatement("SELECT c FROM t WHERE p = 1", fetch_size=10))
    again = session.execute(
        SimpleStatement("SELECT c FROM t WHERE p = 1", fetch_size=10), paging_state=result.paging_state
    )
    assert again.current_rows[0].c == 1010


def test_concurrent_requests(session):
    table(session, "k int PRIMARY KEY, v text")
    insert = session.prepare("INSERT INTO t (k, v) VALUES (?, ?)")
    results = execute_concurrent_with_args(session, insert, [(i, str(i)) for i in range(5000)], concurrency=200)
    assert all(ok for ok, _ in results)
    select = session.prepare("SELECT v FROM t WHERE k = ?")
    results = execute_concurrent_with_args(session, select, [(i,) for i in range(5000)], concurrency=200)
    assert [r.result_or_exc.one().v for r in results] == [str(i) for i in range(5000)]


def test_batches_and_conditions(session):
    table(session, "p int, c int, v int, s int static, PRIMARY KEY (p, c)")
    session.execute("BEGIN BATCH INSERT INTO t (p, c, v) VALUES (1, 1, 1); INSERT INTO t (p, s) VALUES (1, 9); APPLY BATCH")
    row = session.execute("INSERT INTO t (p, c, v) VALUES (1, 1, 2) IF NOT EXISTS").one()
    assert (row.applied, row.v, row.s) == (False, 1, 9)
    row = session.execute("UPDATE t SET v = 2 WHERE p = 1 AND c = 1 IF v = 7").one()
    assert (row.applied, row.v) == (False, 1)
    assert session.execute("UPDATE t SET v = 2 WHERE p = 1 AND c = 1 IF v = 1 AND s = 9").was_applied
    batch = BatchStatement(BatchType.LOGGED, consistency_level=ConsistencyLevel.QUORUM)
    batch.add("UPDATE t SET v = 3 WHERE p = 1 AND c = 1 IF v = 2")
    batch.add("INSERT INTO t (p, c, v) VALUES (1, 2, 2)")
    assert session.execute(batch).was_applied
    assert [(r.c, r.v) for r in session.execute("SELECT c, v FROM t WHERE p = 1")] == [(1, 3), (2, 2)]
    session.execute("DELETE FROM t WHERE p = 1 AND c > 1")
    assert [(r.c, r.v) for r in session.execute("SELECT c, v FROM t WHERE p = 1")] == [(1, 3)]


def test_counters(session):
    table(session, "k int PRIMARY KEY, a counter, b counter", "counters")
    add = session.prepare("UPDATE counters SET a = a + ?, b = b - ? WHERE k = 1")
    for _ in range(10):
        session.execute(add, (3, 1))
    batch = BatchStatement(BatchType.COUNTER)
    batch.add(add, (1, 1))
    session.execute(batch)
    row = session.execute("SELECT a, b FROM counters WHERE k = 1").one()
    assert (row.a, row.b) == (31, -11)


def test_timestamps_ttl_and_functions(session):
    table(session, "k int PRIMARY KEY, v text, n int")
    session.execute("INSERT INTO t (k, v) VALUES (1, 'x') USING TIMESTAMP 1000 AND TTL 1000")
    row = session.execute("SELECT writetime(v) AS w, ttl(v) AS t FROM t WHERE k = 1").one()
    assert row.w == 1000 and 990 <= row.t <= 1000
    session.execute("UPDATE t USING TIMESTAMP 999 SET v = 'older' WHERE k = 1")
    assert session.execute("SELECT v FROM t WHERE k = 1").one().v == "x"
    row = session.execute("SELECT now() AS n, uuid() AS u, token(k) AS t, toTimestamp(now()) AS s FROM t WHERE k = 1").one()
    assert row.n.version == 1 and row.u.version == 4 and row.t == -4069959284402364209
    assert abs((row.s - datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)).total_seconds()) < 5


def test_unset_null_and_named_values(session):
    table(session, "k int PRIMARY KEY, a int, b int")
    named = session.prepare("INSERT INTO t (k, a, b) VALUES (:k, :a, :b)")
    session.execute(named, {"k": 1, "a": 1, "b": 2})
    # Before v4 there is no unset value: the driver wants them all.
    session.execute(named, {"k": 1, "b": None} if session.cluster.protocol_version > 3 else {"k": 1, "a": 1, "b": None})
    row = session.execute("SELECT a, b FROM t WHERE k = 1").one()
    assert (row.a, row.b) == (1, None)
    row = session.execute("SELECT a FROM t WHERE k = %(k)s", {"k": 1}).one()
    assert row.a == 1


def test_errors_are_those_of_cassandra(session):
    table(session, "k int PRIMARY KEY, v int")
    with pytest.raises(AlreadyExists):
        session.execute("CREATE TABLE t (k int PRIMARY KEY)")
    with pytest.raises(SyntaxException, match="line 1:0 no viable alternative at input 'SELEC'"):
        session.execute("SELEC * FROM t")
    for statement, message in [
        ("SELECT * FROM nowhere", "table nowhere does not exist"),
        ("SELECT nothing FROM t", "Undefined column name nothing in table"),
        ("INSERT INTO t (v) VALUES (1)", "Some partition key parts are missing: k"),
        ("SELECT * FROM t WHERE v = 1", "ALLOW FILTERING"),
        ("UPDATE t SET k = 1 WHERE k = 2", "PRIMARY KEY part k found in SET part"),
        ("INSERT INTO t (k, v) VALUES (1, 'x')", "Invalid STRING constant"),
        ("CREATE KEYSPACE x WITH replication = {'class': 'Nonsense'}", "Nonsense"),
        ("DROP TABLE nowhere", "doesn't exist"),
    ]:
        with pytest.raises(Exception, match=message) as caught:
            session.execute(statement)
        assert isinstance(caught.value, (InvalidRequest, Exception)) and "server" not in type(caught.value).__name__.lower()
    assert session.execute("SELECT * FROM t").one() is None


def test_dict_rows_and_warnings(session):
    table(session, "k int, c int, PRIMARY KEY (k, c)")
    statement = SimpleStatement("SELECT count(*) FROM t")
    result = session.execute(statement)
    assert result.one()[0] == 0
    dicts = session.execution_profile_clone_update(EXEC_PROFILE_DEFAULT, row_factory=dict_factory)
    session.execute("INSERT INTO t (k, c) VALUES (1, 2)")
    assert session.execute("SELECT k, c AS other FROM t", execution_profile=dicts).one() == {"k": 1, "other": 2}
