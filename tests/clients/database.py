"""PostgreSQL servers for the tests, and networks in front of them that can be cut."""

import contextlib
import glob
import itertools
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time

# The name of the connection that carries notices.
NOTICES = b"customer-settings notices"


def until(is_so, what, patience=30):
    """Waits until a condition is true, and fails if it takes too long."""
    deadline = time.monotonic() + patience
    while not is_so():
        assert time.monotonic() < deadline, f"after {patience} s still not so: {what}"
        time.sleep(0.02)


def programs():
    found = [shutil.which("initdb"), *sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))]
    found = [pathlib.Path(path).parent for path in found if path]
    assert found, "install PostgreSQL, as ./test does"
    return found[-1]


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Postgres:
    """A server in a folder of its own. PostgreSQL refuses to run as root, so root runs it as the user nobody."""

    # Without fsync a killed process loses nothing; only a power cut would.
    OPTIONS = ["-c", "fsync=off", "-c", "max_connections=200", "-c", "listen_addresses=127.0.0.1"]

    def __init__(self, within=None):
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="customer-settings-", dir=within))
        self.user = {}
        if os.getuid() == 0:
            shutil.chown(self.home, "nobody")
            self.user = {"user": "nobody"}
        self.port, self.process = free_port(), None
        self.names = itertools.count()

    def tool(self, name, *arguments):
        done = subprocess.run(
            [programs() / name, *map(str, arguments)], capture_output=True, text=True, cwd=self.home, **self.user
        )
        assert done.returncode == 0, done.stderr

    def init(self):
        self.tool("initdb", "-D", self.home / "data", "-U", "owner", "--auth=trust", "--encoding=UTF8", "--no-locale")
        return self

    def copy_of(self, primary):
        """A standby of another server, which must be running."""
        self.tool(
            "pg_basebackup", "--checkpoint=fast", "--no-sync", "-R",
            "-h", "127.0.0.1", "-p", primary.port, "-U", "owner", "-D", self.home / "data",
        )
        return self

    def start(self):
        # The end of the tests ends the server too, in any case.
        watched = ["setpriv", "--pdeathsig", "QUIT"]
        place = ["-D", self.home / "data", "-k", self.home, "-p", str(self.port)]
        self.process = subprocess.Popen(
            [*watched, programs() / "postgres", *place, *self.OPTIONS],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=self.home, **self.user,
        )
        until(lambda: self.sql("SELECT 1").returncode == 0, "PostgreSQL runs")
        return self

    def stop(self, how=signal.SIGQUIT):
        """Stops the server at once, as a crash does, or in another mode."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait(timeout=30)

    def remove(self):
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    def sql(self, statement, database="postgres"):
        return subprocess.run(
            [programs() / "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "owner", "-Atc", statement, database],
            capture_output=True, text=True, timeout=20,
        )

    def wait_for_standby(self):
        """From now on the primary acknowledges only writes that the standby has."""
        for statement in ["ALTER SYSTEM SET synchronous_standby_names = '*'", "SELECT pg_reload_conf()"]:
            assert self.sql(statement).returncode == 0
        states = "SELECT sync_state FROM pg_stat_replication"
        until(lambda: self.sql(states).stdout.split() == ["sync"], "the standby is synchronous")

    def promote(self):
        self.tool("pg_ctl", "promote", "-w", "-D", self.home / "data")

    def make(self):
        """A new, empty database: its URL."""
        name = f"settings_{next(self.names)}"
        assert self.sql(f"CREATE DATABASE {name}").returncode == 0
        return self.url(name)

    def url(self, database):
        return f"postgres://owner:very-secret@127.0.0.1:{self.port}/{database}"


class Network:
    """Passes connections on to a port. A cut is silent: nothing passes, and neither side gets an error. After the
    cut, the bytes of both sides arrive late."""

    def __init__(self, target):
        self.target = target
        self.all, self.notices = threading.Event(), threading.Event()
        self.heal()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def cut(self):
        self.all.clear()

    def cut_notices(self):
        """Cuts only the connection that carries notices."""
        self.notices.clear()

    def heal(self):
        self.all.set()
        self.notices.set()

    def close(self):
        self.heal()
        self.listener.close()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listener.accept()
                threading.Thread(target=self.connect, args=(client,), daemon=True).start()

    def connect(self, client):
        with contextlib.suppress(OSError), contextlib.closing(client):
            # The first message names the client.
            hello = client.recv(65536)
            gates = [self.all, self.notices] if NOTICES in hello else [self.all]
            self.pass_through(gates)
            with socket.create_connection(("127.0.0.1", self.target)) as server:
                server.sendall(hello)
                back = threading.Thread(target=self.pump, args=(server, client, gates), daemon=True)
                back.start()
                self.pump(client, server, gates)
                back.join()

    def pump(self, one, other, gates):
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                self.pass_through(gates)
                other.sendall(data)
        self.pass_through(gates)
        for end in [one, other]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    @staticmethod
    def pass_through(gates):
        for gate in gates:
            gate.wait()
