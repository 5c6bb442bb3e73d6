# SPDX-License-Identifier: MIT
"""A throwaway copy of this machine, with systemd as its process 1: what is installed or started there is gone with it.

Its root is an overlay of this one's, in memory; processes, mounts, network, host name, IPC and control groups are namespaces
of its own. Nothing of it is to be seen here. That takes root, and a kernel that allows it."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import time

from forebay import Client, eventually

PATIENCE = 120
CLONE_NEWNET = 0x40000000

# Run as process 1 of the new namespaces, in its control group; becomes systemd.
BOOT = r"""
set -e
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
cd /mnt/root
mount -t proc proc proc
mount -t sysfs sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs tmpfs dev
for name in null zero full random urandom tty; do
    cp -a /dev/$name dev/$name
done
mkdir -p dev/shm dev/pts outside
ln -s /proc/self/fd dev/fd
ln -s pts/ptmx dev/ptmx
pivot_root . outside
umount -l /outside
rm -f /etc/fstab /usr/sbin/policy-rc.d /var/lib/man-db/auto-update
: >/etc/machine-id
exec env -i container=unshare PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=basic.target
"""


def missing():
    """A reason why there can be none here, or None."""
    if os.geteuid() != 0:
        return "a machine of its own needs root"
    tools = [tool for tool in ("unshare", "nsenter", "systemctl") if not shutil.which(tool)]
    if tools:
        return f"{', '.join(tools)} not installed"
    return None


def control_groups():
    """Where the unified hierarchy is mounted."""
    with open("/proc/self/mounts", encoding="utf-8") as mounts:
        return next((fields[1] for fields in map(str.split, mounts) if fields[2] == "cgroup2"), None)


class Machine:
    """with Machine() as machine: machine.run("dpkg", "-i", ...)"""

    def __init__(self):
        parent = control_groups()
        if not parent:
            raise OSError("the kernel's unified control groups are not mounted")
        self.group = os.path.join(parent, f"forebay-test-{os.getpid()}")
        self.process = None
        self.pid = None

    def _enter_group(self):
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # it goes with the test
        with open(os.path.join(self.group, "cgroup.procs"), "w", encoding="ascii") as group:
            group.write(str(os.getpid()))

    def _child(self):
        with open(f"/proc/{self.process.pid}/task/{self.process.pid}/children", encoding="ascii") as children:
            return int(children.read().split()[0])

    def __enter__(self):
        os.mkdir(self.group)
        try:
            self.process = subprocess.Popen(
                ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--net", "--cgroup", "sh", "-c", BOOT],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                preexec_fn=self._enter_group)
            self._await_boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _await_boot(self):
        end = time.monotonic() + PATIENCE
        while True:
            if self.process.poll() is not None:
                raise OSError("a machine of its own does not start: " + self.process.stderr.read().strip())
            with contextlib.suppress(IndexError, FileNotFoundError):
                self.pid = self._child()
                if self.ask("systemctl", "is-active", "basic.target").stdout == "active\n":
                    return
            if time.monotonic() > end:
                raise OSError("systemd does not come up as process 1 of its own namespaces")
            time.sleep(0.1)

    def __exit__(self, *_):
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process.stderr.close()

        def is_gone():
            for folder, _, _ in os.walk(self.group, topdown=False):
                with contextlib.suppress(OSError):
                    os.rmdir(folder)
            return not os.path.exists(self.group)
        eventually(is_gone)

    def path(self, path):
        """Where a file of it is to be seen here."""
        return f"/proc/{self.pid}/root{path}"

    def read(self, path):
        with open(self.path(path), encoding="utf-8") as file:
            return file.read()

    def ask(self, *command, **more):
        """Runs a command in it, however that ends."""
        return subprocess.run(["nsenter", f"--target={self.pid}", "--all", *command], stdin=subprocess.DEVNULL, capture_output=True,
                              text=True, timeout=PATIENCE, check=False, **more)

    def run(self, *command):
        """The same, and it has to end well; returns what it says."""
        done = self.ask(*command)
        assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}{done.stderr}\n{self.log()}"
        return done.stdout

    def log(self):
        return self.ask("journalctl", "--no-pager", "--lines=50", "--unit=forebay").stdout

    def show(self, unit, *properties):
        """{name: value} of a unit."""
        said = self.run("systemctl", "show", unit, *(f"--property={name}" for name in properties))
        return dict(line.split("=", 1) for line in said.splitlines())

    @contextlib.contextmanager
    def network(self):
        """Sockets that are made here meanwhile are in its network."""
        setns = ctypes.CDLL(None, use_errno=True).setns
        with open("/proc/self/ns/net", encoding="ascii") as here, open(f"/proc/{self.pid}/ns/net", encoding="ascii") as there:
            assert setns(there.fileno(), CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            try:
                yield
            finally:
                assert setns(here.fileno(), CLONE_NEWNET) == 0

    def client(self, port=11211):
        with self.network():
            return Client(port)
