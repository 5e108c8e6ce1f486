"""Clients that generators make of the OpenAPI document and of the `.proto` files, and what they do with them: create,
change with an etag, meet a conflict, page, read the history and the four lists. The programs are in `generated/`."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from conftest import ROOT, run
from test_clients import npm

pytestmark = pytest.mark.long

PROGRAMS = ROOT / "tests" / "clients" / "generated"
PACKAGES = [
    "@bufbuild/buf@1.75.0",
    "@bufbuild/protobuf@2.17.0",
    "@bufbuild/protoc-gen-es@2.17.0",
    "@connectrpc/connect@2.3.0",
    "@connectrpc/connect-node@2.3.0",
    "@connectrpc/connect-web@2.3.0",
    "@types/node@20.9.5",
    "newman@6.2.2",
    "openapi-fetch@0.17.0",
    "openapi-to-postmanv2@6.3.3",
    "openapi-typescript@7.13.0",
    "typescript@5.9.3",
]


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    """The packages of npm, installed once."""
    return npm(tmp_path_factory.mktemp("npm"), *PACKAGES)


@pytest.fixture
def folder(demo, tmp_path):
    """A folder with the programs and the served document."""
    folder = tmp_path / "generated"
    shutil.copytree(PROGRAMS, folder)
    (folder / "openapi.json").write_text(json.dumps(demo.call("/openapi.json")[2]))
    return folder


def do(folder, *command):
    """Runs a command that must succeed: its output."""
    # The programs that pip installed stand beside this Python.
    path = f"{os.path.dirname(sys.executable)}:{os.environ['PATH']}"
    done = subprocess.run(
        [str(word) for word in command], cwd=folder, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PATH": path, "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def compiled(folder, modules, program):
    """The program in JavaScript, after a check of its types."""
    if not (folder / "node_modules").exists():
        (folder / "node_modules").symlink_to(modules)
    config = json.loads((folder / "tsconfig.json").read_text())
    (folder / "tsconfig.json").write_text(json.dumps({**config, "files": [program]}))
    do(folder, modules / ".bin" / "tsc")
    return folder / "out" / program.replace(".ts", ".js")


def test_openapi_python_client(demo, folder):
    said = do(folder, "openapi-python-client", "generate", "--path", "openapi.json", "--meta", "none",
              "--output-path", "client")
    assert "warning" not in said.lower(), said
    do(folder, sys.executable, "python_client.py", demo.base, demo.key)


def test_openapi_generator_typescript_fetch(demo, folder, modules):
    do(folder, "openapi-generator-cli", "generate", "-g", "typescript-fetch", "-i", "openapi.json", "-o", "generated/fetch")
    do(folder, "node", compiled(folder, modules, "fetch.ts"), demo.base, demo.key)


def test_openapi_typescript_with_openapi_fetch(demo, folder, modules):
    do(folder, modules / ".bin" / "openapi-typescript", "openapi.json", "-o", "generated/schema.ts")
    do(folder, "node", compiled(folder, modules, "openapi_fetch.ts"), demo.base, demo.key)


def test_openapi_to_postman(demo, folder, modules):
    (folder / "node_modules").symlink_to(modules)
    do(folder, "node", "postman.cjs", demo.base, demo.key)


def test_connect_over_grpc_and_grpc_web(demo, folder, modules):
    run("proto", "--out", folder / "proto")
    (folder / "node_modules").symlink_to(modules)
    plugin = {"local": "node_modules/.bin/protoc-gen-es", "out": "generated/connect", "opt": "target=ts"}
    (folder / "buf.gen.yaml").write_text(json.dumps({"version": "v2", "plugins": [plugin]}))
    do(folder, modules / ".bin" / "buf", "generate", "proto", "--include-imports")
    do(folder, "node", compiled(folder, modules, "connect.ts"), demo.base, demo.key)
