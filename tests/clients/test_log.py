"""The log's lines about requests, and a log that nobody reads: the server continues, and counts the lines that it lost."""

import http.client
import json
import os
import re
import resource
import signal
import socket
import sqlite3
import subprocess
import urllib.request

import grpc
import pytest
from conftest import PROGRAM, run
from database import until
from test_grpc import SETTING, Client
from test_program import TAGS


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Serving:
    """`serve` with the given outputs; `get` sends it a request."""

    def __init__(self, data_dir, access_log=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        data_dir.mkdir(mode=0o700)
        self.port = free_port()
        self.process = subprocess.Popen(
            [PROGRAM, "serve", "--data-dir", data_dir, "--listen", f"127.0.0.1:{self.port}", "--log-format", "json"],
            env={**os.environ, "CUSTOMER_SETTINGS_ACCESS_LOG": str(access_log).lower()},
            stdout=stdout,
            stderr=stderr,
        )
        self.connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def __enter__(self):
        def answers():
            try:
                return self.get("/healthz")[0] == 200
            except ConnectionRefusedError:
                self.connection.close()
                return False

        until(answers, "the server answers")
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()

    def get(self, path, **headers):
        self.connection.request("GET", path, headers=headers)
        answer = self.connection.getresponse()
        return answer.status, answer.read().decode()

    def dropped(self, reason):
        _, metrics = self.get("/metrics")
        name = r"customer_settings_log_lines_dropped_total"
        return int(re.search(name + r'\{reason="' + reason + r'"\} (\d+)', metrics)[1])

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=20)


@pytest.mark.parametrize("access_log", [False, True])
@pytest.mark.parametrize("how", ["closed", "full"])
def test_a_log_that_cannot_be_written_stops_nothing(tmp_path, how, access_log):
    if how == "closed":
        reader, log = os.pipe()
        os.close(reader)
    else:
        log = os.open("/dev/full", os.O_WRONLY)
    with Serving(tmp_path / "data", access_log, stderr=log) as server:
        os.close(log)
        for _ in range(3):
            assert server.get("/healthz")[0] == 200
            assert server.get("/v1/companies/x")[0] == 401
        if access_log:
            until(lambda: server.dropped("unwritable") >= 6, "the lines are counted")
        assert server.stop() == 0


def test_a_log_that_nobody_reads_keeps_nobody_waiting(tmp_path):
    reader, log = os.pipe()
    with Serving(tmp_path / "data", access_log=True, stderr=log) as server:
        os.close(log)
        path = "/v1/" + 190 * "x"
        for _ in range(5_000):
            assert server.get(path, **{"X-Request-Id": 128 * "y"})[0] == 404
        assert server.dropped("no_room") > 0
        # The server waits at most one second for the last lines.
        assert server.stop() == 0
        os.close(reader)


def test_lines_that_come_just_before_the_end_are_written(tmp_path):
    log = tmp_path / "log"
    with log.open("wb") as file, Serving(tmp_path / "data", access_log=True, stderr=file) as server:
        for number in range(100):
            server.get(f"/v1/number/{number}")
        assert server.stop() == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    made, first = lines[:2]
    assert made["message"] == "a new store was made" and made["database"].startswith(str(tmp_path / "data"))
    assert first["message"] == "serving" and first["address"] == f"127.0.0.1:{server.port}"
    assert first["version"] and first["data"] and "connections: 10000" in first["limits"]
    assert [line["path"] for line in lines if "/number/" in line.get("path", "")] == [
        f"/v1/number/{number}" for number in range(100)
    ]
    assert lines[-1]["message"] == "stopped"


def test_a_server_whose_welcome_nobody_reads_serves(tmp_path):
    reader, out = os.pipe()
    os.close(reader)
    with Serving(tmp_path / "data", stdout=out) as server:
        os.close(out)
        assert server.get("/healthz")[0] == 200
        assert server.stop() == 0


def test_a_server_that_starts_logs_no_error(demo):
    assert "ERROR" not in demo.read_log(), demo.read_log()


def test_too_few_files_are_told_of(start):
    def few(server_start):
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1_000, hard))
        try:
            return server_start("--demo", "--log-format", "json")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    server = few(start)
    assert server.stop() == 0
    assert "raise ulimit -n" in server.log


