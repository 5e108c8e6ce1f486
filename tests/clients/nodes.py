"""Nodes that share a database, and a load on them that remembers the answers."""

import http.client
import itertools
import json
import random
import threading
import time
import traceback

from conftest import run
from database import Network, until
from history import Read, Write, faults

COMPANY = "/admin/v1/companies/cmp_001"
TAGS = COMPANY + "/customer_tags"
WRITERS = ["w0", "w1", "w2", "w3"]
BEFORE = {writer: 0 for writer in WRITERS}
TAG = "{{id: {0}, name: {0}, description: '0'}}"
DOCUMENT = f"companies: [{{id: cmp_001, name: Paws, customer_tags: [{', '.join(map(TAG.format, WRITERS))}]}}]"
# The greatest age of an answer: the default of `freshness_ms`.
BOUND = 1.0
# Short, so that the load does not wait during the whole test for a node that is cut off.
ENVIRONMENT = {
    "CUSTOMER_SETTINGS_LIMITS_REQUEST_TIMEOUT_MS": "3000",
    "CUSTOMER_SETTINGS_DATABASE_CONNECT_TIMEOUT_MS": "1000",
    "CUSTOMER_SETTINGS_DATABASE_STATEMENT_TIMEOUT_MS": "2000",
    "CUSTOMER_SETTINGS_LIMITS_REQUESTS_PER_SECOND": "1000000",
    "CUSTOMER_SETTINGS_LIMITS_REQUESTS_BURST": "1000000",
}
NO_ANSWER = (OSError, http.client.HTTPException)


class Node:
    """A server with a network of its own to the database."""

    def __init__(self, start, server, database):
        self.network = Network(server.port)
        url = f"postgres://owner:very-secret@127.0.0.1:{self.network.port}/{database}?sslmode=disable"
        self.start = lambda: start(env={**ENVIRONMENT, "CUSTOMER_SETTINGS_DATABASE_URL": url})
        self.restart()

    def restart(self):
        self.server = self.start()

    def connect(self):
        host, port = self.server.address.split(":")
        return http.client.HTTPConnection(host, int(port), timeout=10)

    def ask(self, method, path, key, body=None, headers=(), connection=None):
        """Status, headers and JSON."""
        connection = connection or self.connect()
        headers = {"Authorization": f"Bearer {key}", **dict(headers)}
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, json.loads(answer.read())


class Cluster:
    """Three nodes over a new database, which holds the writers' entries."""

    def __init__(self, start, server):
        self.database = server.make().rsplit("/", 1)[1]
        url = server.url(self.database)
        run("load", "--database-url", url, "-", stdin=DOCUMENT)
        self.key = run("key", "create", "--database-url", url, "--name", "load", "--scope", "*").stdout.strip()
        self.nodes = [Node(start, server, self.database) for _ in range(3)]

    def close(self):
        for node in self.nodes:
            node.network.close()

    def ask(self, node, method, path, *arguments, **options):
        return self.nodes[node].ask(method, path, self.key, *arguments, **options)


