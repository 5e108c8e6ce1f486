"""The sessions of the console on the command line."""

import json
import urllib.error
import urllib.request

from conftest import run


class Stay(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *arguments):
        return None


def sign_in(base, secret):
    """The cookie of a new session."""
    request = urllib.request.Request(
        f"{base}/console/sign-in",
        data=f"key={secret}".encode(),
        headers={"Sec-Fetch-Site": "same-origin"},
    )
    try:
        urllib.request.build_opener(Stay).open(request)
    except urllib.error.HTTPError as answer:
        assert answer.code == 303, answer.read()
        return answer.headers["Set-Cookie"].split(";")[0]


def is_signed_in(base, cookie):
    request = urllib.request.Request(f"{base}/console?all=1", headers={"Cookie": cookie})
    with urllib.request.urlopen(request) as answer:
        return not answer.url.endswith("sign-in?next=%3Fall%3D1")


def test_sessions_are_listed_and_ended_on_a_server_and_beside_its_data(demo):
    cookies = [sign_in(demo.base, demo.key) for _ in range(3)]
    here = ["--server", demo.base, "--key-file", demo.data_dir / "demo-key"]
    there = ["--data-dir", demo.data_dir]
    listed = json.loads(run("console", "sessions", "list", *here, "--output", "json").stdout)
    first, second, third = listed["sessions"]
    key = first["keyId"]
    table = run("console", "sessions", "list", key, *there).stdout
    assert all(one["id"] in table for one in listed["sessions"]) and "demo" in table

    dry = run("console", "sessions", "end", key, first["id"], "--dry-run", *here)
    assert first["id"] in dry.stdout and second["id"] not in dry.stdout
    assert "nothing was changed" in dry.stderr
    assert sum(is_signed_in(demo.base, cookie) for cookie in cookies) == 3
    run("console", "sessions", "end", key, first["id"], *there)
    assert sum(is_signed_in(demo.base, cookie) for cookie in cookies) == 2
    again = run("console", "sessions", "end", key, first["id"], *here, check=False)
    assert again.returncode != 0 and "NOT_FOUND" in again.stderr
    run("console", "sessions", "end", key, "--all", *here)
    assert not any(is_signed_in(demo.base, cookie) for cookie in cookies)
    assert "nobody is signed in" in run("console", "sessions", "list", *here).stderr

    for wrong in ([key], [key, third["id"], "--all"]):
        refused = run("console", "sessions", "end", *wrong, *here, check=False)
        assert refused.returncode == 2, refused.stderr
