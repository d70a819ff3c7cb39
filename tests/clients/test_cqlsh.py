"""cqlsh as it comes from PyPI, unmodified: what a person sees who types at it."""

import csv
import os
import pathlib
import re
import subprocess

import pytest

CQLSH = pathlib.Path(os.environ["CQLSH_UNDER_TEST"]).absolute()


class Shell:
    def __init__(self, node, directory):
        self.node, self.directory = node, directory

    def run(self, text, *arguments, keyspace=None, ok=True):
        """What cqlsh prints for these lines; errors go to the same place."""
        script = self.directory / "script.cql"
        script.write_text(text + "\n")
        command = [CQLSH, "127.0.0.1", str(self.node.port), "--no-color", "--encoding", "utf-8", "-f", script]
        command += ["-k", keyspace] if keyspace else []
        done = subprocess.run(
            [*command, *arguments], capture_output=True, text=True, timeout=120, cwd=self.directory,
            env={"PATH": os.environ["PATH"], "HOME": str(self.directory), "CQLSH_NO_BUNDLED": "1"},
        )
        out = re.sub(r"^WARNING: cqlsh was built against .*\n", "", done.stdout) + done.stderr
        assert (done.returncode == 0) is ok, out
        return out


@pytest.fixture
def shell(node, tmp_path):
    shell = Shell(node, tmp_path)
    shell.run(
        "DROP KEYSPACE IF EXISTS sh; CREATE KEYSPACE sh WITH replication = "
        "{'class': 'SimpleStrategy', 'replication_factor': 1};"
    )
    return shell


def test_show_and_settings(shell):
    out = shell.run("SHOW VERSION\nSHOW HOST\nCONSISTENCY\nCONSISTENCY QUORUM\nSERIAL CONSISTENCY LOCAL_SERIAL")
    assert re.search(r"^\[cqlsh 6\.2\.\d+ \| Cassandra 5\.0\.\d+ \| CQL spec 3\.4\.7 \| Native protocol v5\]$", out, re.M)
    assert f"Connected to Helenus at 127.0.0.1:{shell.node.port}" in out
    assert "Current consistency level is ONE." in out
    assert "Consistency level set to QUORUM." in out
    assert "Serial consistency level set to LOCAL_SERIAL." in out


def test_rows_are_shown_as_tables(shell):
    out = shell.run(
        "CREATE TABLE t (k int PRIMARY KEY, v text, l list<int>, m map<text, int>, b blob, d double);\n"
        "INSERT INTO t (k, v, l, m, b, d) VALUES (1, 'grüße', [1, 2], {'a': 1}, 0x00ff, 1.5);\n"
        "INSERT INTO t (k) VALUES (2);\nSELECT * FROM t;\nEXPAND ON\nSELECT k, v FROM t WHERE k = 1;",
        keyspace="sh",
    )
    assert " k | b      | d    | l      | m        | v\n" in out
    assert " 1 | 0x00ff |  1.5 | [1, 2] | {'a': 1} | grüße\n" in out
    assert " 2 |   null | null |   null |     null |  null\n" in out
    assert "(2 rows)" in out and "Expanded output is enabled" not in out
    assert "@ Row 1\n---+-------\n k | 1\n v | grüße\n" in out


def test_errors_are_told(shell):
    out = shell.run("SELEC 1;\nSELECT * FROM nowhere;\nCREATE TABLE t (k int);", keyspace="sh", ok=False)
    assert "SyntaxException: line 1:0 no viable alternative at input 'SELEC'" in out
    assert "table nowhere does not exist" in out
    assert "No PRIMARY KEY specifed for table" in out


def test_pages_go_on(shell):
    inserts = "".join(f"INSERT INTO t (p, c) VALUES (1, {i});\n" for i in range(250))
    shell.run("CREATE TABLE t (p int, c int, PRIMARY KEY (p, c));\n" + inserts, keyspace="sh")
    out = shell.run("PAGING 40\nSELECT c FROM t;\nPAGING OFF\nSELECT c FROM t LIMIT 3;", keyspace="sh")
    assert "Page size: 40" in out
    assert [int(line) for line in re.findall(r"^ +(\d+)$", out, re.M)] == [*range(250), 0, 1, 2]
    assert "(250 rows)" in out


