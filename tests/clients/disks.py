"""Disks to break under a server, and a load that remembers the answers: for the trials of test_disk.py."""

import contextlib
import fcntl
import http.client
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
import traceback

import pytest
from conftest import run
from database import until

COMPANY = "/admin/v1/companies/cmp_001"
TAGS = f"{COMPANY}/customer_tags"
LISTED = "/v1/setting/companies/cmp_001/customer/tags:list"
WRITERS = ["w0", "w1", "w2", "w3"]
TAG = "{{id: {0}, name: {0}, description: '0'}}"
DOCUMENT = f"companies: [{{id: cmp_001, name: Paws, customer_tags: [{', '.join(map(TAG.format, WRITERS))}]}}]"
ENVIRONMENT = {
    "CUSTOMER_SETTINGS_LIMITS_REQUEST_TIMEOUT_MS": "5000",
    "CUSTOMER_SETTINGS_LIMITS_REQUESTS_PER_SECOND": "1000000",
    "CUSTOMER_SETTINGS_LIMITS_REQUESTS_BURST": "1000000",
}
NO_ANSWER = (OSError, http.client.HTTPException)
# The reasons which say that nothing was written.
CERTAIN = {"STORE_UNAVAILABLE", "STORE_FULL", "STORE_REPLACED", "OVERLOADED", "CONTENDED"}


