"""What a process started: the processes below it, the memory that they hold, and their end."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from labkit.course.confinement import linux

MIB = 2**20


def die_with_parent() -> None:
    """Have this process killed when its parent ends."""
    if linux.SUPPORTED:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)


def descendants(pid: int) -> list[int]:
    """Processes below `pid`, by their parents; empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError, ValueError, IndexError):  # it has ended meanwhile
            parent = int(stat.read_text().rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(stat.parent.name))
    below = list(children.get(pid, ()))
    for process in below:  # grows while it is read
        below += children.get(process, ())
    return below


def memory_above(pids: list[int], limit_mib: float) -> bool:
    """Whether processes together hold more memory than a limit. Pages that several share count
    once.

    Dividing shared pages takes long, so it is done only where the sum of the pages that each
    process has for itself is too large already.
    """
    pages = 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
            pages += int(resident) - int(shared)
    if pages * os.sysconf("SC_PAGE_SIZE") <= limit_mib * MIB:
        return False
    kib = 0
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            kib += int(Path(f"/proc/{pid}/smaps_rollup").read_text().split("\nPss:")[1].split()[0])
    return kib == 0 or kib / 1024 > limit_mib


def end_all(first: int) -> None:
    """Kill the process `first`, its group and all below this process, until none remains, and reap
    them.
    """
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(first, signal.SIGKILL)
    for _ in range(1000):
        for pid in descendants(os.getpid()):
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        try:
            if os.waitpid(-1, 0)[0] == 0:
                return
        except ChildProcessError:
            return
