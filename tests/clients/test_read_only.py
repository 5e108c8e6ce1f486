"""Commands that only read work where nothing can be written: in another user's directory, and with --long on a read-only
mount."""

import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tempfile

import pytest
from conftest import PROGRAM, run

NOBODY = 65534
DOCUMENT = "companies: [{id: cmp_1, name: One, customer_tags: [{id: tag_1, name: VIP}]}]"
READING = [
    ["export"],
    ["verify"],
    ["key", "list"],
    ["entry", "list", "cmp_1", "customer_tags"],
    ["history", "list", "cmp_1"],
    ["company", "get", "cmp_1"],
]


@pytest.fixture
def place():
    """A folder that every user can reach, with a data directory in it."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="read-only-"))
    folder.chmod(0o755)
    # A name with characters that have a meaning in URIs.
    data = folder / "data 100% #1?a=b&c"
    data.mkdir(mode=0o755)
    run("load", "--data-dir", data, "-", stdin=DOCUMENT)
    run("key", "create", "--data-dir", data, "--name", "seen")
    yield data
    for path in [data, *data.iterdir()]:
        path.chmod(0o700)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def program():
    """A copy of the program that every user can start."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="program-"))
    folder.chmod(0o755)
    yield pathlib.Path(shutil.copy(PROGRAM, folder))
    shutil.rmtree(folder)


@pytest.fixture
def reader(place, program):
    """Runs a command as a user who may only read the directory."""
    other = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}
    scratch = place.parent / "scratch"
    scratch.mkdir()
    scratch.chmod(0o777)

    def command(*arguments, check=True, tmp=scratch, modes={}):
        for path in place.iterdir():
            path.chmod(0o444)
        place.chmod(0o555)
        for path, mode in modes.items():
            path.chmod(mode)
        before = state(place)
        done = subprocess.run(
            [program, *map(str, arguments), "--data-dir", place],
            capture_output=True, text=True, env={"TMPDIR": str(tmp)}, cwd="/", stdin=subprocess.DEVNULL, **other,
        )
        assert not check or done.returncode == 0, (arguments, done.stderr)
        assert state(place) == before and (tmp != scratch or list(tmp.iterdir()) == [])
        return done

    return command


def state(folder):
    # Readers write a mark into the index of the log, which holds no data.
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.suffix != ".db-shm"}


def own(data):
    data.chmod(0o755)
    for path in data.iterdir():
        path.chmod(0o600)


def reads_all(command):
    for arguments in READING:
        done = command(*arguments)
        assert done.stdout or arguments == ["verify"], arguments
    return command("export").stdout


def kill_while_rows_are_in_the_log(start, data):
    """A server that wrote and was killed: its writes are in its log alone."""
    server = start(data_dir=data)
    made = run("key", "create", "--data-dir", data, "--name", "root", "--scope", "*").stdout.strip()
    path = "/admin/v1/companies/cmp_1/customer_tags/tag_1"
    assert server.call(path, key=made, body={"name": "Newest"}, method="PATCH")[0] == 200
    server.stop(signal.SIGKILL)
    log = data / "customer-settings.db-wal"
    assert log.stat().st_size > 0 and b"Newest" not in (data / "customer-settings.db").read_bytes()
    return log


def test_a_directory_of_somebody_else_is_read(place, reader):
    assert "VIP" in reads_all(reader)
    for writing in (["load", "/dev/null"], ["backup", "-"]):
        refused = reader(*writing, check=False)
        assert refused.returncode == 1 and "cannot be written" in refused.stderr, refused.stderr


def test_a_backup_is_made_of_what_can_only_be_read(place, reader, tmp_path):
    with tempfile.TemporaryDirectory() as elsewhere:
        os.chmod(elsewhere, 0o777)
        copy = pathlib.Path(elsewhere) / "copy.db"
        reader("backup", copy)
        restored = tmp_path / "restored"
        restored.mkdir()
        run("restore", "--data-dir", restored, copy)
        assert "VIP" in run("export", "--data-dir", restored).stdout