class Trial:
    """A server under a load of writers and a reader, over a data directory or, with a URL, a database. A trial can
    kill it and start it again."""

    def __init__(self, start, data):
        self.start_server = start
        if isinstance(data, str):
            self.where, self.environment = ["--database-url", data], {"CUSTOMER_SETTINGS_DATABASE_URL": data}
        else:
            self.where, self.environment = ["--data-dir", str(data)], {"CUSTOMER_SETTINGS_DATA_DIR": str(data)}
            data.mkdir(mode=0o700, exist_ok=True)
        run("load", *self.where, "-", stdin=DOCUMENT)
        self.key = run("key", "create", *self.where, "--name", "load", "--scope", "*").stdout.strip()
        self.numbers = {writer: itertools.count(1) for writer in WRITERS}
        # By request id: the acknowledged revision, the reason of the refusal, the written value.
        self.acknowledged, self.refused, self.unknown, self.wrote = {}, {}, set(), {}
        self.reads, self.wrong = {}, []
        self.is_dark = False
        self.start()

    def start(self):
        self.server = self.start_server(env={**ENVIRONMENT, **self.environment})

    def kill(self):
        return self.server.stop(signal.SIGKILL)

    @contextlib.contextmanager
    def dark(self, mount):
        """Cuts the power, and restores it at the end of the block. Linux takes some milliseconds to shut a file system
        down. Meanwhile it reports appended data as synced, and drops the data (a program that only appends and calls
        fdatasync met this in 15 of 150 cuts). No server answers after a real cut, so an acknowledgement that comes
        after the begin of the cut does not count."""
        self.is_dark = True
        mount.shut_down()
        yield
        self.is_dark = False

    @contextlib.contextmanager
    def load(self):
        """Runs writers and a reader during the block."""
        self.is_going = True
        works = [threading.Thread(target=self.guard, args=(self.write, one), daemon=True) for one in WRITERS]
        works.append(threading.Thread(target=self.guard, args=(self.read, None), daemon=True))
        for work in works:
            work.start()
        try:
            yield
        finally:
            self.is_going = False
            for work in works:
                work.join(timeout=30)
        assert not any(work.is_alive() for work in works), "a request is never answered"
        assert not self.wrong, self.wrong[0]

    def guard(self, work, of):
        try:
            work(of)
        except Exception:
            self.wrong.append(traceback.format_exc())

    def ask(self, connection, method, path, body=None):
        """Status, headers and JSON. After an error, the next request opens a new connection."""
        try:
            connection.request(method, path, json.dumps(body) if body else None, {"Authorization": f"Bearer {self.key}"})
            answer = connection.getresponse()
            return answer.status, answer.headers, json.loads(answer.read())
        except NO_ANSWER:
            connection.close()
            raise

    def connect(self):
        host, port = self.server.address.split(":")
        return http.client.HTTPConnection(host, int(port), timeout=20)

    def write(self, writer):
        server = None
        while self.is_going:
            if server is not self.server:
                server, connection = self.server, self.connect()
            number = next(self.numbers[writer])
            request = f"{writer}-{number}"
            self.wrote[request] = (writer, number)
            try:
                status, headers, answer = self.ask(connection, "PATCH", *self.change(request))
            except NO_ANSWER:
                self.unknown.add(request)
                time.sleep(0.02)
                continue
            if status == 200:
                assert answer["description"] == str(number), answer
                if self.is_dark:
                    self.unknown.add(request)
                    continue
                self.acknowledged[request] = int(re.match(r"\d+", headers["Settings-Revision"])[0])
                continue
            [reason] = [detail["reason"] for detail in answer["details"] if "reason" in detail]
            assert status in (503, 504) or reason == "CONTENDED", answer
            if reason in CERTAIN:
                self.refused[request] = reason
            else:
                self.unknown.add(request)
            time.sleep(0.02)

    def change(self, request):
        writer, number = self.wrote[request]
        return f"{TAGS}/{writer}?request_id={request}&update_mask=description", {"description": str(number)}

    def read(self, _):
        server = None
        while self.is_going:
            if server is not self.server:
                server, connection = self.server, self.connect()
            try:
                status, headers, answer = self.ask(connection, "GET", LISTED)
            except NO_ANSWER:
                time.sleep(0.02)
                continue
            assert status in (200, 503, 504), (status, answer)
            kind = "stale" if status == 200 and headers["Settings-Stale"] else status
            self.reads[kind] = self.reads.get(kind, 0) + 1
            time.sleep(0.005)

    def goes_on(self, writes=20, patience=30):
        """Waits for this many more acknowledged writes."""
        enough = len(self.acknowledged) + writes
        self.wait(lambda: len(self.acknowledged) >= enough, f"{writes} more writes", patience)

    def meets(self, reason, times=5):
        """Waits until writes are refused for that reason."""
        count = lambda: sum(found == reason for found in list(self.refused.values()))
        enough = count() + times
        self.wait(lambda: count() >= enough, f"{times} refusals as {reason}, of {self.refusals()}")

    def is_read(self, kind, times=5):
        """Waits until lists have this answer: 200, 503 or "stale"."""
        enough = self.reads.get(kind, 0) + times
        self.wait(lambda: self.reads.get(kind, 0) >= enough, f"{times} reads that are {kind}, of {self.reads}")

    def wait(self, is_so, what, patience=30):
        def is_so_by_now():
            assert not self.wrong, self.wrong[0]
            return is_so()

        until(is_so_by_now, what, patience)

    def refusals(self):
        reasons = list(self.refused.values())
        return {reason: reasons.count(reason) for reason in sorted(set(reasons))}

    def check(self):
        """Checks a server that was started again, without load: each acknowledged write is there once, as its answer
        said; no refused write is there; and the log, the rows and the answers agree."""
        connection = self.connect()
        logged, page = {}, ""
        while page is not None:
            status, _, answer = self.ask(connection, "GET", f"{COMPANY}/changes?page_size=500&page_token={page}")
            assert status == 200, answer
            for change in answer["changes"]:
                logged[int(change["revision"])] = change["requestId"]
            page = answer["nextPageToken"] or None
        assert sorted(logged) == list(range(1, len(logged) + 1)), "revisions have gaps"
        made = {request: revision for revision, request in logged.items() if request}
        assert len(made) == len(logged) - 1, "a request was carried out twice"
        lost = {one: revision for one, revision in self.acknowledged.items() if made.get(one) != revision}
        assert not lost, f"{len(lost)} acknowledged writes are lost: {list(lost.items())[:5]}"
        undone = [one for one in self.refused if one in made]
        assert not undone, f"{len(undone)} refused writes were made: {[(one, self.refused[one]) for one in undone[:5]]}"
        assert set(made) <= set(self.wrote)
        for writer in WRITERS:
            of_writer = [one for one in sorted(made, key=made.get) if self.wrote[one][0] == writer]
            if not of_writer:
                continue
            _, _, entry = self.ask(connection, "GET", f"{TAGS}/{writer}")
            assert entry["description"] == str(self.wrote[of_writer[-1]][1])
            # The server knows the request: it gives the same answer, and makes nothing.
            status, headers, answer = self.ask(connection, "PATCH", *self.change(of_writer[-1]))
            assert (status, answer["description"]) == (200, entry["description"]), answer
            assert int(re.match(r"\d+", headers["Settings-Revision"])[0]) == made[of_writer[-1]]
        verified = run("verify", *self.where, "--output", "json")
        assert json.loads(verified.stdout)["findings"] == []
        came = len(self.unknown & set(made))
        return (
            f"{len(self.acknowledged)} writes acknowledged, all kept; {len(self.refused)} refused {self.refusals()},"
            f" none made; {len(self.unknown)} without a certain answer, {came} of them made; reads {self.reads}"
        )


