"""The packages, built by their one command, and the Debian one installed, upgraded and removed under a real systemd."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import pytest
from conftest import ROOT, TARGET
from database import until
from machine import Machine

PACKAGES = TARGET / "packages"
DATA = "/var/lib/customer-settings"
BACKUPS = "/var/backups/customer-settings"
SERVER = "http://127.0.0.1:8080"
FIRST_KEY = "/etc/customer-settings/first-key"

pytestmark = pytest.mark.long


# Lintian asks this of packages in Debian's own archive.
FOR_THE_ARCHIVE = ["initial-upload-closes-no-bugs"]


def test_the_files_beside_the_program_have_no_lint():
    folder = ROOT / "packaging"
    tools = pathlib.Path(sys.executable).parent
    debian = folder / "debian"
    scripts = [folder / "build", debian / "backup", *(debian / "scripts").iterdir()]
    subprocess.run(["shellcheck", *scripts], check=True)
    subprocess.run([tools / "hadolint", folder / "docker" / "Dockerfile"], check=True)
    subprocess.run([tools / "yamllint", "--strict", "--config-file", folder / ".yamllint", folder], check=True)
    for manifest in (folder / "kubernetes").iterdir():
        subprocess.run([tools / "kubernetes-validate", "--strict", "--quiet", manifest], check=True)


@pytest.fixture(scope="module")
def packages():
    """The paths of the Debian package and of the archive."""
    subprocess.run([ROOT / "packaging" / "build"], check=True)
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=PACKAGES, check=True)
    [package], [archive] = PACKAGES.glob("*.deb"), PACKAGES.glob("*.tar.gz")
    return package, archive


@pytest.fixture
def machine(tmp_path):
    if os.geteuid() != 0 or not shutil.which("systemd-nspawn") or not shutil.which("debootstrap"):
        pytest.skip("a machine with systemd needs root, systemd-nspawn and debootstrap")
    machine = Machine(tmp_path)
    yield machine
    machine.stop()


def as_user(command):
    return f"sudo -u customer-settings customer-settings {command} --data-dir {DATA}"


def companies(machine, check=True):
    command = f"customer-settings company list --server {SERVER} --key-file {FIRST_KEY} --output json"
    return machine.run(command, check=check)


def main_pid(machine):
    return machine.run("systemctl show customer-settings --property MainPID --value").stdout.strip()


def with_version(package, version, folder):
    """The same package as another version."""
    unpacked = folder / "unpacked"
    subprocess.run(["dpkg-deb", "--raw-extract", package, unpacked], check=True)
    control = unpacked / "DEBIAN" / "control"
    lines = [f"Version: {version}" if line.startswith("Version:") else line for line in control.read_text().splitlines()]
    control.write_text("\n".join(lines) + "\n")
    subprocess.run(["dpkg-deb", "--build", unpacked, folder / "other.deb"], check=True, stdout=subprocess.DEVNULL)
    return folder / "other.deb"


def test_the_debian_package_from_its_installation_to_its_end(packages, machine, tmp_path):
    package, _ = packages
    shutil.copy(package, machine.root / "root" / "package.deb")
    began = time.monotonic()
    told = machine.run("dpkg -i /root/package.deb").stdout
    until(lambda: companies(machine, check=False).returncode == 0, "the server answers", patience=20)
    print(f"\n{package.name}: {package.stat().st_size:,} bytes; {time.monotonic() - began:.1f} s to the first answer")
    assert FIRST_KEY in told and "cs_" not in told
    assert re.search(r"^ *http://127\.0\.0\.1:8080/console/link\?token=\S+$", told, re.MULTILINE), told
    assert machine.run(f"stat -c '%a %U' {FIRST_KEY} {DATA} {BACKUPS}").stdout.split("\n")[:3] == [
        "600 root", "700 customer-settings", "700 customer-settings",
    ]
    runs_beside_its_commands(machine)
    makes_backups(machine)
    upgrades(package, machine, tmp_path)
    is_removed(machine)


def runs_beside_its_commands(machine):
    units = "customer-settings.service customer-settings-backup.service customer-settings-backup.timer"
    machine.run(f"systemd-analyze verify --man=no {units}")
    # From 0 to 100 for what the service could do to the machine.
    machine.run("systemd-analyze security --threshold=20 customer-settings.service")
    assert machine.run(f"customer-settings status --server {SERVER}").returncode == 0
    document = "companies: [{id: cmp_001, name: Paws}]"
    machine.run(f"echo '{document}' | {as_user('load -')}")
    until(lambda: "Paws" in companies(machine).stdout, "the server shows what a command wrote")
    assert "first" in machine.run(as_user("key list")).stdout
    # The unit allows threads of lower priority: the log would say so otherwise.
    machine.run(f"customer-settings export --server {SERVER} --key-file {FIRST_KEY}")
    assert "the priority of requests" not in machine.run("journalctl --no-pager -u customer-settings").stdout
    # As root it leaves no file that the server cannot use.
    machine.run(f"customer-settings key create --data-dir {DATA} --name other > /dev/shm/other && rm /dev/shm/other")
    assert set(machine.run(f"stat -c %U {DATA}/*").stdout.split()) == {"customer-settings"}
    pid = main_pid(machine)
    # As many as the unit says, where this machine gives them.
    assert "65536" in machine.run("systemctl show customer-settings --property LimitNOFILE").stdout
    assert int(machine.run(f"grep 'open files' /proc/{pid}/limits").stdout.split()[3]) > 10_000
    assert machine.run(f"ps -o user= -p {pid} 2>/dev/null || stat -c %U /proc/{pid}").stdout.strip().startswith("customer")
    machine.run("systemctl reload customer-settings && systemctl is-active customer-settings")
    machine.run(f"kill -9 {pid}")
    until(lambda: main_pid(machine) not in ("0", pid), "the server is started again")
    until(lambda: companies(machine, check=False).returncode == 0, "the server answers again")


def makes_backups(machine):
    machine.run("systemctl is-enabled customer-settings-backup.timer customer-settings")
    machine.run("systemctl is-active customer-settings-backup.timer")
    for day in range(10, 25):
        machine.run(f"install -o customer-settings -m 600 /dev/null {BACKUPS}/2020-01-{day}T000000Z.db")
    machine.run(f"install -m 600 /dev/null {BACKUPS}/mine.db")
    machine.run("systemctl start customer-settings-backup")
    files = machine.run(f"ls {BACKUPS}").stdout.split()
    assert len(files) == 15 and files[0] == "2020-01-12T000000Z.db" and "mine.db" in files
    [new] = [file for file in files if not file.startswith("2020") and file != "mine.db"]
    assert machine.run(f"stat -c '%a %U' {BACKUPS}/{new}").stdout.split() == ["600", "customer-settings"]
    machine.run("systemctl stop customer-settings")
    machine.run(as_user("restore --replace") + f" {BACKUPS}/{new}")
    machine.run("systemctl start customer-settings")
    assert "Paws" in companies(machine).stdout


def upgrades(package, machine, tmp_path):
    machine.run("echo 'max_stale_ms: 1000' >> /etc/customer-settings/customer-settings.yaml")
    key, pid = machine.run(f"cat {FIRST_KEY}").stdout, main_pid(machine)
    shutil.copy(with_version(package, "99.0.0-1", tmp_path), machine.root / "root" / "newer.deb")
    told = machine.run("dpkg -i /root/newer.deb").stdout
    assert FIRST_KEY not in told and machine.run(f"cat {FIRST_KEY}").stdout == key
    assert "max_stale_ms: 1000" in machine.run("cat /etc/customer-settings/customer-settings.yaml").stdout
    # With Type=notify a restart is done when the server answers.
    assert main_pid(machine) not in ("0", pid) and "Paws" in companies(machine).stdout


def is_removed(machine):
    machine.run("dpkg -r customer-settings")
    assert machine.run("systemctl is-active customer-settings", check=False).returncode != 0
    assert machine.run(f"ls {DATA}/customer-settings.db {FIRST_KEY}").returncode == 0
    machine.run("dpkg -i /root/newer.deb")
    assert "Paws" in companies(machine).stdout
    told = machine.run("dpkg -P customer-settings").stdout
    assert f"backups in {BACKUPS} stay" in told
    left = machine.run(
        "find / -xdev -path /proc -prune -o -path /sys -prune -o -name '*customer-settings*' -print"
    ).stdout.split()
    assert left == [BACKUPS], left
    machine.run("systemctl daemon-reload")
    assert "customer-settings" not in machine.run("systemctl list-unit-files").stdout


def test_the_debian_package_has_no_lint(packages):
    package, _ = packages
    command = ["lintian", "--allow-root", "--fail-on=error,warning", f"--suppress-tags={','.join(FOR_THE_ARCHIVE)}", package]
    subprocess.run(command, check=True)


def test_every_link_of_the_documents_leads_somewhere(packages, tmp_path):
    package, archive = packages
    subprocess.run(["dpkg-deb", "--extract", package, tmp_path], check=True)
    subprocess.run(["tar", "-xzf", archive, "-C", tmp_path], check=True)
    [unpacked] = tmp_path.glob("customer-settings-*")
    for folder in [tmp_path / "usr" / "share" / "doc" / "customer-settings", unpacked]:
        documents = list(folder.rglob("*.md"))
        links = [(file, link) for file in documents for link in re.findall(r"\]\(([^)#\s]+)", file.read_text())]
        lost = [(file.name, link) for file, link in links if "://" not in link and not (file.parent / link).exists()]
        assert len(documents) > 10 and lost == [], lost


def test_the_static_program_needs_nothing_but_itself(packages, tmp_path):
    if os.geteuid() != 0:
        pytest.skip("chroot needs root")
    _, archive = packages
    subprocess.run(["tar", "-xzf", archive, "-C", tmp_path], check=True)
    [unpacked] = tmp_path.iterdir()
    program = unpacked / "customer-settings"
    print(f"\n{archive.name}: {archive.stat().st_size:,} bytes, the program {program.stat().st_size:,}")
    root = tmp_path / "root"
    root.mkdir()
    shutil.copy(program, root)

    def inside(*arguments):
        return ["chroot", root, "/customer-settings", *arguments]

    server = subprocess.Popen(
        inside("serve", "--demo", "--listen", "127.0.0.1:0"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    try:
        base = server.stdout.readline().split()[-1]
        assert subprocess.run(inside("status", "--server", base), timeout=60).returncode == 0
    finally:
        server.terminate()
        assert server.wait(timeout=40) == 0
