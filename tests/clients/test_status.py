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
from front import front


def status(base, *arguments):
    return run("status", "--server", base, *arguments, check=False)


def test_a_server_that_is_ready_needs_no_key_to_say_so(demo):
    done = status(demo.base, "--output", "json")
    told = json.loads(done.stdout)
    assert done.returncode == 0 and (told["server"], told["ready"], told["problems"]) == (demo.base, True, [])
    assert told["version"].startswith(run("--version").stdout.split()[1]) and told["storeAnswers"] is True
    assert re.search(r"^ready +yes$", status(demo.base).stdout, re.MULTILINE)


def test_a_server_that_shows_no_metrics_is_ready_all_the_same(demo):
    """A proxy that the server does not know must not show the metrics."""

    with front(demo.base, headers={"X-Forwarded-For": "192.0.2.1"}) as base:
        done = status(base, "--strict", "--output", "json")
    assert (done.returncode, json.loads(done.stdout)) == (0, {"server": base, "ready": True, "problems": []})


def test_certificates_and_keys_that_end_soon_are_problems_for_monitors(start, tmp_path):
    new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "5"]
    files = ["-keyout", tmp_path / "key.pem", "-out", tmp_path / "cert.pem"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run(["openssl", *new, *files, *name], check=True, capture_output=True)
    server = start("--demo", "--tls-cert", tmp_path / "cert.pem", "--tls-key", tmp_path / "key.pem")
    trust = ["--ca-file", tmp_path / "cert.pem"]
    done = status(server.base, *trust)
    assert done.returncode == 0 and "the certificate ends at" in done.stdout, done.stderr
    done = status(server.base, *trust, "--strict")
    assert done.returncode == 1 and "there is a problem" in done.stderr
    assert status(server.base, *trust, "--strict", "--soon", "2d").returncode == 0
    # A server that is there and cannot be talked to so says how.
    done = status(server.base)
    assert done.returncode == 6 and "invalid peer certificate" in done.stderr and "with --ca-file FILE" in done.stderr, done.stderr
    done = status(server.base.replace("https", "http"))
    assert done.returncode == 6 and "use https:// in the address" in done.stderr, done.stderr

    here = ["--data-dir", server.data_dir]
    run("key", "create", "--name", "till", "--expires", "7d", *here)
    assert run("status", *here, "--strict", "--soon", "6d").returncode == 0
    done = run("status", *here, "--strict", "--output", "json", check=False)
    [problem] = json.loads(done.stdout)["problems"]
    assert done.returncode == 1 and re.fullmatch(r'the key key_\w+ "till" ends at .*Z', problem)


def test_a_directory_is_looked_at_whole(tmp_path):
    data, backups = tmp_path / "data", tmp_path / "backups"
    for directory in [data, backups]:
        directory.mkdir(mode=0o700)
    run("load", "--data-dir", data, "-", stdin="companies: [{id: cmp_1, name: One}]")

    def told(*arguments):
        done = run("status", "--data-dir", data, "--backups", backups, "--strict", "--output", "json", *arguments, check=False)
        facts = json.loads(done.stdout)
        assert done.returncode == (1 if facts["problems"] else 0), done.stderr
        return facts

    facts = told()
    assert facts["problems"] == [f"there is no backup in {backups}"] and facts["lastBackup"] is None
    assert facts["schema"] == 1 and facts["keys"] == 0 and facts["bytes"] > 10_000 and facts["freeBytes"] > 10_000
    run("backup", "--data-dir", data, backups / "now.db")
    facts = told()
    assert facts["problems"] == [] and facts["lastBackup"].endswith(f"({backups / 'now.db'})")
    os.utime(backups / "now.db", (1_700_000_000, 1_700_000_000))
    assert told()["problems"] == ["the last backup is from 2023-11-14T22:13:20Z"]
    os.utime(backups / "now.db")
    # Those who may not enter the directory cannot read a file in it.
    (data / "customer-settings.db").chmod(0o644)
    assert told()["problems"] == []
    data.chmod(0o755)
    [problem] = told()["problems"]
    assert "chmod 700" in problem
    before = sorted(path.name for path in data.iterdir())
    told()
    assert sorted(path.name for path in data.iterdir()) == before


def test_a_database_is_looked_at_too(postgres):
    url = postgres()
    env = {**os.environ, "CUSTOMER_SETTINGS_DATABASE_URL": url}
    load = [PROGRAM, "load", "-"]
    subprocess.run(load, input="companies: [{id: cmp_1, name: One}]", text=True, env=env, check=True, capture_output=True)
    done = subprocess.run([PROGRAM, "status", "--strict", "--output", "json"], env=env, capture_output=True, text=True)
    facts = json.loads(done.stdout)
    assert done.returncode == 0 and facts["schema"] == 1 and facts["bytes"] > 100_000, done.stderr


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
