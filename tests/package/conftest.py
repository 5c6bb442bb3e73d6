# SPDX-License-Identifier: MIT
"""The Debian package of the release build, and a throwaway machine to install it on (tests/support/machine.py)."""

import os
import shutil
import subprocess

import pytest
from forebay import binary
from machine import Machine, missing

BUILD = os.path.dirname(binary())


def is_release():
    """As the build folder of the program says."""
    try:
        with open(os.path.join(BUILD, "CMakeCache.txt"), encoding="utf-8") as cache:
            return "CMAKE_BUILD_TYPE:STRING=Release\n" in cache.read()
    except FileNotFoundError:
        return False


@pytest.fixture(scope="session")
def package(tmp_path_factory):
    """Path of the package."""
    lacking = [tool for tool in ("cpack", "dpkg-shlibdeps", "dpkg-deb") if not shutil.which(tool)]
    if lacking:
        pytest.skip(f"{', '.join(lacking)} not installed")
    if not is_release():
        pytest.skip("only a release is packaged")
    folder = tmp_path_factory.mktemp("package")
    done = subprocess.run(["cpack", "-G", "DEB", "--config", os.path.join(BUILD, "CPackConfig.cmake"), "-B", folder],
                          capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return next(folder.glob("*.deb"))


@pytest.fixture(scope="session")
def own_machine():
    if missing():
        pytest.skip(missing())
    try:
        machine = Machine().__enter__()
    except OSError as failure:
        pytest.skip(f"nothing here has systemd as process 1, and there can be no machine of its own: {failure}")
    yield machine
    machine.__exit__()


CONFIG = "/etc/forebay/forebay.conf"
OVERRIDE = "/etc/systemd/system/forebay.service.d"


def is_installed(machine):
    return machine.ask("dpkg-query", "-W", "-f", "${db:Status-Status}", "forebay").stdout == "installed"


@pytest.fixture
def machine(own_machine, package):
    """One that has never seen the package, or from which it was purged."""
    own_machine.ask("dpkg", "--purge", "forebay")
    shutil.copy(package, own_machine.path("/root/forebay.deb"))
    yield own_machine
    own_machine.ask("dpkg", "--purge", "forebay")


@pytest.fixture
def serving(own_machine, package):
    """One on which the package is installed, and serves with the configuration that it brings."""
    if not is_installed(own_machine):
        shutil.copy(package, own_machine.path("/root/forebay.deb"))
        own_machine.run("dpkg", "-i", "/root/forebay.deb")
    own_machine.run("cp", "-a", CONFIG, "/root/forebay.conf")
    own_machine.run("systemctl", "restart", "forebay")
    yield own_machine
    shutil.rmtree(own_machine.path(OVERRIDE), ignore_errors=True)
    own_machine.run("cp", "-a", "/root/forebay.conf", CONFIG)
    own_machine.run("systemctl", "daemon-reload")
    own_machine.ask("systemctl", "reset-failed", "forebay")  # how often it was started, too
