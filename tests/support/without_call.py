# SPDX-License-Identifier: MIT
"""Runs a command in which a system call is refused, as the seccomp filters of containers do it: without_call.py NAME COMMAND..."""

import ctypes
import os
import struct
import sys

NO_NEW_PRIVS, SECCOMP, FILTER = 38, 22, 2  # prctl
CALLS = {"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "landlock_create_ruleset": 444}  # on every processor
LOAD, IF_EQUAL, RETURN = 0x20, 0x15, 0x06  # of a BPF program
ALLOW, ERRNO, EPERM = 0x7fff0000, 0x00050000, 1


class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]


def step(code, operand, if_true=0, if_false=0):
    return struct.pack("HBBI", code, if_true, if_false, operand)


def refuse(call):
    steps = b"".join([step(LOAD, 0), step(IF_EQUAL, call, 0, 1), step(RETURN, ERRNO | EPERM), step(RETURN, ALLOW)])
    buffer = ctypes.create_string_buffer(steps)
    program = Program(len(steps) // 8, ctypes.addressof(buffer))
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    if prctl(NO_NEW_PRIVS, 1, 0, 0, 0) or prctl(SECCOMP, FILTER, ctypes.byref(program), 0, 0):
        sys.exit(f"without_call: prctl: {os.strerror(ctypes.get_errno())}")


if __name__ == "__main__":
    refuse(CALLS[sys.argv[1]])
    os.execv(sys.argv[2], sys.argv[2:])
