"""Three containers as docker-compose.yml describes them."""

import itertools
import pathlib
import shutil
import socket
import subprocess
import threading
import time

import pytest
from cassandra import ConsistencyLevel
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import (
    ConstantSpeculativeExecutionPolicy, RoundRobinPolicy, WhiteListRoundRobinPolicy,
)
from cassandra.query import SimpleStatement

ROOT = pathlib.Path(__file__).resolve().parents[2]
ADDRESSES = {f"node{number}": f"172.30.77.1{number}" for number in (1, 2, 3)}
COMPOSE = ["docker-compose"] if shutil.which("docker-compose") else ["docker", "compose"]
PROJECT = "helenus-test"


def run(*command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def compose(*arguments):
    return run(*COMPOSE, "-p", PROJECT, *arguments)


def container(node):
    return compose("ps", "-q", node).strip()


def serves(node):
    try:
        socket.create_connection((ADDRESSES[node], 9042), 0.2).close()
        return True
    except OSError:
        return False


def wait(*nodes, seconds=10):
    deadline = time.monotonic() + seconds
    while not all(serves(node) for node in nodes):
        assert time.monotonic() < deadline, compose("logs", "--tail", "20")
        time.sleep(0.02)


def session(*nodes, speculative=None):
    only = [ADDRESSES[node] for node in nodes]
    policy = WhiteListRoundRobinPolicy(only) if only else RoundRobinPolicy()
    profile = ExecutionProfile(load_balancing_policy=policy, request_timeout=5)
    if speculative:
        profile.speculative_execution_policy = ConstantSpeculativeExecutionPolicy(speculative, 5)
    cluster = Cluster(
        only or list(ADDRESSES.values()), protocol_version=5, connect_timeout=5,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        idle_heartbeat_interval=2, idle_heartbeat_timeout=2,
    )
    return cluster.connect()


@pytest.fixture
def down():
    compose("down", "-v", "--timeout", "5")
    yield
    compose("down", "-v", "--timeout", "5")


@pytest.mark.parametrize("order", list(itertools.permutations(ADDRESSES)), ids="-".join)
def test_three_nodes_serve_within_ten_seconds_in_every_order_of_start(down, order):
    compose("up", "--no-start", "--no-build")
    begun = time.monotonic()
    for node in order:
        compose("start", node)
        time.sleep(0.5)
    wait(*order)
    took = time.monotonic() - begun
    print(f"{'-'.join(order)}: {took:.1f} s, the starting of containers included")
    known = session()
    assert len(known.cluster.metadata.all_hosts()) == 3
    known.cluster.shutdown()


def test_killed_paused_and_cut_off_no_row_is_lost_and_all_replicas_agree(down):
    compose("up", "-d", "--no-build")
    wait(*ADDRESSES)
    known = session(speculative=0.2)
    known.execute(
        "CREATE KEYSPACE k WITH replication = {'class': 'NetworkTopologyStrategy', 'datacenter1': 3}"
    )
    known.execute("CREATE TABLE k.t (p int PRIMARY KEY, v int)")
    insert = known.prepare("INSERT INTO k.t (p, v) VALUES (?, ?)")
    insert.consistency_level, insert.is_idempotent = ConsistencyLevel.QUORUM, True
    stop, promised, errors = threading.Event(), {}, []

    def work():
        number = 0
        while not stop.is_set():
            begun = time.monotonic()
            try:
                known.execute(insert, (number % 500, number))
                promised[number % 500] = number
            except Exception as error:
                errors.append((begun, time.monotonic(), error))
            number += 1

    worker = threading.Thread(target=work)
    worker.start()
    time.sleep(2)
    for what, begin, end in [
        ("kill", lambda c: run("docker", "kill", c), lambda c: run("docker", "start", c)),
        ("pause", lambda c: run("docker", "pause", c), lambda c: run("docker", "unpause", c)),
        ("cut off", lambda c: run("docker", "network", "disconnect", f"{PROJECT}_helenus", c),
         lambda c: run("docker", "network", "connect", "--ip", ADDRESSES["node2"],
                       f"{PROJECT}_helenus", c)),
    ]:
        del errors[:]
        one = container("node2")
        begun = time.monotonic()
        begin(one)
        time.sleep(8)
        end(one)
        longest = max([0.0, *(end - begun for _, end, _ in list(errors))])
        print(f"{what}: errors for {longest:.1f} s, {len(errors)} of them")
        assert longest <= 2.0, (what, errors[-1])
        wait("node2", seconds=20)
        time.sleep(3)
    stop.set()
    worker.join()
    assert len(promised) == 500
    # What the node missed comes to it as hints.
    deadline = time.monotonic() + 60
    while True:
        seen = []
        for node in ADDRESSES:
            local = session(node)
            rows = local.execute(
                SimpleStatement("SELECT p, v FROM k.t", consistency_level=ConsistencyLevel.ONE)
            )
            seen.append({row.p: row.v for row in rows})
            local.cluster.shutdown()
        if seen[0] == seen[1] == seen[2]:
            break
        assert time.monotonic() < deadline, [len(rows) for rows in seen]
        time.sleep(1)
    assert all(seen[0][p] >= v for p, v in promised.items())
    known.cluster.shutdown()