def test_a_restored_store_that_nobody_opened_is_read(place, reader, tmp_path):
    copy = tmp_path / "copy.db"
    run("backup", "--data-dir", place, copy)
    run("restore", "--data-dir", place, "--replace", copy)
    assert "VIP" in reads_all(reader)


def test_a_running_server_s_directory_is_read_with_its_newest_rows(place, reader, start):
    server = start(data_dir=place)
    key = run("key", "create", "--data-dir", place, "--name", "root", "--scope", "*").stdout.strip()
    for name in ["Newer", "Newest"]:
        own(place)
        path = "/admin/v1/companies/cmp_1/customer_tags/tag_1"
        assert server.call(path, key=key, body={"name": name}, method="PATCH")[0] == 200
        assert f"name: {name}\n" in reads_all(reader)
    own(place)
    assert server.stop() == 0


def test_what_a_killed_server_wrote_is_read_from_its_log(place, reader, start):
    kill_while_rows_are_in_the_log(start, place)
    assert "name: Newest\n" in reads_all(reader)


def test_a_directory_is_left_as_a_killed_server_left_it(place, start, tmp_path):
    kill_while_rows_are_in_the_log(start, place)
    before = state(place)
    for arguments in [*READING, ["status"], ["backup", tmp_path / "copy.db"]]:
        run(*arguments, "--data-dir", place)
        assert state(place) == before, arguments
    restored = tmp_path / "restored"
    restored.mkdir()
    run("restore", "--data-dir", restored, place / "customer-settings.db")
    assert state(place) == before
    assert "name: Newest\n" in run("export", "--data-dir", restored).stdout


def test_a_directory_that_may_not_be_read_is_told_so(place, reader):
    for path, mode in [(place, 0o311), (place / "customer-settings.db", 0o200)]:
        refused = reader("verify", check=False, modes={path: mode})
        assert refused.returncode == 1 and "cannot be read (Permission denied" in refused.stderr, refused.stderr


def test_without_the_index_of_the_log_a_copy_is_read(place, reader, start):
    kill_while_rows_are_in_the_log(start, place)
    (place / "customer-settings.db-shm").unlink()
    assert "name: Newest\n" in reads_all(reader)
    refused = reader("export", check=False, tmp=place.parent / "none")
    assert refused.returncode == 1 and "set TMPDIR" in refused.stderr, refused.stderr


@pytest.mark.long
def test_a_mount_for_reading_is_read(place, start):
    assert os.geteuid() == 0, "this test needs root, to mount"
    at = place.parent / "mounted"
    at.mkdir()

    def mounted(check):
        subprocess.run(["mount", "--bind", place, at], check=True)
        try:
            subprocess.run(["mount", "-o", "remount,bind,ro", at], check=True)
            before = state(place)
            check(lambda *arguments: run(*arguments, "--data-dir", at))
            assert state(place) == before
            refused = run("load", "--data-dir", at, "-", stdin=DOCUMENT, check=False)
            assert refused.returncode == 1 and "cannot be written" in refused.stderr, refused.stderr
        finally:
            subprocess.run(["umount", at], check=True)

    def shows(name):
        def check(command):
            assert f"name: {name}\n" in reads_all(command)

        return check

    mounted(shows("VIP"))
    server = start(data_dir=place)
    key = json.loads(run("key", "create", "--data-dir", place, "--name", "r", "--scope", "*", "--output", "json").stdout)

    def shows_what_is_written_meanwhile(command):
        for name in ["Now", "And now"]:
            path = "/admin/v1/companies/cmp_1/customer_tags/tag_1"
            assert server.call(path, key=key["secret"], body={"name": name}, method="PATCH")[0] == 200
            shows(name)(command)

    subprocess.run(["mount", "--bind", place, at], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,bind,ro", at], check=True)
        shows_what_is_written_meanwhile(lambda *arguments: run(*arguments, "--data-dir", at))
    finally:
        subprocess.run(["umount", at], check=True)
    server.stop()
    kill_while_rows_are_in_the_log(start, place)
    mounted(shows("Newest"))
    (place / "customer-settings.db-shm").unlink()
    mounted(shows("Newest"))
