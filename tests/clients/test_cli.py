"""The commands that talk to a server, as people and scripts use them."""

import contextlib
import fcntl
import json
import os
import pty
import re
import socket
import sqlite3
import struct
import subprocess
import termios
import textwrap
import threading
import urllib.error
import urllib.request

import pytest
from conftest import PROGRAM, ROOT, run
from database import until

TAGS = ("cmp_001", "customer_tags")


@pytest.fixture
def cli(demo):
    """Runs a command against the demo, with the key from the demo's file."""

    def command(*arguments, key_file=demo.data_dir / "demo-key", **options):
        return run(*arguments, "--server", demo.base, "--key-file", key_file, **options)

    command.server = demo
    command.json = lambda *arguments, **options: json.loads(
        command(*arguments, "--output", "json", **options).stdout
    )
    return command


def ids(cli, *arguments):
    return [entry["id"] for entry in cli.json("entry", "list", *TAGS, *arguments)["entries"]]


def refused(cli, code, *arguments, **options):
    """The message of a command that fails with this code."""
    done = cli(*arguments, check=False, **options)
    assert done.returncode == code, (arguments, done.returncode, done.stderr)
    assert "error: " in done.stderr and done.stdout == "", (arguments, done.stdout)
    return done.stderr


def on_a_terminal(cli, answer, *arguments, columns=500, env={}):
    """Runs a command on a terminal that answers its question: the exit code and the output."""
    server = ["--server", cli.server.base, "--key-file", str(cli.server.data_dir / "demo-key")]
    terminal, inner = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    process = os.fork()
    if process == 0:
        os.login_tty(inner)
        os.execve(PROGRAM, [str(PROGRAM), *arguments, *server], {**os.environ, "TERM": "xterm", **env})
    os.close(inner)
    shown, answered = "", False
    while True:
        try:
            part = os.read(terminal, 4096)
        except OSError:
            part = b""
        if not part:
            break
        shown += part.decode()
        if "[y/N]" in shown and not answered:
            os.write(terminal, answer.encode() + b"\n")
            answered = True
    _, status = os.waitpid(process, 0)
    os.close(terminal)
    return os.waitstatus_to_exitcode(status), shown


def test_an_entry_from_creation_to_deletion_and_back(cli):
    made = cli.json("entry", "create", *TAGS, "tag_senior", "--name", "Senior Pet", "--color", "#8e44ad")
    assert (made["id"], made["color"], made["textColor"]) == ("tag_senior", "#8E44AD", "#FFFFFF")
    assert cli.json("entry", "get", *TAGS, "tag_senior") == made

    changed = cli.json("entry", "update", *TAGS, "tag_senior", "--name", "Senior", "--no-color", "--etag", made["etag"])
    assert (changed["name"], changed["color"]) == ("Senior", "")
    cli("entry", "reorder", *TAGS, "tag_senior", "tag_002", "tag_001")
    assert ids(cli) == ["tag_senior", "tag_002", "tag_001"]

    assert cli.json("entry", "archive", *TAGS, "tag_senior")["state"] == "ARCHIVED"
    assert "tag_senior" not in ids(cli) and "tag_senior" in ids(cli, "--archived")
    assert ids(cli, "--filter", "state = ARCHIVED") == ["tag_senior"]
    assert cli.json("entry", "restore", *TAGS, "tag_senior")["state"] == "ACTIVE"

    cli("entry", "archive", *TAGS, "tag_senior")
    assert cli("entry", "delete", *TAGS, "tag_senior", "--yes").stderr == "deleted\n"
    newest = cli.json("history", "list", "cmp_001", "--limit", "1")
    cli("history", "undo", "cmp_001", newest["revision"])
    assert ids(cli, "--archived", "--filter", 'name : "senior"') == ["tag_senior"]


def test_a_default_is_handed_on(cli):
    cli("entry", "create", "cmp_001", "life_cycles", "lc_new", "--name", "Fresh")
    assert cli.json("entry", "set-default", "cmp_001", "life_cycles", "lc_new")["isDefault"] is True
    entries = cli.json("entry", "list", "cmp_001", "life_cycles")["entries"]
    [default] = [entry["id"] for entry in entries if entry["isDefault"]]
    assert default == "lc_new"
    refused(cli, 5, "entry", "archive", "cmp_001", "life_cycles", "lc_new")
    other = next(entry["id"] for entry in entries if not entry["isDefault"])
    cli("entry", "archive", "cmp_001", "life_cycles", "lc_new", "--successor", other)


def test_companies_and_businesses(cli):
    made = cli.json("company", "create", "cmp_new", "--name", "Sunny Tails", "--timezone", "America/Chicago")
    assert (made["id"], made["timezone"]["id"]) == ("cmp_new", "America/Chicago")
    assert cli.json("company", "update", "cmp_new", "--country", "US")["country"] == "US"
    place = cli.json("business", "create", "cmp_new", "biz_new", "--name", "Lake", "--city", "Chicago", "--state", "IL")
    assert (place["address"]["city"], place["address"]["state"], place["state"]) == ("Chicago", "IL", "ACTIVE")
    changed = cli.json("business", "update", "cmp_new", "biz_new", "--business-phone", "+1 555 0100")
    assert (changed["businessPhone"], changed["address"]) == ("+1 555 0100", place["address"])
    assert cli.json("business", "archive", "cmp_new", "biz_new")["state"] == "ARCHIVED"
    assert cli.json("business", "list", "cmp_new")["businesses"] == []
    assert cli.json("business", "restore", "cmp_new", "biz_new")["state"] == "ACTIVE"
    cli("company", "archive", "cmp_new")
    assert "cmp_new" not in [one["id"] for one in cli.json("company", "list")["companies"]]
    assert cli.json("company", "restore", "cmp_new")["state"] == "ACTIVE"


