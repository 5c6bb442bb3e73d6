# SPDX-License-Identifier: MIT
"""What is installed, and how it looks to Debian's and systemd's own checks."""

import filecmp
import gzip
import os
import re
import shutil
import subprocess

import pytest
from conftest import BUILD, CONFIG, is_release, manual_of_the_installation
from forebay import ROOT, Process, Server, binary, free_port

UNIT = "lib/systemd/system/forebay.service"


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def installed(tmp_path):
    """cmake --install below a prefix."""
    done = run("cmake", "--install", BUILD, "--prefix", tmp_path / "prefix")
    assert done.returncode == 0, done.stderr
    return tmp_path / "prefix"


def test_an_installation_below_a_prefix_is_of_one_piece(installed, tmp_path):
    said = run(installed / "bin/forebay", "--version").stdout
    assert said.startswith("forebay ")
    unit = (installed / UNIT).read_text()
    assert f"ExecStart={installed}/bin/forebay --config {installed}/etc/forebay/forebay.conf\n" in unit
    assert "@" not in unit.replace("@system-service", "").replace("@privileged", "").replace("@resources", "").replace("@ipc", "")
    config = (installed / "etc/forebay/forebay.conf").read_text().replace("/var/lib/forebay", str(tmp_path))
    for port in ("11211", "11280"):
        config = config.replace(port, str(free_port()))  # whatever serves here already
    assert Server(tmp_path, config=config).check().endswith(": ok\n")


def test_a_second_installation_keeps_the_configuration(installed):
    (installed / "etc/forebay/forebay.conf").write_text("# mine\n")
    assert run("cmake", "--install", BUILD, "--prefix", installed).returncode == 0
    assert (installed / "etc/forebay/forebay.conf").read_text() == "# mine\n"


def test_the_service_is_exposed_little(installed):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    done = run("systemd-analyze", "security", "--offline=yes", "--threshold=11", "--no-pager", installed / UNIT)
    assert done.returncode == 0, done.stdout


def test_systemd_finds_nothing_wrong_with_the_units(installed):
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    for unit in ("forebay.service", "forebay.socket"):
        done = run("systemd-analyze", "verify", "--man=no", "--recursive-errors=no", installed / "lib/systemd/system" / unit)
        assert (done.returncode, done.stderr) == (0, ""), unit


def test_lintian_finds_nothing_wrong_with_the_package(package):
    if not shutil.which("lintian"):
        pytest.skip("lintian is not installed")
    found = run("lintian", "--allow-root", "--tag-display-limit", "0", package).stdout.splitlines()
    pages = "/man8/forebay.8.gz" in run("dpkg-deb", "-c", package).stdout
    known = [] if pages else ["W: forebay: no-manual-page [usr/bin/forebay]"]  # a build without them is packaged all the same
    assert [line for line in found if line.startswith(("E:", "W:"))] == known


def test_the_package_names_nobody_who_cannot_be_reached(package, tmp_path):
    """Whoever built it, or an address in the domain that has none."""
    subprocess.run(["dpkg-deb", "-x", package, tmp_path], check=True)
    changelog = gzip.decompress((tmp_path / "usr/share/doc/forebay/changelog.gz").read_bytes()).decode()
    assert "<no-mail@forebay.invalid>" in changelog
    assert ".example" not in run("dpkg-deb", "-f", package, "Maintainer").stdout + changelog


def test_the_images_of_its_pages_are_in_the_package(package, tmp_path):
    subprocess.run(["dpkg-deb", "-x", package, tmp_path], check=True)
    named = [(page, image) for page in (tmp_path / "usr/share/doc/forebay").rglob("*.md")
             for image in re.findall(r"!\[[^]]*\]\(([^)]+)\)", page.read_text(encoding="utf-8"))]
    assert len(named) > 5 and [(page.name, image) for page, image in named if not (page.parent / image).exists()] == []


def test_the_program_of_the_package_is_that_of_the_build(package, tmp_path):
    """So that what test_hardening.py reads in the one holds for the other."""
    assert is_release()
    subprocess.run(["dpkg-deb", "-x", package, tmp_path / "package"], check=True)
    subprocess.run(["strip", "-o", tmp_path / "stripped", binary()], check=True)
    assert filecmp.cmp(tmp_path / "stripped", tmp_path / "package/usr/bin/forebay", shallow=False)


def test_the_image_is_built_of_what_the_build_needs():
    """The Containerfile cannot ask tools/setup.sh: its packages are compared here."""
    script = '. tools/setup.sh; printf "%s\\n" "${BUILD_COMMANDS[@]#*:}" "${BUILD_PACKAGES[@]}"'
    needed = subprocess.run(["bash", "-c", script, "test"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    with open(os.path.join(ROOT, "tools/package/Containerfile"), encoding="utf-8") as file:
        words = file.read().replace("\\\n", " ").split()
    assert set(needed) <= set(words)


class Unpacked(Process):
    """The server of the package, run by hand, as far as there is no systemd to do it."""

    def __init__(self, folder, package):
        super().__init__(folder)
        self.admin_port = free_port()
        self.config = os.path.join(self.folder, CONFIG[1:])
        subprocess.run(["dpkg-deb", "-x", package, self.folder], check=True)
        with open(self.config, "r+", encoding="utf-8") as file:
            text = self.here(file.read())
            file.seek(0)
            file.write(text)
            file.truncate()

    def here(self, text):
        """Its ports and its paths."""
        for there, here in ((":11211", f":{self.port}"), (" 11211", f" {self.port}"), (":11280", f":{self.admin_port}"),
                            ("/var/lib/forebay", self.folder + "/var/lib/forebay"), (CONFIG, self.config),
                            ("forebay --config", f"{self.folder}/usr/bin/forebay --config"), (" -u forebay", "")):
            text = text.replace(there, here)
        return text

    def command(self):
        return [self.folder + "/usr/bin/forebay", "--config", self.config]

    def answers(self):
        return "serves" in self.log()


def test_the_manual_goes_so_far_where_there_is_no_systemd(package, tmp_path):
    """The commands of the installation, but for apt and systemctl: test_service.py has those, where it can."""
    os.makedirs(tmp_path / "var/lib")
    commands = [line.removeprefix("sudo ") for line in manual_of_the_installation()]
    mine = [line for line in commands if line.startswith(("forebay ", "printf ", "curl "))]
    assert len(mine) == 3
    with Unpacked(tmp_path, package) as server:
        done = run("bash", "-c", "set -e\n" + server.here("\n".join(mine)))
        assert (done.returncode, done.stderr) == (0, "")
        for part in (": ok\n", "STORED\n", "readyz check passed\n"):
            assert part in done.stdout
