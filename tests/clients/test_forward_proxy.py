"""Commands in a network that reaches the world through a proxy alone."""

import base64
import contextlib
import http.server
import os
import socket
import subprocess
import threading

import pytest
from conftest import PROGRAM

NAME = "settings.test"


@contextlib.contextmanager
def proxy(port, user=None, refuses=False):
    """Leads to a port of this machine, whatever name it is asked for: its address, and the names. Wants USER:PASSWORD."""
    asked = []

    class Proxy(http.server.BaseHTTPRequestHandler):
        def do_CONNECT(self):
            asked.append(self.path)
            given = self.headers["Proxy-Authorization"]
            if user and given != "Basic " + base64.b64encode(user.encode()).decode():
                return self.send_error(407)
            if refuses:
                return self.send_error(403)
            self.send_response_only(200)
            self.end_headers()
            with socket.create_connection(("127.0.0.1", port)) as server:
                there = threading.Thread(target=forward, args=(self.connection, server))
                there.start()
                forward(server, self.connection)
                there.join()

        def log_message(self, *_):
            pass

    listener = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    try:
        yield f"127.0.0.1:{listener.server_port}", asked
    finally:
        listener.shutdown()
        listener.server_close()


def forward(source, target):
    with contextlib.suppress(OSError):
        while part := source.recv(65536):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate for the name, and its key."""
    folder = tmp_path_factory.mktemp("certificate")
    files = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
               "-subj", f"/CN={NAME}", "-addext", f"subjectAltName=DNS:{NAME}", "-addext", "basicConstraints=critical,CA:FALSE",
               "-out", files[0], "-keyout", files[1]]
    subprocess.run(command, check=True, capture_output=True)
    return files


@pytest.fixture
def server(start, certificate):
    """The demo with TLS. No DNS has its name."""
    server = start("--demo", "--tls-cert", certificate[0], "--tls-key", certificate[1])
    server.port = int(server.base.rsplit(":", 1)[1])
    return server


@pytest.fixture
def listed(server, certificate):
    """Runs a command on the server by its name, with variables."""

    def run_with(**env):
        where = ["--server", f"https://{NAME}:{server.port}", "--ca-file", certificate[0], "--timeout", "5s"]
        key = ["--key-file", server.data_dir / "demo-key"]
        command = [PROGRAM, "company", "list", *where, *key]
        return subprocess.run(command, env={**os.environ, **env}, capture_output=True, text=True, timeout=60)

    return run_with


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_server_with_tls_is_reached_through_the_proxy_of_the_environment(server, listed, variable):
    with proxy(server.port) as (address, asked):
        done = listed(**{variable: f"http://{address}"})
        assert done.returncode == 0 and "cmp_001" in done.stdout, done.stderr
        assert asked == [f"{NAME}:{server.port}"]


def test_a_proxy_may_want_a_user(server, listed):
    with proxy(server.port, user="ana:p@ss") as (address, _):
        done = listed(HTTPS_PROXY=f"http://ana:p%40ss@{address}")
        assert done.returncode == 0, done.stderr
        done = listed(HTTPS_PROXY=f"http://ana:wrong@{address}")
        assert done.returncode == 6 and "proxy authorization required" in done.stderr, done.stderr
        assert "wrong" not in done.stderr


def test_a_proxy_that_does_not_help_is_named_with_the_way_past_it(server, listed):
    with proxy(server.port, refuses=True) as (address, _):
        done = listed(HTTPS_PROXY=f"http://{address}")
        words = [f"the proxy http://{address} of HTTPS_PROXY did not lead there", f"NO_PROXY={NAME}"]
        assert done.returncode == 6 and all(word in done.stderr for word in words), done.stderr
    done = listed(ALL_PROXY=f"http://{address}")
    assert done.returncode == 6 and f"the proxy http://{address} of ALL_PROXY did not lead there" in done.stderr
    assert "Connection refused" in done.stderr
    done = listed(HTTPS_PROXY="socks5://127.0.0.1:1")
    assert done.returncode == 2 and "HTTPS_PROXY must have the form http://HOST:PORT" in done.stderr


def test_some_servers_are_reached_without_the_proxy(start, tmp_path, server, listed):
    plain = start("--demo", data_dir=tmp_path / "plain")
    with proxy(server.port) as (address, asked):
        proxies = {"HTTPS_PROXY": f"http://{address}", "HTTP_PROXY": f"http://{address}"}
        done = listed(**proxies, NO_PROXY="test")
        assert done.returncode == 6 and "lookup" in done.stderr, done.stderr
        # This machine, and servers without TLS.
        done = subprocess.run([PROGRAM, "status", "--server", plain.base], env={**os.environ, **proxies}, timeout=60)
        assert done.returncode == 0 and asked == []
