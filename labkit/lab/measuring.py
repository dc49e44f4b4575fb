"""Measuring in a notebook: a clock that other programs do not move, and fewer repeats than for a table that is kept."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence

import numpy as np

from labkit.latency.harness import Limits
from labkit.latency.measure import Runtime, measure, measure_archs
from labkit.space import Arch, SearchSpace

# All of a small space in half a minute: three rounds, in each a fiftieth of a second for a call and as long to warm up.
QUICK = Limits(warmup=3, min_repeats=5, max_repeats=60, seconds=0.02, tolerance=0.02, min_rounds=3, max_rounds=3,
               redo=0, chunk=24)

# CPU time of the thread stands still while other programs have the core. On Windows it moves in steps of 16 ms.
thread_clock = time.perf_counter if sys.platform == "win32" else time.thread_time


def quick_table(space: SearchSpace, runtime: Runtime, *, subnets: int = 20) -> dict:
    """Time every piece of `space` and some whole subnets, with a progress bar: the content of a latency file."""
    from tqdm import tqdm

    with tqdm(total=100, unit="%", desc=f"measuring {space.name}", bar_format="{l_bar}{bar}| {elapsed}") as bar:
        return measure(space, runtime, limits=QUICK, subnets=subnets, clock=thread_clock,
                       progress=lambda share: bar.update(int(100 * share) - bar.n))


def quick_subnets(space: SearchSpace, archs: Sequence[Arch], runtime: Runtime) -> dict[str, np.ndarray]:
    """Time whole subnets: `median_ms`, and the ends `low_ms` and `high_ms` of its confidence interval, each (N,)."""
    timings = measure_archs(space, list(archs), runtime, limits=QUICK, clock=thread_clock)
    return {name: np.array([getattr(timing, name) for timing in timings])
            for name in ("median_ms", "low_ms", "high_ms")}
