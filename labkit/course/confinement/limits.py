"""What a run may use up, and the limits of `setrlimit` that hold for each of its processes."""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MIB = 2**20
OPEN_FILES = 1024  # of one process


@dataclass(frozen=True)
class RunLimits:
    """What one submission may use."""

    cell_s: float = 30.0
    submission_s: float = 300.0
    memory_mib: int = 3072  # of one process
    all_memory_mib: int = 6144  # of all its processes together
    disk_mib: int = 256
    files: int = 20_000  # that it may make
    open_files: int = 2048  # in all its processes together; each socket holds a buffer
    processes: int = 256  # and threads


def processors() -> list[int]:
    """The processors that this process may run on, where the system tells; else none."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


def keep_to(processors: list[int]) -> None:
    """Have this process, and what it starts, run on these processors only."""
    if processors:
        os.sched_setaffinity(0, processors)


def limit_this_process(limits: RunLimits) -> None:
    """Set the limits that the system keeps for a process and what it starts."""
    values = {
        "RLIMIT_AS": _address_space() + limits.memory_mib * MIB,
        "RLIMIT_FSIZE": limits.disk_mib * MIB,
        "RLIMIT_CORE": 0,
        "RLIMIT_CPU": int(limits.submission_s) + 10,
        "RLIMIT_NOFILE": OPEN_FILES,
        # Counted by user. A run's user is its alone, or is counted anew in the run's namespace.
        "RLIMIT_NPROC": limits.processes,
        "RLIMIT_MSGQUEUE": 0,
        "RLIMIT_SIGPENDING": 1024,
        "RLIMIT_MEMLOCK": 64 * MIB,
    }
    for name, value in values.items():
        kind = getattr(resource, name, None)
        with suppress(ValueError, OSError):  # a hard limit that is lower already stays
            if kind is not None:
                resource.setrlimit(kind, (value, value))


def _address_space() -> int:
    """Bytes of address space that this process has before the submission uses any."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 4096 * MIB
