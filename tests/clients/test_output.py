"""What becomes of a command whose output goes nowhere: a reader that left, a disk that is full."""

import json
import os
import subprocess

import pytest
from conftest import PROGRAM, run

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
    """Standard output, or both outputs, are a pipe whose reader is gone."""
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
    """Standard output is closed, which the program sees as /dev/null."""
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


@pytest.mark.parametrize("gone", [into_nobody, into_full, into_closed, into_null])
@pytest.mark.parametrize("output", ["table", "json"])
@pytest.mark.parametrize("place", ["directory", "server"])
def test_a_key_whose_secret_nobody_got_is_named_and_revoked(demo, gone, output, place):
    server = ["--server", demo.base, "--key-file", demo.data_dir / "demo-key"]
    where = server if place == "server" else ["--data-dir", demo.data_dir]
    made = gone("key", "create", "--name", "lost", "--output", output, *where)
    state, key = keys(*where)["lost"]
    assert made.returncode == 1 and state == "REVOKED"
    assert f'nobody has the secret of key {key} "lost": it was revoked again' in made.stderr

    kept = json.loads(run("key", "create", "--name", "kept", "--output", "json", *where).stdout)
    rotated = gone("key", "rotate", kept["key"]["id"], "--output", output, *where)
    assert rotated.returncode == 1 and keys(*where)["kept"] == ("ACTIVE", kept["key"]["id"])
    assert f"'key rotate {kept['key']['id']}'" in rotated.stderr and "its old secret works until 2" in rotated.stderr
    assert demo.call("/v1/companies/cmp_001", kept["secret"])[0] == 200
    dry = gone("key", "create", "--name", "dry", "--dry-run", "--output", output, *where)
    assert dry.returncode in ([0] if gone in [into_closed, into_null] else [1, 141]) and "dry" not in keys(*where)
