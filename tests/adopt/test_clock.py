"""Time that counts, whatever becomes of the process that took it."""

import json
import signal
import subprocess
import sys

import pytest

from labkit.adopt import clock as clocks
from labkit.adopt.clock import Clock
from labkit.storage.errors import LabError

# Works for a while, and then is killed.
KILLED = """
import os, signal, sys, time
from pathlib import Path
from labkit.adopt import clock
clock.BEAT = 0.01
with clock.Clock(Path(sys.argv[1]), "training"):
    time.sleep(0.3)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture(name="now")
def time_that_stands(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(clocks.time, "monotonic", lambda: now[0])
    return now


def test_each_part_has_its_time(tmp_path, now):
    clock = Clock(tmp_path / "clock.json", "planning")
    now[0] += 3
    with clock:
        clock.begin("training")
        now[0] += 5
        assert clock.seconds == {"planning": 3, "training": 5} and clock.total == 8
        clock.begin("planning")
        now[0] += 1
        clock.begin("training")
    assert clock.seconds == {"planning": 4, "training": 5}
    # The next run of the same work goes on from there.
    clock = Clock(tmp_path / "clock.json", "training")
    now[0] += 2
    assert clock.seconds == {"planning": 4, "training": 7}


def test_the_time_of_a_killed_process_counts(tmp_path):
    path = tmp_path / "clock.json"
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=120)
    assert killed.returncode == -signal.SIGKILL
    assert 0.05 < Clock(path, "planning").seconds["training"] < 60


def test_an_error_ends_the_time(tmp_path, now):
    with pytest.raises(ZeroDivisionError), Clock(tmp_path / "clock.json", "training"):
        now[0] += 7
        _ = 1 / 0
    assert Clock(tmp_path / "clock.json", "x").seconds == {"training": 7, "x": 0}


def test_a_file_of_something_else_is_refused(tmp_path):
    path = tmp_path / "clock.json"
    for value in ({"schema": "labkit-adoption-2"}, {"schema": clocks.SCHEMA, "seconds": {"a": -1}}):
        path.write_text(json.dumps(value))
        with pytest.raises(LabError, match=f"{path}: .*remove {tmp_path} to begin anew"):
            Clock(path, "planning")
