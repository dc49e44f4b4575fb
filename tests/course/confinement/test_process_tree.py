"""Processes below another one, while others come and go."""

import os
import subprocess
import sys

from labkit.course.confinement import process_tree
from labkit.course.confinement.process_tree import descendants, memory_above, open_files_above


def test_a_process_that_has_ended_meanwhile_is_no_obstacle(monkeypatch):
    sleeper = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        names = [*os.listdir("/proc"), "999999998", "999999999", "self", "cpuinfo"]
        monkeypatch.setattr(process_tree.os, "listdir", lambda path: names)
        assert sleeper.pid in descendants(os.getpid())
    finally:
        sleeper.communicate()
    monkeypatch.undo()
    assert not open_files_above([999999998], 0)


def test_memory_that_processes_share_is_counted_where_it_is_no_files():
    """Shared anonymous memory is in no process's own pages."""
    source = "import mmap; m = mmap.mmap(-1, 2**26); m.write(bytes(2**26)); print(1)\n"
    source += "import sys; sys.stdout.flush(); input()"
    pipe = subprocess.PIPE
    holder = subprocess.Popen([sys.executable, "-c", source], stdin=pipe, stdout=pipe)
    try:
        holder.stdout.readline()
        assert memory_above([holder.pid], 60) and not memory_above([holder.pid], 200)
    finally:
        holder.communicate(b"\n")


def test_pages_that_may_not_be_looked_at_count_for_each_process(monkeypatch):
    """As those of processes that hide them do, where the grader is no root."""
    one = [os.getpid()]
    status = open("/proc/self/status").read()
    mib = (
        sum(int(status.split(f"{name}:")[1].split()[0]) for name in ("RssAnon", "RssShmem")) / 1024
    )
    assert memory_above(one, mib / 4)

    def read_text(path):
        if path.name == "smaps_rollup":
            raise PermissionError(13, "Permission denied")
        return status

    monkeypatch.setattr(process_tree.Path, "read_text", read_text)
    assert not memory_above(one, 1.01 * mib) and memory_above(one, 0.99 * mib)


def test_open_files_of_all_processes_are_counted():
    assert open_files_above([os.getpid()], 0) and not open_files_above([os.getpid()], 100_000)
