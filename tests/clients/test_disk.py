"""Disks that fail, are full or disappear under the built program. Acknowledged writes are stored, data in memory is
served, and no answer is untrue.

The trials with real disks run only with `./test --long`. Every run of the tests tries the same over a store that fails.
"""

import contextlib
import json
import shutil
import signal
import time
import urllib.error
import urllib.request

import pytest
from conftest import run
from database import Postgres, until
from disks import COMPANY, LISTED, TAGS, Mount, Trial, injected


def text(server, path):
    """The answer to an operator's request: status and text."""
    try:
        with urllib.request.urlopen(server.base + path, timeout=20) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def metric(server, series):
    lines = text(server, "/metrics")[1].splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(series))


def reason(answer):
    return [detail["reason"] for detail in answer["details"] if "reason" in detail]


def create(server, name, **options):
    return server.call(TAGS, server.key, {"name": name}, **options)


def test_a_data_directory_that_is_replaced_is_noticed_and_told_once(demo, tmp_path):
    assert demo.call(LISTED, demo.key)[0] == 200
    run("backup", "--data-dir", demo.data_dir, tmp_path / "backup.db")
    refused = run("restore", "--data-dir", demo.data_dir, "--replace", tmp_path / "backup.db", check=False)
    assert refused.returncode != 0 and "in use" in refused.stderr
    # Neither disturbs the server.
    assert text(demo, "/readyz") == (200, "ok\n") and create(demo, "Before")[0] == 200

    aside = tmp_path / "aside"
    demo.data_dir.rename(aside)
    demo.data_dir.mkdir()
    run("restore", "--data-dir", demo.data_dir, tmp_path / "backup.db")
    until(lambda: text(demo, "/readyz")[0] == 503, "the server notices", patience=2)
    assert "deleted or replaced while the server runs" in text(demo, "/readyz")[1]
    for number in range(3):
        status, _, answer = create(demo, f"After {number}")
        assert (status, reason(answer)) == (503, ["STORE_REPLACED"]), answer
        assert "nothing was written" in answer["message"]
    assert metric(demo, "customer_settings_store_away") == 1
    assert metric(demo, 'customer_settings_store_writes_total{outcome="replaced"}') == 3
    until(lambda: demo.call(LISTED, demo.key)[1]["Settings-Stale"], "it says that its answers are old", patience=3)
    assert demo.call(LISTED, demo.key)[0] == 200

    shutil.rmtree(demo.data_dir)
    aside.rename(demo.data_dir)
    until(lambda: text(demo, "/readyz") == (200, "ok\n"), "what is put back is taken", patience=10)
    assert create(demo, "Back")[0] == 200
    assert demo.stop() == 0
    told = [line for line in map(json.loads, demo.log.splitlines()) if line["message"].startswith("the data was deleted")]
    assert len(told) == 1 and told[0]["level"] == "ERROR" and "was deleted or replaced" in told[0]["cause"], told
    exported = run("export", "--data-dir", demo.data_dir).stdout
    assert "Before" in exported and "Back" in exported and "After" not in exported


def emptied(database, _):
    database.write_bytes(b"")


def cut(database, _):
    with database.open("r+b") as file:
        file.truncate(20_000)


def overwritten(database, tmp_path):
    """Copies another, larger store into the same file."""
    places = [{"id": f"biz_{number:05}", "name": f"Place {number}"} for number in range(5_000)]
    document = {"companies": [{"id": "cmp_001", "name": "Other", "businesses": places}]}
    (tmp_path / "other.yaml").write_text(json.dumps(document))
    (tmp_path / "other").mkdir()
    run("load", "--data-dir", tmp_path / "other", tmp_path / "other.yaml")
    other = (tmp_path / "other" / database.name).read_bytes()
    assert len(other) > database.stat().st_size
    with database.open("r+b") as file:
        file.write(other)


@pytest.mark.parametrize("lose", [emptied, cut, overwritten])
def test_a_database_that_is_changed_in_place_is_noticed_and_told_once(demo, tmp_path, lose):
    assert demo.call(LISTED, demo.key)[0] == 200 and create(demo, "Before")[0] == 200
    lose(demo.data_dir / "customer-settings.db", tmp_path)
    until(lambda: text(demo, "/readyz")[0] == 503, "the server notices", patience=2)
    assert "deleted or replaced while the server runs" in text(demo, "/readyz")[1]
    status, _, answer = create(demo, "After")
    assert (status, reason(answer)) == (503, ["STORE_REPLACED"]), answer
    assert metric(demo, "customer_settings_store_away") == 1
    until(lambda: demo.call(LISTED, demo.key)[1]["Settings-Stale"], "it says that its answers are old", patience=3)
    assert demo.call(LISTED, demo.key)[0] == 200
    demo.stop()
    told = [line for line in map(json.loads, demo.log.splitlines()) if line["message"].startswith("the data was deleted")]
    assert len(told) == 1 and told[0]["level"] == "ERROR" and "was overwritten or cut off" in told[0]["cause"], told


