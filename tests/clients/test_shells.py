"""The scripts for completion in the shells that they are for, typed as people type."""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest
from conftest import PROGRAM

# The command of a shell without anybody's settings, and the lines that load the script and show its list at once.
SHELLS = {
    "bash": (
        ["bash", "--noprofile", "--norc", "-i"],
        [
            "bind 'set enable-bracketed-paste off'; bind 'set show-all-if-ambiguous on'",
            "bind 'set page-completions off'; bind 'set completion-query-items 0'",
            "source <(customer-settings completion bash)",
        ],
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        ["autoload -U compinit; compinit -D -u; LISTMAX=10000", "source <(customer-settings completion zsh)"],
    ),
}

# Typed text, and some of the words that must be offered then.
LINES = [
    ("customer-settings ", ["serve", "entry", "status"]),
    ("customer-settings serve --", ["--listen", "--data-dir", "--tls-cert"]),
    ("customer-settings entry ", ["list", "set-default"]),
    ("customer-settings entry list --", ["--order-by", "--timeout"]),
    ("customer-settings entry set-default --", ["--etag", "--dry-run"]),
    ("customer-settings key rotate --", ["--overlap", "--end-overlap"]),
    ("customer-settings entry list cmp_001 ", ["customer_tags", "life_cycles"]),
    ("customer-settings entry list --archived cmp_001 ", ["referral_sources", "action_statuses"]),
    ("customer-settings entry list --order-by ", ["position", "last_updated_time"]),
    ("customer-settings history list cmp_001 --collection ", ["customer_tags", "life_cycles"]),
    ("customer-settings completion ", ["bash", "fish"]),
    ("customer-settings entry list --output ", ["table", "json"]),
    ("customer-settings serve --log-format ", ["auto", "json"]),
    ("customer-settings serve --log ", ["debug", "off"]),
    ("customer-settings key create --scope ", ["settings:read", "staff:any", "*"]),
    ("customer-settings key create --scope settings:r", ["settings:read"]),
    ("customer-settings key create --scope sources:", ["sources:write"]),
    ("customer-settings key create --scope=keys:r", ["--scope=keys:read"]),
    ("customer-settings entry list --output=t", ["--output=table"]),
    ("customer-settings key create --scope settings:read,keys:r", ["settings:read,keys:read"]),
    ("customer-settings key create --scope=keys:read,keys:w", ["--scope=keys:read,keys:write"]),
    ("customer-settings export --without ids,a", ["ids,audit"]),
    ("customer-settings plan --ignore order,c", ["order,color"]),
]


class Terminal:
    """A shell with a terminal of its own."""

    def __init__(self, command, folder):
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.chdir(folder)
            path = f"{PROGRAM.parent}:{os.environ['PATH']}"
            os.execvpe(command[0], command, {"PATH": path, "TERM": "dumb", "HOME": "/nonexistent", "PS1": "$ "})
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 60, 200, 0, 0))
        self.shown = ""

    def type(self, text):
        os.write(self.terminal, text.encode())

    def wait_for(self, words, patience=30):
        """Reads until all words are shown."""
        end = time.monotonic() + patience
        while not all(re.search(rf"(?<![\w-]){re.escape(word)}(?![\w-])", self.shown) for word in words):
            left = end - time.monotonic()
            assert left > 0 and select.select([self.terminal], [], [], left)[0], f"{words} not in {self.shown!r}"
            self.shown += os.read(self.terminal, 65536).decode(errors="replace")

    def close(self):
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self.terminal)


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_completes_every_word(shell, tmp_path):
    # A shell that takes the scope `*` for a pattern shows this file in place of the scope.
    (tmp_path / "tags.yaml").touch()
    command, lines = SHELLS[shell]
    for typed, expected in LINES:
        terminal = Terminal(command, tmp_path)
        try:
            for line in [*lines, "echo re''ady"]:
                terminal.type(line + "\n")
            terminal.wait_for(["ready"])
            terminal.shown = ""
            # Twice: zsh shows nothing but what all have in common at the first.
            terminal.type(typed + "\t\t")
            terminal.wait_for([word for word in expected if word not in typed.split()])
        finally:
            terminal.close()


def fish(folder, typed):
    """The words that fish offers in a folder."""
    script = folder / "customer-settings.fish"
    if not script.exists():
        command = [PROGRAM, "completion", "fish"]
        script.write_text(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    command = ["fish", "--no-config", "-c", f"source {script}; complete -C '{typed}'"]
    env = {"PATH": os.environ["PATH"], "HOME": str(folder)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=folder)
    assert not done.stderr, done.stderr
    return {line.split("\t")[0] for line in done.stdout.splitlines()}


def test_fish_completes_every_word(tmp_path):
    (tmp_path / "tags.yaml").touch()
    for typed, expected in LINES:
        assert set(expected) <= fish(tmp_path, typed), typed


def test_fish_offers_files_only_where_a_file_is_meant(tmp_path):
    (tmp_path / "tags.yaml").touch()
    collections = {"customer_tags", "referral_sources", "life_cycles", "action_statuses"}
    for typed, offered in [
        ("entry list ", set()),
        ("entry list cmp_001 ", collections),
        ("entry get cmp_001 customer_tags ", set()),
        ("company get ", set()),
        ("apply ", {"tags.yaml", "customer-settings.fish"}),
        ("entry list --key-file ", {"tags.yaml", "customer-settings.fish"}),
    ]:
        assert fish(tmp_path, f"customer-settings {typed}") == offered, typed
