"""Every block of docs/proxies.md, and what proxies do by default, with the real proxies in between."""

import base64
import getpass
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import pytest
from conftest import ROOT, TARGET, run
from database import free_port, until
from documents import blocks
from google.rpc import error_details_pb2
from grpc_status import rpc_status

TAGS = ("cmp_001", "customer_tags")
LONG_IDS = [f"tag_{number:02}_{'x' * 57}" for number in range(20)]
DOCUMENT = (ROOT / "docs" / "proxies.md").read_text()
CONFIGURATIONS = [one for one in blocks("docs/proxies.md") if one.language in ("nginx", "caddyfile", "haproxy")]
BLOCKS = {one.heading: one.text for one in CONFIGURATIONS}
SPLITS = ["nginx: two servers", "Caddy: two servers"]
HEADINGS = [one for one in re.findall(r"^### (.*)$", DOCUMENT, re.MULTILINE) if one not in SPLITS]
# The shortest configurations, with the defaults of these proxies.
DEFAULTS = {
    "nginx": "server {{ listen 127.0.0.1:{port}; location {path}/ {{ proxy_pass http://{server}/; }} }}",
    "Caddy": "http://localhost {{\nhandle_path {path}/* {{\nreverse_proxy {server}\n}}\n}}",
}


def program(name):
    """A proxy's program, also if ./test only unpacked it."""
    places = [*os.environ["PATH"].split(":"), "/usr/sbin", *map(str, TARGET.glob("test-tools/*/usr/*bin"))]
    found = shutil.which(name, path=":".join(places))
    assert found, f"install {name}, as ./test does"
    return found


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """An authority, and its certificate for localhost in the files that the document names."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], cwd=folder, check=True, capture_output=True)

    new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    openssl("req", "-x509", *new, "-subj", "/CN=Authority", "-keyout", "ca.key", "-out", "ca.pem")
    openssl(
        *["req", "-x509", *new, "-subj", "/CN=localhost", "-keyout", "privkey.pem", "-out", "fullchain.pem"],
        *["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:FALSE"],
        *["-CA", "ca.pem", "-CAkey", "ca.key"],
    )
    (folder / "settings.pem").write_text((folder / "fullchain.pem").read_text() + (folder / "privkey.pem").read_text())
    return folder


@pytest.fixture
def server(start, tmp_path):
    trust = {"CUSTOMER_SETTINGS_TRUSTED_PROXIES": "127.0.0.1/32,::1/128"}
    server = start("--demo", "--data-dir", tmp_path / "data", env=trust)
    server.key_file = server.data_dir / "demo-key"
    server.key = server.key_file.read_text().strip()
    # Enough entries with long ids that a refusal is too long for the head of an answer over gRPC-Web.
    create = [{"create": {"collection": "customer_tags", "entryId": id, "entry": {"name": id}}} for id in LONG_IDS]
    changes = json.dumps({"changes": create})
    run("entry", "batch", "cmp_001", "-", "--data-dir", server.data_dir, stdin=changes)
    return server


@pytest.fixture
def proxy(tmp_path):
    """Starts proxies that end with the test."""
    processes = []

    def start_one(name, text, port, **variables):
        file = tmp_path / f"{name}.conf"
        if name == "nginx":
            paths = "".join(f"{kind}_temp_path {tmp_path}/{kind};\n" for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"])
            # The workers write large bodies into the test's folder.
            process = f"user {getpass.getuser()}; error_log stderr; pid {tmp_path}/nginx.pid; daemon off; events {{}}"
            text = f"{process}\nhttp {{\naccess_log off;\n{paths}{text}\n}}\n"
            command = [program("nginx"), "-p", tmp_path, "-c", file]
        elif name == "Caddy":
            ports = (port, free_port()) if "http://" in text else (free_port(), port)
            text = "{\nadmin off\nhttp_port %d\nhttps_port %d\n}\n" % ports + text
            command = [program("caddy"), "run", "--adapter", "caddyfile", "--config", file]
        else:
            command = [program("haproxy"), "-db", "-f", file]
        file.write_text(text)
        log = open(tmp_path / f"{name}.log", "w+")
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), **libraries(), **variables}
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        processes.append(process)

        def listens():
            assert process.poll() is None, (tmp_path / f"{name}.log").read_text()
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", port)) == 0

        until(listens, f"{name} listens")
        return process

    yield start_one
    for process in processes:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()


def libraries():
    """The libraries of programs that are only unpacked."""
    folders = TARGET.glob("test-tools/*/usr/lib/*-linux-gnu")
    return {"LD_LIBRARY_PATH": ":".join(map(str, folders))}


def documented(heading, server, certificates):
    """The block under a heading, for this machine: its configuration and port."""
    port = free_port()
    text = BLOCKS.get(heading, BLOCKS[f"{heading.split(':')[0]}: HTTP and gRPC"])
    for old, new in [
        ("/etc/ssl/settings/", f"{certificates}/"),
        ("127.0.0.1:8080", server.address),
        (r"listen 443\b", f"listen 127.0.0.1:{port}"),
        (r"bind :443\b", f"bind 127.0.0.1:{port}"),
        (r"\b(settings\.|api\.)?example\.com\b", "localhost"),
    ]:
        text, count = re.subn(old, new, text)
        assert count or "443" in old or "example" in old, f"{old} is not in the block under {heading}"
    return text, port


def wrong_order():
    """As many ids as there are entries, none of which is right."""
    return [f"none_{number:02}_{'x' * 56}" for number in range(2 + len(LONG_IDS))]


def refusals_and_answers(base, server, *options):
    """Everything that a command does with a server, through the proxy."""
    where = ["--server", base, "--key-file", server.key_file, *options]
    assert run("status", "--server", base, *options).returncode == 0
    listed = json.loads(run("entry", "list", *TAGS, *where, "--output", "json").stdout)["entries"]
    assert [entry["name"] for entry in listed] == ["VIP Customer", "First-time Customer", *LONG_IDS], listed
    made = json.loads(run("entry", "create", *TAGS, "--name", "Proxied", *where, "--output", "json").stdout)
    run("entry", "archive", *TAGS, made["id"], *where)
    missing = run("entry", "get", *TAGS, "tag_nowhere", *where, check=False)
    assert missing.returncode == 3 and "tag_nowhere" in missing.stderr, missing.stderr
    refused = run("entry", "reorder", *TAGS, *wrong_order(), *where, check=False)
    assert refused.returncode == 1 and refused.stderr.count("and 17 more") == 2, refused.stderr
    late = run("history", "list", "cmp_001", "--all", *where, "--timeout", "1ms", check=False)
    # The client's own time-out, or that of the server, which the client named.
    assert late.returncode == 6 and re.search("in time|DEADLINE_EXCEEDED", late.stderr), late.stderr


def http(base, server, certificates):
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    request = urllib.request.Request(f"{base}/v1/companies/cmp_001", headers={"Authorization": f"Bearer {server.key}"})
    with urllib.request.urlopen(request, timeout=20, context=context) as answer:
        assert json.loads(answer.read())["id"] == "cmp_001"
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{base}/metrics", timeout=20, context=context)
    assert caught.value.code == 404


def over_grpc(port, server, certificates):
    credentials = grpc.ssl_channel_credentials((certificates / "ca.pem").read_bytes())
    with grpc.secure_channel(f"localhost:{port}", credentials) as channel:
        reorder = channel.unary_unary("/customersettings.v1.EntryService/ReorderEntries")
        # The request's fields: company_id, collection, ids.
        fields = [(1, b"cmp_001"), (2, b"customer_tags"), *((3, id.encode()) for id in wrong_order())]
        message = b"".join(bytes([number << 3 | 2, len(text)]) + text for number, text in fields)
        with pytest.raises(grpc.RpcError) as caught:
            reorder(message, metadata=[("authorization", f"Bearer {server.key}")], timeout=20)
        info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        status = rpc_status.from_call(caught.value)
        assert status is not None, caught.value
        assert all(any(detail.Unpack(one) for detail in status.details) for one in [info, request])
        assert (info.reason, len(request.field_violations)) == ("INVALID_FIELD", 2)
        tags = channel.unary_unary("/moego.business.setting.v1.SettingService/ListCustomerTags")
        answer = tags(b"\x0a\x07cmp_001", metadata=[("authorization", f"Bearer {server.key}")], timeout=20)
        assert b"VIP Customer" in answer


def test_the_document_has_every_combination():
    for name in ["nginx", "Caddy", "HAProxy"]:
        for kind in ["HTTP", "HTTP under a sub-path", "gRPC", "HTTP and gRPC"]:
            assert f"{name}: {kind}" in HEADINGS
    assert len(BLOCKS) == len(CONFIGURATIONS), "two blocks under one heading"


@pytest.mark.parametrize("heading", HEADINGS)
def test_a_documented_block_works_as_it_is_written(heading, server, proxy, certificates):
    text, port = documented(heading, server, certificates)
    proxy(heading.split(":")[0], text, port)
    base = f"https://localhost:{port}" + ("/settings" if "sub-path" in heading else "")
    if "HTTP" in heading:
        refusals_and_answers(base, server, "--ca-file", certificates / "ca.pem")
        http(base, server, certificates)
    if "gRPC" in heading:
        over_grpc(port, server, certificates)


@pytest.mark.parametrize("path", ["", "/sub/path"])
@pytest.mark.parametrize("name", DEFAULTS)
def test_commands_work_behind_what_a_proxy_does_by_default(name, path, server, proxy):
    port = free_port()
    proxy(name, DEFAULTS[name].format(port=port, path=path, server=server.address), port)
    refusals_and_answers(f"http://localhost:{port}{path}", server)


def test_an_answer_of_the_proxy_itself_is_told_apart(server, proxy):
    port = free_port()
    rules = "location / { return 404; } location = /readyz { return 200 'welcome'; } location /moved/ { return 301 https://elsewhere.example$request_uri; }"
    proxy("nginx", f"server {{ listen 127.0.0.1:{port}; {rules} location /down/ {{ proxy_pass http://127.0.0.1:1; }} }}", port)
    key = ["--key-file", server.key_file]
    base = f"http://localhost:{port}"
    for path, told in [("", "404 Not Found"), ("/moved", "leads to https://elsewhere.example/"), ("/down", "502 Bad Gateway")]:
        done = run("entry", "create", *TAGS, "--name", "A", "--server", base + path, *key, check=False)
        assert done.returncode == 6 and told in done.stderr, done.stderr
        # A server that may be behind the proxy may have made the change.
        assert ("--request-id" in done.stderr) == (path == "/down"), done.stderr
    done = run("status", "--server", base, check=False)
    assert done.returncode == 6 and "gave no proper answer" in done.stderr, done.stderr


@pytest.fixture
def account(certificates):
    """An account's API over TLS, which takes note of every request: method, path, credential, host, client's address."""
    seen = []

    class Api(BaseHTTPRequestHandler):
        def answer(self):
            headers = [self.headers[name] for name in ["Authorization", "Host", "X-Forwarded-For"]]
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            seen.append((self.command, self.path, body, *headers))
            self.send_response(200)
            self.send_header("Content-Length", "20")
            self.end_headers()
            self.wfile.write(b'{"from": "account" }')

        do_GET = do_POST = do_PATCH = do_DELETE = answer

        def log_message(self, *_):
            pass

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "fullchain.pem", certificates / "privkey.pem")
    listener.socket = context.wrap_socket(listener.socket, server_side=True)
    threading.Thread(target=listener.serve_forever, daemon=True).start()
    listener.seen = seen
    yield listener
    listener.shutdown()
    listener.server_close()


@pytest.mark.parametrize("heading", SPLITS)
def test_one_address_leads_to_two_servers(heading, server, proxy, certificates, account):
    text, port = documented(heading, server, certificates)
    host = f"localhost:{account.server_port}"
    text = text.replace("https://openapi.moego.pet", f"https://{host}").replace("openapi.moego.pet", host)
    text = text.replace("/etc/ssl/certs/ca-certificates.crt", f"{certificates}/ca.pem")
    proxy(heading.split(":")[0], text, port, SSL_CERT_FILE=str(certificates / "ca.pem"))
    context = ssl.create_default_context(cafile=certificates / "ca.pem")
    credential = "Basic " + base64.b64encode(server.key.encode()).decode()

    def send(method, path, body=None):
        request = urllib.request.Request(f"https://localhost:{port}{path}", method=method, data=body)
        request.add_header("Authorization", credential)
        request.add_header("Content-Type", "application/json")
        with urllib.request.urlopen(request, timeout=20, context=context) as answer:
            return json.loads(answer.read())

    lists = "/v1/setting/companies/cmp_001"
    for method, path, key in [
        ("POST", "/v1/companies:list", "companies"), ("GET", "/v1/companies/cmp_001", "name"),
        ("POST", "/v1/businesses:list", "businesses"), ("GET", "/v1/businesses/biz_001", "companyId"),
        ("POST", f"{lists}/customer/tags:list", "tags"), ("POST", f"{lists}/customer/referral_sources:list", "referralSources"),
        ("POST", f"{lists}/leads/life_cycles", "lifeCycles"), ("POST", f"{lists}/leads/action_status", "actionStatuses"),
        ("GET", f"{lists}/customer/tags:list", "tags"), ("GET", f"{lists}/leads/life_cycles?a=b", "lifeCycles"),
    ]:
        assert key in send(method, path, b"{}" if method == "POST" else None), (method, path)
    assert account.seen == []
    others = [
        ("POST", "/v1/customers:list", b'{"a": 1}'), ("POST", "/v1/pets/5/photo", b"p" * 2_000_000), ("PATCH", "/v1/companies/cmp_001", b"{}"), ("DELETE", "/v1/businesses/biz_001", None),
        ("POST", f"{lists}/leads", b"{}"), ("GET", f"{lists}/customer/tags:list/more", None), ("GET", "/v1/companies/a%2Fb", None),
        ("GET", "/admin/v1/companies", None), ("GET", "/metrics", None), ("GET", "/console", None), ("GET", "/?q=/v1/companies/c", None),
    ]
    for method, path, body in others:
        assert send(method, path, body) == {"from": "account"}, (method, path)
        # The credential is the client's, and everything else that it sent.
        assert account.seen.pop() == (method, path, body or b"", credential, host, None)
