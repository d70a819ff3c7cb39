#!/usr/bin/env python3
"""CPU and latency of one node, and of three with every row on all of them at QUORUM.

    benches/three_nodes.py path/to/helenus [seconds]

The nodes and the load share this machine; CPU is that of the nodes alone, by request.
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

BINARY, SECONDS = pathlib.Path(sys.argv[1]).resolve(), sys.argv[2] if len(sys.argv) > 2 else "10"
TICK = os.sysconf("SC_CLK_TCK")
CQL, INTERNODE = 29042, 27000


def cpu(processes):
    total = 0
    for process in processes:
        fields = pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICK


def start(directory, count):
    addresses = [f"127.9.0.{number + 1}" for number in range(count)]
    processes = []
    for address in addresses:
        processes.append(subprocess.Popen(
            [
                BINARY, "serve", "--data-dir", f"{directory}/{address}", "--listen", address, "--cql-port", str(CQL),
                "--set", f"listen.internode_port={INTERNODE}", "--set", "metrics.port=0",
                "--set", f"cluster.seeds={','.join(addresses) if count > 1 else ''}",
                "--set", "commit_log.mode=periodic",
            ],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ))
    for address in addresses:
        while True:
            try:
                socket.create_connection((address, CQL), 0.2).close()
                break
            except OSError:
                time.sleep(0.05)
    time.sleep(2)
    return addresses[0], processes


def statements(address, *cql):
    command = [BINARY, "shell", f"{address}:{CQL}"]
    for statement in cql:
        command += ["-e", statement]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def load(address, processes, kind, level):
    before = cpu(processes)
    done = subprocess.run(
        [BINARY, "bench", kind, f"{address}:{CQL}", "--duration", f"{SECONDS}s", "--keyspace", "three",
         "--consistency", level, "--no-populate", "--json"],
        check=True, capture_output=True, text=True,
    )
    report = json.loads(done.stdout)
    assert report["errors"] == 0, report["first_error"]
    return report, cpu(processes) - before


for count, level in ((1, "ONE"), (3, "QUORUM")):
    directory = tempfile.mkdtemp(prefix="helenus-three-")
    address, processes = start(directory, count)
    try:
        statements(address, "CREATE KEYSPACE three WITH replication = "
                            f"{{'class': 'SimpleStrategy', 'replication_factor': {count}}}")
        for kind in ("write", "read"):
            report, seconds = load(address, processes, kind, level)
            requests, figures = report["requests"], report[f"{kind}s"]
            print(f"{count} node{'s' if count > 1 else ''}, {level}, {kind}: {report['per_second']:,.0f} /s, "
                  f"{seconds / requests * 1e6:.1f} us of CPU a request, p50 {figures['p50_us'] / 1000:.2f} ms, "
                  f"p99 {figures['p99_us'] / 1000:.2f} ms", flush=True)
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait()
        shutil.rmtree(directory)
