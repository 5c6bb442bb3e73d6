# SPDX-License-Identifier: MIT
"""Orders to the library that lets calls of a server fail (tests/faults/injected_faults.c), and what it tells.

    faults = Faults(library, folder)
    with Server(..., env=faults.environment()) as server:
        faults.order(Fault("allocation", "ENOMEM", at=3))      # the third from now on
        ...
        faults.met(), faults.where(), faults.counts()          # {kind: calls since the order}
        faults.heal()
"""

import collections
import errno
import mmap
import os
import re
import struct
import subprocess

SHORT = "short"  # the call is given half of what it wants
FOREVER = 2**62  # until Faults.heal

# What can fail, and with what, in the order of enum kind in tests/faults/injected_faults.c.
KINDS = {
    "allocation": ("ENOMEM",),
    "mapping": ("ENOMEM",),
    "opening": ("EMFILE", "EIO"),
    "descriptor": ("EMFILE", "ENFILE"),
    "reading": ("EIO", "EINTR", SHORT),
    "writing": ("ENOSPC", "EIO", "EINTR", SHORT),
    "syncing": ("EIO", "ENOSPC"),
    "space": ("ENOSPC", "EIO"),
    "naming": ("EIO", "ENOSPC"),
    "receiving": ("ECONNRESET", "EINTR", SHORT),
    "sending": ("ECONNRESET", "EINTR", SHORT),
    "connecting": ("ECONNREFUSED",),
    "thread": ("EAGAIN",),
    "watching": ("ENOMEM",),
    "waiting": ("EINTR",),
    "ring setup": ("ENOMEM",),
    "ring call": ("EINTR",),
    "redis memory": ("ENOMEM",),
}
ORDER = struct.Struct("<iiQQQ")  # kind, error, at, times, met
COUNTS = struct.Struct(f"<{len(KINDS)}Q")
FRAME = re.compile(r"(\S+)\(\+(0x[0-9a-f]+)\)")


class Fault(collections.namedtuple("Fault", "kind error at times", defaults=(1,))):
    """The calls of a kind that fail, counted from the order on."""

    def __str__(self):
        how = "once" if self.times == 1 else "and all that follow"
        return f"{self.kind} {self.at} {self.error} {how}"

    def number(self):
        return 0 if self.error == SHORT else getattr(errno, self.error)


class Faults:
    """One server's."""

    def __init__(self, library, folder):
        self.library = os.path.abspath(library)
        self.path = os.path.join(folder, "injected")
        with open(self.path, "wb+") as file:
            file.truncate(mmap.PAGESIZE)
            self.memory = mmap.mmap(file.fileno(), mmap.PAGESIZE)
        self.heal()

    def close(self):
        self.memory.close()

    def environment(self):
        """For a server; of one with a sanitizer, this library comes before its own."""
        options = "abort_on_error=0:detect_leaks=1:allocator_may_return_null=1:verify_asan_link_order=0"
        leaks = self.path + ".leaks"
        with open(leaks, "w", encoding="ascii") as file:
            file.write("leak:_dl_map_object\n")  # the loader's own, which LSan knows by who asks; now that is the library
        return {"LD_PRELOAD": self.library, "INJECTED_FAULTS": self.path, "ASAN_OPTIONS": options,
                "LSAN_OPTIONS": f"print_suppressions=0:suppressions={leaks}"}

    def order(self, fault=None):
        """Counts anew, and lets this fail."""
        self.heal()
        COUNTS.pack_into(self.memory, ORDER.size, *[0] * len(KINDS))
        if fault:
            ORDER.pack_into(self.memory, 0, -1, fault.number(), fault.at, fault.times, 0)
            struct.pack_into("<i", self.memory, 0, list(KINDS).index(fault.kind))

    def heal(self):
        """Nothing fails from here on."""
        struct.pack_into("<i", self.memory, 0, -1)

    def met(self):
        """How many calls have failed since the order."""
        return ORDER.unpack_from(self.memory)[4]

    def counts(self):
        return dict(zip(KINDS, COUNTS.unpack_from(self.memory, ORDER.size)))

    def where(self):
        """The functions that the first call that failed came from, innermost first."""
        try:
            with open(self.path + ".where", encoding="utf-8", errors="replace") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            return []
        return [named(line) for line in lines if os.path.basename(self.library) not in line]


def named(line):
    """A line of backtrace_symbols_fd; of the server's own functions the name and the place."""
    frame = FRAME.match(line)
    if not frame:
        return re.sub(r" \[0x[0-9a-f]+\]", "", line.replace("/lib/x86_64-linux-gnu/", ""))
    done = subprocess.run(["addr2line", "-fse", *frame.groups()], stdout=subprocess.PIPE, check=False)
    return done.stdout.decode().strip().replace("\n", " ") or line
