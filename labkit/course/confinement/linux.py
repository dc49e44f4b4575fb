"""The Linux system calls that confine a process, and their constants (see the manual pages of
unshare, mount, prctl and capabilities). Elsewhere `SUPPORTED` is false and nothing may be called.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from contextlib import suppress
from pathlib import Path

SUPPORTED = sys.platform == "linux"

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 1, 2, 4, 8, 32
MS_NOATIME, MS_NODIRATIME, MS_BIND, MS_REC = 1024, 2048, 4096, 16384
MS_PRIVATE, MS_RELATIME = 1 << 18, 1 << 21
ST_RELATIME, MNT_DETACH = 4096, 2
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_CAPBSET_DROP = 1, 4, 24
PR_SET_CHILD_SUBREAPER, PR_SET_NO_NEW_PRIVS = 36, 38
CAPABILITY_VERSION_3, CAPABILITIES = 0x20080522, 41
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41}  # the call's number

_libc = ctypes.CDLL(None, use_errno=True) if SUPPORTED else None


def call(name: str, *arguments: object) -> None:
    """Call a function of the C library; raises OSError where it fails."""
    packed = [os.fsencode(a) if isinstance(a, (str, Path)) else a for a in arguments]
    if getattr(_libc, name)(*packed) != 0:
        code = ctypes.get_errno()
        raise OSError(code, f"{name}: {os.strerror(code)}")


def system_call(number: int, *arguments: object) -> int:
    """Make a system call that the C library has no function for; raises OSError where it fails."""
    result = _libc.syscall(number, *arguments) if SUPPORTED else -1
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, f"system call {number}: {os.strerror(code)}")
    return result


def prctl(option: int, value: int) -> None:
    """Set an attribute of this process."""
    call("prctl", option, value, 0, 0, 0)


def mount(
    source: str | Path, target: str | Path, kind: str | None, flags: int, options: str | None = None
) -> None:
    """Mount `source` at `target`."""
    kind = kind.encode() if kind else None
    call("mount", source, target, kind, flags, options.encode() if options else None)


def change_mount(target: str | Path, flags: int) -> None:
    """Change what holds for the mount at `target`."""
    call("mount", None, target, None, flags, None)


def switch_root(root: Path) -> None:
    """Make `root`, a mount, the root of this process's file system; the old one is out of reach."""
    os.chdir(root)
    number = PIVOT_ROOT.get(platform.machine())
    if number and _libc.syscall(number, b".", b".") == 0:
        call("umount2", b".", MNT_DETACH)
    else:
        os.chroot(".")
    os.chdir("/")


def drop_capabilities() -> None:
    """Give up every privilege, and the way to get one back."""
    for capability in range(CAPABILITIES):
        with suppress(OSError):
            prctl(PR_CAPBSET_DROP, capability)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    call("capset", ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)()))
