"""Commands whose output cannot be delivered: the reader left, or the disk is full."""

import json
import os
import subprocess

import pytest
from conftest import PROGRAM, run
from database import until

DOCUMENT = "companies: [{id: cmp_1, name: One, customer_tags: [{id: tag_1, name: VIP}]}]"
RESULTS = [
    ["--help"],
    ["--version"],
    ["help", "serve"],
    ["config"],
    ["completion", "bash"],
    ["export"],
    ["key", "list"],
    ["key", "list", "--output", "json"],
    ["entry", "list", "cmp_1", "customer_tags"],
    ["entry", "update", "cmp_1", "customer_tags", "tag_1", "--description", "new"],
    ["history", "show", "cmp_1", "1"],
    ["verify", "--output", "json"],
    ["backup", "-"],
]


@pytest.fixture
def data(tmp_path, monkeypatch):
    data = tmp_path / "data"
    data.mkdir()
    run("load", "--data-dir", data, "-", stdin=DOCUMENT)
    run("key", "create", "--data-dir", data, "--name", "seen")
    monkeypatch.setenv("CUSTOMER_SETTINGS_DATA_DIR", str(data))
    return data


def into(stdout, *arguments, stderr=subprocess.PIPE, **options):
    command = [PROGRAM, *map(str, arguments)]
    return subprocess.run(command, stdout=stdout, stderr=stderr, text=True, timeout=60, **options)


def into_nobody(*arguments, both=False):
    """Standard output, or both outputs, are a pipe whose reader has left."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        return into(writer, *arguments, stderr=writer if both else subprocess.PIPE)
    finally:
        os.close(writer)


def into_full(*arguments, both=False, **options):
    with open("/dev/full", "w") as full:
        return into(full, *arguments, stderr=full if both else subprocess.PIPE, **options)


@pytest.mark.parametrize("command", RESULTS, ids=" ".join)
def test_a_reader_that_left_ends_a_command_quietly(data, command):
    done = into_nobody(*command)
    assert (done.returncode, done.stderr) == (141, "")


@pytest.mark.parametrize("command", RESULTS, ids=" ".join)
def test_a_full_disk_is_told_and_is_a_failure(data, command):
    done = into_full(*command)
    assert done.returncode == 1
    assert done.stderr == "error: standard output cannot be written: No space left on device (os error 28)\n"


def test_what_was_written_before_the_reader_left_was_right(data):
    companies = [{"id": f"c{n}", "name": f"Company {n}", "customer_tags": [{"name": "x" * 90}]} for n in range(2000)]
    run("load", "-", stdin=json.dumps({"companies": companies}))
    with subprocess.Popen([PROGRAM, "export"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as exporting:
        assert exporting.stdout.readline() == "companies:\n"
        exporting.stdout.close()
        assert exporting.stderr.read() == ""
        assert exporting.wait(timeout=60) == 141


@pytest.mark.parametrize("gone", [into_nobody, into_full])
def test_notes_that_nobody_reads_change_nothing(data, gone):
    document = data.parent / "more.yaml"
    document.write_text("companies: [{id: cmp_2, name: Two}, {id: cmp_1, name: ''}]")
    assert gone("load", document, both=True).returncode == 1
    assert "cmp_2" in run("export").stdout
    document.write_text("companies: [{id: cmp_3, name: Three}]")
    assert gone("load", document, both=True).returncode == 0
    assert "cmp_3" in run("export").stdout
    assert gone("verify", both=True).returncode == 0
    assert gone("--no-such-option", both=True).returncode == 2


def into_closed(*arguments, both=False, **options):
    """Standard output is closed, so the program has /dev/null in its place."""
    assert not both
    command = ["sh", "-c", 'exec "$@" >&-', "sh", PROGRAM, *map(str, arguments)]
    return subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=60, **options)


def into_null(*arguments, **options):
    return into(subprocess.DEVNULL, *arguments, **options)


@pytest.mark.parametrize("gone", [into_closed, into_null])
def test_a_backup_into_nothing_is_none(data, gone):
    done = gone("backup", "-")
    assert done.returncode == 1
    assert done.stderr.startswith("error: standard output is closed, or /dev/null: ")


def keys(*where):
    """Each key's state by its name."""
    listed = json.loads(run("key", "list", "--revoked", "--output", "json", *where).stdout)
    return {key["name"]: (key["state"], key["id"]) for key in listed}


@pytest.fixture(params=["directory", "server"])
def where(demo, request):
    """The options that lead to the demo's data."""
    server = ["--server", demo.base, "--key-file", demo.data_dir / "demo-key"]
    return server if request.param == "server" else ["--data-dir", demo.data_dir]


def accepted(demo, *secrets):
    return [demo.call("/v1/companies/cmp_001", secret)[0] == 200 for secret in secrets]