def test_tables_are_aligned_and_notes_do_not_mix_with_results(cli):
    header, *rows = cli("entry", "list", *TAGS).stdout.splitlines()
    assert header.split()[:3] == ["#", "ID", "NAME"] and len(rows) == 2
    for row in rows:
        assert row[header.index("ID") :].startswith("tag_00")
    empty = cli("entry", "list", *TAGS, "--filter", 'name = "nothing"')
    assert empty.stdout == "" and "no such entries" in empty.stderr
    one = cli("entry", "get", *TAGS, "tag_001").stdout.splitlines()
    assert one[0].split() == ["FIELD", "VALUE"]
    assert ["name", "VIP", "Customer"] in [line.split() for line in one]


def test_a_table_fits_into_the_terminal_and_has_colors_there(cli):
    cli("entry", "update", *TAGS, "tag_001", "--name", "犬のトリミング🐕", "--description", "d" * 200)
    cli("entry", "archive", *TAGS, "tag_002")
    table = ["entry", "list", *TAGS, "--archived"]
    code, shown = on_a_terminal(cli, "", *table, columns=100)
    assert code == 0 and "\x1b[1mNAME\x1b[0m" in shown and "\x1b[33mARCHIVED\x1b[0m" in shown, shown
    for env in [{"NO_COLOR": "1"}, {"TERM": "dumb"}]:
        _, shown = on_a_terminal(cli, "", *table, columns=80, env=env)
        lines = shown.splitlines()
        assert "\x1b" not in shown and "…" in shown and max(map(len, lines)) <= 80, shown
    _, shown = on_a_terminal(cli, "", *table, "--wide", columns=80)
    assert "…" not in shown
    # Keys have long ids and many columns: those without room are named.
    _, shown = on_a_terminal(cli, "", "key", "list", columns=80, env={"NO_COLOR": "1"})
    *lines, note = shown.splitlines()
    assert "EXPIRES" in lines[0] and max(map(len, lines)) <= 80 and "see --wide): CREATED BY KEY, CREATED" in note, shown
    # One thing is shown whole, and so is everything where there is no terminal.
    _, shown = on_a_terminal(cli, "", "entry", "get", *TAGS, "tag_001", columns=100)
    assert "d" * 200 in shown.replace("\r\n", "")
    assert "…" not in cli(*table).stdout and "\x1b" not in cli(*table).stdout
    _, shown = on_a_terminal(cli, "", "key", "create", "--help", columns=60, env={"NO_COLOR": "1"})
    texts, examples = shown.split("Examples:")
    assert max(map(len, texts.splitlines())) <= 60, shown
    # An example is for pasting, so it stays a line.
    assert all(line.startswith("  customer-settings key create") for line in examples.strip("\r\n").splitlines()), shown


def test_quiet_commands_print_results_and_errors_alone(cli):
    made = cli("key", "create", "--name", "quiet", "-q")
    assert made.stdout.startswith("cs_") and made.stderr == ""
    assert cli("-q", "entry", "list", *TAGS, "--filter", 'name = "none"').stderr == ""
    assert "NOT_FOUND" in refused(cli, 3, "entry", "get", *TAGS, "nowhere", "--quiet")
    done = run("load", "-q", "--data-dir", cli.server.data_dir, "-", stdin="companies: [{id: cmp_9}]", check=False)
    assert done.returncode == 1 and "name" in done.stderr, "the reason is no note"


@pytest.mark.parametrize("here", [False, True])
def test_a_new_secret_goes_into_a_private_file(cli, tmp_path, here):
    where = ["--data-dir", cli.server.data_dir] if here else ["--server", cli.server.base, "--key-file", cli.server.data_dir / "demo-key"]
    file = tmp_path / "new.key"
    create = ["key", "create", "--name", "filed", "--out", file, *where]
    run(*create, "--dry-run")
    assert not file.exists()
    made = run(*create)
    assert made.stdout == "" and str(file) in made.stderr and file.stat().st_mode & 0o777 == 0o600
    secret = file.read_text()
    assert re.fullmatch(r"cs_[\w-]+", secret) and secret not in made.stderr
    use = ["company", "list", "--server", cli.server.base, "--key-file", file]
    until(lambda: run(*use, check=False).returncode == 0, "the key works")
    # Editors and `echo` end a file with the end of a line.
    for end in ["\n", "\r\n"]:
        file.write_bytes((secret + end).encode())
        run(*use)
    # An existing file is never overwritten, and then nothing is made.
    before = run("key", "list", *where).stdout
    again = run(*create, check=False)
    assert again.returncode == 1 and "exists already" in again.stderr and run("key", "list", *where).stdout == before
    # Standard output, and no file of that name.
    printed = run("key", "create", "--name", "printed", "--out", "-", *where)
    assert re.fullmatch(r"cs_[\w-]+\n", printed.stdout) and not os.path.exists("-")
    # A refused command leaves no file.
    absent = tmp_path / "absent.key"
    assert run("key", "rotate", "key_nowhere", "--out", absent, *where, check=False).returncode == 3
    assert not absent.exists()
    rotated = json.loads(run("key", "rotate", json.loads(run("key", "list", *where, "--output", "json").stdout)[-1]["id"], "--out", absent, *where, "--output", "json").stdout)
    assert "secret" not in rotated and rotated["key"]["id"] and absent.read_text().startswith("cs_")


def test_a_key_for_a_company_that_does_not_exist_says_so_and_is_made(cli, tmp_path):
    here = ["--data-dir", cli.server.data_dir]
    told = "note: there is no company cmp_later"
    made = cli("key", "create", "--name", "early", "--company", "cmp_001", "--company", "cmp_later")
    assert made.stdout.startswith("cs_") and told in made.stderr and "no company cmp_001" not in made.stderr
    assert told in run("key", "create", "--name", "early", "--company", "cmp_later", *here).stderr
    secret = "a-secret-that-clients-already-hold"
    assert told in run("key", "import", "--name", "early", "--company", "cmp_later", *here, stdin=secret).stderr
    key = cli.json("key", "list")[0]["id"]
    assert told in cli("key", "update", key, "--company", "cmp_later", "--dry-run").stderr


