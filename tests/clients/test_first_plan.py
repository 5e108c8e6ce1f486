"""Plans for a place without a store: they show what would be made, and make nothing."""

import json
import os

import pytest
from conftest import run

CREATED, DIFFERENCES = "Plan: 2 created, in 1 of 1 companies", 7


@pytest.fixture(params=["directory", "database"])
def empty(request, tmp_path):
    """A place without a store: its flag, and what is in it."""
    if request.param == "directory":
        place = tmp_path / "data"
        place.mkdir()
        return ["--data-dir", place], lambda: (os.listdir(place), place.stat().st_mtime_ns)
    server = request.getfixturevalue("postgres_server")
    url = server.make()
    tables = "SELECT count(*) FROM pg_catalog.pg_class WHERE relnamespace = current_schema()::regnamespace"
    return ["--database-url", url], lambda: server.sql(tables, url.rsplit("/", 1)[1]).stdout


@pytest.fixture
def document(tmp_path):
    path = tmp_path / "first.json"
    path.write_text(json.dumps({"companies": [{"id": "cmp_1", "name": "Paws", "customer_tags": [{"name": "VIP"}]}]}))
    return path


def test_the_first_document_is_planned_before_there_is_a_store(empty, document, tmp_path):
    where, held = empty
    before, plan = held(), tmp_path / "first.plan"
    shown = run("plan", document, *where, "--out", plan)
    assert shown.stdout.splitlines()[0] == CREATED, shown
    assert "holds no store yet" in shown.stderr and len(shown.stderr.splitlines()) == 1, shown
    assert run("plan", document, *where, "--check", check=False).returncode == DIFFERENCES
    steps = json.loads(run("plan", document, *where, "--output", "json").stdout)["plans"][0]["steps"]
    assert [step["action"] for step in steps] == ["CREATE", "CREATE"]
    refused = run("export", *where, check=False)
    assert (refused.returncode, refused.stdout) == (1, "") and "holds no store" in refused.stderr, refused
    assert "'apply', 'mirror' and 'key create' make one" in refused.stderr, refused
    assert held() == before, "a plan writes nothing"
    # The plan that was shown is the one that is applied.
    assert "applied: 2 created" in run("apply", plan, *where, "--yes").stderr
    again = run("plan", document, *where)
    assert (again.stdout.splitlines()[0], again.stderr) == ("Plan: no differences", "")


def test_what_apply_refuses_plan_refuses_too(document, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").touch()
    for place, said in [(tmp_path / "none", f"there is no directory {tmp_path}/none"), (other, "holds other files (letter.txt)")]:
        told = {run(command, document, "--data-dir", place, check=False).stderr for command in ["plan", "apply"]}
        assert len(told) == 1 and said in told.pop(), (place, told)
        for command, name in [("plan", "plans"), ("apply", "results")]:
            found = json.loads(run(command, document, "--data-dir", place, "--output", "json", check=False).stdout)
            assert found.pop(name) == [] and said in found.pop("error")["message"] and not found, (place, command)
    assert os.listdir(other) == ["letter.txt"] and not (tmp_path / "none").exists()
