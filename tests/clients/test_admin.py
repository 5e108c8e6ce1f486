"""The management API of the built program, with clients that others wrote."""

import json
import signal
import subprocess
import threading
import time
import urllib.error

from conftest import run

TAGS = "/admin/v1/companies/cmp_001/customer_tags"


def key_of(data_dir):
    return run("key", "create", "--data-dir", data_dir, "--name", "test", "--scope", "*").stdout.strip()


def test_curl_manages_entries(demo):
    server, key = demo, demo.key.strip()

    def curl(*arguments):
        done = subprocess.run(
            ["curl", "-sS", "-u", f"{key}:", "-H", "Content-Type: application/json", *arguments],
            capture_output=True, text=True, timeout=20, check=True,
        )
        return json.loads(done.stdout)
    url = server.base + TAGS
    made = curl(url + "?entry_id=tag_senior", "-d", '{"name": "Senior Pet", "color": "#ff0"}')
    assert made["color"] == "#FFFF00" and made["textColor"] == "#000000"
    changed = curl("-X", "PATCH", url + "/tag_senior?update_mask=name", "-d", '{"name": "Older Pet"}')
    assert changed["name"] == "Older Pet"
    stale = curl("-X", "PATCH", url + "/tag_senior", "-H", f'If-Match: "{made["etag"]}"', "-d", '{"name": "X"}')
    assert stale["code"] == 10 and "revision 3" in stale["message"]
    assert curl("-X", "POST", url + "/tag_senior:archive")["state"] == "ARCHIVED"
    assert curl("-X", "DELETE", url + "/tag_senior") == {}
    history = curl(server.base + "/admin/v1/companies/cmp_001/changes")
    assert [change["deltas"][0]["action"] for change in history["changes"][:4]] == [
        "DELETED", "ARCHIVED", "UPDATED", "CREATED",
    ]


def test_a_burst_with_retries_survives_kill_9(start, tmp_path):
    data = tmp_path / "burst"
    data.mkdir()
    document = tmp_path / "companies.yaml"
    document.write_text("companies: [{id: cmp_001, name: Paws}]")
    run("load", "--data-dir", data, document)
    key = key_of(data)
    running = {"server": start(data_dir=data)}
    acknowledged, lock = {}, threading.Lock()

    def write(writer):
        for number in range(40):
            path = f"{TAGS}?request_id=r-{writer}-{number}"
            while True:
                try:
                    status, _, answer = running["server"].call(path, key, {"name": f"tag {writer} {number}"})
                except (urllib.error.URLError, ConnectionError, OSError, json.JSONDecodeError):
                    time.sleep(0.02)
                    continue
                assert status == 200, answer
                with lock:
                    acknowledged[(writer, number)] = answer["id"]
                break

    writers = [threading.Thread(target=write, args=(writer,)) for writer in range(4)]
    for writer in writers:
        writer.start()
    for _ in range(3):
        before = len(acknowledged)
        deadline = time.monotonic() + 20
        while len(acknowledged) < min(before + 20, 160) and time.monotonic() < deadline:
            time.sleep(0.005)
        running["server"].stop(signal.SIGKILL)
        running["server"] = start(data_dir=data)
    for writer in writers:
        writer.join(timeout=60)
        assert not writer.is_alive()

    server = running["server"]
    _, _, listed = server.call(TAGS, key)
    ids = [entry["id"] for entry in listed["entries"]]
    assert sorted(ids) == sorted(acknowledged.values()) and len(set(ids)) == 160
    assert listed["revision"] == "161"
    verified = run("verify", "--data-dir", data, "--output", "json")
    assert json.loads(verified.stdout) == {"companies": 1, "keys": 1, "changes": 162, "findings": [], "more": 0}