def test_a_link_for_the_console_is_made_with_a_key_and_beside_the_data(cli):
    """A link of either way shows the page whose button signs in, and the key's history says so."""
    key = cli.json("key", "list")[0]["id"]
    link = cli("console", "url", key, "--at", cli.server.base).stdout.strip()
    assert link.startswith(f"{cli.server.base}/console/link?token=")
    assert "Sign in as demo" in urllib.request.urlopen(link).read().decode()
    beside = run("console", "url", key, "--data-dir", cli.server.data_dir).stdout.strip()
    token = beside.split("token=")[1]
    assert beside.startswith("http://localhost:8080/console/link?token=")
    with pytest.raises(urllib.error.HTTPError):
        urllib.request.urlopen(link)
    assert "Sign in as demo" in urllib.request.urlopen(f"{cli.server.base}/console/link?token={token}").read().decode()
    # Beside that of the demo's welcome.
    assert cli("key", "history", key).stdout.count("made a link for signing in") == 3


def test_a_history_has_the_names_of_entries_and_keys(cli):
    cli("entry", "reorder", *TAGS, "tag_002", "tag_001")
    cli("entry", "update", *TAGS, "tag_001", "--name", "Gold")
    listed = cli("history", "list", "cmp_001").stdout
    assert re.search(r'^3 .* demo +demo \(key_\w+\) +127\.0\.0\.1 +updated customer_tags/tag_001 "Gold" \(name\)$', listed, re.MULTILINE), listed
    shown = cli("history", "show", "cmp_001", "2").stdout
    assert re.search(r"order +VIP Customer, First-time Customer +First-time Customer, VIP Customer$", shown, re.MULTILINE), shown
    assert re.search(r"^keyId +demo \(key_\w+\)$", shown, re.MULTILINE)
    key = cli.json("key", "list")[0]["id"]
    assert cli.json("history", "list", "cmp_001")["changes"][0]["keyId"] == key
    assert re.search(r"^\S+ +key_\w+ +demo +1 +created the key +load", cli("key", "history").stdout, re.MULTILINE)
    # Nobody needs to read keys to read the history.
    reads = ["settings:read", "companies:read", "history:read"]
    secret = cli("key", "create", "--name", "audit", *(part for scope in reads for part in ["--scope", scope])).stdout
    file = cli.server.data_dir / "audit.key"
    file.write_text(secret)
    file.chmod(0o600)
    assert key in cli("history", "list", "cmp_001", key_file=file).stdout


def test_tables_name_the_keys_that_changed_things(cli):
    """The names of keys stand in tables, where the caller may read the keys."""
    key = cli.json("key", "list")[0]["id"]
    reads = [part for scope in ["settings:read", "settings:write", "keys:read"] for part in ["--scope", scope]]
    made = json.loads(cli("key", "create", "--name", "till", "--company", "cmp_001", *reads, "--output", "json").stdout)
    till = cli.server.data_dir / "till.key"
    till.write_text(made["secret"])
    till.chmod(0o600)
    cli("entry", "update", *TAGS, "tag_001", "--name", "Gold")
    cli("entry", "update", *TAGS, "tag_002", "--name", "Silver", key_file=till)

    def authors(**options):
        rows = cli("entry", "list", *TAGS, **options).stdout.splitlines()[1:]
        return [re.split(" {2,}", row)[6] for row in rows]

    assert authors() == ["demo", "till"]
    # A key does not see keys that may do more.
    assert authors(key_file=till) == [key, "till"]
    shown = cli("entry", "get", *TAGS, "tag_001").stdout
    assert re.search(rf"^lastUpdatedBy +demo \({key}\)$", shown, re.MULTILINE), shown
    shown = cli("key", "get", made["key"]["id"]).stdout
    assert re.search(rf"^createdByKeyId +demo \({key}\)$", shown, re.MULTILINE), shown
    assert cli.json("entry", "get", *TAGS, "tag_001")["lastUpdatedBy"] == key


def test_a_batch_is_all_or_nothing(cli, tmp_path):
    changes = [
        {"create": {"collection": "customer_tags", "entryId": "tag_batch", "entry": {"name": "Batch"}}},
        {"archive": {"collection": "customer_tags", "id": "tag_001"}},
    ]
    file = tmp_path / "changes.json"
    file.write_text(json.dumps(changes))
    dry = cli("entry", "batch", "cmp_001", file, "--dry-run")
    assert "nothing was changed" in dry.stderr and "tag_batch" in dry.stdout
    assert ids(cli) == ["tag_001", "tag_002"]
    cli("entry", "batch", "cmp_001", "-", stdin=json.dumps({"changes": changes}))
    assert ids(cli) == ["tag_002", "tag_batch"]
    said = refused(cli, 5, "entry", "batch", "cmp_001", file)
    assert "changes[0]" in said and "ID_TAKEN" in said
    file.write_text("[{]")
    said = refused(cli, 2, "entry", "batch", "cmp_001", file)
    assert "is not valid JSON: ']' at line 1, column 3 does not belong there" in said
    # Either of two values could be meant.
    file.write_text('[{"delete": {"collection": "customer_tags", "id": "tag_001", "id": "tag_002"}}]')
    said = refused(cli, 2, "entry", "batch", "cmp_001", file)
    assert "it has the key 'id' twice in one object" in said
    file.write_text('[{"invent": {}}]')
    assert "invent" in refused(cli, 1, "entry", "batch", "cmp_001", file)


