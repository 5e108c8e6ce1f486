"""Starts the built program as users do, on a port of its own."""

import json
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import urllib.error
import urllib.request

import pytest
from database import Postgres

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PROGRAM = TARGET / os.environ.get("TESTED_PROFILE", "debug") / "customer-settings"

# The tests' own environment must not configure the program, or color its output: CI machines set CI, for example.
for name in list(os.environ):
    if name.startswith(("CUSTOMER_SETTINGS_", "CLICOLOR")) or name in ("CI", "NO_COLOR"):
        del os.environ[name]


def run(*arguments, stdin=None, check=True, timeout=60):
    """Runs a command of the program, and gives its output."""
    done = subprocess.run(
        [PROGRAM, *map(str, arguments)], input=stdin, capture_output=True, text=True, timeout=timeout
    )
    if check and done.returncode != 0:
        raise AssertionError(f"{arguments} exited with {done.returncode}: {done.stderr}")
    return done


class Server:
    """A running `customer-settings serve`."""

    def __init__(self, data_dir, *arguments, cwd=None, env=None):
        self.data_dir = pathlib.Path(data_dir)
        # If the data is in a database, the server has no directory of its own.
        where = [] if env else ["--data-dir", str(data_dir)]
        self.stderr = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [PROGRAM, "serve", "--listen", "127.0.0.1:0", *where, *arguments],
            env={**os.environ, **(env or {})},
            stdout=subprocess.PIPE,
            # A pipe that nobody reads would lose lines once it is full.
            stderr=self.stderr,
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
            raise AssertionError(f"the server did not start: {self.read_log()}")
        self.base, self.address = found.group(0), found.group(2)

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        code = self.process.wait(timeout=40)
        self.log = self.read_log()
        return code

    def read_log(self):
        self.stderr.seek(0)
        return self.stderr.read()

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


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="the long tests alone")


def pytest_configure(config):
    config.addinivalue_line("markers", "long: takes minutes, runs with --long alone")


def pytest_collection_modifyitems(config, items):
    """The long tests with --long, all others without."""
    is_wanted = config.getoption("--long")
    chosen = [item for item in items if ("long" in item.keywords) == is_wanted]
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = chosen


@pytest.fixture(scope="session")
def postgres_server():
    """A PostgreSQL server that ends with the tests."""
    server = Postgres().init().start()
    yield server
    server.remove()


@pytest.fixture
def postgres(postgres_server):
    """Makes a new, empty database: its URL."""
    return postgres_server.make
