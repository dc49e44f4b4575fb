"""Landlock: a process on Linux gives up all files but some, for itself and all that it starts.

It needs no privilege and no namespace (see the manual page landlock(7); Linux 5.13 and newer).
Where both it and a file system of the process's own are there, each is a wall behind the other.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from labkit.course.confinement import linux

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # the calls' numbers, everywhere the same
VERSION_FLAG, PATH_BENEATH = 1, 1
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE, IOCTL_DEV = 1, 2, 4, 8, 1 << 14, 1 << 15
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV  # the others are of folders
# Version of Landlock -> how many rights on files it knows; each adds to those before.
FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
TCP = 0b11  # to bind, to connect; from version 4 on
SCOPES = 0b11  # sockets without a file, signals to what is outside; from version 6 on


class _Ruleset(ctypes.Structure):
    _fields_ = [
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scopes", ctypes.c_uint64),
    ]


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32)]


def version() -> int:
    """The version of Landlock that this system has; 0 for none."""
    try:
        return linux.system_call(CREATE_RULESET, None, 0, VERSION_FLAG)
    except OSError:
        return 0


def give_up_files(
    readable: Iterable[Path], listed: Iterable[Path], writable: Iterable[Path]
) -> int:
    """From now on this process reads what is `readable` and reads and writes what is `writable`,
    files or all below a folder, lists the folders that are `listed`, and opens nothing else.
    Returns the version of Landlock, 0 where there is none and nothing was given up.

    Privileges have to be given up before (PR_SET_NO_NEW_PRIVS). Raises OSError.
    """
    supported = version()
    if not supported:
        return 0
    everything = (1 << FILE_RIGHTS[min(supported, max(FILE_RIGHTS))]) - 1
    ruleset = _Ruleset(everything, TCP if supported >= 4 else 0, SCOPES if supported >= 6 else 0)
    size = 8 if supported < 4 else 16 if supported < 6 else 24
    rules = linux.system_call(CREATE_RULESET, ctypes.byref(ruleset), size, 0)
    try:
        for path in readable:
            _allow(rules, path, EXECUTE | READ_FILE | READ_DIR)
        for path in listed:
            _allow(rules, path, READ_DIR)
        for path in writable:
            _allow(rules, path, everything)
        linux.system_call(RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)
    return supported


def _allow(rules: int, path: Path, rights: int) -> None:
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
                rights &= OF_FILES
            rule = _PathRule(rights, descriptor)
            linux.system_call(ADD_RULE, rules, PATH_BENEATH, ctypes.byref(rule), 0)
        finally:
            os.close(descriptor)
