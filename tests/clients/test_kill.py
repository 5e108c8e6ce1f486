"""Backups and restores that are killed: nothing is lost, and their files are deleted, or an error names them."""

import os
import shutil
import subprocess

import pytest
from conftest import PROGRAM, run

# The system calls that write bytes or change names.
CALLS = "link,linkat,rename,renameat,renameat2,unlink,unlinkat,fsync,fdatasync,ftruncate,pwrite64,write,copy_file_range,sendfile,splice"
KEPT = "customer-settings.db.replaced-1"


def document(name):
    tags = ", ".join(f"{{id: tag_{n}, name: {name} {n}}}" for n in range(300))
    return f"companies: [{{id: cmp_1, name: {name}, customer_tags: [{tags}]}}]"


@pytest.fixture
def stores(tmp_path):
    """A data directory whose company is called New, and a backup from the time when it was called Old."""
    data = tmp_path / "data"
    data.mkdir()
    run("load", "--data-dir", data, "-", stdin=document("Old"))
    run("key", "create", "--data-dir", data, "--name", "first")
    backup = tmp_path / "backup.db"
    run("backup", "--data-dir", data, backup)
    run("load", "--data-dir", data, "-", stdin=document("New"))
    return data, backup


def company(data):
    """The name of the company, after `verify` found no differences."""
    assert "no differences" in run("verify", "--data-dir", data).stderr
    return "Old" if "name: Old 1\n" in run("export", "--data-dir", data).stdout else "New"


def names(folder):
    return sorted(entry.name for entry in folder.iterdir() if entry.name != "serve.lock")


def test_a_restore_that_is_killed_halfway_is_named_and_can_be_repeated(stores, tmp_path):
    data, backup = stores
    for target, more in [(tmp_path / "new", []), (data, ["--replace"])]:
        target.mkdir(exist_ok=True)
        before = names(target)
        command = [PROGRAM, "restore", "--data-dir", target, *more, "-"]
        restoring = subprocess.Popen(command, stdin=subprocess.PIPE)
        # More than a pipe holds, so that a part has arrived when this returns.
        restoring.stdin.write(backup.read_bytes()[: 128 * 1024])
        restoring.kill()
        restoring.wait()
        assert names(target) == [*before, "customer-settings.db.restoring"]
        if more:
            assert company(target) == "New"
        else:
            for refused in (["export"], ["serve", "--listen", "127.0.0.1:0"], ["load", "-"]):
                done = run(*refused, "--data-dir", target, check=False, stdin=document("Other"))
                assert done.returncode == 1 and "repeat the restore" in done.stderr, done.stderr
        run("restore", "--data-dir", target, *more, backup)
        assert names(target) == ["customer-settings.db", *([KEPT] if more else [])]
        assert company(target) == "Old"


def killed_everywhere(command, prepare, check, stdout=None):
    """Repeats a command that is killed at the first, second … of the calls, until the command reaches its end."""
    assert shutil.which("strace"), "this test needs strace"
    for call in range(1, 2_000):
        prepare()
        inject = f"inject={CALLS}:signal=KILL:when={call}"
        strace = ["strace", "-f", "-qq", "-o", os.devnull, "-e", f"trace={CALLS}", "-e", inject]
        done = subprocess.run([*strace, PROGRAM, *map(str, command)], stdout=stdout, stderr=subprocess.PIPE)
        check()
        if done.returncode == 0:
            return call - 1
        assert done.returncode in (-9, 137), done.stderr
    raise AssertionError("it never came to its end")


@pytest.mark.long
def test_whenever_a_restore_is_killed_there_is_one_of_both_stores(stores, tmp_path):
    data, backup = stores
    target = tmp_path / "target"
    seen = set()

    def prepare():
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(data, target)

    def check():
        seen.add(company(target))
        run("restore", "--data-dir", target, "--replace", backup)
        kept = [name for name in names(target) if name.startswith("customer-settings.db.replaced-")]
        assert names(target) == ["customer-settings.db", *kept] and len(kept) in (1, 2)
        assert company(target) == "Old"

    kills = killed_everywhere(["restore", "--data-dir", target, "--replace", backup], prepare, check)
    assert seen == {"Old", "New"}

    def prepare_empty():
        shutil.rmtree(target)
        target.mkdir()

    def check_empty():
        done = run("export", "--data-dir", target, check=False)
        if done.returncode == 0:
            assert company(target) == "Old"
            return
        assert "holds no store" in done.stderr
        run("restore", "--data-dir", target, backup)
        assert names(target) == ["customer-settings.db"]
        assert company(target) == "Old"

    more = killed_everywhere(["restore", "--data-dir", target, backup], prepare_empty, check_empty)
    print(f"a restore was killed at {kills} places over a store and at {more} into an empty directory")


@pytest.mark.long
def test_whenever_a_backup_is_killed_the_next_one_is_whole(stores, tmp_path):
    data, _ = stores
    copies, restored = tmp_path / "copies", tmp_path / "restored"
    copies.mkdir()
    copy = copies / "copy.db"

    def prepare():
        copy.unlink(missing_ok=True)

    def restores(file):
        shutil.rmtree(restored, ignore_errors=True)
        restored.mkdir()
        run("restore", "--data-dir", restored, file)
        assert company(restored) == "New"

    def check():
        # The file with the final name is complete.
        if copy.exists():
            restores(copy)
        else:
            run("backup", "--data-dir", data, copy)
        run("backup", "--data-dir", data, copy, check=False)
        assert names(copies) == ["copy.db"]

    kills = killed_everywhere(["backup", "--data-dir", data, copy], prepare, check)
    restores(copy)

    def check_data():
        # The next command that writes deletes the left-over files.
        run("load", "--data-dir", data, "-", stdin=document("New"))
        assert names(data) == ["customer-settings.db"]

    command = ["backup", "--data-dir", data, "-"]
    with open(tmp_path / "output.db", "wb") as output:

        def prepare_output():
            output.truncate(0)
            output.seek(0)

        more = killed_everywhere(command, prepare_output, check_data, stdout=output)
    restores(tmp_path / "output.db")
    print(f"a backup was killed at {kills} places to a file and at {more} to standard output")