@pytest.fixture
def mounted():
    """A mount point for a file system, which ends with the test."""
    mount = Mount()
    yield mount
    mount.close()


@pytest.mark.long
def test_a_server_that_is_killed_again_and_again_keeps_what_it_acknowledged(start, tmp_path):
    trial = Trial(start, tmp_path / "killed")
    kills = 40
    with trial.load():
        for number in range(kills):
            trial.goes_on(writes=number + 1)
            assert trial.kill() == -signal.SIGKILL
            trial.start()
        trial.goes_on()
    print(f"\n{kills} times kill -9: {trial.check()}")


def fill(path):
    """Fills the disk."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass


@pytest.mark.long
@pytest.mark.parametrize("engine", ["sqlite", "postgres"])
def test_a_disk_that_fills_refuses_writes_alone(start, mounted, engine):
    point = mounted.tmpfs("12m" if engine == "sqlite" else "160m").point
    database = Postgres(point).init().start() if engine == "postgres" else None
    trial = Trial(start, database.make() if database else point / "data")
    filler, times = point / "filler", 5
    try:
        with trial.load():
            for number in range(times):
                trial.goes_on()
                fill(filler)
                trial.meets("STORE_FULL")
                trial.is_read(200)
                assert text(trial.server, "/readyz") == (200, "ok\n")
                assert metric(trial.server, 'customer_settings_store_writes_total{outcome="full"}') >= 5
                if number % 2:
                    # The next start finds the files of the full disk.
                    trial.kill()
                filler.unlink()
                if number % 2:
                    trial.start()
            trial.goes_on()
        trial.kill()
        trial.start()
        print(f"\n{times} times a full disk under {engine}: {trial.check()}")
    finally:
        if database:
            database.remove()


@pytest.mark.long
def test_a_disk_that_cannot_be_read_is_not_called_damaged(start, tmp_path):
    trial = Trial(start, tmp_path / "unreadable")
    with trial.load():
        for _ in range(3):
            trial.goes_on()
            with injected(trial.server.process, "pread64"):
                # No request has read the history yet, so it is not in the engine's memory.
                changes = lambda: trial.server.call(f"{COMPANY}/changes", trial.key)[0]
                until(lambda: changes() == 503, "what must be read from the disk is refused")
                until(lambda: metric(trial.server, "customer_settings_store_away") == 1, "the store is away")
                status, told = text(trial.server, "/readyz")
                assert status == 200 and "the store has not answered for" in told and "damaged" not in told
                trial.is_read("stale")
                trial.meets("STORE_UNAVAILABLE")
            until(lambda: text(trial.server, "/readyz") == (200, "ok\n"), "it comes back by itself", patience=15)
            trial.goes_on()
            assert metric(trial.server, "customer_settings_damaged_places") == 0
            trial.kill()
            assert "malformed" not in trial.server.log and "the data is damaged" not in trial.server.log
            trial.start()
    print(f"\n3 times no reads: {trial.check()}")


@pytest.mark.long
@pytest.mark.parametrize("calls", ["fsync,fdatasync", "pwrite64"])
def test_a_disk_that_cannot_be_written_acknowledges_nothing(start, tmp_path, calls):
    trial = Trial(start, tmp_path / "unwritable")
    with trial.load():
        for number in range(4):
            trial.goes_on()
            with injected(trial.server.process, calls):
                # A write that was in progress may succeed.
                time.sleep(0.2)
                acknowledged, unknown = len(trial.acknowledged), len(trial.unknown)
                trial.wait(lambda: len(trial.unknown) >= unknown + 5, "writes have no certain answer")
                assert len(trial.acknowledged) == acknowledged
                trial.is_read(200)
                if number % 2:
                    trial.kill()
            if number % 2:
                trial.start()
        trial.goes_on()
    trial.kill()
    trial.start()
    print(f"\n4 times no {calls}: {trial.check()}")


@pytest.mark.long
def test_a_power_cut_loses_nothing_that_was_acknowledged(start, mounted):
    trial = Trial(start, mounted.ext4(64).point / "data")
    cuts, survived = 8, 0
    for _ in range(cuts):
        with trial.load():
            trial.goes_on(writes=50)
            with trial.dark(mounted):
                failed = len(trial.unknown) + len(trial.refused)
                trial.wait(lambda: len(trial.unknown) + len(trial.refused) > failed + 4, "writes fail")
                time.sleep(1)
                survived += trial.server.process.poll() is None
                trial.kill()
        mounted.unmount()
        mounted.again()
        trial.start()
    print(f"\n{cuts} power cuts, {survived} of which the server itself survived: {trial.check()}")
