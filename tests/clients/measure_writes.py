"""Measures writes over HTTP, history and roll back. No test: it prints, and is run by hand.

    cargo build --release && python3 tests/clients/measure_writes.py

Each write changes one tag of a company and carries a request id. Clients are a few processes with
plain sockets, so that they need little time themselves. They share the machine with the server.
"""

import argparse
import http.client
import json
import multiprocessing
import os
import pathlib
import selectors
import socket
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
CATALOGS = ["customer_tags", "referral_sources", "life_cycles", "action_statuses"]
WRITERS = [1, 16, 64]
# The limit of a key is not measured.
LIMITS = {f"CUSTOMER_SETTINGS_LIMITS_REQUESTS_{limit}": "1000000" for limit in ("PER_SECOND", "BURST")}


class Writer:
    """A connection that always has one write in progress."""

    def __init__(self, address, key, company, name):
        self.key, self.company, self.name, self.count = key, company, name, 0
        self.socket = socket.create_connection(address)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.times = []

    def send(self):
        self.count += 1
        name = f"{self.name} {self.count}"
        body = f'{{"name":"{name}"}}'
        # Writers of one company change different tags, because names are unique.
        path = f"/admin/v1/companies/{self.company}/customer_tags/tag_{self.name}?update_mask=name"
        self.socket.sendall(
            f"PATCH {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.key}\r\n"
            f"Content-Type: application/json\r\nIdempotency-Key: {os.getpid()} {name}\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        self.sent, self.answer = time.perf_counter(), b""

    def receive(self):
        """Whether the answer is complete."""
        self.answer += self.socket.recv(65536)
        head, blank, body = self.answer.partition(b"\r\n\r\n")
        if not blank:
            return False
        length = head.lower().split(b"content-length:")[1].split(b"\r\n")[0]
        if len(body) < int(length):
            return False
        if b" 200 " not in head.split(b"\r\n")[0]:
            raise SystemExit(self.answer.decode())
        self.times.append(time.perf_counter() - self.sent)
        return True


def write_for(seconds, address, key, jobs, results):
    writers = [Writer(address, key, company, name) for company, name in jobs]
    selector = selectors.DefaultSelector()
    for writer in writers:
        selector.register(writer.socket, selectors.EVENT_READ, writer)
        writer.send()
    end, busy = time.perf_counter() + seconds, len(writers)
    while busy:
        for ready, _ in selector.select():
            if ready.data.receive():
                if time.perf_counter() < end:
                    ready.data.send()
                else:
                    busy -= 1
    results.put([spent for writer in writers for spent in writer.times])


class Server:
    def __init__(self, program, data, entries):
        self.program, self.data = program, data
        companies = [
            {"id": f"cmp_{number}", "name": f"Company {number}", **{
                catalog: [
                    {"id": f"{'tag' if catalog == 'customer_tags' else 'x'}_{entry}", "name": f"An entry {entry}"}
                    for entry in range(max(entries // 4, 64 if catalog == "customer_tags" else 1))
                ]
                for catalog in CATALOGS
            }}
            for number in range(64)
        ]
        self.run("load", "-", stdin=json.dumps({"companies": companies}))
        self.key = self.run("key", "create", "--name", "measure", "--scope", "*").strip()
        self.process = subprocess.Popen(
            [program, "serve", "--listen", "127.0.0.1:0", "--data-dir", data, "--log", "warn"],
            env={**os.environ, **LIMITS}, stdout=subprocess.PIPE, text=True,
        )
        port = int(self.process.stdout.readline().rsplit(":", 1)[1])
        self.address = ("127.0.0.1", port)

    def run(self, *arguments, stdin=None):
        done = subprocess.run(
            [self.program, *arguments, "--data-dir", self.data], input=stdin, text=True, capture_output=True, check=True
        )
        return done.stdout

    def cpu(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def call(self, method, path, body=None):
        connection = http.client.HTTPConnection(*self.address, timeout=60)
        headers = {"Authorization": f"Bearer {self.key}"}
        start = time.perf_counter()
        connection.request(method, path, json.dumps(body) if body else None, headers)
        answer = connection.getresponse()
        text = answer.read()
        spent = time.perf_counter() - start
        if answer.status != 200:
            raise SystemExit(text.decode())
        return spent, json.loads(text)

    def writes(self, what, jobs, seconds):
        """Lets the writer of each job write, and prints the speed."""
        results, processes = multiprocessing.Queue(), min(4, len(jobs))
        before, start = self.cpu(), time.perf_counter()
        clients = [
            multiprocessing.Process(
                target=write_for, args=(seconds, self.address, self.key, jobs[number::processes], results)
            )
            for number in range(processes)
        ]
        for client in clients:
            client.start()
        times = sorted(spent for _ in clients for spent in results.get())
        elapsed, cpu = time.perf_counter() - start, self.cpu() - before
        for client in clients:
            client.join()
        p50, p99 = (times[int(len(times) * part)] * 1e3 for part in (0.5, 0.99))
        print(
            f"{what}, {len(jobs):2} writers: {len(times) / elapsed:6.0f} writes/s, p50 {p50:.2f} ms, p99 {p99:.2f} ms, "
            f"max {times[-1] * 1e3:.1f} ms, server {cpu / len(times) * 1e6:.0f} µs of CPU a write"
        )


def median(server, *call):
    return statistics.median(server.call(*call)[0] for _ in range(9)) * 1e3


def history(server, changes):
    """Makes a company with this many changes, each of one of 50 tags."""
    company = "/admin/v1/companies/cmp_1"
    revision = int(server.call("GET", company)[1]["revision"])
    connection = http.client.HTTPConnection(*server.address, timeout=60)
    start = time.perf_counter()
    for number in range(revision, changes):
        path = f"{company}/customer_tags/tag_{number % 50}?update_mask=description"
        headers = {"Authorization": f"Bearer {server.key}"}
        connection.request("PATCH", path, json.dumps({"description": f"Change {number}"}), headers)
        if connection.getresponse().read().startswith(b'{"code"'):
            raise SystemExit("a change was refused")
    print(f"{changes} changes of one company, one after the other: {time.perf_counter() - start:.1f} s")
    for what, path in [
        ("first page of 100 changes", "changes?page_size=100"),
        ("first page of 500 changes", "changes?page_size=500"),
        ("one entry's changes", "customer_tags/tag_7/changes?page_size=500"),
        ("list as of revision 50", "customer_tags?revision=50"),
    ]:
        print(f"{what}: {median(server, 'GET', f'{company}/{path}'):.1f} ms")
    for revision in (changes - 50, 50):
        dry = {"revision": revision, "validateOnly": True}
        spent = median(server, "POST", f"{company}:rollback", dry)
        print(f"roll back to revision {revision}: dry run {spent:.1f} ms", end=", ")
        print(f"done in {server.call('POST', f'{company}:rollback', {'revision': revision})[0] * 1e3:.1f} ms")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", type=pathlib.Path, default=TARGET / "release" / "customer-settings")
    parser.add_argument("--entries", type=int, default=400, help="of each company, in its four catalogs (default 400)")
    parser.add_argument("--seconds", type=float, default=3, help="of each measurement of writes (default 3)")
    parser.add_argument("--changes", type=int, default=10_000, help="of the company whose history is read (0: none)")
    # On a real disk: a temporary directory may be in memory.
    parser.add_argument("--dir", type=pathlib.Path, default=ROOT / "target", help="where the data is while it runs")
    options = parser.parse_args()
    options.dir.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.dir) as data:
        server = Server(options.program, data, options.entries)
        try:
            for writers in WRITERS:
                server.writes("one company", [("cmp_0", number) for number in range(writers)], options.seconds)
            for writers in WRITERS:
                jobs = [(f"cmp_{number}", 0) for number in range(writers)]
                server.writes("a company each", jobs, options.seconds)
            if options.changes:
                history(server, options.changes)
        finally:
            server.process.terminate()
            server.process.wait()


if __name__ == "__main__":
    main()