def test_history_shows_undoes_and_rolls_back(cli):
    start = cli.json("history", "list", "cmp_001")["revision"]
    cli("entry", "update", *TAGS, "tag_001", "--name", "Very Important")
    cli("entry", "update", *TAGS, "tag_002", "--description", "came once")
    changes = cli.json("history", "list", "cmp_001", "--collection", "customer_tags", "--entry", "tag_001")["changes"]
    revision = changes[0]["revision"]
    shown = cli("history", "show", "cmp_001", revision).stdout
    assert "VIP Customer" in shown and "Very Important" in shown and "UPDATED" in shown
    limited = cli("history", "list", "cmp_001", "--limit", "1")
    assert len(limited.stdout.splitlines()) == 2 and "--limit" in limited.stderr

    cli("history", "undo", "cmp_001", revision, "--dry-run")
    assert cli.json("entry", "get", *TAGS, "tag_001")["name"] == "Very Important"
    cli("history", "undo", "cmp_001", revision)
    assert cli.json("entry", "get", *TAGS, "tag_001")["name"] == "VIP Customer"
    assert cli.json("entry", "get", *TAGS, "tag_001", "--revision", revision)["name"] == "Very Important"

    assert "--yes" in refused(cli, 2, "history", "rollback", "cmp_001", start)
    assert cli.json("entry", "get", *TAGS, "tag_002")["description"] == "came once"
    assert "came once" in cli("history", "rollback", "cmp_001", start, "--yes").stdout
    assert cli.json("entry", "get", *TAGS, "tag_002")["description"] == ""


def test_what_cannot_be_taken_back_lightly_is_asked_first(cli):
    start = cli.json("history", "list", "cmp_001")["revision"]
    cli("entry", "archive", *TAGS, "tag_001")
    delete = ["entry", "delete", *TAGS, "tag_001"]
    assert "--yes" in refused(cli, 2, *delete)
    assert cli(*delete, "--dry-run").returncode == 0
    code, shown = on_a_terminal(cli, "n", *delete)
    assert code == 1 and "not done" in shown
    assert "tag_001" in ids(cli, "--archived")

    back = ["history", "rollback", "cmp_001", start]
    code, shown = on_a_terminal(cli, "", *back)
    assert code == 1 and "RESTORED" in shown and "tag_001" not in ids(cli)
    code, shown = on_a_terminal(cli, "y", *back)
    assert code == 0 and "tag_001" in ids(cli)
    cli("entry", "archive", *TAGS, "tag_001")
    code, _ = on_a_terminal(cli, "yes", *delete)
    assert code == 0 and "tag_001" not in ids(cli, "--archived")


def test_exit_codes_tell_scripts_what_happened(cli, tmp_path):
    assert "NOT_FOUND" in refused(cli, 3, "entry", "get", *TAGS, "tag_none")
    assert "NAME_TAKEN" in refused(cli, 5, "entry", "create", *TAGS, "--name", "vip customer")
    seen = cli.json("entry", "get", *TAGS, "tag_001")["etag"]
    cli("entry", "update", *TAGS, "tag_001", "--description", "newer")
    assert "ETAG_MISMATCH" in refused(cli, 5, "entry", "update", *TAGS, "tag_001", "--name", "A", "--etag", seen)
    invalid = refused(cli, 1, "entry", "update", *TAGS, "tag_001", "--color", "red")
    # Only a log with every request has it.
    assert "color" in invalid and "request id " in invalid and "log" not in invalid
    stranger = tmp_path / "stranger"
    stranger.write_text("cs_" + "x" * 49)
    stranger.chmod(0o600)
    said = refused(cli, 4, "entry", "list", *TAGS, key_file=stranger)
    assert "UNKNOWN_KEY" in said and "xxx" not in said
    reader = run("key", "create", "--data-dir", cli.server.data_dir, "--name", "reader")
    stranger.write_text(reader.stdout)
    said = refused(cli, 4, "entry", "update", *TAGS, "tag_001", "--name", "A", key_file=stranger)
    assert "MISSING_SCOPE" in said and "settings:write" in said


def test_the_key_comes_from_the_environment_or_a_private_file(cli, tmp_path, monkeypatch):
    command = ["entry", "list", *TAGS, "--server", cli.server.base]
    nothing = run(*command, check=False)
    assert nothing.returncode == 2 and "CUSTOMER_SETTINGS_KEY" in nothing.stderr
    monkeypatch.setenv("CUSTOMER_SETTINGS_KEY", cli.server.key)
    monkeypatch.setenv("CUSTOMER_SETTINGS_SERVER", cli.server.base)
    assert "tag_001" in run("entry", "list", *TAGS).stdout
    monkeypatch.setenv("CUSTOMER_SETTINGS_KEY_FILE", str(tmp_path / "key"))
    both = run(*command, check=False)
    assert both.returncode == 2 and "are both set" in both.stderr
    monkeypatch.delenv("CUSTOMER_SETTINGS_KEY")
    file = tmp_path / "key"
    file.write_text(cli.server.key + "\n")
    file.chmod(0o644)
    monkeypatch.setenv("CUSTOMER_SETTINGS_KEY_FILE", str(file))
    open_to_all = run(*command, check=False)
    assert open_to_all.returncode == 2 and f"chmod 600 {file}" in open_to_all.stderr
    assert cli.server.key not in open_to_all.stderr
    file.chmod(0o600)
    assert "tag_001" in run(*command).stdout


def test_two_places_in_the_environment_are_named(cli, tmp_path, monkeypatch):
    url = tmp_path / "database-url"
    url.write_text("postgres://127.0.0.1:1/settings")
    url.chmod(0o600)
    monkeypatch.setenv("CUSTOMER_SETTINGS_SERVER", cli.server.base)
    monkeypatch.setenv("CUSTOMER_SETTINGS_DATABASE_URL_FILE", str(url))
    done = run("company", "list", check=False)
    told = "CUSTOMER_SETTINGS_SERVER and CUSTOMER_SETTINGS_DATABASE_URL_FILE are both set"
    assert done.returncode == 2 and told in done.stderr and "unset one" in done.stderr, done.stderr


