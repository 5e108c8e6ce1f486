"""Starts the built program as its users do, on a port of its own."""

import glob
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PROGRAM = TARGET / "debug" / "customer-settings"


def run(*arguments, stdin=None, check=True):
    """Runs a command of the program and answers what it printed."""
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=60
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{arguments} exited with {done.returncode}: {done.stderr}")
    return done


class Server:
    """A running `customer-settings serve`."""

    def __init__(self, data_dir, *arguments, cwd=None, env=None):
        self.data_dir = pathlib.Path(data_dir)
        # Without a directory of its own where the data is in a database.
        where = [] if env else ["--data-dir", str(data_dir)]
        self.process = subprocess.Popen(
            [PROGRAM, "serve", "--listen", "127.0.0.1:0", *where, *arguments],
            env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=cwd,
        )
        self.welcome = []
        for line in self.process.stdout:
            self.welcome.append(line.strip())
            if line.strip().startswith("try it" if "--demo" in arguments else "data"):
                break
        found = re.search(r"(https?)://(127\.0\.0\.1:\d+)", "\n".join(self.welcome))
        if not found:
            raise AssertionError(f"the server did not start: {self.process.stderr.read()}")
        self.base, self.address = found.group(0), found.group(2)

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        code = self.process.wait(timeout=40)
        self.log = self.process.stderr.read()
        return code

    def call(self, path, key=None, body=None, method=None, headers=()):
        """An HTTP request: status, headers, JSON."""
        request = urllib.request.Request(self.base + path, method=method, headers=dict(headers))
        if key:
            request.add_header("Authorization", f"Bearer {key}")
        if body is not None:
            request.data = body if isinstance(body, bytes) else json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return answer.status, answer.headers, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, error.headers, json.loads(error.read())


@pytest.fixture
def start(tmp_path):
    """Starts servers that end with the test."""
    servers = []

    def start_one(*arguments, data_dir=tmp_path / "data", **options):
        data_dir.mkdir(exist_ok=True)
        servers.append(Server(data_dir, *arguments, **options))
        return servers[-1]

    yield start_one
    for server in servers:
        if server.process.poll() is None:
            server.stop(signal.SIGKILL)


@pytest.fixture
def demo(start):
    """The demo, with its key."""
    server = start("--demo")
    server.key = (server.data_dir / "demo-key").read_text()
    return server


@pytest.fixture(scope="session")
def postgres():
    """A PostgreSQL server that ends with the tests: makes a database, answers its URL."""
    found = [shutil.which("initdb"), *glob.glob("/usr/lib/postgresql/*/bin/initdb")]
    found = [pathlib.Path(path).parent for path in found if path]
    assert found, "install PostgreSQL, as ./test does"
    programs = found[-1]
    home = pathlib.Path(tempfile.mkdtemp(prefix="customer-settings-"))
    user = {}
    if os.getuid() == 0:
        # PostgreSQL refuses to run as root.
        shutil.chown(home, "nobody")
        user = {"user": "nobody"}
    subprocess.run(
        [programs / "initdb", "-D", home / "data", "-U", "owner", "--auth=trust", "--encoding=UTF8", "--no-locale"],
        check=True, capture_output=True, cwd=home, **user,
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-k", home]
    # Ends with its input, and so with this process, whatever ends that.
    watcher = 'home=$1; shift; "$@" </dev/null & cat >/dev/null; kill -QUIT $!; wait; rm -rf "$home"'
    server = subprocess.Popen(
        ["sh", "-c", watcher, "watcher", home]
        + [programs / "postgres", "-D", home / "data", "-p", str(port), *options],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=home, **user,
    )

    def sql(statement, database="postgres"):
        return subprocess.run(
            [programs / "psql", "-h", "127.0.0.1", "-p", str(port), "-U", "owner", "-Atc", statement, database],
            capture_output=True, text=True, timeout=20,
        )

    deadline = time.monotonic() + 20
    while sql("SELECT 1").returncode != 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    numbers = itertools.count()

    def make():
        name = f"settings_{next(numbers)}"
        assert sql(f"CREATE DATABASE {name}").returncode == 0
        return f"postgres://owner:very-secret@127.0.0.1:{port}/{name}"

    make.sql = sql
    yield make
    server.stdin.close()
    server.wait(timeout=20)
