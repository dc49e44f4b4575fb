"""Measuring this machine: the blocks of a space and whole subnets.

Batch 1 and one thread unless the runtime says otherwise.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import numpy as np

from labkit.latency.measured.blocks import TimedBlock, timed_blocks
from labkit.latency.measured.latency_file import contents
from labkit.latency.measured.runtimes import Runtime, get_runtime
from labkit.runtime.timing import (
    DEFAULT,
    Call,
    Timing,
    TimingLimits,
    latency_file,
    machine_state,
    time_all,
)
from labkit.space import Arch, SearchSpace
from labkit.space.network import block_sides

CALIBRATION_SUBNETS = 20
MANY_BLOCKS = 200


def anchor_block(space: SearchSpace) -> TimedBlock:
    """The block that is timed again and again: a middle one, at the largest global choice."""
    (resolution, width), middle = space.global_choices[-1], len(space.blocks) // 2
    shape, side = space.at(width).blocks[middle], block_sides(space, resolution)[middle]
    stage = space.stages[shape.stage]
    return TimedBlock("block", side, shape, stage.kernels[-1], stage.expands[-1])


def calibration_genes(
    space: SearchSpace, count: int = CALIBRATION_SUBNETS, seed: int = 0
) -> np.ndarray:
    """(count, G) random archs for calibration, the smallest and the largest among them."""
    ends = space.encode([space.smallest(), space.largest()])
    return np.concatenate([ends, space.sample(np.random.default_rng(seed), count - 2)])


def limits_for(space: SearchSpace) -> TimingLimits:
    """The harness's limits, with fewer rounds for hundreds of blocks, to time them in minutes."""
    if len(timed_blocks(space)) <= MANY_BLOCKS:
        return DEFAULT
    return DEFAULT._replace(min_rounds=3, max_rounds=3, seconds=0.06)


def provenance_of(runtime: Runtime, limits: TimingLimits) -> dict[str, object]:
    """This machine's state, the runtime and the limits: what is written beside measured times."""
    return {
        **machine_state(),
        "runtime": runtime.name,
        "runtime_version": runtime.version,
        "threads": runtime.threads,
        "batch": 1,
        "limits": limits._asdict(),
    }


def measure(
    space: SearchSpace,
    runtime: Runtime | None = None,
    *,
    limits: TimingLimits | None = None,
    subnets: int = CALIBRATION_SUBNETS,
    progress: Callable[[float], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
    seconds: float = math.inf,
) -> dict:
    """Time every block of `space` and `subnets` whole subnets: the content of a latency file.

    `limits` are those of `limits_for(space)` unless given; `progress(share)` is called again and
    again, with the share that is timed. After `seconds` nothing is timed more than once.
    `labkit.latency.measured.lookup_table` makes a table of the result.
    """
    runtime = get_runtime() if runtime is None else runtime
    limits = limits_for(space) if limits is None else limits
    blocks, archs = timed_blocks(space), space.decode(calibration_genes(space, subnets))
    archs_by_name = {f"subnet-{i}": arch for i, arch in enumerate(archs)}

    def prepare(name: str) -> Call:
        if name in blocks:
            return runtime.block(space, blocks[name])
        return runtime.subnet(space, archs_by_name[name])

    provenance, start = provenance_of(runtime, limits), time.time()
    run = time_all(
        [*blocks, *archs_by_name],
        prepare,
        runtime.block(space, anchor_block(space)),
        limits,
        clock=clock,
        progress=progress and (lambda _, share: progress(share)),
        seconds=seconds,
    )
    provenance["seconds"] = round(time.time() - start, 1)
    return latency_file(contents(space, archs), run, provenance)


def measure_archs(
    space: SearchSpace,
    archs: Sequence[Arch],
    runtime: Runtime | None = None,
    *,
    limits: TimingLimits = DEFAULT,
    progress: Callable[[float], None] | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[Timing]:
    """Time whole subnets end to end, in rounds as everything else; `progress` as of `measure`."""
    runtime = get_runtime() if runtime is None else runtime
    archs_by_name = {str(i): arch for i, arch in enumerate(archs)}
    run = time_all(
        list(archs_by_name),
        lambda name: runtime.subnet(space, archs_by_name[name]),
        runtime.block(space, anchor_block(space)),
        limits,
        clock=clock,
        progress=progress and (lambda _, share: progress(share)),
    )
    return list(run.timings.values())
