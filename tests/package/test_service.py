# SPDX-License-Identifier: MIT
"""The package on a machine whose process 1 is systemd: installed, started, watched, restarted, upgraded, removed and purged with
dpkg and systemctl, as an administrator does."""

import os
import re
import shutil
import subprocess

import pytest
from conftest import CONFIG, OVERRIDE, manual_of_the_installation
from forebay import Background, eventually
from handbook import commands

DATA = "/var/lib/forebay"


def install(machine, *options, package="/root/forebay.deb"):
    return machine.run("dpkg", *options, "-i", package)


def is_active(machine):
    return machine.ask("systemctl", "is-active", "forebay").stdout == "active\n"


def main_pid(machine):
    """Of the service, as it is numbered there; "0": there is none."""
    return machine.show("forebay", "MainPID")["MainPID"]


def mode_and_owner(machine, path):
    return machine.run("stat", "--format=%a %U:%G", path).strip()


def override(machine, *lines):
    """systemctl edit."""
    folder = machine.path(OVERRIDE)
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "override.conf"), "w", encoding="utf-8") as file:
        file.write("[Service]\n" + "".join(line + "\n" for line in lines))
    machine.run("systemctl", "daemon-reload")


def newer(machine, folder):
    """The package of the next version, whose configuration has another comment."""
    tree = folder / "newer"
    subprocess.run(["dpkg-deb", "-R", machine.path("/root/forebay.deb"), tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: (.*)$", r"Version: \1+next", control.read_text()))
    config = tree / CONFIG[1:]
    config.write_text(config.read_text() + "# Of the next version.\n")
    subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", tree, machine.path("/root/newer.deb")], check=True,
                   stdout=subprocess.DEVNULL)
    return "/root/newer.deb"


# ---- Installed ----

def test_an_installation_serves_as_a_user_without_privileges(machine):
    install(machine)
    assert machine.show("forebay", "ActiveState", "UnitFileState", "StatusText") == {
        "ActiveState": "active", "UnitFileState": "enabled", "StatusText": "serving 127.0.0.1:11211"}
    assert machine.ask("systemctl", "is-enabled", "forebay.socket").stdout == "disabled\n"
    assert machine.client().set("sess:1", b"x") == b"STORED"
    assert mode_and_owner(machine, CONFIG) == "640 root:forebay"
    assert mode_and_owner(machine, DATA) == "700 forebay:forebay"
    assert {mode_and_owner(machine, f"{DATA}/{name}") for name in os.listdir(machine.path(DATA))} == {"600 forebay:forebay"}
    status = dict(line.split(":\t", 1) for line in machine.read(f"/proc/{main_pid(machine)}/status").splitlines())
    assert status["Uid"].split() == [machine.run("id", "-u", "forebay").strip()] * 4
    assert (int(status["CapEff"], 16), int(status["CapBnd"], 16), status["NoNewPrivs"], status["Seccomp"]) == (0, 0, "1", "2")
    assert "admin HTTP: http://127.0.0.1:11280/" in machine.log()
    assert f"sandbox: system calls are limited; files are changed in {DATA}; read in /etc/forebay; no TCP" in machine.log()


def test_nothing_that_a_server_does_is_kept_from_it(serving):
    """A call that the filter does not know kills the process here, instead of failing."""
    override(serving, "SystemCallErrorNumber=kill")
    serving.run("systemctl", "restart", "forebay")
    pid = main_pid(serving)
    client = serving.client()
    assert set(client.set_many((f"sess:{i}", b"x" * (i % 50 * 1000)) for i in range(1000))) == {b"STORED"}
    assert client.set("plain", b"1") == b"STORED" and client.incr("plain") == b"2"
    assert client.touch("sess:1", 100) == b"TOUCHED" and client.delete("sess:2") == b"DELETED"
    assert client.sync() >= 0 and client.get("sess:3") == b"x" * 3000 and client.get("sess:nobody") is None
    assert client.stats("forebay") and client.stats("conns") and client.stats("backends")
    client.send("watch mutations\r\n")
    assert client.line() == b"OK"
    dump = serving.client()
    dump.send("lru_crawler metadump all\r\n")
    while dump.line() != b"END":
        pass
    serving.run("systemctl", "reload", "forebay")
    eventually(lambda: "reload: nothing has changed" in serving.log())
    assert main_pid(serving) == pid
    serving.run("systemctl", "stop", "forebay")
    assert "nothing left" in serving.log()
    assert serving.show("forebay", "Result")["Result"] == "success"


def test_a_kill_is_told_from_a_power_loss(serving):
    """The boot id has to be readable for that; what was acknowledged is there again, and systemd has started it."""
    assert os.path.exists(serving.path(f"/proc/{main_pid(serving)}/root/proc/sys/kernel/random/boot_id"))
    before = main_pid(serving)
    assert serving.client().set("sess:1", b"kept") == b"STORED"
    serving.run("systemctl", "kill", "--signal=KILL", "forebay")
    eventually(lambda: main_pid(serving) not in ("0", before) and is_active(serving))
    assert serving.client().get("sess:1") == b"kept"


def test_a_configuration_that_is_wrong_is_not_tried_again(serving):
    with open(serving.path(CONFIG), "a", encoding="utf-8") as config:
        config.write("nonsense = 1\n")
    assert serving.ask("systemctl", "restart", "forebay").returncode != 0
    assert serving.show("forebay", "ActiveState", "ExecMainStatus", "NRestarts") == {
        "ActiveState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}
    assert re.search(rf"{CONFIG}:\d+: .*nonsense", serving.log())


def test_a_server_that_does_not_turn_is_ended_and_started_again(serving):
    override(serving, "WatchdogSec=500ms")
    serving.run("systemctl", "restart", "forebay")
    before = main_pid(serving)
    serving.run("kill", "-STOP", before)
    eventually(lambda: main_pid(serving) not in ("0", before) and is_active(serving))
    assert "Watchdog timeout" in serving.log()


def test_the_manual_leads_to_a_running_and_watched_service(machine, package):
    """Word for word. Prometheus is installed already, and asks more often than it would, for the sake of time."""
    os.makedirs(machine.path("/root/build/package"))
    shutil.copy(package, machine.path("/root/build/package"))
    *followed, last = manual_of_the_installation()
    scraped = "/etc/prometheus/prometheus.yml"
    watched = os.path.exists(machine.path(scraped))
    before = followed.index("sudo apt install prometheus")
    if watched:
        machine.run("sed", "-i", "s/15s/1s/", scraped)
    followed = followed[:before] + (followed[before + 1:] if watched else [])
    script = "set -e; cd /root; sudo() { \"$@\"; }; sudoedit() { echo '# Edited.' >>\"$1\"; }\n" + "\n".join(followed)
    said = machine.run("bash", "-c", script)
    assert f"{CONFIG}: ok\n" in said
    assert "STORED\n" in said
    assert "readyz check passed\n" in said
    assert is_active(machine)
    if not watched:
        pytest.skip("Prometheus is not installed: the service runs, and is not watched")
    eventually(lambda: re.search(r"} => 1 @", machine.ask("bash", "-c", last).stdout))


def test_the_first_minute_of_trouble_shows_how_it_is(serving):
    """docs/trouble.md, word for word."""
    said = serving.run("bash", "-c", commands("trouble.md", "trouble: first"))
    for part in ("Active: active (running)", "readyz check passed\n", 'forebay_dirty_entries{namespace="sessions"} ',
                 'forebay_backend_breaker_state{backend="local",side="write"} 0\n', "oldest_dirty_ms", "Mounted on"):
        assert part in said, said


# ---- Socket activation ----

def test_a_restart_refuses_nobody_when_systemd_has_the_socket(serving):
    serving.run("systemctl", "stop", "forebay")
    serving.run("systemctl", "enable", "--now", "forebay.socket")
    serving.run("systemctl", "start", "forebay")
    assert "hands over the sockets of clients" in serving.log()
    answered = []

    def ask(end):
        while not end.is_set():
            with serving.client() as client:
                assert client.set(f"sess:{len(answered)}", b"x") == b"STORED"
            answered.append(1)

    with Background(ask):
        for _ in range(2):
            before = len(answered)
            serving.run("systemctl", "restart", "forebay")
            eventually(lambda: len(answered) > before + 10)
    serving.run("systemctl", "stop", "forebay.socket", "forebay")
    with pytest.raises(ConnectionRefusedError):
        serving.client()


# ---- Upgrade, removal, purge ----

def test_an_upgrade_restarts_the_service_and_keeps_what_is_the_administrators(machine, tmp_path):
    install(machine)
    assert machine.client().set("sess:1", b"kept") == b"STORED"
    before = main_pid(machine)
    with open(machine.path(CONFIG), "a", encoding="utf-8") as config:
        config.write("max_connections = 77  # mine\n")
    machine.run("chmod", "644", CONFIG)
    install(machine, "--force-confdef", package=newer(machine, tmp_path))
    eventually(lambda: main_pid(machine) not in ("0", before) and is_active(machine))
    assert "max_connections = 77  # mine" in machine.read(CONFIG)
    assert "# Of the next version." in machine.read(CONFIG + ".dpkg-dist")
    assert mode_and_owner(machine, CONFIG) == "644 root:forebay"


def test_an_upgrade_brings_its_configuration_where_nobody_has_changed_it(machine, tmp_path):
    install(machine)
    machine.run("systemctl", "disable", "--now", "forebay")
    install(machine, package=newer(machine, tmp_path))
    assert "# Of the next version." in machine.read(CONFIG)
    assert mode_and_owner(machine, CONFIG) == "640 root:forebay"
    assert machine.ask("systemctl", "is-enabled", "forebay").stdout == "disabled\n"


def test_a_removal_keeps_configuration_and_data_and_a_purge_says_what_it_removes(machine):
    install(machine)
    assert machine.client().set("sess:1", b"kept") == b"STORED"
    machine.run("dpkg", "--remove", "forebay")
    assert not is_active(machine)
    assert not os.path.exists(machine.path("/usr/bin/forebay"))
    assert os.path.exists(machine.path(CONFIG)) and os.path.exists(machine.path(f"{DATA}/store.db"))
    install(machine)
    assert machine.client().get("sess:1") == b"kept"
    machine.run("dpkg", "--remove", "forebay")
    assert f"Removing {DATA} " in machine.run("dpkg", "--purge", "forebay")
    for path in (CONFIG, DATA, "/etc/forebay", "/lib/systemd/system/forebay.service"):
        assert not os.path.exists(machine.path(path)), path
    assert "forebay" not in machine.ask("systemctl", "list-unit-files", "forebay*").stdout
    assert machine.ask("id", "forebay").returncode == 0  # files elsewhere may be his
