"""The program as a newcomer and an operator use it."""

import fcntl
import json
import os
import pty
import resource
import select
import signal
import socket
import stat
import subprocess
import time
import urllib.request

from conftest import PROGRAM, run
from database import until

TAGS = "/v1/setting/companies/cmp_001/customer/tags:list"
DOCUMENTED = {
    "tags": [
        {
            "id": "tag_001",
            "name": "VIP Customer",
            "lastUpdatedBy": "staff_001",
            "lastUpdatedTime": "2023-01-01T10:00:00Z",
        },
        {
            "id": "tag_002",
            "name": "First-time Customer",
            "lastUpdatedBy": "staff_002",
            "lastUpdatedTime": "2023-01-02T10:00:00Z",
        },
    ]
}


def test_the_printed_curl_line_answers_the_documented_example(demo):
    line = demo.welcome[-1].removeprefix("try it").strip()
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=20)
    assert json.loads(done.stdout) == DOCUMENTED, done.stderr


def test_the_demo_key_is_private_and_a_restart_keeps_everything(demo, start):
    mode = stat.S_IMODE(os.stat(demo.data_dir / "demo-key").st_mode)
    assert mode == 0o600
    document = "companies: [{id: cmp_001, customer_tags: [{name: Night Owl}]}]"
    run("load", "--data-dir", demo.data_dir, "-", stdin=document)
    assert demo.stop() == 0
    again = start("--demo")
    status, _, answer = again.call(TAGS, demo.key, {})
    assert status == 200
    assert [tag["name"] for tag in answer["tags"]][0] == "Night Owl"
    assert len(answer["tags"]) == 3


def test_a_killed_server_loses_nothing_that_was_acknowledged(demo, start):
    document = "companies: [{id: cmp_001, customer_tags: [{id: late, name: Late}]}]"
    run("load", "--data-dir", demo.data_dir, "-", stdin=document)
    demo.stop(signal.SIGKILL)
    again = start("--demo")
    _, _, answer = again.call(TAGS, demo.key, {})
    assert "late" in [tag["id"] for tag in answer["tags"]]


def test_what_another_process_writes_is_seen_within_a_second(demo):
    demo.call(TAGS, demo.key, {})
    for number in range(3):
        document = f"companies: [{{id: cmp_001, customer_tags: [{{id: tag_001, name: Name {number}}}]}}]"
        run("load", "--data-dir", demo.data_dir, "-", stdin=document)
        shown = lambda: demo.call(TAGS, demo.key, {})[2]["tags"][0]["name"]
        until(lambda: shown() == f"Name {number}", "the server shows the name", patience=1)


def test_keys_are_issued_and_revoked_beside_a_running_server(demo):
    made = run("key", "create", "--data-dir", demo.data_dir, "--name", "reports", "--company", "cmp_002")
    secret = made.stdout.strip()
    assert secret.startswith("cs_") and secret not in made.stderr
    status, _, _ = demo.call("/v1/companies/cmp_002", secret)
    assert status == 200
    assert demo.call("/v1/companies/cmp_001", secret)[0] == 403
    keys = json.loads(run("key", "list", "--data-dir", demo.data_dir, "--output", "json").stdout)
    assert secret not in json.dumps(keys)
    [key] = [key["id"] for key in keys if key["name"] == "reports"]
    run("key", "revoke", "--data-dir", demo.data_dir, key)
    time.sleep(1)
    status, headers, error = demo.call("/v1/companies/cmp_002", secret)
    assert (status, error["code"]) == (401, 16)
    assert "WWW-Authenticate" in headers


def test_every_way_to_write_an_address_is_served(start, tmp_path):
    for number, (address, shown) in enumerate([(":0", "[::]:"), ("localhost:0", "127.0.0.1:")]):
        data = tmp_path / str(number)
        process = subprocess.Popen(
            [PROGRAM, "serve", "--demo", "--data-dir", data, "--listen", address],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )
        try:
            welcome = process.stdout.readline().strip()
            assert f"listens on http://{shown}" in welcome
            port = welcome.rsplit(":", 1)[1]
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=20) as answer:
                assert answer.status == 200
        finally:
            process.kill()
            process.wait()


