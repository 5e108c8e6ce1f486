"""Measures nodes on this machine: the time until a write appears on another node, with notices and without,
and the reads per second of one, two and three nodes. Not part of ./test:

    cargo build --release
    TESTED_PROFILE=release target/test-clients/bin/python tests/clients/measure_nodes.py

The clients need the same processors as the nodes, and PostgreSQL too, so compare the figures with each
other only.
"""

import argparse
import contextlib
import multiprocessing
import random
import signal
import socket
import statistics
import sys
import tempfile
import threading
import time

from conftest import PROGRAM, Server
from database import Postgres, until
from nodes import TAGS, Cluster

CLIENTS = 6
LIST = "/v1/setting/companies/cmp_001/customer/tags:list"


def main():
    arguments = argparse.ArgumentParser(description="Measures nodes on this machine.")
    arguments.add_argument("--writes", type=int, default=200, help="how many writes are waited for")
    arguments.add_argument("--seconds", type=float, default=5, help="how long reads are counted")
    chosen = arguments.parse_args()
    print(f"{PROGRAM}, {multiprocessing.cpu_count()} processors")
    with contextlib.ExitStack() as ends:
        server = Postgres().init().start()
        ends.callback(server.remove)
        cluster = Cluster(lambda **options: start(ends, **options), server)
        ends.callback(cluster.close)
        print("until a write on one node is seen on another one, from its acknowledgement:")
        show_delays("with notices", delays(cluster, chosen.writes))
        for node in cluster.nodes:
            node.network.cut_notices()
        show_delays("without notices", delays(cluster, chosen.writes))
        for node in cluster.nodes:
            node.network.heal()
        print(f"reads per second of a list of four entries, {CLIENTS} clients:")
        for count in [1, 2, 3, 1, 2, 3]:
            print(f"  {count} nodes: {reads_per_second(cluster, count, chosen.seconds):,.0f}")


def start(ends, **options):
    server = Server(tempfile.mkdtemp(), **options)
    ends.callback(server.stop, signal.SIGKILL)
    return server


def delays(cluster, writes):
    """The seconds from each acknowledgement on one node until the request whose answer from another node shows
    the write. The other node gets requests all the time, like a busy node."""
    reads, is_going = [(0.0, 0)], True

    def read():
        connection = cluster.nodes[1].connect()
        while is_going:
            asked = time.monotonic()
            _, headers, _ = cluster.ask(1, "GET", TAGS, connection=connection)
            reads.append((asked, int(headers["Settings-Revision"])))
            time.sleep(0.001)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    connection, seen = cluster.nodes[0].connect(), []
    for _ in range(writes):
        # The writes begin at any point of the second in which an answer is fresh.
        time.sleep(random.random())
        body = {"description": f"{time.monotonic()}"}
        path = f"{TAGS}/w0?update_mask=description"
        status, headers, answer = cluster.ask(0, "PATCH", path, body, connection=connection)
        acknowledged, before = time.monotonic(), len(reads) - 1
        assert status == 200, answer
        wanted = int(headers["Settings-Revision"])
        until(lambda: reads[-1][1] >= wanted, "the other node shows the write")
        shown = next(asked for asked, revision in reads[before:] if revision >= wanted)
        seen.append(max(0.0, shown - acknowledged))
    is_going = False
    reader.join()
    return sorted(seen)


def show_delays(what, seconds):
    most = seconds[-(len(seconds) // 100) - 1]
    at = {"median": statistics.median(seconds), "99 %": most, "longest": seconds[-1]}
    print(f"  {what}: " + ", ".join(f"{name} {value * 1e3:.1f} ms" for name, value in at.items()))


def reads_per_second(cluster, nodes, seconds):
    """The sum over these nodes. The same six clients, each a process of its own, send the requests."""
    addresses = [cluster.nodes[client % nodes].server.address for client in range(CLIENTS)]
    with multiprocessing.Pool(CLIENTS) as pool:
        counts = pool.starmap(count_reads, [(address, cluster.key, seconds) for address in addresses])
    return sum(counts) / seconds


def count_reads(address, key, seconds):
    """Sends sixteen requests at a time, and counts only the bytes of the answers, so that the client needs as little of
    the processors as possible."""
    host, port = address.split(":")
    request = (
        f"POST {LIST} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
        "Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    ).encode()
    count = 0
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(request)
        first = connection.recv(65536)
        assert first.startswith(b"HTTP/1.1 200") and first.endswith(b"}"), first
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            connection.sendall(request * 16)
            left = 16 * len(first)
            while left > 0:
                data = connection.recv(left)
                assert data, "the connection was closed"
                left -= len(data)
            count += 16
    return count


if __name__ == "__main__":
    sys.exit(main())