def test_keys_are_issued_restricted_rotated_and_revoked_on_a_server(cli, tmp_path):
    made = cli("key", "create", "--name", "till", "--company", "cmp_001", "--scope", "settings:read", "--scope", "keys:write", "--scope", "keys:read")
    secret = made.stdout.strip()
    assert secret.startswith("cs_") and secret not in made.stderr
    [key] = [key for key in cli.json("key", "list") if key["name"] == "till"]
    assert (key["companyIds"], key["state"]) == (["cmp_001"], "ACTIVE")
    assert cli.json("key", "update", key["id"], "--name", "Till 2", "--expires", "1d")["name"] == "Till 2"
    assert "expiresTime" not in cli.json("key", "update", key["id"], "--no-expiry")

    file = tmp_path / "till.key"
    file.write_text(secret)
    file.chmod(0o600)
    assert "tag_001" in cli("entry", "list", *TAGS, key_file=file).stdout
    wider = refused(cli, 4, "key", "create", "--name", "wider", "--scope", "*", key_file=file)
    assert "KEY_NOT_WITHIN" in wider and "scopes" in wider
    new = cli("key", "rotate", key["id"], "--overlap", "1h").stdout.strip()
    assert new.startswith("cs_") and new != secret
    for one in [secret, new]:
        file.write_text(one)
        assert "tag_001" in cli("entry", "list", *TAGS, key_file=file).stdout

    dry = cli("key", "revoke", key["id"], "--dry-run")
    assert "nothing was changed" in dry.stderr and cli.json("key", "get", key["id"])["state"] == "ACTIVE"
    code, _ = on_a_terminal(cli, "n", "key", "revoke", key["id"])
    assert code == 1 and cli.json("key", "get", key["id"])["state"] == "ACTIVE"
    # Without a terminal the command does not wait.
    assert cli.json("key", "revoke", key["id"])["state"] == "REVOKED"
    assert key["id"] not in [one["id"] for one in cli.json("key", "list")]
    assert key["id"] in [one["id"] for one in cli.json("key", "list", "--revoked")]
    summaries = [change["summary"] for change in cli.json("key", "history", key["id"])["changes"]]
    assert summaries[:2] == ["revoked the key", "rotated the key"] and summaries[-1] == "created the key"
    assert key["id"] in cli("key", "history").stdout


def test_a_stolen_key_is_ended_with_all_that_it_made(cli, tmp_path):
    def made(name, by=None):
        file = tmp_path / f"{name}.key"
        with_key = {"key_file": by} if by else {}
        create = ["key", "create", "--name", name, "--scope", "settings:read", "--scope", "keys:write"]
        file.write_text(cli(*create, **with_key).stdout)
        file.chmod(0o600)
        [found] = [key for key in cli.json("key", "list") if key["name"] == name]
        return found["id"], file

    stolen, file = made("stolen")
    child, its_file = made("child", by=file)
    grandchild, last_file = made("grandchild", by=its_file)
    listed = cli("key", "list").stdout.splitlines()
    assert "CREATED BY KEY" in listed[0]
    [line] = [line for line in listed if line.startswith(child)]
    assert line.endswith(stolen)
    assert [key["id"] for key in cli.json("key", "list", "--created-by", stolen)] == [child]
    both = sorted([child, grandchild])
    dry = cli.json("key", "revoke", stolen, "--with-created", "--dry-run")
    assert dry["alsoRevokedIds"] == both and "tag_001" in cli("entry", "list", *TAGS, key_file=last_file).stdout
    code, _ = on_a_terminal(cli, "n", "key", "revoke", stolen, "--with-created")
    assert code == 1 and cli.json("key", "get", stolen)["state"] == "ACTIVE"
    ended = cli.json("key", "revoke", stolen, "--with-created", "--yes")
    assert (ended["state"], ended["alsoRevokedIds"]) == ("REVOKED", both)
    for ended in (file, its_file, last_file):
        assert "KEY_REVOKED" in refused(cli, 4, "entry", "list", *TAGS, key_file=ended)
    # A repetition finds nothing to revoke.
    again = cli.json("key", "revoke", stolen, "--with-created", "--yes")
    assert (again["state"], again["alsoRevokedIds"]) == ("REVOKED", [])