def needs(what, is_there):
    """Skips a trial that this machine cannot run. The end of `./test --long` lists it."""
    if not is_there:
        pytest.skip(f"NOT TRIED: this needs {what}")


def needs_root(what):
    needs(f"root, for {what}", os.getuid() == 0)


class Mount:
    """A file system of its own, which the user of a database can reach too."""

    def __init__(self):
        self.point, self.image = pathlib.Path(tempfile.mkdtemp(prefix="customer-settings-disk-")), None
        self.point.chmod(0o755)

    def tmpfs(self, size):
        needs_root("a tmpfs")
        return self.mount("a tmpfs", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs")

    def ext4(self, megabytes):
        needs_root("an ext4 image on a loop device")
        needs("mkfs.ext4", shutil.which("mkfs.ext4"))
        self.image = self.point.with_suffix(".img")
        with self.image.open("wb") as image:
            image.truncate(megabytes << 20)
        made = subprocess.run(["mkfs.ext4", "-q", self.image], capture_output=True, text=True)
        assert made.returncode == 0, made.stderr
        return self.again()

    def again(self):
        return self.mount("loop devices", "-o", "loop", self.image)

    def mount(self, what, *options):
        mounted = subprocess.run(["mount", *map(str, options), self.point], capture_output=True, text=True)
        needs(f"{what} ({mounted.stderr.strip()})", mounted.returncode == 0)
        return self

    def shut_down(self):
        """Shuts down like a power cut: data that was not synced is lost, and nothing can be read or written any more."""
        FS_IOC_SHUTDOWN, WITHOUT_FLUSHING = 0x8004587D, 2
        folder = os.open(self.point, os.O_RDONLY)
        try:
            fcntl.ioctl(folder, FS_IOC_SHUTDOWN, WITHOUT_FLUSHING.to_bytes(4, "little"))
        except OSError as error:
            needs(f"a kernel that shuts file systems down ({error})", False)
        finally:
            os.close(folder)

    def unmount(self):
        until(lambda: subprocess.run(["umount", self.point], capture_output=True).returncode == 0, "it is unmounted", 10)

    def close(self):
        subprocess.run(["umount", "-l", self.point], capture_output=True)
        shutil.rmtree(self.point, ignore_errors=True)
        if self.image:
            self.image.unlink(missing_ok=True)


@contextlib.contextmanager
def injected(process, calls, error="EIO"):
    """Makes system calls of a running process fail during the block."""
    needs("strace", shutil.which("strace"))
    tracer = subprocess.Popen(
        ["strace", "-f", "-qq", "-o", "/dev/null", "-p", str(process.pid), "-e", f"trace={calls}",
         "-e", f"inject={calls}:error={error}"],
        stderr=subprocess.PIPE, text=True,
    )
    try:
        status = pathlib.Path(f"/proc/{process.pid}/status")
        is_traced = lambda: f"TracerPid:\t{tracer.pid}" in status.read_text()
        until(lambda: is_traced() or tracer.poll() is not None, "strace is attached", 10)
        if tracer.poll() is not None:
            needs(f"the right to trace processes ({tracer.stderr.read().strip()})", False)
        yield
    finally:
        tracer.terminate()
        tracer.wait(timeout=20)