def test_tracing_tells_the_steps(shell):
    out = shell.run(
        "CREATE TABLE t (k int PRIMARY KEY, v int);\nTRACING ON\nINSERT INTO t (k, v) VALUES (1, 2);\n"
        "SELECT * FROM t WHERE k = 1;\nTRACING OFF\nSELECT * FROM t;",
        keyspace="sh",
    )
    assert out.count("Tracing session: ") == 2
    assert "Execute CQL3 query" in out and "Appending to commitlog: 1 mutations" in out
    assert "Executing single-partition query on sh.t" in out
    assert "Request complete" in out


SCHEMA = """
CREATE TYPE sh.inner (a int, b frozen<list<text>>);
CREATE TYPE sh.outer_type (i frozen<inner>, "Quoted" text);
CREATE TABLE sh.every (
    p1 ascii, p2 bigint, c1 timeuuid, c2 decimal, s inet static, "Mixed Case" text,
    f1 frozen<map<text, frozen<set<int>>>>, f2 tuple<int, text>, f3 vector<float, 3>, l list<duration>,
    u frozen<outer_type>, open inner, x varint, y smallint, z tinyint, dt date, tm time, ts timestamp,
    PRIMARY KEY ((p1, p2), c1, c2)
) WITH CLUSTERING ORDER BY (c1 DESC, c2 ASC) AND comment = 'it''s' AND gc_grace_seconds = 77
  AND compaction = {'class': 'LeveledCompactionStrategy', 'sstable_size_in_mb': '10'}
  AND compression = {'class': 'ZstdCompressor', 'compression_level': '3', 'chunk_length_in_kb': '32'}
  AND caching = {'keys': 'NONE', 'rows_per_partition': '10'} AND default_time_to_live = 100
  AND speculative_retry = 'MIN(99P,50MS)' AND read_repair = 'none' AND cdc = true
  AND bloom_filter_fp_chance = 0.05 AND min_index_interval = 64 AND max_index_interval = 512
  AND memtable_flush_period_in_ms = 5000 AND crc_check_chance = 0.5 AND additional_write_policy = 'ALWAYS'
  AND allow_auto_snapshot = false AND incremental_backups = false AND extensions = {'x': 0x0aff};
CREATE TABLE sh.counters (k int PRIMARY KEY, n counter);
ALTER TABLE sh.every DROP x;
"""


def test_describe_recreates_what_it_describes(shell):
    shell.run(SCHEMA)
    described = shell.run("DESCRIBE KEYSPACE sh")
    for part in ["CREATE KEYSPACE sh", "CREATE TYPE sh.inner", "CREATE TABLE sh.every", "CREATE TABLE sh.counters"]:
        assert part in described
    assert described.index("sh.inner (") < described.index("sh.outer_type (")
    shell.run("DROP KEYSPACE sh;")
    shell.run(described)
    again = shell.run("DESCRIBE KEYSPACE sh")
    assert again == described
    for option in [
        "comment = 'it''s'", "gc_grace_seconds = 77", "default_time_to_live = 100", "read_repair = 'NONE'",
        "'compression_level': '3'", "'sstable_size_in_mb': '10'", "speculative_retry = 'MIN(99p,50ms)'",
        "caching = {'keys': 'NONE', 'rows_per_partition': '10'}", "cdc = true", "bloom_filter_fp_chance = 0.05",
        "min_index_interval = 64", "max_index_interval = 512", "memtable_flush_period_in_ms = 5000",
        "crc_check_chance = 0.5", "additional_write_policy = 'ALWAYS'", "allow_auto_snapshot = false",
        "incremental_backups = false", "extensions = {'x': 0x0aff}", "CLUSTERING ORDER BY (c1 DESC, c2 ASC)",
    ]:
        assert f"AND {option}" in again or option in again, option
    assert '"Mixed Case" text' in again and '"Quoted" text' in again


