"""A node that is killed or stopped has every acknowledged write when it comes back."""

import collections
import random
import re
import threading
import time
import urllib.request

import pytest
from conftest import Node, free_port

BACKGROUND = ("flushes", "compactions", "compaction_bytes_written")


def counters(port, *names):
    """These counters of the node's engine."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        text = answer.read().decode()
    found = {}
    for name in names:
        found[name] = int(re.search(rf"^helenus_engine_{name}_total (\d+)", text, re.M).group(1))
    return found


@pytest.mark.parametrize("durability", ["group", "periodic", "batch"])
def test_killed_at_random_moments(tmp_path, durability):
    metrics = free_port()
    node = Node(
        tmp_path, "--set", f"commit_log.mode={durability}", "--set", "memtable.flush_bytes=64KiB",
        # Of two metrics.port the later counts.
        "--set", f"metrics.port={metrics}",
    )
    cluster = node.cluster()
    session = cluster.connect()
    session.execute("CREATE KEYSPACE k WITH replication = {'class': 'SimpleStrategy', 'replication_factor': 1}")
    session.execute("CREATE TABLE k.t (p int, c int, v text, PRIMARY KEY (p, c))")
    cluster.shutdown()
    promised, unknown = {}, {}
    background = collections.Counter()
    chance = random.Random(7)
    for _ in range(4):
        cluster = node.cluster()
        session = cluster.connect("k")
        insert = session.prepare("INSERT INTO t (p, c, v) VALUES (?, ?, ?)")
        delete = session.prepare("DELETE FROM t WHERE p = ? AND c = ?")
        stop = threading.Event()

        def work(worker, seed):
            mine = random.Random(seed)
            while not stop.is_set():
                key = (worker, mine.randrange(300))
                value = None if mine.random() < 0.2 else f"{seed}-{mine.random()}" * 10
                unknown.setdefault(key, set()).add(value)
                try:
                    if value is None:
                        session.execute(delete, key, timeout=5)
                    else:
                        session.execute(insert, (*key, value), timeout=5)
                except Exception:
                    return
                promised[key] = value
                unknown[key] = set()

        workers = [
            threading.Thread(target=work, args=(w, chance.random())) for w in range(6)
        ]
        for worker in workers:
            worker.start()
        kill_at = time.monotonic() + 0.5 + chance.random()
        while time.monotonic() < kill_at:
            time.sleep(0.05)
            met = counters(metrics, *BACKGROUND)
        background.update(met)
        node.kill()
        stop.set()
        for worker in workers:
            worker.join()
        cluster.shutdown()
        node.start()
        cluster = node.cluster()
        session = cluster.connect("k")
        found = {(row.p, row.c): row.v for row in session.execute("SELECT p, c, v FROM t")}
        cluster.shutdown()
        for key in promised.keys() | unknown.keys() | found.keys():
            allowed = {promised.get(key)} | unknown.get(key, set())
            assert found.get(key) in allowed, f"{key}: {found.get(key)} is not one of {allowed}"
            promised[key] = found.get(key)
            unknown[key] = set()
    assert len(promised) > 100
    # Every kill is amid both: a table of this size is flushed and compacted without end.
    assert background["flushes"] > 20 and background["compactions"] > 4, background
    assert background["compaction_bytes_written"] > 0, background
    assert node.stop() == 0
    node.start()
    cluster = node.cluster()
    found = {(r.p, r.c): r.v for r in cluster.connect("k").execute("SELECT p, c, v FROM t")}
    cluster.shutdown()
    assert found == {key: value for key, value in promised.items() if value is not None}
    assert node.stop() == 0
