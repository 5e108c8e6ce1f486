"""The program over PostgreSQL, as an operator uses it."""

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
        assert "of 1 company" in copied.stderr and "no differences" in copied.stderr
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
    # A key that cannot be written is not made.
    other = postgres()
    (elsewhere / "demo-key").symlink_to(elsewhere / "nowhere")
    command = [PROGRAM, "serve", "--demo", "--listen", "127.0.0.1:0", "--database-url", other]
    unwritable = subprocess.run(command, capture_output=True, text=True, cwd=elsewhere, timeout=20)
    assert unwritable.returncode == 1 and "demo-key cannot be written" in unwritable.stderr
    assert run("key", "list", "--database-url", other).stdout == ""
    assert run("export", "--database-url", other).stdout == "companies: []\n"


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
        (["export", "--database-url", "postgres://u:a@very-secret/b@127.0.0.1:1/d"], 1, "@ is %40"),
        (["serve", "--database-url", "postgres://u:a@very-secret@127.0.0.1:1/d"], 1, "@ is %40"),
        (["verify", "--database-url", "postgres://u:a/very-secret@127.0.0.1:1/d"], 1, "/ is %2F"),
        (["key", "list", "--database-url", "host=h password=very-secret"], 1, "postgres://"),
        (["copy", "--from", "d", "--to", "postgres://u:a@very-secret@h/d"], 1, ""),
        (["copy", "--from", "mysql://u:very-secret@h/d", "--to", "d"], 1, "does not begin with postgres://"),
        (["copy", "--from", "host=h password=very-secret", "--to", "d"], 2, "this is a database"),
        (["export", "--data-dir", "postgres://u:very-secret@h/d"], 2, "this is a database"),
        (["serve", "--data-dir", "postgres://u:very-secret@h/d"], 1, "this is a URL"),
        (["export", "--database-url-file", "postgres://u:very-secret@h/d"], 2, "the name of a file"),
        (["serve", "--database-url-file", "postgres://u:very-secret@h/d"], 1, "this is a URL"),
        (["export", "--databse-url", "postgres://u:very-secret@h/d"], 2, "--databse-url"),
        (["export", "--databse-url=postgres://u:very-secret@h/d"], 2, "--databse-url"),
        (["export", "postgres://u:very-secret@h/d"], 2, "unexpected"),
        (["postgres://u:very-secret@h/d"], 2, "unrecognized"),
        (["key", "list", "--server", "https://very-secret@h"], 2, "does not belong into the URL"),
        (["key", "list", "--server", "http://h", "--key-file", "cs_very-secret"], 2, "the name of a file"),
        (["key", "list", "cs_very-secret"], 2, "unexpected"),
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


def test_the_url_comes_from_a_file(postgres, start, tmp_path, monkeypatch):
    url, file = postgres(), tmp_path / "url"
    file.write_text(url + "\n")
    run("load", "--database-url-file", file, "-", stdin=DOCUMENT)
    env = {"CUSTOMER_SETTINGS_DATABASE_URL_FILE": str(file)}
    server = start("--log", "debug", env=env)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    key = run("key", "create", "--name", "all", "--scope", "*").stdout.strip()
    assert names(server, key) == ["VIP"]
    assert server.stop() == 0 and "very-secret" not in server.log
    directory = tmp_path / "copy"
    directory.mkdir()
    run("copy", "--from-url-file", file, "--to", directory)
    assert run("export", "--data-dir", directory).stdout == run("export").stdout
    monkeypatch.setenv("CUSTOMER_SETTINGS_DATABASE_URL", url)
    for command in [["export"], ["key", "list"], ["serve", "--listen", "127.0.0.1:0"]]:
        both = run(*command, check=False)
        assert both.returncode in [1, 2] and "both" in both.stderr and "very-secret" not in both.stderr
    monkeypatch.delenv("CUSTOMER_SETTINGS_DATABASE_URL")
    file.unlink()
    for command in [["export"], ["key", "list"], ["serve", "--listen", "127.0.0.1:0"]]:
        missing = run(*command, check=False)
        assert missing.returncode == 1 and f"{file} cannot be read" in missing.stderr


@pytest.mark.parametrize("url", ["postgres://app:Horse@Stab/le@127.0.0.1:5432/s", "postgres://app:Horse@Stable@h/s"])
def test_a_password_that_nobody_encoded_is_neither_shown_nor_looked_up(url, tmp_path):
    config = tmp_path / "config.yaml"
    config.write_text(f"database:\n  url: {url}\n")
    file = tmp_path / "url"
    file.write_text(url)
    for environment, command in [
        ({"CUSTOMER_SETTINGS_DATABASE_URL": url}, ["key", "list"]),
        ({"CUSTOMER_SETTINGS_DATABASE_URL": url}, ["serve", "--log", "trace"]),
        ({"CUSTOMER_SETTINGS_DATABASE_URL_FILE": file}, ["load", "/dev/null"]),
        ({"CUSTOMER_SETTINGS_CONFIG": config}, ["serve", "--log", "trace"]),
    ]:
        environment = {name: str(value) for name, value in environment.items()}
        done = subprocess.run([PROGRAM, *command], env=environment, capture_output=True, text=True, timeout=20)
        assert done.returncode == 1 and "@ is %40" in done.stderr, done.stderr
        assert not any(part in done.stderr + done.stdout for part in ["Horse", "Stab", "le@", "5432/s"])
