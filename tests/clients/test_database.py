"""The program over PostgreSQL, as an operator meets it."""

import json
import subprocess

import pytest
from conftest import PROGRAM, run
from database import until

TAGS = "/v1/setting/companies/cmp_001/customer/tags:list"
DOCUMENT = "companies: [{id: cmp_001, name: One, customer_tags: [{id: tag_001, name: VIP}]}]"


def names(server, key):
    status, _, answer = server.call(TAGS, key, {})
    assert status == 200, answer
    return [tag["name"] for tag in answer["tags"]]


def test_several_servers_share_a_database_and_every_command_works_on_it(postgres, start, tmp_path):
    url = postgres()
    run("load", "--database-url", url, "-", stdin=DOCUMENT)
    made = run("key", "create", "--database-url", url, "--name", "all", "--scope", "*")
    key = made.stdout.strip()
    env = {"CUSTOMER_SETTINGS_DATABASE_URL": url}
    one, other = start(env=env), start(env=env)
    assert names(one, key) == names(other, key) == ["VIP"]
    changed = {"name": "Very important"}
    path = "/admin/v1/companies/cmp_001/customer_tags/tag_001"
    assert one.call(path, key, changed, method="PATCH")[0] == 200
    until(lambda: names(other, key) == ["Very important"], "the other server shows the name", patience=1)
    listed = run("entry", "list", "cmp_001", "customer_tags", "--database-url", url, "--output", "json")
    assert json.loads(listed.stdout)["entries"][0]["name"] == "Very important"
    exported = run("export", "--database-url", url).stdout
    directory = tmp_path / "directory"
    directory.mkdir()
    for _ in range(2):
        copied = run("copy", "--from", url, "--to", directory)
        assert "copied 1 companies" in copied.stderr and "no differences" in copied.stderr
    assert run("export", "--data-dir", directory).stdout == exported
    back = postgres()
    run("copy", "--from", directory, "--to", back)
    assert run("key", "list", "--database-url", back).stdout == run("key", "list", "--data-dir", directory).stdout
    run("load", "--database-url", back, "-", stdin="companies: [{id: cmp_002, name: Other}]")
    refused = run("copy", "--from", directory, "--to", back, check=False)
    assert refused.returncode == 1 and "cmp_002" in refused.stderr
    assert "no differences" in run("verify", "--database-url", url).stderr
    assert one.stop() == 0 and other.stop() == 0


def test_the_url_is_shown_nowhere(postgres, start):
    url = postgres()
    key = run("key", "create", "--database-url", url, "--name", "all", "--scope", "*").stdout.strip()
    run("load", "--database-url", url, "-", stdin=DOCUMENT)
    server = start("--log", "debug", env={"CUSTOMER_SETTINGS_DATABASE_URL": url})
    assert names(server, key) == ["VIP"]
    path = "/admin/v1/companies/cmp_001/customer_tags/tag_001"
    assert server.call(path, key, {"name": "Nobody logs this"}, method="PATCH")[0] == 200
    assert server.stop() == 0
    shown = "\n".join(server.welcome) + server.log
    assert "settings_" in shown and "tokio_postgres" in shown
    for secret in ["very-secret", key, key[3:20], "Nobody logs this"]:
        assert secret not in shown, secret
    help_text = subprocess.run(
        [PROGRAM, "serve", "--help"], env={"CUSTOMER_SETTINGS_DATABASE_URL": url}, capture_output=True, text=True
    )
    assert "very-secret" not in help_text.stdout


def test_the_demo_fills_an_empty_database_and_leaves_others_alone(postgres, start, tmp_path):
    url = postgres()
    env = {"CUSTOMER_SETTINGS_DATABASE_URL": url}
    demo = start("--demo", env=env, cwd=tmp_path)
    key = (tmp_path / "demo-key").read_text()
    assert names(demo, key) == ["VIP Customer", "First-time Customer"]
    assert demo.stop() == 0
    again = start("--demo", env=env, cwd=tmp_path)
    assert names(again, key) == ["VIP Customer", "First-time Customer"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    refused = subprocess.run(
        [PROGRAM, "serve", "--demo", "--listen", "127.0.0.1:0", "--database-url", url],
        capture_output=True, text=True, cwd=elsewhere, timeout=20,
    )
    assert refused.returncode == 1 and "holds other data" in refused.stderr
    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize(
    "arguments, code, expected",
    [
        (["serve", "--database-url", "postgres://u:very-secret@127.0.0.1:1/d"], 6, "127.0.0.1:1 cannot be reached"),
        (["export", "--database-url", "postgres://u:very-secret@127.0.0.1:1/d"], 6, "cannot be reached"),
        (["export", "--database-url", "mysql://u:very-secret@h/d"], 1, "does not begin with postgres://"),
        (["backup", "--database-url", "postgres://u:very-secret@h/d", "f"], 2, "pg_dump"),
        (["restore", "--database-url", "postgres://u:very-secret@h/d", "f"], 2, "epoch"),
        (["export", "--data-dir", "d", "--database-url", "postgres://u:very-secret@h/d"], 2, "cannot be used with"),
        (["export"], 2, "--database-url"),
    ],
)
def test_one_line_says_what_is_wrong_without_the_password(arguments, code, expected):
    done = subprocess.run([PROGRAM, *arguments], capture_output=True, text=True, timeout=20)
    assert done.returncode == code and expected in done.stderr, done.stderr
    assert "very-secret" not in done.stderr


def test_a_missing_database_is_named(postgres):
    url = postgres() + "_not"
    done = run("export", "--database-url", url, check=False)
    assert done.returncode == 1 and "does not exist" in done.stderr and "very-secret" not in done.stderr