@pytest.mark.parametrize("gone", [into_nobody, into_full])
@pytest.mark.parametrize("output", ["table", "json"])
def test_a_key_whose_secret_nobody_got_is_named_and_revoked(demo, gone, output, where):
    made = gone("key", "create", "--name", "lost", "--output", output, *where)
    state, key = keys(*where)["lost"]
    assert made.returncode == 1 and state == "REVOKED"
    assert f'nobody has the new secret of key {key} "lost": it was revoked again' in made.stderr
    dry = gone("key", "create", "--name", "dry", "--dry-run", "--output", output, *where)
    assert dry.returncode in [1, 141] and "dry" not in keys(*where)


@pytest.mark.parametrize("gone", [into_closed, into_null])
@pytest.mark.parametrize("output", ["table", "json"])
def test_nothing_is_done_where_a_new_secret_would_be_lost(demo, gone, output, where):
    kept = json.loads(run("key", "create", "--name", "kept", "--output", "json", *where).stdout)
    key = kept["key"]["id"]
    rotate = ["key", "rotate", key]
    for command in [["key", "create", "--name", "lost"], rotate, [*rotate, "--overlap", "0s"], [*rotate, "--end-overlap"]]:
        done = gone(*command, "--output", output, *where)
        assert done.returncode == 1 and "nothing was changed" in done.stderr, done.stderr
        dry = gone(*command, "--dry-run", "--output", output, *where)
        assert dry.returncode == 0, dry.stderr
    assert "lost" not in keys(*where) and accepted(demo, kept["secret"]) == [True]
    changes = json.loads(run("key", "history", key, "--output", "json", *where).stdout)["changes"]
    assert [change["summary"] for change in changes] == ["created the key"]


@pytest.mark.parametrize("gone", [into_nobody, into_full])
def test_what_a_lost_rotation_advises_keeps_the_clients_going(demo, gone, where):
    kept = json.loads(run("key", "create", "--name", "kept", "--output", "json", *where).stdout)
    first, key = kept["secret"], kept["key"]["id"]
    lost = gone("key", "rotate", key, *where)
    assert lost.returncode == 1 and f"nobody has the new secret of key {key}" in lost.stderr
    assert "the one from before works until 2" in lost.stderr and "another key with 'key create'" in lost.stderr
    assert f"'key revoke {key}'" in lost.stderr and "'key rotate" not in lost.stderr
    assert accepted(demo, first) == [True]
    # The advice is true: rotating again needs a flag, and ends the secret that the clients have.
    assert run("key", "rotate", key, *where, check=False).returncode != 0
    second = run("key", "rotate", key, "--end-overlap", *where).stdout.strip()
    until(lambda: accepted(demo, first, second) == [False, True], "the older secrets ended, the newer works")
    # Of three secrets the newest is lost, and the one before it works.
    lost = gone("key", "rotate", key, "--end-overlap", *where)
    assert "the one from before works until 2" in lost.stderr and accepted(demo, second) == [True]
    # Without an overlap no secret works, and the advice makes the key usable again.
    lost = gone("key", "rotate", key, "--overlap", "0s", *where)
    assert lost.returncode == 1 and "no older one works any more" in lost.stderr and "until" not in lost.stderr
    assert f"'key rotate {key}'" in lost.stderr
    until(lambda: accepted(demo, second) == [False], "the older secrets ended, the newer works")
    again = run("key", "rotate", key, *where).stdout.strip()
    until(lambda: accepted(demo, again) == [True], "the older secrets ended, the newer works")


def test_a_document_has_no_output_format(data):
    for flag in ["--output", "--wide"]:
        done = run("export", flag, "json", check=False)
        assert (done.returncode, done.stdout) == (2, "") and f"unexpected argument '{flag}'" in done.stderr


def test_a_change_that_made_a_thing_shows_all_of_it(data):
    run("entry", "create", "cmp_1", "customer_tags", "tag_2", "--name", "New", "--color", "#123456", "--description", "Long. " * 30)
    shown = run("history", "show", "cmp_1", "2").stdout
    assert ("Long. " * 30).strip() in shown and "#123456" in shown and "is_default" not in shown


def test_a_plan_of_refusals_alone_does_not_say_that_nothing_differs(data):
    done = run("plan", "-", stdin="companies: [{id: cmp_1, customer_tags: [{id: tag_x, name: vip}]}]", check=False)
    assert done.returncode == 1 and "Plan: 1 of 1 companies refused" in done.stdout + done.stderr, done


def test_an_unknown_flag_is_not_said_to_be_a_value(data):
    told = run("history", "undo", "cmp_1", "1", "--yes", check=False).stderr
    assert "unexpected argument '--yes'" in told and "-- --yes" not in told
    assert "'-- -x'" in run("company", "get", "-x", check=False).stderr
