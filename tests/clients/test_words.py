"""Errors of commands on the data itself: one line, in the words of the command line."""

import json
import sqlite3

import pytest
from conftest import run

DOCUMENT = "companies: [{id: cmp_1, name: One, customer_tags: [{id: tag_1, name: VIP}]}]"
TAGS = ["cmp_1", "customer_tags"]


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ["data", "empty"]:
        (tmp_path / name).mkdir()
    run("load", "--data-dir", "data", "-", stdin=DOCUMENT)
    (tmp_path / "text").write_text("no database")
    monkeypatch.setenv("CUSTOMER_SETTINGS_DATA_DIR", "data")
    return tmp_path / "data"


def told(code, *arguments, stdin=""):
    done = run(*arguments, check=False, stdin=stdin)
    assert (done.returncode, done.stdout) == (code, ""), (arguments, done)
    assert done.stderr.startswith("error: "), done.stderr
    return done.stderr


@pytest.mark.parametrize(
    "code, command, words",
    [
        (1, ["load", "none.yaml"], "none.yaml cannot be read"),
        (1, ["load", "--data-dir", "none", "text"], "there is no directory none"),
        (3, ["export", "--company", "none"], "there is no company none"),
        (2, ["export", "--company", "a b"], "--company must be an id"),
        (1, ["export", "--data-dir", "empty"], "the directory empty holds no store"),
        (1, ["backup", "none/copy.db"], "there is no directory none"),
        (1, ["backup", "text"], "text exists already"),
        (1, ["restore", "--data-dir", "empty", "none.db"], "there is no file none.db"),
        (1, ["restore", "--data-dir", "empty", "text"], "text is not a database of customer-settings"),
        (1, ["restore", "text"], "give an empty directory, or --replace"),
        (1, ["copy", "--from", "none", "--to", "empty"], "there is no directory none"),
        (1, ["key", "import", "--name", "short"], "on standard input: secret must have 24 to 512"),
        (2, ["entry", "batch", "cmp_1", "-"], "standard input is not valid JSON"),
        (2, ["entry", "batch", "cmp_1", "none.json"], "none.json cannot be read"),
        (3, ["entry", "list", "none", "customer_tags"], "there is no company none"),
        (2, ["entry", "delete", *TAGS, "tag_1"], "give --yes"),
        (1, ["serve", "--listen", "nowhere"], "--listen cannot be \"nowhere\": it must be an address"),
        (6, ["verify", "--database-url", "postgres://127.0.0.1:1/x"], "the database server 127.0.0.1:1 cannot be reached"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_command_that_cannot_be_done_says_what_is_in_the_way(data, monkeypatch, code, command, words):
    if "--database-url" in command or "copy" in command:
        monkeypatch.delenv("CUSTOMER_SETTINGS_DATA_DIR")
    said = told(code, *command)
    assert words in said and len(said.splitlines()) == 1, said


def test_a_roll_back_of_nothing_asks_nothing(data):
    done = run("history", "rollback", "cmp_1", "1")
    assert "there was nothing to do" in done.stderr


def test_what_is_damaged_is_named_as_far_as_it_is_known(data):
    with sqlite3.connect(data / "customer-settings.db") as database:
        database.execute("UPDATE changes SET body = 'x'")
        database.execute("UPDATE entries SET color = 'green'")
    database.close()
    assert "(company cmp_1: color must be" in told(1, "export")
    found = run("verify", "--output", "json", check=False)
    assert found.returncode == 1 and len(json.loads(found.stdout)["findings"]) == 2


def test_a_place_that_a_backup_cannot_have_is_not_offered(data, monkeypatch):
    monkeypatch.delenv("CUSTOMER_SETTINGS_DATA_DIR")
    for command in [["backup", "b.db"], ["restore", "b.db"]]:
        said = told(2, *command)
        assert "--data-dir" in said and "--database-url" not in said


def test_a_link_leads_to_the_server_that_is_named(demo):
    key = json.loads(run("key", "list", "--data-dir", demo.data_dir, "--output", "json").stdout)[0]["id"]
    url = ["console", "url", key]
    guessed = run(*url, "--data-dir", demo.data_dir)
    assert guessed.stdout.startswith("http://localhost:8080/console/link?") and "give --at URL" in guessed.stderr
    known = run(*url, "--server", demo.base, "--key-file", demo.data_dir / "demo-key")
    assert known.stdout.startswith(f"{demo.base}/console/link?") and "--at" not in known.stderr
