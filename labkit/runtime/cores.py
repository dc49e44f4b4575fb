"""The cores that timed calls ran on: of phones and boards some are slow and some are fast.

Also copied into kits: it needs Python 3.8 and the standard library.
"""

from __future__ import annotations

import glob
import threading
from typing import Iterable  # noqa: UP035  (for Python 3.8)

CORES = "/sys/devices/system/cpu"  # where Linux says how fast each core is
SAME_SPEED = 1.2  # ratio of speeds up to which cores count as equal
LONGEST_TEXT = 200  # characters of a field of a latency file


def thread_states() -> dict[str, tuple[int, int]]:
    """Thread -> clock ticks that it ran for so far, and its core; empty where Linux does not say it
    (proc(5): fields 14, 15 and 39 of stat).
    """
    states = {}
    for path in glob.glob("/proc/self/task/*/stat"):
        fields = (read_text(path) or "").rpartition(")")[2].split()  # from field 3 on
        if len(fields) > 36:  # not of a thread that has just ended
            states[path.split("/")[4]] = int(fields[11]) + int(fields[12]), int(fields[36])
    return states


def busy_cores(before: dict[str, tuple[int, int]], after: dict[str, tuple[int, int]]) -> set[int]:
    """The cores of this thread and of those that ran in between."""
    this = str(threading.get_native_id())
    return {
        core
        for thread, (ticks, core) in after.items()
        if thread == this or ticks != before.get(thread, (0, 0))[0]
    }


def read_text(path: str) -> str | None:
    """A file of /proc or /sys, None where the system has no such file."""
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return None


def core_state(cores: Iterable[int], folder: str = CORES) -> dict[str, object]:
    """Which cores calls ran on, and how fast the machine's cores are, where they differ.

    Speeds are capacities (1024 is the fastest core) or, without them, highest frequencies in kHz.
    `core_speed_ratio` is that of the fastest to the slowest core in use.
    """
    speeds: dict[int, list[int]] = {}
    for path in glob.glob(f"{folder}/cpu[0-9]*"):
        capacity = read_text(f"{path}/cpu_capacity")
        speed = capacity or read_text(f"{path}/cpufreq/cpuinfo_max_freq")
        if speed and speed.isdigit():
            speeds.setdefault(int(speed), []).append(int(path.rpartition("cpu")[2]))
    used = [speed for speed, members in speeds.items() if set(members) & set(cores)]
    kinds = [f"{_text(members)} at {speed}" for speed, members in sorted(speeds.items())]
    return {
        "cores_used": _text(cores) or None,
        "core_speeds": "; ".join(kinds)[:LONGEST_TEXT] if len(kinds) > 1 else None,
        "core_speed_ratio": round(max(used) / min(used), 2) if used else None,
    }


def _text(cores: Iterable[int]) -> str:
    return ",".join(map(str, sorted(cores)))[:LONGEST_TEXT]
