"""Latency measured in a notebook: a clock that other programs do not move, and few repeats."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr

import numpy as np
from tqdm import tqdm

from labkit.latency.measured.measurement import measure, measure_archs
from labkit.latency.measured.runtimes import Runtime
from labkit.runtime.timing import TimingLimits, machine_state
from labkit.space import Arch, SearchSpace
from labkit.space.network import block_sides
from labkit.tables.costs import AdditiveTable

# Half a minute for a small space: in each of three rounds, a call warms up for a fiftieth of a
# second and is repeated for another.
QUICK_LIMITS = TimingLimits(
    warmup=3,
    min_repeats=5,
    max_repeats=60,
    seconds=0.02,
    tolerance=0.02,
    min_rounds=3,
    max_rounds=3,
    redo=0,
    chunk=24,
)

# The CPU time of this thread stands still while other programs have the core. Windows counts it in
# steps of 16 ms, so there it is the wall clock.
thread_clock = time.perf_counter if sys.platform == "win32" else time.thread_time


def describe(runtime: Runtime) -> str:
    """What a latency is measured with: runtime, threads, batch and processor."""
    plural = "" if runtime.threads == 1 else "s"
    return (
        f"{runtime.name} {runtime.version}, {runtime.threads} thread{plural}, batch 1, on"
        f" {machine_state()['cpu']}"
    )


def quick_table(space: SearchSpace, runtime: Runtime, *, subnets: int = 20) -> dict:
    """Time every block of `space` and some whole subnets: the content of a latency file."""
    with _progress(space) as progress:
        return measure(
            space,
            runtime,
            limits=QUICK_LIMITS,
            subnets=subnets,
            clock=thread_clock,
            progress=progress,
        )


def steadiness(measured: dict) -> str:
    """How long the measurement of a latency file took, and how often its anchor strayed."""
    times = np.array(measured["anchor_ms"])
    strayed = np.abs(times / np.median(times) - 1) > 0.05
    return (
        f"{measured['made']['seconds']} s; the anchor took {np.median(times):.4f} ms, and strayed"
        f" from that by more than 5 % in {100 * strayed.mean():.0f} % of its {len(times)} timings"
    )


def quick_subnets(
    space: SearchSpace, archs: Sequence[Arch], runtime: Runtime
) -> dict[str, np.ndarray]:
    """Time whole subnets: `median_ms` (N,), and its confidence interval `low_ms` to `high_ms`."""
    with _progress(space) as progress:
        timings = measure_archs(
            space, archs, runtime, limits=QUICK_LIMITS, clock=thread_clock, progress=progress
        )
    return {
        name: np.array([getattr(timing, name) for timing in timings])
        for name in ("median_ms", "low_ms", "high_ms")
    }


def table_in_dicts(table: AdditiveTable, width: float) -> tuple[dict, dict]:
    """The milliseconds of a table at one width: `base[resolution]`, and
    `blocks[stage, first, side, kernel, expand]`, where `side` is that of the map which enters a
    block, and `first` says whether it is its stage's first.
    """
    space, base, blocks = table.space, {}, {}
    for row, (resolution, its_width) in enumerate(space.global_choices):
        if its_width != width:
            continue
        base[resolution] = float(table.base[row])
        sides = block_sides(space, resolution)
        for column, (shape, side) in enumerate(zip(space.blocks, sides)):
            stage = space.stages[shape.stage]
            for k, kernel in enumerate(stage.kernels):
                for e, expand in enumerate(stage.expands):
                    key = shape.stage, shape.index == 0, side, kernel, expand
                    blocks[key] = float(table.blocks[row, column, k, e])
    return base, blocks


@contextmanager
def _progress(space: SearchSpace) -> Iterator[Callable[[float], None]]:
    """A bar, and what is told the share that is done."""
    form = "{l_bar}{bar}| {elapsed}"
    # To the output of prints: a notebook gives the other one the background of an error.
    with (
        redirect_stderr(sys.stdout),
        tqdm(total=100, desc=f"measuring {space.name}", bar_format=form, file=sys.stdout) as bar,
    ):
        yield lambda share: bar.update(round(100 * share) - bar.n)
