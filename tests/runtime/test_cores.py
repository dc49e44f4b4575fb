"""Cores: which ones a thread ran on, and how fast they are, from files as Linux has them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from labkit.runtime.cores import busy_cores, core_state, thread_states


def machine(folder: Path, file: str, speeds: list[int]) -> str:
    for core, speed in enumerate(speeds):
        path = folder / f"cpu{core}" / file
        path.parent.mkdir(parents=True)
        path.write_text(f"{speed}\n")
    (folder / "cpufreq").mkdir()  # lies beside the cores
    return str(folder)


@pytest.mark.parametrize("file", ["cpu_capacity", "cpufreq/cpuinfo_max_freq"])
@pytest.mark.parametrize(
    "cores, used, ratio", [({4, 5}, "4,5", 1.0), ({0}, "0", 1.0), ({3, 4}, "3,4", 2.5)]
)
def test_slow_and_fast_cores_are_told_apart(tmp_path, file, cores, used, ratio):
    folder = machine(tmp_path, file, [400] * 4 + [1000] * 4)
    assert core_state(cores, folder) == {
        "cores_used": used,
        "core_speeds": "0,1,2,3 at 400; 4,5,6,7 at 1000",
        "core_speed_ratio": ratio,
    }


def test_equal_cores_and_machines_that_do_not_say(tmp_path):
    folder = machine(tmp_path, "cpu_capacity", [1024] * 2)
    expected = {"cores_used": "1", "core_speeds": None, "core_speed_ratio": 1.0}
    assert core_state({1}, folder) == expected
    nothing = {"cores_used": None, "core_speeds": None, "core_speed_ratio": None}
    assert core_state((), str(tmp_path / "nowhere")) == nothing


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="no /proc on this system")
def test_this_thread_and_those_that_ran_count():
    idle = threading.Event()
    thread = threading.Thread(target=idle.wait)
    thread.start()
    try:
        before = thread_states()
        assert {str(threading.get_native_id()), str(thread.native_id)} <= before.keys()
        after = {name: (ticks, 7) for name, (ticks, _) in before.items()}
        after[str(threading.get_native_id())] = (0, 3)
        assert busy_cores(before, after) - {7} == {3} and len(busy_cores(before, after)) <= 2
        ran = {**after, str(thread.native_id): (before[str(thread.native_id)][0] + 1, 5)}
        assert {3, 5} <= busy_cores(before, ran)
    finally:
        idle.set()
        thread.join()
