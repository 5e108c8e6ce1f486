"""Plays the documents: runs their commands in the order of the page, as a reader does, and compares the shown results."""

import os
import re
import stat
import subprocess
import sys

import pytest
from conftest import PROGRAM
from database import free_port, programs
from documents import blocks

GUIDE = "docs/getting-started.md"
OPERATING = "docs/operating.md"

# The headings whose blocks install programs. They are tried by hand.
NOT_PLAYED = {"From the sources"}
SERVICE = ["Data and a first key", "Start", "The first request", "Change something", "The first client", "A backup"]
DATABASE = {
    "Begin with new data": ["With PostgreSQL", "Begin with new data"],
    "Take the data of a directory along": [
        "Data and a first key", "With PostgreSQL", "Take the data of a directory along",
    ],
}
AS_CODE = "docs/as-code.md"
CLIENT = ["Point an existing client here"]

# A server in the reader's first terminal, which the other commands run beside. It takes the place of an earlier one.
SERVE = r"""
if [ -n "${server:-}" ]; then kill $server; wait $server; fi
\g<0> > serve.out 2> serve.err &
server=$!
until grep -q "listens on" serve.out; do
    kill -0 $server || { cat serve.err >&2; exit 1; }
    sleep 0.05
done
"""


def section(document, headings):
    """The blocks of commands, and of their output, under some headings."""
    every = [block for block in blocks(document) if block.language in ("sh", "text")]
    return [block for heading in headings for block in every if block.heading == heading]


def play(found, folder, replace=(), **environment):
    """Runs commands in one shell. A block of text is the whole output of the block before it."""
    script, shown = "trap 'kill ${server:-} 2>/dev/null || true' EXIT\n", {}
    for number, block in enumerate(found):
        text = block.text
        for old, new in replace:
            text = text.replace(old, new)
        if block.language == "text":
            shown[number - 1] = text
            continue
        text = re.sub(r"^customer-settings serve(?:.*\\\n)*.*$", SERVE, text, flags=re.M)
        script += f"{{\n{text}\n}} > out.{number}\n"
    environment = {
        **os.environ, "PATH": f"{PROGRAM.parent}:{programs()}:{os.environ['PATH']}",
        "CUSTOMER_SETTINGS_LISTEN": f"127.0.0.1:{free_port()}", **environment,
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=120,
    )
    assert done.returncode == 0, done.stderr
    for number, text in shown.items():
        assert (folder / f"out.{number}").read_text() == text, found[number].text


def are_private(folder, *names):
    return all(stat.S_IMODE((folder / name).stat().st_mode) == 0o600 for name in names)


def test_every_command_of_the_guide_is_played():
    played = {*SERVICE, *CLIENT, *(heading for headings in DATABASE.values() for heading in headings)}
    assert {block.heading for block in blocks(GUIDE)} == played | NOT_PLAYED


def test_a_first_service_as_the_guide_says(tmp_path):
    port = str(free_port())
    replace = [("8080", port), ("8090", port)]
    play(section(GUIDE, SERVICE), tmp_path, replace, CUSTOMER_SETTINGS_LISTEN=f"127.0.0.1:{port}")
    assert are_private(tmp_path, "first.key", "website.key", "backup-1.db")


@pytest.fixture
def play_with_database(postgres_server, tmp_path):
    """Plays commands that make the database `settings`, whose server is on this machine and asks for no password."""

    def play_one(found):
        replace = [
            ("sudo -u postgres ", ""), ("--pwprompt ", ""), ("8080", str(free_port())),
            ("db.example.com", f"127.0.0.1:{postgres_server.port}"),
        ]
        play(found, tmp_path, replace, PGHOST="127.0.0.1", PGPORT=str(postgres_server.port), PGUSER="owner")
        assert postgres_server.sql("SELECT count(*) FROM keys", "settings").stdout.strip() == "1"

    yield play_one
    postgres_server.sql("DROP DATABASE settings WITH (FORCE)")
    postgres_server.sql("DROP ROLE settings")


@pytest.mark.parametrize("way", DATABASE)
def test_postgresql_as_the_guide_says(way, play_with_database, tmp_path):
    play_with_database(section(GUIDE, DATABASE[way]))
    assert are_private(tmp_path, "first.key", "database-url")


@pytest.mark.parametrize("way", ["new data", "the data of a directory"])
def test_postgresql_as_the_page_for_operators_says(way, play_with_database, postgres_server, tmp_path):
    (tmp_path / "companies.yaml").write_text("companies: [{id: cmp_1, name: Paws}]")
    assert postgres_server.sql("CREATE ROLE settings LOGIN").returncode == 0
    make, fill, serve = section(OPERATING, ["PostgreSQL"])
    if way == "new data":
        play_with_database([make, fill, serve])
    else:
        data = section(GUIDE, ["Data and a first key"])
        play_with_database([*data, make, *section(OPERATING, ["Moving there and back"]), serve])
    assert are_private(tmp_path, "database-url")


def test_an_existing_client_as_the_guide_says(tmp_path):
    pasted = ("cat > secret.txt ", "echo AIzaSy-a-secret-of-some-crm > secret.txt ")
    play(section(GUIDE, CLIENT), tmp_path, [("8443", str(free_port())), pasted])
    assert are_private(tmp_path, "secret.txt", "privkey.pem")


def test_settings_as_code_as_the_page_says(tmp_path):
    every = [block for block in blocks(AS_CODE) if block.language in ("sh", "text")]
    play(every, tmp_path)


def test_the_commands_for_ci_are_commands_of_the_program(tmp_path):
    yaml = "".join(block.text for block in blocks(AS_CODE) if block.language == "yaml")
    commands = re.findall(r"^ *(?:- )?(customer-settings .*)$", yaml, flags=re.M)
    assert len(commands) == 4
    (tmp_path / "data").mkdir()
    (tmp_path / "settings.yaml").write_text("companies: [{id: cmp_1, name: Paws}]")
    # CI names the server in the environment, and the test names data there.
    names = {"CUSTOMER_SETTINGS_DATA_DIR": "data", "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")}
    first = [command for command in commands if " apply " in command][0]
    script = "\n".join([first, *commands])
    environment = {**os.environ, "PATH": f"{PROGRAM.parent}:{os.environ['PATH']}", **names}
    subprocess.run(["bash", "-euc", script], cwd=tmp_path, env=environment, check=True, timeout=60)
    assert "no differences" in (tmp_path / "summary.md").read_text()


def test_the_requests_of_the_readme_are_answered(demo, tmp_path):
    """Each block that begins with curl, and each program in Python, in the directory that holds demo-data."""
    (tmp_path / "demo-data").symlink_to(demo.data_dir)
    run = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
    found = [block for block in blocks("README.md") if block.language == "python" or block.text.startswith("curl ")]
    assert {block.language for block in found} == set(run)
    for block in found:
        text = block.text.replace("127.0.0.1:8080", demo.address).replace("curl ", "curl --fail ")
        done = subprocess.run([*run[block.language], text], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and "VIP Customer" in done.stdout, (block.line, done.stderr)
