"""Series of timed networks: which are fitted to, which are held out, and a file that is missing."""

from __future__ import annotations

import numpy as np

from labkit.comparison.nas_bench_201 import nas_bench_201
from labkit.comparison.timed_networks import read_series
from labkit.latency.simulated.device_file import Series

CELLS = ["nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3", "skip_connect", "none"]


def write_series(folder, milliseconds):
    archs = [
        f"|{CELLS[i % 5]}~0|+|skip_connect~0|none~1|+|none~0|{CELLS[i % 3]}~1|skip_connect~2|"
        for i in range(len(milliseconds))
    ]
    np.savez(folder / "timed.npz", arch=np.array(archs), pi=np.array(milliseconds, np.float32))


def test_every_fifth_network_with_a_time_is_held_out(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_SHARED", str(tmp_path))
    write_series(tmp_path, [1, -1, 2, 3, 4, 5, 0, 6, 7, 8, 9, 10])
    fitted, held_out = read_series(Series("timed.npz", "pi", "all", "a test"))
    assert held_out.milliseconds.tolist() == [1, 6] and len(fitted.milliseconds) == 8
    operators = nas_bench_201("c3,s,0,0,c3,s", "all")
    assert held_out.counts[0].sum() == len(operators)


def test_a_file_that_is_not_there_is_none(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_SHARED", str(tmp_path))
    assert read_series(Series("timed.npz", "pi", "all", "a test")) is None
