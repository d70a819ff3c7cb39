"""Three nodes: formed in any order, killed, paused, caught up, grown and shrunk.

CLUSTER_FAILURES (4 unless told) is the number of failures in a row of the failure test, and
HINT_SECONDS (5) how long a node is away in the test of hints.
"""

import os
import random
import threading
import time

import pytest
from cassandra import ConsistencyLevel, InvalidRequest, Unavailable
from cassandra.cluster import NoHostAvailable
from cassandra.query import SimpleStatement
from cluster import Nodes

RF3 = "{'class': 'NetworkTopologyStrategy', 'datacenter1': 3}"
RF1 = "{'class': 'SimpleStrategy', 'replication_factor': 1}"


@pytest.fixture
def nodes(tmp_path):
    nodes = Nodes(tmp_path)
    yield nodes
    nodes.close()


def at(cql, level):
    return SimpleStatement(cql, consistency_level=level)


def patiently(action, seconds=8):
    """Does it again until the nodes have heard of one another."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return action()
        except Exception:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def versions(session):
    """The schema versions that a node knows of itself and of the others."""
    rows = list(session.execute("SELECT schema_version FROM system.local"))
    rows += session.execute("SELECT schema_version FROM system.peers_v2")
    return [row.schema_version for row in rows]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_whatever_the_order_of_start_it_is_one_cluster(nodes, order):
    took = nodes.start(order, pause=0.3)
    assert took < 10, f"{took:.1f} s"
    first, last = nodes.session(nodes.members[0]), nodes.session(nodes.members[2])
    first.execute(f"CREATE KEYSPACE k WITH replication = {RF3}")
    first.execute("CREATE TABLE k.t (p int PRIMARY KEY, v text)")
    patiently(lambda: last.execute(at("INSERT INTO k.t (p, v) VALUES (1, 'x')", ConsistencyLevel.ALL)))
    for member in nodes.members:
        session = nodes.session(member)
        known = versions(session)
        assert len(known) == 3 and len(set(known)) == 1
        assert session.execute(at("SELECT v FROM k.t WHERE p = 1", ConsistencyLevel.ONE)).one().v == "x"
        session.cluster.shutdown()
    assert len({s.cluster.metadata.cluster_name for s in (first, last)}) == 1
    first.cluster.shutdown()
    last.cluster.shutdown()


def test_too_few_replicas_are_unavailable_with_the_numbers(nodes):
    nodes.start()
    session = nodes.session(nodes.members[0])
    session.execute(f"CREATE KEYSPACE k WITH replication = {RF3}")
    session.execute("CREATE TABLE k.t (p int PRIMARY KEY, v text)")
    for member in nodes.members[1:]:
        assert member.stop() == 0
    deadline = time.monotonic() + 20
    while True:
        try:
            session.execute(at("INSERT INTO k.t (p, v) VALUES (1, 'x')", ConsistencyLevel.QUORUM))
        except NoHostAvailable as error:
            unavailable = next(iter(error.errors.values()))
            assert isinstance(unavailable, Unavailable)
            assert (unavailable.required_replicas, unavailable.alive_replicas) == (2, 1)
            break
        except Exception:
            assert time.monotonic() < deadline
    session.execute(at("INSERT INTO k.t (p, v) VALUES (1, 'x')", ConsistencyLevel.ONE))
    with pytest.raises(InvalidRequest, match="replicas"):
        session.execute("INSERT INTO k.t (p, v) VALUES (1, 'x') IF NOT EXISTS")
    session.cluster.shutdown()


def test_a_client_sees_a_failure_for_two_seconds_at_most_and_loses_nothing(nodes):
    nodes.start()
    session = nodes.session(speculative=0.2, timeout=4)
    session.execute(f"CREATE KEYSPACE k WITH replication = {RF3}")
    session.execute("CREATE TABLE k.t (p int PRIMARY KEY, v int)")
    insert = session.prepare("INSERT INTO k.t (p, v) VALUES (?, ?)")
    select = session.prepare("SELECT v FROM k.t WHERE p = ?")
    for statement in (insert, select):
        statement.consistency_level = ConsistencyLevel.QUORUM
        statement.is_idempotent = True
    promised, failures, stop = {}, [], threading.Event()

    def work(worker):
        value = 0
        while not stop.is_set():
            key = worker * 1000 + value % 50
            begun = time.monotonic()
            try:
                session.execute(insert, (key, value))
                promised[key] = value
                found = session.execute(select, (key,)).one()
                assert found is not None and found.v == value, (key, value, found)
            except AssertionError as error:
                failures.append((begun, begun, error))
                return
            except Exception as error:
                failures.append((begun, time.monotonic(), error))
                # Nobody knows whether it is there; only what is promised is looked at.
                promised.pop(key, None)
            value += 1

    workers = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for worker in workers:
        worker.start()
    chance, longest = random.Random(int(os.environ.get("CLUSTER_SEED", 7))), 0.0
    for round_ in range(int(os.environ.get("CLUSTER_FAILURES", 4))):
        member = nodes.members[chance.randrange(3)]
        kind = chance.choice(["kill", "pause"])
        del failures[:]
        time.sleep(1)
        assert not failures, failures[0]
        begun = time.monotonic()
        if kind == "kill":
            member.kill()
        else:
            member.pause()
        time.sleep(7)
        seen = [end - begun for _, end, error in list(failures)]
        wrong = [error for *_, error in list(failures) if isinstance(error, AssertionError)]
        assert not wrong, wrong[0]
        longest = max([longest, *seen])
        assert longest <= 2.0, f"round {round_}, {kind}: {longest:.1f} s: {failures[-1]}"
        if kind == "kill":
            member.start()
            member.wait()
        else:
            member.resume()
        time.sleep(3)
    stop.set()
    for worker in workers:
        worker.join()
    print(f"errors were seen for at most {longest:.2f} s; {len(promised)} keys")
    for key, value in promised.items():
        found = session.execute(select, (key,)).one()
        assert found is not None and found.v >= value, (key, value, found)
    session.cluster.shutdown()


def test_a_node_that_was_away_has_everything_soon_after_it_is_back(nodes):
    nodes.start()
    session = nodes.session(nodes.members[0])
    session.execute(f"CREATE KEYSPACE k WITH replication = {RF3}")
    session.execute("CREATE TABLE k.t (p int PRIMARY KEY, v text)")
    insert = session.prepare("INSERT INTO k.t (p, v) VALUES (?, ?)")
    insert.consistency_level = ConsistencyLevel.QUORUM
    away = nodes.members[2]
    away.kill()
    seconds = float(os.environ.get("HINT_SECONDS", 5))
    begun, written = time.monotonic(), 0
    while time.monotonic() - begun < seconds:
        futures = [session.execute_async(insert, (written + i, "x" * 50)) for i in range(50)]
        for future in futures:
            future.result()
        written += 50
        # About 1,000 a second.
        time.sleep(max(0, written / 1000 - (time.monotonic() - begun)))
    away.start()
    away.wait()
    back = time.monotonic()
    local = nodes.session(away)
    while True:
        count = local.execute(at("SELECT count(*) FROM k.t", ConsistencyLevel.ONE)).one().count
        if count == written:
            break
        assert time.monotonic() - back < 60, f"{count} of {written} rows after 60 s"
        time.sleep(0.2)
    print(f"{written} rows were there {time.monotonic() - back:.1f} s after the node was back")
    session.cluster.shutdown()
    local.cluster.shutdown()


def test_a_cluster_grows_and_shrinks_and_keeps_every_row(nodes):
    first, *others = nodes.members
    # It begins alone, as one that was not meant to have others.
    first.start(seeds=[])
    first.wait()
    session = nodes.session(first)
    session.execute(f"CREATE KEYSPACE k WITH replication = {RF1}")
    session.execute("CREATE TABLE k.t (p int, c int, v text, PRIMARY KEY (p, c))")
    insert = session.prepare("INSERT INTO k.t (p, c, v) VALUES (?, ?, ?)")
    rows = {(p, c) for p in range(200) for c in range(5)}
    for p, c in rows:
        session.execute(insert, (p, c, f"{p}/{c}"))
    session.execute("DELETE FROM k.t WHERE p = 7")
    rows -= {(7, c) for c in range(5)}
    # Writing goes on while the others join.
    stop, late, wrong = threading.Event(), set(), []

    def work():
        number = 1000
        while not stop.is_set():
            try:
                session.execute(insert, (number, 0, f"{number}/0"))
                late.add((number, 0))
            except Exception as error:
                wrong.append(error)
            number += 1

    worker = threading.Thread(target=work)
    worker.start()
    for member in others:
        member.start(seeds=[first.address])
    for member in others:
        member.wait(40)
    stop.set()
    worker.join()
    assert late and len(wrong) < len(late) / 10, (len(wrong), len(late), wrong[:1])
    rows |= late

    def check(session, level):
        found = {(row.p, row.c) for row in session.execute(at("SELECT p, c FROM k.t", level))}
        assert found == rows, (level, len(found), len(rows), sorted(rows ^ found)[:5])

    everywhere = nodes.session()
    check(everywhere, ConsistencyLevel.ONE)
    everywhere.execute(f"ALTER KEYSPACE k WITH replication = {RF3}")
    # Until the data has moved it is read where it was.
    check(everywhere, ConsistencyLevel.QUORUM)
    deadline = time.monotonic() + 30
    while True:
        try:
            check(everywhere, ConsistencyLevel.ALL)
            for member in nodes.members:
                local = nodes.session(member)
                check(local, ConsistencyLevel.ONE)
                local.cluster.shutdown()
            break
        except AssertionError:
            assert time.monotonic() < deadline
            time.sleep(0.5)
    everywhere.execute(f"ALTER KEYSPACE k WITH replication = {RF1}")
    time.sleep(1)
    nodes.members[1].command("decommission")
    check(nodes.session(nodes.members[0]), ConsistencyLevel.ONE)
    check(nodes.session(nodes.members[2]), ConsistencyLevel.ONE)
    everywhere.cluster.shutdown()
    session.cluster.shutdown()


def test_logged_batches_counters_and_pages_over_three_nodes(nodes):
    nodes.start()
    session = nodes.session()
    session.execute(f"CREATE KEYSPACE k WITH replication = {RF3}")
    session.set_keyspace("k")
    session.execute("CREATE TABLE t (p int, c int, v text, PRIMARY KEY (p, c))")
    session.execute("CREATE TABLE n (p int PRIMARY KEY, v counter)")
    level = ConsistencyLevel.QUORUM
    for batch in range(20):
        rows = "; ".join(f"INSERT INTO t (p, c, v) VALUES ({p}, {batch}, '{p}')" for p in range(20))
        session.execute(at(f"BEGIN BATCH {rows}; APPLY BATCH", level))
    for _ in range(30):
        session.execute(at("UPDATE n SET v = v + 2 WHERE p = 1", level))
    assert session.execute(at("SELECT v FROM n WHERE p = 1", level)).one().v == 60
    for fetch_size in (7, 100, 5000):
        statement = SimpleStatement("SELECT p, c FROM t", consistency_level=level, fetch_size=fetch_size)
        found = [(row.p, row.c) for row in session.execute(statement)]
        assert len(found) == 400 and len(set(found)) == 400
    one = SimpleStatement("SELECT c FROM t WHERE p = 3 ORDER BY c DESC LIMIT 5", consistency_level=level)
    assert [row.c for row in session.execute(one)] == [19, 18, 17, 16, 15]
    some = SimpleStatement("SELECT c FROM t WHERE p IN (1, 5, 9) AND c > 17", consistency_level=level)
    assert sorted(row.c for row in session.execute(some)) == [18, 18, 18, 19, 19, 19]
    assert session.execute(at("SELECT count(*) FROM t", level)).one().count == 400
    session.execute("TRUNCATE t")
    assert not list(session.execute(at("SELECT * FROM t", ConsistencyLevel.ALL)))
    session.cluster.shutdown()


def test_ddl_through_all_nodes_at_once_makes_one_history(nodes):
    nodes.start()
    sessions = [nodes.session(member) for member in nodes.members]
    sessions[0].execute(f"CREATE KEYSPACE k WITH replication = {RF3}")
    seconds, wrong = float(os.environ.get("DDL_SECONDS", 5)), []
    stop = time.monotonic() + seconds

    def work(session, seed):
        chance = random.Random(seed)
        while time.monotonic() < stop:
            name = f"t{chance.randrange(4)}"
            cql = chance.choice([
                f"CREATE TABLE k.{name} (p int PRIMARY KEY)", f"DROP TABLE k.{name}",
                f"ALTER TABLE k.{name} ADD c{chance.randrange(3)} int",
                f"ALTER TABLE k.{name} WITH comment = '{seed}'",
            ])
            try:
                session.execute(cql)
            except Exception as error:
                expected = ("already exist", "doesn't exist", "does not exist", "unconfigured", "conflicts",
                            "Unknown", "not found", "undefined", "Cannot re-add", "Invalid column")
                if not any(text in str(error) for text in expected):
                    wrong.append((cql, error))

    workers = [
        threading.Thread(target=work, args=(sessions[i % 3], i))
        for i in range(int(os.environ.get("DDL_CLIENTS", 6)))
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong, wrong[0]
    known = [version for session in sessions for version in versions(session)]
    assert len(known) == 9 and len(set(known)) == 1
    tables = [
        sorted(row.table_name for row in
               session.execute("SELECT table_name FROM system_schema.tables WHERE keyspace_name = 'k'"))
        for session in sessions
    ]
    assert tables[0] == tables[1] == tables[2]
    for session in sessions:
        session.cluster.shutdown()
