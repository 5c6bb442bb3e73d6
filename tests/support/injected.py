# SPDX-License-Identifier: MIT
"""Orders to the library that lets calls of a server fail (tests/faults/injected.h), and what it tells.

    faults = Faults(library, folder)
    with Server(..., env=faults.environment()) as server:
        faults.order(Fault("allocation", "ENOMEM", at=3))      # the third from now on
        ...
        faults.met(), faults.where(), faults.counts()          # {kind: calls since the order}
        faults.heal()
    faults.order(Fault("allocation", "ENOMEM", place=0x1f2e3d))  # the next one that comes from this place

A place is where a call comes from: its next callers (Faults.places, of a library that was made with notes=True).
"""

import collections
import contextlib
import errno
import functools
import mmap
import os
import re
import struct
import subprocess

SHORT = "short"  # the call is given half of what it wants
LOST = "lost"  # a file's write, or a sync, says that it was done, and was not: never drawn, as no server survives it
FOREVER = 2**62  # until Faults.heal

# What can fail, and with what, in the order of enum injected_kind in tests/faults/injected.h.
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
    "client receiving": ("ECONNRESET", "EINTR"),
    "client sending": ("EPIPE", "EAGAIN", "EINTR", SHORT),
    "ring receiving": ("ECONNRESET", "EINTR", "ENOBUFS"),
    "ring sending": ("EPIPE", "EAGAIN", "EINTR", SHORT),
    "stream reading": ("EIO",),
    "stream writing": ("ENOSPC",),
    "tls memory": ("ENOMEM",),
    "tls receiving": ("ECONNRESET", "EINTR"),
    "tls sending": ("EPIPE", "EAGAIN", "EINTR", SHORT),
}
# struct control of tests/faults/injected.c.
ORDER = struct.Struct("<iiQQQQQ")  # kind, error, at, times, met, place, notes
COUNTS = struct.Struct(f"<{len(KINDS)}Q")
PLACE = struct.Struct("<QQQQ")  # hash, first call, calls, kind + 1
PLACES_AT, PLACES = mmap.PAGESIZE, 16384
SIZE = PLACES_AT + PLACES * PLACE.size
FRAME = re.compile(r"(\S+)\(\+(0x[0-9a-f]+)\)")


class Fault(collections.namedtuple("Fault", "kind error at times place", defaults=(0, 1, 0))):
    """The calls of a kind that fail: from a number on, counted from the order on, or from the first at a place on."""

    def __str__(self):
        how = "once" if self.times == 1 else "and all that follow"
        return f"{self.kind} {f'@{self.place:016x}' if self.place else self.at} {self.error} {how}"

    def number(self):
        return {SHORT: 0, LOST: -1}[self.error] if self.error in (SHORT, LOST) else getattr(errno, self.error)


class Place(collections.namedtuple("Place", "kind first calls hash")):
    """Where calls of a kind come from: the number of the first since the order, and how many there were."""


class Faults:
    """One server's."""

    def __init__(self, library, folder, notes=False):
        self.library = os.path.abspath(library)
        self.path = os.path.join(folder, "injected")
        self.notes = notes
        with open(self.path, "wb+") as file:
            file.truncate(SIZE)
            self.memory = mmap.mmap(file.fileno(), SIZE)
        self.heal()
        self.order()

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
        if self.notes:
            self.memory[PLACES_AT:] = bytes(SIZE - PLACES_AT)
        ORDER.pack_into(self.memory, 0, -1, 0, 0, 0, 0, 0, self.notes)
        if fault:
            ORDER.pack_into(self.memory, 0, -1, fault.number(), fault.at, fault.times, 0, fault.place, self.notes)
            struct.pack_into("<i", self.memory, 0, list(KINDS).index(fault.kind))

    def heal(self):
        """Nothing fails from here on."""
        struct.pack_into("<i", self.memory, 0, -1)

    def met(self):
        """How many calls have failed since the order."""
        return ORDER.unpack_from(self.memory)[4]

    def counts(self):
        return dict(zip(KINDS, COUNTS.unpack_from(self.memory, ORDER.size)))

    def places(self):
        """Those that calls came from since the order."""
        found = (PLACE.unpack_from(self.memory, at) for at in range(PLACES_AT, SIZE, PLACE.size))
        kinds = list(KINDS)
        return [Place(kinds[kind - 1], first, calls, place) for place, first, calls, kind in found if kind]

    def callers(self):
        """Of the places that the server that runs, or was the last to, has come to: {hash: lines of a backtrace}."""
        found, lines = {}, []
        with contextlib.suppress(FileNotFoundError), open(self.path + ".places", encoding="ascii") as file:
            for line in file:
                if line.startswith("place "):
                    lines = found.setdefault(int(line.split()[1], 16), [])
                    lines.clear()
                else:
                    lines.append(line.rstrip())
        return found

    def where(self):
        """The functions that the first call that failed came from, innermost first."""
        try:
            with open(self.path + ".where", encoding="utf-8", errors="replace") as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            return []
        return [named(line) for line in lines]


@functools.lru_cache(maxsize=None)
def named(line):
    """A line of backtrace_symbols_fd; of the server's own functions the name and the place."""
    frame = FRAME.match(line)
    if not frame:
        return re.sub(r" \[0x[0-9a-f]+\]", "", line.replace("/lib/x86_64-linux-gnu/", ""))
    done = subprocess.run(["addr2line", "-fse", *frame.groups()], stdout=subprocess.PIPE, check=False)
    return done.stdout.decode().strip().replace("\n", " ") or line