def test_a_demo_that_did_not_come_about_leaves_nothing(start, tmp_path):
    """Limits the size of files, so that the start fails at one place or another."""
    existing = tmp_path / "existing"
    existing.mkdir()
    failed = 0
    for limit in [0, 4096, 30_000, 60_000, 100_000]:
        for data in [existing, tmp_path / "new"]:
            def limited(limit=limit):
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

            process = subprocess.Popen(
                [PROGRAM, "serve", "--demo", "--data-dir", data, "--listen", "127.0.0.1:0", "--log", "off"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=limited,
            )
            started = process.stdout.readline() != ""
            process.kill()
            process.wait()
            if started:
                continue
            failed += 1
            assert (list(existing.iterdir()), (tmp_path / "new").exists()) == ([], False), limit
    assert failed >= 4
    server = start("--demo", data_dir=existing)
    assert server.stop() == 0


def test_a_backup_goes_to_standard_output_as_well(demo, tmp_path):
    command = [PROGRAM, "backup", "--data-dir", demo.data_dir, "-"]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == 0 and b"standard output" in done.stderr
    assert not [path.name for path in demo.data_dir.iterdir() if "backup" in path.name]
    for number, arguments in enumerate([["-"], ["/dev/stdin"], [tmp_path / "file.db"]]):
        (tmp_path / "file.db").write_bytes(done.stdout)
        target = tmp_path / f"restored-{number}"
        target.mkdir()
        restored = subprocess.run(
            [PROGRAM, "restore", "--data-dir", target, *arguments], input=done.stdout, capture_output=True, timeout=60
        )
        assert restored.returncode == 0, restored.stderr
        assert run("export", "--data-dir", target).stdout == run("export", "--data-dir", demo.data_dir).stdout
        assert "no differences" in run("verify", "--data-dir", target).stderr
    process, terminal = pty.fork()
    if process == 0:
        os.execv(PROGRAM, list(map(str, command)))
    shown = b""
    try:
        while part := os.read(terminal, 4096):
            shown += part
    except OSError:
        pass
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 2 and b"no text for a terminal" in shown


def test_what_a_killed_backup_left_is_replaced_and_a_strange_file_is_kept(demo, tmp_path):
    backup = tmp_path / "backup.db"
    partial, journal = tmp_path / "backup.db.partial", tmp_path / "backup.db.partial-journal"
    for left in [b"", bytes(8192), b"SQLite format 3\0" + bytes(4096)]:
        partial.write_bytes(left)
        journal.write_bytes(b"left behind")
        run("backup", "--data-dir", demo.data_dir, backup)
        assert sorted(tmp_path.glob("backup*")) == [backup]
        backup.unlink()
    partial.write_text("notes of mine")
    refused = run("backup", "--data-dir", demo.data_dir, backup, check=False)
    assert refused.returncode == 1 and "backup.db.partial exists already" in refused.stderr
    partial.write_bytes(b"")
    with open(partial) as writing:
        fcntl.flock(writing, fcntl.LOCK_EX)
        refused = run("backup", "--data-dir", demo.data_dir, backup, check=False)
        assert refused.returncode == 1 and "in use" in refused.stderr and partial.exists()


def test_a_refused_restore_leaves_an_empty_directory_empty(tmp_path):
    target = tmp_path / "target"
    target.mkdir()
    (tmp_path / "no.db").write_text("no database at all")
    for file in ["no.db", "missing.db"]:
        assert run("restore", "--data-dir", target, tmp_path / file, check=False).returncode == 1
        assert list(target.iterdir()) == []


def test_an_imported_secret_works_as_it_is(demo):
    secret = "an-existing-secret-of-a-client"
    run("key", "import", "--data-dir", demo.data_dir, "--name", "old", stdin=secret + "\n")
    assert demo.call("/v1/companies/cmp_001", secret)[0] == 200
    again = run("key", "import", "--data-dir", demo.data_dir, "--name", "old", stdin=secret, check=False)
    assert again.returncode == 5 and "already" in again.stderr and secret not in again.stderr


def test_export_load_and_export_give_the_same_bytes(demo, tmp_path):
    first = run("export", "--data-dir", demo.data_dir).stdout
    empty = tmp_path / "empty"
    empty.mkdir()
    run("load", "--data-dir", empty, "-", stdin=first)
    assert run("export", "--data-dir", empty).stdout == first
    again = run("load", "--data-dir", empty, "-", stdin=first)
    assert again.stderr.count("unchanged") == 2


def test_a_backup_of_a_running_server_is_restored_with_its_keys(demo, tmp_path, start):
    backup = tmp_path / "backup.db"
    run("backup", "--data-dir", demo.data_dir, backup)
    target = tmp_path / "restored"
    target.mkdir()
    done = run("restore", "--data-dir", target, backup)
    assert "demo" in done.stderr
    restored = start(data_dir=target)
    assert restored.call(TAGS, demo.key, {})[2] == DOCUMENTED


def test_one_line_says_why_the_server_did_not_start(demo, tmp_path):
    empty = tmp_path / "other"
    empty.mkdir()
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes.txt").write_text("mine")
    config = tmp_path / "config.yaml"
    config.write_text("listn: 127.0.0.1:1")
    cases = [
        (["serve", "--data-dir", demo.data_dir, "--listen", "127.0.0.1:0"], "in use"),
        (["serve", "--data-dir", empty, "--listen", demo.address], "another program listens there; --listen "),
        (["serve", "--demo", "--data-dir", empty, "--listen", demo.address], "--listen"),
        (["serve", "--demo", "--data-dir", tmp_path / "missing", "--listen", demo.address], "--listen"),
        (["serve", "--data-dir", empty, "--listen", "8080"], "localhost:8080"),
        (["serve", "--data-dir", tmp_path / "missing", "--listen", "127.0.0.1:0"], "missing"),
        (["serve", "--data-dir", full, "--listen", "127.0.0.1:0"], "full"),
        (["serve", "--demo", "--data-dir", full, "--listen", "127.0.0.1:0"], "other data"),
        (["serve", "--data-dir", empty, "--config", config], "listn"),
        (["serve", "--listen", "127.0.0.1:0"], "--data-dir"),
    ]
    for arguments, expected in cases:
        done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=20)
        assert done.returncode != 0, arguments
        lines = done.stderr.strip().splitlines()
        assert len(lines) == 1 and expected in lines[0], (arguments, lines)
    assert not (tmp_path / "missing").exists() and not list(empty.iterdir())
    assert [path.name for path in full.iterdir()] == ["notes.txt"]