def test_metrics_are_as_prometheus_wants_them(demo):
    for number in range(20):
        demo.call(TAGS, demo.key, {})
        demo.call(f"/v1/number/{number}", demo.key)
        demo.call(TAGS, "cs_" + 49 * "x", {})
    body = {"name": "Night Owl"}
    assert demo.call("/admin/v1/companies/cmp_001/customer_tags", demo.key, body)[0] == 200
    with urllib.request.urlopen(demo.base + "/metrics", timeout=20) as answer:
        text = answer.read().decode()
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, timeout=60)
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    for name in ("customer_settings_build_info", "process_cpu_seconds_total", "process_resident_memory_bytes"):
        assert f"# HELP {name} " in text
    assert "customer_settings_key_next_expiry_timestamp_seconds inf" in text
    assert float(re.search(r"^process_open_fds (.*)", text, re.M)[1]) > 3


def make_key(server, name, *options):
    """Makes a key: its secret and id."""
    secret = run("key", "create", "--data-dir", server.data_dir, "--name", name, *options).stdout.strip()
    keys = json.loads(run("key", "list", "--data-dir", server.data_dir, "--output", "json").stdout)
    [key] = [key["id"] for key in keys if key["name"] == name]
    return secret, key


def test_an_access_line_says_who_asked_and_why_it_was_refused(start, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text("access_log: true")
    server = start("--demo", "--log-format", "json", "--config", config)
    reader, reader_id = make_key(server, "reader", "--scope", "settings:read", "--staff", "staff_7")
    near, near_id = make_key(server, "near", "--allow-ip", "192.0.2.1")
    secrets = [reader, near, (server.data_dir / "demo-key").read_text()]
    list_tags = f"/{SETTING}/ListCustomerTags"

    def line(ask, request_id):
        ask({"X-Request-Id": request_id})
        return lambda lines: [line for line in lines if line.get("request_id") == request_id]

    def grpc_call(headers):
        client = Client(server.address, reader)
        client.metadata += [("x-request-id", headers["X-Request-Id"])]
        for company in ("cmp_001", "no spaces"):
            try:
                client.call(SETTING, "ListCustomerTags", {"company_id": company})
            except grpc.RpcError:
                pass

    tags = lambda key, path=TAGS: lambda headers: server.call(path, key, {}, headers=headers)
    found = {
        # The first request takes the general way, the second one is answered at once.
        "first": line(tags(reader), "first"),
        "second": line(tags(reader), "second"),
        "write": line(tags(reader, "/admin/v1/companies/cmp_001/customer_tags"), "write"),
        "near": line(tags(near), "near"),
        "nobody": line(tags(None), "nobody"),
        "grpc": line(grpc_call, "grpc"),
    }
    assert server.stop() == 0
    lines = [json.loads(text) for text in server.log.splitlines()]

    def said(name):
        fields = ("protocol", "route", "code", "key", "staff", "reason")
        return [tuple(line.get(field) for field in fields) for line in found[name](lines)]

    assert said("first") == said("second") == [("http", list_tags, "200", reader_id, "staff_7", None)]
    [(_, _, *write)] = said("write")
    assert write == ["403", reader_id, None, "MISSING_SCOPE"]
    assert said("near") == [("http", list_tags, "403", near_id, None, "ADDRESS_NOT_ALLOWED")]
    assert said("nobody") == [("http", list_tags, "401", None, None, "NO_CREDENTIAL")]
    assert [grpc for grpc in said("grpc") if grpc[1] == list_tags] == [
        ("grpc", list_tags, "Ok", reader_id, "staff_7", None),
        ("grpc", list_tags, "InvalidArgument", reader_id, "staff_7", "INVALID_FIELD"),
    ]
    assert not any(secret in server.log for secret in secrets)


def test_damage_is_logged_once_for_each_place(demo, start):
    assert demo.stop() == 0
    [database] = demo.data_dir.glob("*.db")
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE entries SET color = 'green' WHERE company_id = 'cmp_002'")
    connection.close()
    server = start("--demo", "--log-format", "json")
    for _ in range(3):
        assert server.call(TAGS.replace("cmp_001", "cmp_002"), demo.key, {})[0] == 500
        assert server.call(TAGS, demo.key, {})[0] == 200
    assert server.stop() == 0
    lines = [json.loads(line) for line in server.log.splitlines()]
    [line] = [line for line in lines if "the data is damaged" in line["message"]]
    assert (line["of"], line["part"]) == ("cmp_002", "settings")
    verified = run("verify", "--data-dir", demo.data_dir, check=False)
    said = "cmp_002: its rows cannot be read: " + line["cause"]
    assert said in verified.stdout + verified.stderr
