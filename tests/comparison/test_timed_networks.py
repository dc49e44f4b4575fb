"""Series of timed networks: what is read, what is left out together, and a file that is missing."""

from __future__ import annotations

import numpy as np

from labkit.comparison.device_fit import Timings
from labkit.comparison.nas_bench_201 import nas_bench_201
from labkit.comparison.timed_networks import folds_of, read_series
from labkit.latency.simulated.device_file import Series

EDGES = ("c3", "c1", "p", "s", "0")
CELLS = ["nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3", "skip_connect", "none"]


def write_series(folder, milliseconds):
    archs = [
        f"|{CELLS[i % 5]}~0|+|skip_connect~0|none~1|+|none~0|{CELLS[i % 3]}~1|skip_connect~2|"
        for i in range(len(milliseconds))
    ]
    np.savez(folder / "timed.npz", arch=np.array(archs), pi=np.array(milliseconds, np.float32))


def test_every_network_with_a_time_is_read(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_SHARED", str(tmp_path))
    write_series(tmp_path, [1, -1, 2, 3, 4, 5, 0, 6, 7, 8, 9, 10])
    timings = read_series(Series("timed.npz", "pi", "all", "a test"))
    assert timings.milliseconds.tolist() == [1, *range(2, 11)]
    assert timings.counts[0].sum() == len(nas_bench_201("c3,s,0,0,c3,s", "all"))


def test_networks_with_the_same_operators_are_in_one_fold_and_the_others_spread_over_five():
    networks = [nas_bench_201(f"{a},{b},0,s,0,s", "all") for a in EDGES for b in EDGES]
    once = Timings.of(networks, np.ones(len(networks)))
    lists = {tuple(row) for row in once.counts}
    assert len(lists) < len(networks)  # c1 beside c3 has the operators of c3 beside c1
    folds = folds_of(once)
    assert len(set(zip(map(tuple, once.counts), folds))) == len(lists)
    sizes = np.bincount([fold for _, fold in set(zip(map(tuple, once.counts), folds))])
    assert len(sizes) == 5 and sizes.max() - sizes.min() <= 1


def test_a_file_that_is_not_there_is_none(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_SHARED", str(tmp_path))
    assert read_series(Series("timed.npz", "pi", "all", "a test")) is None