def test_describe_in_all_forms(shell):
    shell.run(SCHEMA)
    assert "sh" in shell.run("DESCRIBE KEYSPACES").split()
    assert shell.run("DESCRIBE TABLES", keyspace="sh").split() == ["counters", "every"]
    assert "Keyspace system_schema" in shell.run("DESC TABLES")
    assert shell.run("DESCRIBE TYPES", keyspace="sh").split() == ["inner", "outer_type"]
    assert shell.run("DESCRIBE FUNCTIONS", keyspace="sh").strip() in ("", "<empty>")
    assert "CREATE TYPE sh.inner (\n    a int,\n    b frozen<list<text>>\n);" in shell.run("DESCRIBE TYPE sh.inner")
    assert "CREATE TABLE sh.counters" in shell.run("DESCRIBE TABLE counters", keyspace="sh")
    assert "CREATE TABLE sh.counters" in shell.run("DESCRIBE sh.counters")
    assert "CREATE TABLE sh.every" in shell.run("DESCRIBE sh")
    assert "CREATE KEYSPACE sh" in shell.run("DESCRIBE SCHEMA")
    assert "system_schema" in shell.run("DESCRIBE FULL SCHEMA")
    assert re.search(r"ID = [0-9a-f-]{36}", shell.run("DESCRIBE TABLE sh.counters WITH INTERNALS"))
    cluster = shell.run("DESCRIBE CLUSTER")
    assert "Cluster: Helenus" in cluster and "Partitioner: Murmur3Partitioner" in cluster
    assert "Range ownership:" in shell.run("DESCRIBE CLUSTER", keyspace="sh")
    assert "VIRTUAL TABLE system_views.clients" in shell.run("DESCRIBE TABLE system_views.clients")
    missing = shell.run("DESCRIBE TABLE sh.nothing", ok=False)
    assert "'nothing' not found in keyspace 'sh'" in missing


def test_copy_there_and_back(shell):
    columns = "k, a, b, bl, d, dc, dt, f, i, ip, l, m, n, s, t, tm, ts, tu, u, v"
    shell.run(
        "CREATE TYPE sh.pair (x int, y text);\n"
        "CREATE TABLE sh.t (k int PRIMARY KEY, a ascii, b bigint, bl blob, d double, dc decimal, dt date,"
        " f float, i smallint, ip inet, l list<int>, m map<text, int>, n frozen<pair>, s set<text>, t text, tm time,"
        " ts timestamp, tu timeuuid, u uuid, v varint);"
    )
    source = shell.directory / "in.csv"
    with source.open("w", newline="") as file:
        out = csv.writer(file)
        for k in range(10_000):
            out.writerow([
                k, f"a{k}", k * 2**40, f"0x{k:08x}", k / 8, f"{k}.125", "2024-02-29", k / 4, k % 30000,
                f"10.0.{k // 256}.{k % 256}", f"[{k}, 2]", f"{{'x': {k}}}", f"{{x: {k}, y: 'q, r'}}", "{'s', 't'}",
                f"grüße, {k}; and more", "13:30:54.234567891", "2024-02-29 13:30:54.234+0000",
                f"{k:08x}-0000-1000-8080-808080808080", f"{k:08x}-0000-4000-8080-808080808080", 10**30 + k,
            ])
    out = shell.run(f"COPY sh.t ({columns}) FROM 'in.csv';")
    assert "10000 rows imported from 1 files" in out, out
    assert " 10000\n" in shell.run("SELECT count(*) FROM sh.t;")
    out = shell.run(f"COPY sh.t ({columns}) TO 'out.csv' WITH PAGESIZE=500 AND HEADER=true;")
    assert "10000 rows exported to 1 files" in out, out
    shell.run("TRUNCATE sh.t;")
    out = shell.run(f"COPY sh.t ({columns}) FROM 'out.csv' WITH HEADER=true;")
    assert "10000 rows imported from 1 files" in out, out
    shell.run(f"COPY sh.t ({columns}) TO 'again.csv' WITH HEADER=true;")
    def read(name):
        with (shell.directory / name).open(newline="") as file:
            header, *rows = csv.reader(file)
        return header, sorted(rows)
    assert read("out.csv") == read("again.csv")
    header, rows = read("again.csv")
    row = dict(zip(header, next(row for row in rows if row[0] == "4711")))
    assert row["t"] == "grüße, 4711; and more" and row["v"] == str(10**30 + 4711)
    assert row["n"] == "{x: 4711, y: 'q, r'}" and row["ip"] == "10.0.18.103"


def test_source_and_login(shell):
    (shell.directory / "more.cql").write_text("CREATE TABLE sh.sourced (k int PRIMARY KEY);\n")
    assert "sourced" in shell.run("SOURCE 'more.cql'\nDESCRIBE TABLES", keyspace="sh")
    # Without authentication whoever logs in is let in, whatever they say.
    out = shell.run("SELECT cluster_name FROM system.local;", "-u", "somebody", "-p", "anything")
    assert "Helenus" in out
    out = shell.run("LOGIN somebody 'secret'\nSELECT cluster_name FROM system.local;")
    assert "Helenus" in out
