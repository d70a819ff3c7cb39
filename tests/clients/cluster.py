"""Several nodes on this machine's loopback addresses, as one cluster."""

import itertools
import os
import pathlib
import signal
import socket
import subprocess
import time

from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.policies import (
    ConstantSpeculativeExecutionPolicy, RoundRobinPolicy, WhiteListRoundRobinPolicy,
)

BINARY = pathlib.Path(os.environ["BINARY_UNDER_TEST"])
NETWORKS = itertools.count(1)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class Member:
    """One node; what `serve` is given beside its addresses comes from the cluster."""

    def __init__(self, nodes, number):
        self.nodes = nodes
        self.address = f"127.{nodes.network}.0.{number}"
        self.directory = nodes.directory / f"node{number}"
        self.directory.mkdir()
        self.process = None
        self.is_paused = False

    def start(self, *arguments, seeds=None):
        nodes = self.nodes
        seeds = nodes.seeds if seeds is None else seeds
        self.process = subprocess.Popen(
            [
                BINARY, "serve", "--data-dir", str(self.directory / "data"), "--listen", self.address,
                "--cql-port", str(nodes.port), "--set", f"listen.internode_port={nodes.internode_port}",
                "--set", f"cluster.seeds={','.join(seeds)}", "--set", "metrics.port=0",
                *nodes.arguments, *arguments,
            ],
            stdout=subprocess.DEVNULL, stderr=open(self.directory / "node.log", "ab"),
        )

    def log(self):
        return (self.directory / "node.log").read_text()

    def serves(self):
        try:
            socket.create_connection((self.address, self.nodes.port), 0.2).close()
            return True
        except OSError:
            return False

    def wait(self, seconds=20):
        """Waits until the node serves clients."""
        deadline = time.monotonic() + seconds
        while not self.serves():
            assert self.process.poll() is None, f"the node stopped:\n{self.log()}"
            assert time.monotonic() < deadline, f"the node does not serve:\n{self.log()}"
            time.sleep(0.02)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def pause(self):
        self.process.send_signal(signal.SIGSTOP)
        self.is_paused = True

    def resume(self):
        self.process.send_signal(signal.SIGCONT)
        self.is_paused = False

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def command(self, *arguments):
        """What a command of the operator prints about this node."""
        done = subprocess.run(
            [BINARY, *arguments, "--data-dir", str(self.directory / "data")],
            capture_output=True, text=True, timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout


class Nodes:
    """A cluster to be."""

    def __init__(self, directory, count=3, arguments=()):
        self.directory = directory
        self.arguments = arguments
        # Each cluster has a network of its own, so that none meets the nodes of another test.
        self.network = 20 + (os.getpid() + next(NETWORKS)) % 200
        self.port, self.internode_port = free_port(), free_port()
        self.members = [Member(self, number) for number in range(1, count + 1)]
        self.seeds = [member.address for member in self.members]

    def start(self, order=None, pause=0.0):
        """Starts all nodes in this order, and answers how many seconds it took until all served."""
        begin = time.monotonic()
        for number in order or range(len(self.members)):
            self.members[number].start()
            time.sleep(pause)
        for member in self.members:
            member.wait()
        return time.monotonic() - begin

    def session(self, *members, keyspace=None, timeout=20, speculative=None):
        """A session on these members only, or on all; with `speculative`, another node is asked
        after so many seconds."""
        only = [member.address for member in members]
        policy = WhiteListRoundRobinPolicy(only) if only else RoundRobinPolicy()
        profile = ExecutionProfile(load_balancing_policy=policy, request_timeout=timeout)
        if speculative is not None:
            profile.speculative_execution_policy = ConstantSpeculativeExecutionPolicy(speculative, 5)
        contacts = only or [member.address for member in self.members]
        cluster = Cluster(
            contacts, port=self.port, protocol_version=5, connect_timeout=10,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile}, idle_heartbeat_interval=2,
            idle_heartbeat_timeout=2,
        )
        return cluster.connect(keyspace)

    def close(self):
        for member in self.members:
            if member.process is not None and member.process.poll() is None:
                if member.is_paused:
                    member.resume()
                member.kill()
