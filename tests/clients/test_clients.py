"""Runs the programs of docs/clients.md against the demo. Each must print what the page says."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest
from conftest import PROGRAM
from documents import block, blocks

PAGE = "docs/clients.md"
EXPECTED = next(one.text for one in blocks(PAGE) if one.language == "text")

# Google's functions, as far as the program uses them, over curl: UrlFetchApp answers before it returns.
APPS_SCRIPT = """
const { execFileSync } = require("node:child_process");
const { readFileSync } = require("node:fs");
const values = {
  SERVER: process.env.CUSTOMER_SETTINGS_SERVER,
  KEY: readFileSync(process.env.CUSTOMER_SETTINGS_KEY_FILE, "utf8").trim(),
};
const PropertiesService = { getScriptProperties: () => ({ getProperty: (name) => values[name] }) };
const Utilities = { getUuid: () => require("node:crypto").randomUUID() };
const UrlFetchApp = {
  fetch(url, { method, contentType, headers, payload, muteHttpExceptions }) {
    const lines = Object.entries({ ...headers, "Content-Type": contentType }).map(([name, value]) => `${name}: ${value}`);
    const sent = lines.flatMap((line) => ["-H", line]);
    const options = ["-s", "-w", "\\n%{http_code}", "-X", method.toUpperCase(), ...sent, "-d", payload, url];
    const text = execFileSync("curl", options, { encoding: "utf8" });
    const end = text.lastIndexOf("\\n");
    if (!muteHttpExceptions) throw new Error("the program wants to see errors");
    return {
      getResponseCode: () => Number(text.slice(end + 1)),
      getContentText: () => text.slice(0, end),
      getHeaders: () => ({}),
    };
  },
};
"""


@pytest.fixture
def check(demo, tmp_path):
    """Runs a command in an empty directory, and compares its output with the page's."""

    def check_one(*command, cwd=tmp_path):
        environment = {
            **os.environ, "CUSTOMER_SETTINGS_SERVER": demo.base,
            "CUSTOMER_SETTINGS_KEY_FILE": str(demo.data_dir / "demo-key"),
        }
        done = subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=300)
        assert (done.returncode, done.stdout) == (0, EXPECTED), done.stderr

    return check_one


def save(folder, name, heading, language, before="", after=""):
    path = folder / name
    path.write_text(before + block(PAGE, heading, language) + after)
    return path


def test_curl(check, tmp_path):
    check("bash", save(tmp_path, "tags.sh", "curl", "bash"))


@pytest.mark.parametrize("heading", ["Python", "Python over gRPC"])
def test_python(check, tmp_path, heading):
    check(sys.executable, save(tmp_path, "tags.py", heading, "python"))


def test_php(check, tmp_path):
    check("php", save(tmp_path, "tags.php", "PHP", "php"))


def test_google_apps_script_with_a_stand_in_for_googles_functions(check, tmp_path):
    check("node", save(tmp_path, "tags.cjs", "Google Apps Script", "js", before=APPS_SCRIPT, after="main();\n"))


def npm(folder, *packages):
    """Installs packages of npm into a folder."""
    command = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", folder, *packages]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / "node_modules"


@pytest.mark.long
def test_typescript(check, tmp_path):
    modules = npm(tmp_path, "typescript@7.0.2", "@types/node@24.19.4")
    save(tmp_path, "tags.mts", "TypeScript and JavaScript", "ts")
    tsc = [modules / ".bin" / "tsc", "--strict", "--module", "nodenext", "--target", "es2022", "--types", "node"]
    done = subprocess.run([*tsc, "tags.mts"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    check("node", tmp_path / "tags.mjs")


@pytest.mark.long
def test_postman(demo, tmp_path):
    modules = npm(tmp_path, "newman@6.2.2")
    collection = save(tmp_path, "collection.json", "Postman", "json")
    values = ["--env-var", f"server={demo.base}", "--env-var", f"key={demo.key}"]
    newman = ["node", modules / "newman" / "bin" / "newman.js", "run", collection, *values, "--color", "off"]
    done = subprocess.run(newman, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
    logged = [line.strip(" │'") for line in done.stdout.splitlines() if line.strip().startswith("│ '")]
    assert logged == EXPECTED.splitlines(), done.stdout


@pytest.mark.long
def test_go(check, tmp_path):
    save(tmp_path, "main.go", "Go", "go")
    subprocess.run(["go", "vet", "main.go"], cwd=tmp_path, check=True)
    check("go", "run", "main.go")


@pytest.mark.long
def test_go_over_grpc(check, tmp_path, monkeypatch):
    """With Debian's packages of Go's libraries, which stand in one tree, and not as modules."""
    debian = pathlib.Path("/usr/share/gocode/src/google.golang.org/grpc")
    if not debian.exists() or not shutil.which("protoc-gen-go-grpc"):
        pytest.skip("needs golang-google-grpc-dev and protoc-gen-go-grpc")
    monkeypatch.setenv("GO111MODULE", "off")
    monkeypatch.setenv("GOPATH", f"{tmp_path}:/usr/share/gocode")
    # Debian's version lacks a package that the program uses.
    library = shutil.copytree(debian, tmp_path / "src" / "google.golang.org" / "grpc")
    insecure = library / "credentials" / "insecure" / "insecure.go"
    insecure.parent.mkdir()
    local = 'import "google.golang.org/grpc/credentials/local"'
    insecure.write_text(f"package insecure\n\n{local}\n\nvar NewCredentials = local.NewCredentials\n")
    folder = tmp_path / "src" / "example.com" / "client"
    folder.mkdir(parents=True)
    save(folder, "main.go", "Go over gRPC", "go")
    generate = next(one.text for one in blocks(PAGE) if "protoc -I" in one.text)
    environment = {**os.environ, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}"}
    subprocess.run(["bash", "-euo", "pipefail", "-c", generate], cwd=folder, env=environment, check=True)
    check("go", "run", ".", cwd=folder)


def test_every_program_of_the_page_is_run():
    programs = {(one.heading, one.language) for one in blocks(PAGE) if one.language not in ("sh", "text")}
    assert programs == {
        ("curl", "bash"), ("Python", "python"), ("TypeScript and JavaScript", "ts"), ("Go", "go"), ("PHP", "php"),
        ("Google Apps Script", "js"), ("Postman", "json"), ("Python over gRPC", "python"), ("Go over gRPC", "go"),
    }
