"""Disks that fail, are full or go away under the built program: what was acknowledged is kept, what is
in memory is served, and nothing is told that is not so."""

import json
import shutil
import urllib.error
import urllib.request

from conftest import run
from database import until

LISTED = "/v1/setting/companies/cmp_001/customer/tags:list"
TAGS = "/admin/v1/companies/cmp_001/customer_tags"


def text(server, path):
    """What an operator's question is answered: status and text."""
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
    # Neither trips the server.
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
    until(lambda: text(demo, "/readyz") == (200, "ok\n"), "what is put back is taken", patience=2)
    assert create(demo, "Back")[0] == 200
    assert demo.stop() == 0
    told = [line for line in map(json.loads, demo.log.splitlines()) if line["message"].startswith("the data was deleted")]
    assert len(told) == 1 and told[0]["level"] == "ERROR" and "was deleted or replaced" in told[0]["cause"], told
    exported = run("export", "--data-dir", demo.data_dir).stdout
    assert "Before" in exported and "Back" in exported and "After" not in exported
