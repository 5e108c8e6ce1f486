"""`customer-settings status`, which containers and monitors run; and what the program says of itself."""

import http.server
import json
import os
import re
import socket
import subprocess
import threading

import certifi
from conftest import PROGRAM, ROOT, run
from database import until


def status(base, *arguments):
    return run("status", "--server", base, *arguments, check=False)


def test_a_server_that_is_ready_needs_no_key_to_say_so(demo):
    done = status(demo.base, "--output", "json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"server": demo.base, "ready": True})
    assert re.search(r"^ready +yes$", status(demo.base).stdout, re.MULTILINE)


def test_a_server_that_stops_is_not_ready_and_says_why(start, tmp_path):
    server = start("--demo", "--data-dir", tmp_path / "data", env={"CUSTOMER_SETTINGS_LIMITS_DRAIN_DELAY_MS": "20000"})
    assert status(server.base).returncode == 0
    server.process.terminate()
    until(lambda: status(server.base).returncode != 0, "the server says that it stops")
    done = status(server.base)
    assert (done.returncode, done.stdout) == (6, "")
    assert f"{server.base} is not ready: the server is stopping" in done.stderr


def test_a_server_that_cannot_be_reached_is_told_at_once():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        done = status(f"http://127.0.0.1:{taken.getsockname()[1]}")
    assert done.returncode == 6 and "cannot be reached" in done.stderr


def test_a_server_that_is_silent_is_waited_for_as_long_as_was_said():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        done = status(f"http://127.0.0.1:{silent.getsockname()[1]}", "--timeout", "100ms")
    assert done.returncode == 6 and "did not answer in time" in done.stderr


def test_another_program_is_no_server_of_ours():
    other = http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    done = status(f"http://127.0.0.1:{other.server_port}")
    other.shutdown()
    assert done.returncode == 6 and "gave no proper answer" in done.stderr


def test_a_machine_without_authorities_of_its_own_can_be_given_some(tmp_path):
    (tmp_path / "empty.pem").touch()
    env = {**os.environ, "SSL_CERT_FILE": str(tmp_path / "empty.pem"), "SSL_CERT_DIR": str(tmp_path)}
    for arguments, code, told in [
        ([], 1, "install ca-certificates, or give --ca-file"),
        (["--ca-file", certifi.where()], 6, "cannot be reached"),
    ]:
        command = [PROGRAM, "status", "--server", "https://127.0.0.1:1", *arguments]
        done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=60)
        assert done.returncode == code and told in done.stderr, done.stderr


def test_the_version_names_the_commit_and_its_date():
    told = run("--version").stdout
    assert re.fullmatch(r"customer-settings \d+\.\d+\.\d+ \(([0-9a-f]{12} \d{4}-\d\d-\d\d|commit unknown)\)\n", told)
    git = ["git", "-C", str(ROOT), "log", "-1", "--format=%H %cs"]
    last = subprocess.run(git, capture_output=True, text=True).stdout.split()
    assert not last or f"({last[0][:12]} {last[1]})" in told
    assert run("entry", "list", "--version").stdout.endswith(told.split(" ", 1)[1])


def test_every_command_has_a_manual_page(tmp_path):
    run("man", "--out", tmp_path / "new" / "man1")
    pages = {page.name: page.read_text() for page in (tmp_path / "new" / "man1").iterdir()}
    for name in ["customer-settings.1", "customer-settings-serve.1", "customer-settings-entry-set-default.1"]:
        assert re.search(rf"^\.TH {name.removesuffix('.1')} 1 ", pages[name], re.MULTILINE)
    assert "SH EXAMPLES" in pages["customer-settings-serve.1"] and "SH \"EXIT CODES\"" in pages["customer-settings.1"]
