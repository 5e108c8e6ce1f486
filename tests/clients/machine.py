"""A Debian machine of its own, with systemd, on this one: nothing is installed here."""

import pathlib
import re
import shutil
import subprocess

from conftest import TARGET
from database import until

MIRROR = "http://deb.debian.org/debian"
BASE = TARGET / "test-tools" / "debian-bookworm"
PACKAGES = "systemd,systemd-sysv,dbus,adduser,curl,sudo"


def base():
    """The files of a small Debian 12, made once."""
    if not BASE.exists():
        print(f"making a small Debian in {BASE} with debootstrap", flush=True)
        partial = BASE.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", partial, MIRROR]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        partial.rename(BASE)
    return BASE


class Machine:
    """Booted from a copy of these files, with no network but its own loopback."""

    def __init__(self, folder):
        self.root = pathlib.Path(folder) / "root"
        subprocess.run(["cp", "-a", base(), self.root], check=True)
        self.process = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network", "--boot",
             f"--directory={self.root}"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        until(self.has_booted, "the machine has booted", patience=120)

    def leader(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return children[0] if children else None

    def has_booted(self):
        if not self.leader():
            return False
        return re.search("running|degraded", self.run("systemctl is-system-running", check=False).stdout)

    def run(self, line, check=True):
        """Runs a line of shell as root."""
        inside = ["nsenter", "--target", self.leader(), "--all", "--root", "--wd"]
        done = subprocess.run([*inside, "sh", "-c", line], capture_output=True, text=True, timeout=300)
        assert not check or done.returncode == 0, f"{line}: {done.returncode} {done.stdout} {done.stderr}"
        return done

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