def test_the_runbook_for_a_stolen_key_works_as_it_is_written(cli, tmp_path, monkeypatch):
    """Runs every block of shell in that part of the documentation, the first one twice, as people do after a broken
    connection."""

    def made(name, by=None):
        file = tmp_path / f"{name}.key"
        create = ["key", "create", "--name", name, "--scope", "settings:read", "--scope", "keys:write", "--output", "json"]
        answer = json.loads(cli(*create, **({"key_file": by} if by else {})).stdout)
        file.write_text(answer["secret"])
        file.chmod(0o600)
        return answer["key"]["id"], file

    stolen, file = made("stolen")
    child, its_file = made("child", by=file)
    grandchild, _ = made("grandchild", by=its_file)
    bystander, _ = made("bystander")
    text = (ROOT / "docs/operating.md").read_text()
    [part] = re.findall(r"### A key was stolen\n(.*?)\n## ", text, re.S)
    blocks = [textwrap.dedent(block) for block in re.findall(r"```sh\n(.*?)```", part, re.S)]
    assert len(blocks) == 2 and "ended.txt" in blocks[0] and "while read" in blocks[1]
    monkeypatch.setenv("PATH", f"{PROGRAM.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CUSTOMER_SETTINGS_SERVER", cli.server.base)
    monkeypatch.setenv("CUSTOMER_SETTINGS_KEY_FILE", str(cli.server.data_dir / "demo-key"))
    for block in [blocks[0], *blocks]:
        script = block.replace("key_STOLEN", stolen)
        done = subprocess.run(["bash", "-eo", "pipefail"], input=script, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        if "ended.txt" in block:
            assert (tmp_path / "ended.txt").read_text().split() == [stolen, child, grandchild]
            changes = [line for line in done.stdout.splitlines() if "revoked the key" in line or "created the key" in line]
            assert any(child in line and stolen in line and "created" in line for line in changes)
            assert bystander not in "".join(line for line in changes if "created" not in line)
    states = {key["id"]: key["state"] for key in cli.json("key", "list", "--revoked")}
    assert [states[id] for id in [stolen, child, grandchild, bystander]] == ["REVOKED"] * 3 + ["ACTIVE"]


def test_the_runbook_finds_what_a_stolen_key_did_before_many_others(cli, tmp_path, monkeypatch):
    create = ["key", "create", "--name", "stolen", "--scope", "settings:write", "--output", "json"]
    stolen = json.loads(cli(*create).stdout)
    path = "/admin/v1/companies/cmp_001/customer_tags/tag_001"

    def rename(name, secret=cli.server.key):
        status, *answer = cli.server.call(path, secret, {"name": name}, "PATCH")
        assert status == 200, answer

    rename("Stolen", stolen["secret"])
    cli("key", "update", stolen["key"]["id"], "--name", "S")
    for number in range(130):
        rename(f"Later {number}")
    other = json.loads(cli("key", "create", "--name", "other", "--output", "json").stdout)["key"]["id"]
    for number in range(130):
        status, *answer = cli.server.call(f"/admin/v1/keys/{other}", cli.server.key, {"name": f"o{number}"}, "PATCH")
        assert status == 200, answer
    text = (ROOT / "docs/operating.md").read_text()
    [part] = re.findall(r"### A key was stolen\n(.*?)\n## ", text, re.S)
    [line] = re.findall(r"`(customer-settings history list .*?)`", part, re.S)
    monkeypatch.setenv("PATH", f"{PROGRAM.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("CUSTOMER_SETTINGS_SERVER", cli.server.base)
    monkeypatch.setenv("CUSTOMER_SETTINGS_KEY_FILE", str(cli.server.data_dir / "demo-key"))

    def typed(line):
        script = " ".join(line.split()).replace("COMPANY", "cmp_001").replace("key_STOLEN", stolen["key"]["id"])
        return subprocess.run(["bash", "-eo", "pipefail", "-c", script], capture_output=True, text=True, check=True).stdout

    assert json.loads(typed(line))["summary"].startswith('updated customer_tags/tag_001 "')
    [line] = re.findall(r"^(customer-settings key history .*?) \|", part, re.M)
    assert "S" in typed(line) and typed(line).count("\n") > 130
    few = cli("key", "history")
    assert few.stdout.count("\n") == 101 and "there are more: see --limit and --all" in few.stderr


def test_a_rotation_does_not_cut_another_ones_overlap_short_unasked(cli):
    cli("key", "create", "--name", "twice")
    [key] = [key["id"] for key in cli.json("key", "list") if key["name"] == "twice"]
    cli("key", "rotate", key)
    said = refused(cli, 5, "key", "rotate", key)
    assert "OVERLAP_RUNNING" in said and "--end-overlap" in said and "end_overlap" not in said
    assert cli("key", "rotate", key, "--end-overlap").stdout.startswith("cs_")
    assert cli("key", "rotate", key, "--overlap", "0s").stdout.startswith("cs_")


@pytest.mark.parametrize(
    "command, told, not_told",
    [
        (["entry", "update", *TAGS, "tag_001", "--color", "red"], "--color must be", "entry.color"),
        (["entry", "create", *TAGS, "a b", "--name", "A"], "<ID> must be", "entry_id"),
        (["entry", "get", *TAGS, "a b"], "<ID> must be", "id must"),
        (["entry", "list", "a b", "customer_tags"], "<COMPANY> must be", "company_id"),
        (["entry", "list", *TAGS, "--order-by", "color"], "--order-by", "order_by"),
        (["entry", "list", *TAGS, "--filter", "shape = 1"], "--filter", " filter must"),
        (["entry", "list", *TAGS, "--at", "2001-01-01T00:00:00Z"], "--at", "read_time"),
        (["entry", "update", *TAGS, "tag_001", "--name", "A", "--etag", "x y"], "--etag must", " etag must"),
        (["entry", "archive", *TAGS, "tag_001", "--successor", "tag_002"], "--successor", "successor_id"),
        (["entry", "archive", "cmp_001", "life_cycles", "lc_001"], "takes over in --successor", "successor_id"),
        (["entry", "reorder", *TAGS, "tag_001", "a b"], "<ID> (number 2) must be", "ids["),
        (["history", "list", "cmp_001", "--collection", "tags"], "--collection \"tags\" is no", "[0]"),
        (["history", "list", "cmp_001", "--collection", "life_cycles", "--entry", "a b"], "--entry must be", "entry_id"),
        (["company", "create", "--name", "A", "--timezone", "Paris"], "--timezone", "company.timezone"),
        (["company", "update", "cmp_001", "--country", "UK"], "--country", "company.country"),
        (["business", "create", "cmp_001", "--name", "A", "--country", "UK"], "--country", "address.country"),
        (["business", "create", "cmp_001", "--name", "A", "--website", "x" * 600], "--website has 600", "business.website"),
        (["entry", "set-default", *TAGS, "tag_002"], "no catalog but life_cycles has a default", "is_default"),
        (["key", "list", "--created-by", "a b"], "--created-by must be", "created_by_key_id"),
        (["key", "create", "--name", "x", "--as-staff", "staff_2", "--request-id", "a" * 200], "--request-id must", "request_id"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_a_refusal_speaks_of_flags_and_not_of_fields(cli, command, told, not_told):
    code = 5 if "lc_001" in command else 2 if "set-default" in command else 1
    for where in [(), ("--data-dir", cli.server.data_dir)]:
        if where and "--request-id" in command:
            continue
        done = run(*command, *where, check=False) if where else cli(*command, check=False)
        assert done.returncode == code, (done.returncode, done.stderr)
        assert told in done.stderr and not_told not in done.stderr, done.stderr


def test_what_somebody_named_like_a_field_stays(cli, tmp_path):
    cli("entry", "create", *TAGS, "--name", "request_id")
    said = refused(cli, 5, "entry", "create", *TAGS, "--name", "request_id")
    assert 'the name "request_id" is taken' in said
    # Fields of a document keep the names that they have there.
    file = tmp_path / "changes.json"
    file.write_text('[{"update": {"collection": "customer_tags", "id": "tag_001", "entry": {"color": "red"}}}]')
    said = refused(cli, 1, "entry", "batch", "cmp_001", file)
    assert "changes[0].entry.color must be" in said and "--" not in said


def test_a_repeated_key_command_says_that_the_secret_is_gone(cli):
    create = ["key", "create", "--name", "once", "--request-id", "once"]
    assert cli(*create).stdout.startswith("cs_")
    assert "kept nowhere" in refused(cli, 1, *create)


def test_the_same_commands_work_on_a_data_directory_without_a_key(cli, tmp_path, monkeypatch):
    here = ["--data-dir", cli.server.data_dir]
    run("entry", "create", *TAGS, "tag_here", "--name", "Here", *here)
    # The server shows writes of another process within its bound of a second, not at once.
    until(lambda: "tag_here" in ids(cli), "the server shows the entry", patience=1)
    newest = json.loads(run("history", "list", "cmp_001", "--limit", "1", "--output", "json", *here).stdout)
    assert newest["changes"][0]["staffId"] == "local"
    run("history", "undo", "cmp_001", newest["revision"], "--as-staff", "staff_9", *here)
    until(lambda: "tag_here" not in ids(cli), "the server shows the undo", patience=1)
    assert cli.json("history", "list", "cmp_001", "--limit", "1")["changes"][0]["staffId"] == "staff_9"
    made = run("company", "create", "cmp_here", "--name", "Here", *here, "--dry-run")
    assert "nothing was changed" in made.stderr
    assert run("company", "get", "cmp_here", *here, check=False).returncode == 3
    [key] = [key for key in json.loads(run("key", "list", *here, "--output", "json").stdout)]
    assert run("key", "rotate", key["id"], *here).stdout.startswith("cs_")

    for wrong, word in [
        (["--request-id", "r", *here], "request ids"),
        ([*here, "--key-file", "x"], "--key-file"),
        ([*here, "--server", cli.server.base], "--server"),
        ([], "--data-dir"),
        (["--data-dir", tmp_path / "missing"], "missing"),
    ]:
        done = run("entry", "create", *TAGS, "--name", "A", *wrong, check=False)
        assert done.returncode in [1, 2] and word in done.stderr, (wrong, done.stderr)
    monkeypatch.setenv("CUSTOMER_SETTINGS_DATA_DIR", str(cli.server.data_dir))
    assert "tag_001" in run("entry", "list", *TAGS).stdout
    assert "tag_001" in cli("entry", "list", *TAGS).stdout
    monkeypatch.setenv("CUSTOMER_SETTINGS_SERVER", cli.server.base)
    assert "more than one" in run("entry", "list", *TAGS, check=False).stderr


def test_variables_for_the_commands_do_not_keep_the_server_from_starting(start, monkeypatch):
    for name in ["KEY", "KEY_FILE", "SERVER"]:
        monkeypatch.setenv(f"CUSTOMER_SETTINGS_{name}", "anything")
    assert start("--demo").stop() == 0


def test_the_same_request_id_makes_a_change_once(cli):
    create = ["entry", "create", *TAGS, "--name", "Once", "--request-id", "once-1"]
    first = cli.json(*create)
    assert cli.json(*create)["id"] == first["id"]
    assert len(ids(cli)) == 3
    said = refused(cli, 1, "entry", "create", *TAGS, "--name", "Other", "--request-id", "once-1")
    assert "REQUEST_ID_REUSED" in said


def test_a_server_that_cannot_be_reached_is_told_apart(cli):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
    key = ["--key-file", cli.server.data_dir / "demo-key"]
    done = run("company", "list", "--server", nobody, *key, check=False)
    assert done.returncode == 6 and "cannot be reached" in done.stderr and nobody in done.stderr
    assert run("company", "list", "--server", "127.0.0.1:8080", *key, check=False).returncode == 2
    wrong_scheme = cli.server.base.replace("http:", "https:")
    done = run("company", "list", "--server", wrong_scheme, *key, check=False)
    assert done.returncode == 6 and f"does not answer in TLS: if a server without TLS listens there, give {cli.server.base}" in done.stderr


def test_a_write_without_an_answer_says_how_to_repeat_it(cli):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        # A server that accepts connections and sends nothing.
        accepted = []
        threading.Thread(target=lambda: accepted.append(silent.accept()), daemon=True).start()
        done = run(
            *["entry", "create", *TAGS, "--name", "A", "--timeout", "300ms"],
            *["--server", f"http://127.0.0.1:{silent.getsockname()[1]}"],
            *["--key-file", cli.server.data_dir / "demo-key"],
            check=False,
        )
    assert done.returncode == 6 and "repeat the command with --request-id " in done.stderr, done.stderr


def test_an_argument_that_is_not_text_is_told_and_not_fatal(tmp_path):
    for arguments in [[b"caf\xe9"], [b"key", b"list", b"--data-dir", b"caf\xe9"], [b"entry", b"list", b"--c\xe9"]]:
        done = subprocess.run([PROGRAM, *arguments], capture_output=True, timeout=60)
        assert (done.returncode, done.stdout) == (2, b""), done.stderr
        assert done.stderr.startswith(b"error: ") and b"panicked" not in done.stderr, done.stderr
    # A path need not be UTF-8, because the argument can only be a path.
    (tmp_path / "doc.yaml").write_text("companies: []")
    name = os.fsencode(tmp_path / "doc.yaml")
    os.rename(name, name + b"\xe9")
    (tmp_path / "data").mkdir()
    load = [PROGRAM, "load", "--data-dir", tmp_path / "data", name + b"\xe9"]
    assert subprocess.run(load, capture_output=True, timeout=60).returncode == 0


def test_a_batch_from_standard_input_is_called_that(cli):
    for text in ["{", "\"\""]:
        said = refused(cli, 2, "entry", "batch", "cmp_001", "-", stdin=text)
        assert "error: -" not in said and ("standard input is not valid JSON" in said or "the document is neither" in said)


def test_bytes_that_are_no_text_are_called_that(cli, tmp_path):
    file = tmp_path / "bytes"
    file.write_bytes(b"cs_\xff\xfe")
    file.chmod(0o600)
    here = ["--data-dir", cli.server.data_dir]
    for name, arguments in [
        ("standard input", ["key", "import", "--name", "x", *here]),
        (file, ["entry", "list", *TAGS, "--server", cli.server.base, "--key-file", file]),
        (file, ["serve", "--config", file]),
        (file, ["key", "list", "--database-url-file", file]),
    ]:
        with open(file, "rb") as stdin:
            done = subprocess.run([PROGRAM, *map(str, arguments)], stdin=stdin, capture_output=True, text=True, timeout=60)
        assert done.returncode in (1, 2) and str(name) in done.stderr, done.stderr
        assert done.stderr.endswith(": it is not UTF-8 text\n"), done.stderr


@pytest.mark.parametrize(
    "damage, commands",
    [
        ("UPDATE keys SET scopes = '{'", ["key list", "key rotate key_x"]),
        ("UPDATE entries SET color = 'green'", ["entry list cmp_001 customer_tags", "export", "history rollback cmp_001 1"]),
        ("UPDATE changes SET body = '{'", ["history list cmp_001"]),
        ("DROP TABLE key_uses", ["key list", "key rotate key_x"]),
        ("DROP TABLE companies", ["export", "company list", "entry list cmp_001 customer_tags"]),
        ("DELETE FROM meta", ["export", "key list", "verify"]),
    ],
    ids=str,
)
def test_damage_is_called_that_where_there_is_no_server(tmp_path, damage, commands):
    data = tmp_path / "data"
    data.mkdir()
    document = "companies: [{id: cmp_001, name: One, customer_tags: [{id: tag_001, name: VIP}]}]"
    run("load", "--data-dir", data, "-", stdin=document)
    run("key", "create", "--data-dir", data, "--name", "n")
    with contextlib.closing(sqlite3.connect(data / "customer-settings.db", isolation_level=None)) as database:
        database.execute("PRAGMA foreign_keys = OFF")
        database.execute(damage.replace("key_x", "n"))
        key = database.execute("SELECT id FROM keys").fetchone()[0]
    for command in commands:
        words = command.replace("key_x", key).split()
        done = run(*words, "--data-dir", data, check=False)
        assert done.returncode == 1 and "is damaged" in done.stderr, (command, done.stderr)
        for word in ["server", "request id", "EOF", "no such", "Query", "again shortly", "INTERNAL"]:
            assert word not in done.stderr, (command, done.stderr)
        assert "backup" in done.stderr


def test_a_damaged_checkpoint_is_named_and_changes_no_answer(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for name in ["One", "Two", "Three"]:
        run("load", "--data-dir", data, "-", stdin=f"companies: [{{id: cmp_001, name: {name}}}]")
    with contextlib.closing(sqlite3.connect(data / "customer-settings.db", isolation_level=None)) as database:
        database.execute("INSERT INTO checkpoints VALUES ('company', 'cmp_001', 2, 0, x'00')")
        found = run("verify", "--data-dir", data, check=False)
        assert found.returncode == 1 and "how to mend it" in found.stderr, found.stderr
        assert "cmp_001: its checkpoint of revision 2 cannot be read" in found.stdout
        assert "delete it from the table checkpoints" in found.stdout
        rolled = run("history", "rollback", "cmp_001", "1", "--yes", "--data-dir", data)
        assert "damaged" not in rolled.stdout, rolled.stdout
        assert '"One"' in run("company", "get", "cmp_001", "--data-dir", data, "--output", "json").stdout
        database.execute("DELETE FROM checkpoints")
    assert "no differences" in run("verify", "--data-dir", data).stderr


def test_completion_and_help_tell_what_there_is():
    for shell in ["bash", "zsh", "fish"]:
        script = run("completion", shell).stdout
        assert "rollback" in script and "--request-id" in script.replace("-l request-id", "--request-id")
    text = run("--help").stdout
    assert "Exit codes:" in text and all(f"\n  {code}  " in text for code in range(7))
    assert "Exit codes:" in run("entry", "--help").stdout
    assert "Example" in run("entry", "create", "--help").stdout


def test_a_change_that_comes_in_parts_is_shown_whole(tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    for number, animal in enumerate("🐕🐈"):
        tags = [{"id": f"tag_{i}", "name": f"{i}", "description": animal * 500} for i in range(1000)]
        company = {"id": "cmp_001", "name": "Paws", "customer_tags": tags}
        document = tmp_path / f"{number}.json"
        document.write_text(json.dumps({"companies": [company]}))
        run("load", "--data-dir", data, document)
    shown = json.loads(run("history", "show", "cmp_001", "2", "--data-dir", data, "--output", "json").stdout)
    assert len(shown["deltas"]) == 1000 and shown["parts"] == 1
    listed = json.loads(run("history", "list", "cmp_001", "--data-dir", data, "--output", "json").stdout)
    assert listed["changes"][0] == shown
    rows = run("history", "show", "cmp_001", "2", "--data-dir", data).stdout.splitlines()
    assert sum("UPDATED" in row for row in rows) == 1000
