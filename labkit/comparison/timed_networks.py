"""NAS-Bench-201 networks that others have timed by the thousand, where their files are at hand.

The files are public but not part of labkit: a device file names one as its `series`, and records
how far off the device was on it. Where the environment variable `LABKIT_SHARED` names a folder that
holds the file, the same is computed again.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from labkit.comparison.device_fit import Timings
from labkit.comparison.nas_bench_201 import edges_of, nas_bench_201
from labkit.latency.simulated.device_file import Series

FOLDS = 5


def public_file(name: str) -> Path | None:
    """A file of public measurements, None where it is not at hand."""
    folder = os.environ.get("LABKIT_SHARED")
    path = Path(folder) / name if folder else None
    return path if path is not None and path.exists() else None


def read_series(series: Series) -> Timings | None:
    """The networks of a series with their times; one that is not positive is none.

    None where the file is not at hand.
    """
    path = public_file(series.file)
    if path is None:
        return None
    with np.load(path, allow_pickle=False) as arrays:
        milliseconds, archs = arrays[series.column].astype(float), arrays["arch"].tolist()
    networks = [nas_bench_201(edges_of(arch), series.graph) for arch in archs]
    return Timings.of(networks, milliseconds).only(milliseconds > 0)


def folds_of(timings: Timings) -> np.ndarray:
    """One of five folds (N,) for each network, the same for those with the same operators.

    These are the same network to a simulation, and many of a series are. Different ones go to the
    folds in turn, in the order in which they appear.
    """
    _, first, which = np.unique(timings.counts, axis=0, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[which.ravel()] % FOLDS
