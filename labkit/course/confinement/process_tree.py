"""What a process started: the processes below it, the memory that they hold, and their end."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from pathlib import Path

from labkit.course.confinement import linux


def die_with_parent() -> None:
    """Have this process killed when its parent ends."""
    if linux.SUPPORTED:
        linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)


def adopt_orphans() -> None:
    """Have what is below this process stay below it when a process in between ends."""
    if linux.SUPPORTED:
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)


def descendants(pid: int) -> list[int]:
    """Processes below `pid`, by their parents; empty where there is no /proc."""
    children: dict[int, list[int]] = {}
    for process in _processes():
        with suppress(OSError, ValueError, IndexError):  # it has ended in the meantime
            stat = Path(f"/proc/{process}/stat").read_text()
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(process)
    below = list(children.get(pid, ()))
    for process in below:  # grows while it is read
        below += children.get(process, ())
    return below


def _processes() -> list[int]:
    """All that run now. By the time that one is looked at it may have ended."""
    try:
        return [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        return []


def memory_above(pids: list[int], limit_mib: float) -> bool:
    """Whether processes together hold more memory than a limit. Pages that several share count
    once.

    Dividing shared pages takes long, so it is done only where the sum of the pages that each
    process sees, apart from those of files, is too large already. Of a process that does not let
    its pages be looked at, all of them count.
    """
    resident_kib = {}
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):
            status = Path(f"/proc/{pid}/status").read_text()
            resident_kib[pid] = sum(_kib(status, name) for name in ("RssAnon", "RssShmem"))
    if sum(resident_kib.values()) <= limit_mib * 1024:
        return False
    kib = 0
    for pid, resident in resident_kib.items():
        try:
            kib += _kib(Path(f"/proc/{pid}/smaps_rollup").read_text(), "Pss")
        except (OSError, ValueError, IndexError):
            kib += resident if os.path.exists(f"/proc/{pid}") else 0
    return kib > limit_mib * 1024


def _kib(text: str, name: str) -> int:
    """The value of a line such as `Pss:  12 kB`."""
    return int(text.split(f"\n{name}:")[1].split()[0])


def open_files_above(pids: list[int], limit: int) -> bool:
    """Whether processes together have more files and sockets open than a limit."""
    count = 0
    for pid in pids:
        with suppress(OSError):
            count += len(os.listdir(f"/proc/{pid}/fd"))
        if count > limit:
            return True
    return False


def end_all(first: int | None = None) -> None:
    """Kill all below this process, and the group of the process `first`, until none remains, and
    reap them.
    """
    if first is not None:
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
