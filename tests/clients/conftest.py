"""A node for the tests, and sessions on it at each protocol version."""

import os
import pathlib
import signal
import socket
import subprocess
import time

import pytest
from cassandra import ProtocolVersion
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import RoundRobinPolicy

BINARY = pathlib.Path(os.environ["BINARY_UNDER_TEST"])


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Node:
    """One running node with a data directory of its own."""

    def __init__(self, directory, *arguments):
        self.directory = directory
        self.port = free_port()
        self.arguments = arguments
        self.process = None
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [
                BINARY, "serve", "--data-dir", str(self.directory / "data"),
                "--cql-port", str(self.port), "--set", "metrics.port=0", *self.arguments,
            ],
            stdout=subprocess.PIPE,
            stderr=open(self.directory / "node.log", "ab"),
        )
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 0.2).close()
                return
            except OSError:
                log = (self.directory / "node.log").read_text()
                assert self.process.poll() is None, f"the node stopped:\n{log}"
                assert time.monotonic() < deadline, f"the node does not serve:\n{log}"
                time.sleep(0.01)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self):
        """Asks the node to stop, as an operator would, and returns its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(20)

    def cluster(self, version=5, compression=False):
        profile = ExecutionProfile(load_balancing_policy=RoundRobinPolicy(), request_timeout=30)
        return Cluster(
            ["127.0.0.1"], port=self.port, protocol_version=version, compression=compression,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile}, connect_timeout=10,
        )


@pytest.fixture(scope="session")
def node(tmp_path_factory):
    node = Node(tmp_path_factory.mktemp("node"))
    yield node
    if node.process.poll() is None:
        assert node.stop() == 0


@pytest.fixture(
    params=[(3, False), (4, False), (5, False), (3, "snappy"), (4, "lz4"), (4, "snappy"), (5, "lz4")],
    ids=["v3", "v4", "v5", "v3-snappy", "v4-lz4", "v4-snappy", "v5-lz4"],
)
def session(node, request):
    version, compression = request.param
    assert version in ProtocolVersion.SUPPORTED_VERSIONS
    cluster = node.cluster(version, compression)
    session = cluster.connect()
    keyspace = f"ks_v{version}{'_' + compression if compression else ''}"
    session.execute(
        f"CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = "
        "{'class': 'SimpleStrategy', 'replication_factor': 1}"
    )
    session.set_keyspace(keyspace)
    yield session
    cluster.shutdown()