def test_it_says_that_it_listens_once_it_answers(tmp_path):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    data = os.open(tmp_path, os.O_RDONLY)
    # A restore holds the lock like this, and the program waits for it.
    fcntl.flock(data, fcntl.LOCK_EX)
    command = [PROGRAM, "serve", "--data-dir", tmp_path, "--listen", f"127.0.0.1:{port}"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:

        def has_the_port():
            with socket.socket() as client:
                return client.connect_ex(("127.0.0.1", port)) == 0

        until(has_the_port, "the server takes its port")
        assert select.select([server.stdout], [], [], 0)[0] == []
        os.close(data)
        assert server.stdout.readline() == f"customer-settings listens on http://127.0.0.1:{port}\n".encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as answer:
            assert answer.status == 200
        server.terminate()


def test_no_secret_reaches_the_log(start):
    server = start("--demo", "--log", "trace")
    key = (server.data_dir / "demo-key").read_text()
    server.call(TAGS, key, {"companyId": "cmp_001"})
    server.call(TAGS, "cs_" + "x" * 49, {"companyId": "cmp_001"})
    assert server.stop() == 0
    assert key not in server.log and key[3:20] not in server.log and "x" * 49 not in server.log


SERVICE_LINKS = {
    "SERVICE_HOST": "10.0.0.5",
    "SERVICE_PORT": "8080",
    "SERVICE_PORT_HTTP": "8080",
    "PORT": "tcp://10.0.0.5:8080",
    "PORT_8080_TCP": "tcp://10.0.0.5:8080",
    "PORT_8080_TCP_PROTO": "tcp",
    "PORT_8080_TCP_PORT": "8080",
    "PORT_8080_TCP_ADDR": "10.0.0.5",
}


def test_a_kubernetes_service_of_our_name_and_empty_variables_keep_nobody_from_starting(start, monkeypatch):
    for service in ["CUSTOMER_SETTINGS", "CUSTOMER_SETTINGS_POSTGRESQL"]:
        for name, value in SERVICE_LINKS.items():
            monkeypatch.setenv(f"{service}_{name}", value)
    for name in ["LISTEN", "DATABASE_URL", "DATABASE_URL_FILE", "TLS_CERT", "CONFIG", "DEMO", "SERVER", "KEY", "DATA_DIR"]:
        monkeypatch.setenv(f"CUSTOMER_SETTINGS_{name}", "")
    server = start("--demo")
    assert "demo" in run("key", "list", "--data-dir", server.data_dir).stdout
    assert server.stop() == 0


def test_the_demo_and_the_configuration_file_are_named_by_the_environment(start, tmp_path, monkeypatch):
    config = tmp_path / "config.yaml"
    config.write_text("log: none\n")
    monkeypatch.setenv("CUSTOMER_SETTINGS_CONFIG", str(config))
    refused = run("serve", "--demo", "--data-dir", tmp_path / "d", check=False)
    assert refused.returncode == 1 and str(config) in refused.stderr
    config.write_text("log: info\n")
    monkeypatch.setenv("CUSTOMER_SETTINGS_DEMO", "yes")
    refused = run("serve", "--data-dir", tmp_path / "d", check=False)
    assert refused.returncode == 2 and "CUSTOMER_SETTINGS_DEMO must be true or false" in refused.stderr
    monkeypatch.setenv("CUSTOMER_SETTINGS_DEMO", "true")
    server = start()
    assert (server.data_dir / "demo-key").exists() and server.stop() == 0


def test_a_supervisor_is_told_when_the_server_is_ready(start, tmp_path):
    for name in [str(tmp_path / "notify"), f"\0customer-settings-test-{os.getpid()}"]:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as supervisor:
            supervisor.bind(name)
            supervisor.settimeout(20)
            start("--demo", "--data-dir", tmp_path / "data", env={"NOTIFY_SOCKET": name.replace("\0", "@")}).stop()
            assert supervisor.recv(100) == b"READY=1"
