# SPDX-License-Identifier: MIT
"""What the tools that install and run do: tools/setup.sh beside another apt or dpkg at work (a real apt-get, whose folders are the
test's own and whose packages are none), and tools/run, over a server that only says how it was called."""

import fcntl
import os
import shutil
import subprocess

import pytest
from forebay import PATIENCE, ROOT

LOCKS = {"lists": "apt/lists/lock", "archive": "apt/archives/lock", "dpkg": "dpkg/lock-frontend"}


@pytest.fixture
def folder(tmp_path):
    """A system without packages for apt. sudo does nothing, so that nobody has to be root."""
    if not shutil.which("apt-get"):
        pytest.skip("this is not Debian")
    for path in ("apt/lists/partial", "apt/archives/partial", "apt/etc", "dpkg/updates", "bin"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "dpkg/status").touch()
    (tmp_path / "apt.conf").write_text(f'''
Dir::State "{tmp_path}/apt"; Dir::State::status "{tmp_path}/dpkg/status"; Dir::Cache "{tmp_path}/apt";
Dir::Etc "{tmp_path}/apt/etc"; Dir::Log "{tmp_path}/apt"; APT::Sandbox::User "";
''')
    (tmp_path / "bin/sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (tmp_path / "bin/sudo").chmod(0o755)
    return tmp_path


def start(folder, *arguments, patience=PATIENCE):
    script = (f'set -euo pipefail; . tools/setup.sh; APT_PATIENCE_S={patience}; POLICY={folder}/policy-rc.d; '
              'apt_get "$@"; [ -x "$POLICY" ]; say done')
    env = {**os.environ, "APT_CONFIG": str(folder / "apt.conf"), "PATH": f"{folder}/bin:{os.environ['PATH']}"}
    return subprocess.Popen(["bash", "-c", script, "tools/run", *arguments], cwd=ROOT, env=env, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.parametrize("lock, arguments", [("lists", ["update"]), ("dpkg", ["install", "-y"])])
def test_another_one_at_work_is_waited_for(folder, lock, arguments):
    with open(folder / LOCKS[lock], "w", encoding="ascii") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)  # as apt and dpkg do
        setup = start(folder, *arguments)
        said = setup.stdout.readline()
        assert "waiting until another apt or dpkg is done" in said and LOCKS[lock] in said
        assert f"process {os.getpid()} (" in said
    assert setup.stdout.read().endswith("done\n")
    assert setup.wait(PATIENCE) == 0


def test_it_is_not_waited_for_for_ever(folder):
    with open(folder / LOCKS["lists"], "w", encoding="ascii") as held:
        fcntl.lockf(held, fcntl.LOCK_EX)
        setup = start(folder, "update", patience=0)
        assert "Could not get lock" in setup.communicate(timeout=PATIENCE)[0]
        assert setup.returncode == 1


def test_what_else_fails_fails_at_once(folder):
    setup = start(folder, "install", "-y", "no-such-package")
    said = setup.communicate(timeout=PATIENCE)[0]
    assert "no-such-package" in said and "waiting" not in said
    assert setup.returncode == 1


def test_libraries_for_arm64_that_are_not_to_be_had_are_told_and_not_taken_for_there(folder):
    """As without a network."""
    script = f"set -euo pipefail; . {ROOT}/tools/setup.sh; for _ in 1 2; do if arm64_libraries; then exit 1; fi; done"
    (folder / "elsewhere").mkdir()
    (folder / "bin/apt-get").write_text('#!/bin/sh\necho "Could not resolve"; exit 100\n')
    (folder / "bin/apt-get").chmod(0o755)
    done = subprocess.run(["bash", "-c", script, "tools/test"], cwd=folder / "elsewhere", capture_output=True, text=True, check=False,
                          env={**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"}, timeout=PATIENCE)
    assert done.returncode == 0 and done.stdout.count("unpacking Debian's packages for arm64") == 2, done.stdout + done.stderr
    assert "Could not resolve" in (folder / "elsewhere/build/arm64-apt/log").read_text()


@pytest.fixture
def repository(tmp_path):
    """One that is built, on a machine where nothing is missing."""
    root = tmp_path / "repository"
    (root / "tools").mkdir(parents=True)
    for name in ("run", "setup.sh"):
        shutil.copy(os.path.join(ROOT, "tools", name), root / "tools")
    (root / "build/release").mkdir(parents=True)
    (root / "build/release/build.ninja").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "bin").mkdir()
    for path, script in (("repository/build/release/forebay", 'printf "%s\\n" "$PWD" "$@"'), ("bin/dpkg-query", "echo installed"),
                         ("bin/cmake", "echo cmake version 3.25.1")):
        (tmp_path / path).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / path).chmod(0o755)
    return root


@pytest.mark.parametrize("arguments, there, given", [
    (["--config", "my.conf"], "elsewhere", ["--config", "my.conf"]),
    (["--config=my.conf", "-v"], "elsewhere", ["--config=my.conf", "-v"]),
    (["-v"], "repository", ["--config", "tools/forebay.conf", "-v"]),
    (["--check"], "repository", ["--config", "tools/forebay.conf", "--check"]),
])
def test_a_configuration_is_the_one_that_whoever_types_sees(repository, tmp_path, arguments, there, given):
    env = {**os.environ, "PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    done = subprocess.run([repository / "tools/run", *arguments], cwd=tmp_path / "elsewhere", env=env, capture_output=True, text=True,
                          timeout=PATIENCE, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1 - len(given):] == [str(tmp_path / there), *given]
    assert ("serving memcached clients" in done.stdout) == ("-v" in arguments and there == "repository")