class Load:
    """Writers that repeat each request until it is acknowledged, each time on any of their nodes, and a reader for
    each node. In `asks` of a hundred requests the reader asks for the revision that was just acknowledged. The load
    ends with its `with` block."""

    def __init__(self, cluster, writes_on=(0, 1, 2), asks=20):
        self.cluster, self.writes_on, self.asks = cluster, writes_on, asks
        self.writes, self.reads, self.wrong, self.refused = [], [], [], []
        self.is_going, self.has_failed = True, False
        works = [(self.write, writer) for writer in WRITERS]
        works += [(self.read, node) for node in range(len(cluster.nodes))]
        self.threads = [threading.Thread(target=self.run, args=work, daemon=True) for work in works]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, failure, *_):
        self.is_going, self.has_failed = False, failure is not None
        for thread in self.threads:
            thread.join(timeout=30)

    def run(self, work, of):
        try:
            work(of)
        except Exception:
            self.wrong.append(traceback.format_exc())

    def write(self, writer):
        _, _, entry = self.cluster.ask(self.writes_on[0], "GET", f"{TAGS}/{writer}")
        etag = entry["etag"]
        for number in itertools.count(1):
            if not self.is_going:
                return
            begun = time.monotonic()
            path = f"{TAGS}/{writer}?request_id={writer}-{number}&update_mask=description"
            # With the etag no write can be made twice: the etag does not match the second time.
            node, headers, entry = self.repeat("PATCH", path, {"description": str(number)}, {"If-Match": f'"{etag}"'})
            assert entry["description"] == str(number), entry
            etag, revision = entry["etag"], int(headers["Settings-Revision"])
            self.writes.append(Write(begun, time.monotonic(), revision, writer, number, node))

    def repeat(self, method, path, body, headers):
        """The node that acknowledged the request in the end, and its answer."""
        while not self.has_failed:
            node = random.choice(self.writes_on)
            try:
                status, answered, answer = self.cluster.ask(node, method, path, body, headers)
            except NO_ANSWER as error:
                self.refused.append((time.monotonic(), node, repr(error)))
            else:
                if status == 200:
                    return node, answered, answer
                reasons = [detail["reason"] for detail in answer["details"] if "reason" in detail]
                self.refused.append((time.monotonic(), node, status, reasons))
                assert status in (503, 504) or reasons == ["CONTENDED"], (path, status, answer)
                assert status != 503 or answered["Retry-After"]
            # Every client should wait a little.
            time.sleep(0.05)
        raise RuntimeError("nobody waits for the answer any more")

    def read(self, node):
        while self.is_going:
            begun = time.monotonic()
            seen = [write.revision for write in self.writes[-4:]]
            at_least = max(seen) if seen and random.randrange(100) < self.asks else 0
            headers = {"Settings-Min-Revision": str(at_least)} if at_least else {}
            try:
                status, answered, answer = self.cluster.ask(node, "GET", TAGS, headers=headers)
            except NO_ANSWER:
                status = None
            if status == 200:
                revision, stale = int(answered["Settings-Revision"]), answered["Settings-Stale"]
                shown = {entry["id"]: int(entry["description"]) for entry in answer["entries"]}
                stale = int(stale) if stale else None
                self.reads.append(Read(begun, time.monotonic(), revision, shown, stale, at_least, node))
            else:
                assert status in (None, 504) or (status == 503 and answered["Retry-After"]), answer
            # Readers leave the machine some time for the writers.
            time.sleep(0.01)

    def wait(self, is_so, what):
        def is_so_by_now():
            assert not self.wrong, self.wrong[0]
            return is_so()

        try:
            until(is_so_by_now, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; refused last: {self.refused[-12:]}") from error

    def goes_on(self, nodes, seconds):
        """Waits for this long, and until these nodes have acknowledged writes and shown them."""
        until_then = time.monotonic() + seconds
        writes, reads = len(self.writes), len(self.reads)
        writing = set(nodes) & set(self.writes_on)

        def is_so():
            shown = {read.node for read in self.reads[reads:] if read.stale is None}
            written = {write.node for write in self.writes[writes:]}
            return time.monotonic() >= until_then and shown >= set(nodes) and written >= writing

        self.wait(is_so, f"nodes {nodes} work")

    def is_stale_on(self, nodes, seconds):
        """Waits for this long, and until these nodes answer from memory and say so."""
        until_then, reads = time.monotonic() + seconds, len(self.reads)

        def is_so():
            stale = {read.node for read in self.reads[reads:] if read.stale is not None}
            return time.monotonic() >= until_then and stale >= set(nodes)

        self.wait(is_so, f"nodes {nodes} answer from memory")

    def faults(self):
        """The faults of the load's answers, once the load has ended."""
        stuck = sum(thread.is_alive() for thread in self.threads)
        assert not stuck, f"{stuck} requests are never answered; refused last: {self.refused[-12:]}"
        assert not self.wrong, self.wrong[0]
        return faults(BEFORE, self.writes, self.reads, BOUND)
