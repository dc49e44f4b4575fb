"""Random whole subnets, measured end to end on this machine: what a latency regression learns from.

They are kept in a file that is written again after each chunk. An interrupted run goes on where it
stopped, and a larger sample measures only the subnets that are new in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import NamedTuple

import numpy as np

from labkit.latency.measured.latency_file import check_ms, check_timing
from labkit.latency.measured.measurement import anchor_block, provenance_of
from labkit.latency.measured.runtimes import Runtime, get_runtime
from labkit.latency.measured.untrusted_json import TableError, read_json
from labkit.runtime.machine_lock import undisturbed
from labkit.runtime.timing import DEFAULT, TimingLimits, TimingRun, time_all
from labkit.space import SearchSpace
from labkit.space.binding import space_fields
from labkit.storage.atomic_write import write_json

SCHEMA = 2
# For hundreds of subnets.
SAMPLE_LIMITS = DEFAULT._replace(min_rounds=3, max_rounds=3, max_repeats=50, redo=1)
# A run goes on only where these are as they were.
MACHINE_FIELDS = ("cpu", "runtime", "runtime_version", "threads", "batch")
GROUP = 50  # archs that are drawn at a time, so that a larger sample begins with the smaller one


class SubnetSample(NamedTuple):
    """N measured subnets and the state of the machine that measured them."""

    genes: np.ndarray  # (N, G)
    milliseconds: np.ndarray  # (N,)
    provenance: Mapping[str, object]
    drifted: int  # how many were measured while the machine changed speed


def draw_genes(space: SearchSpace, count: int, seed: int) -> np.ndarray:
    """(count, G) random archs; a larger count begins with the same ones."""
    groups = range(-(-count // GROUP))
    genes = [space.sample(np.random.default_rng([seed, group]), GROUP) for group in groups]
    return np.concatenate(genes)[:count]


def measure_sample(
    space: SearchSpace,
    path: Path,
    count: int,
    *,
    seed: int = 0,
    runtime: Runtime | None = None,
    limits: TimingLimits = SAMPLE_LIMITS,
    remeasure: bool = False,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[float], None] | None = None,
) -> SubnetSample:
    """The first `count` random subnets of `seed`, measured end to end.

    Subnets in the file `path` are not measured again. A file that does not fit (another space, seed
    or runtime, damaged) is replaced, as is one whose machine now runs at another speed.
    `progress(share)` is called with the share that is measured.
    """
    genes, names = draw_genes(space, count, seed), [str(i) for i in range(count)]
    runtime = get_runtime() if runtime is None else runtime
    provenance = provenance_of(runtime, limits)

    def earlier() -> tuple[TimingRun, dict]:
        """What the file has of a run on this machine, and how it was made."""
        run, made = _read(path, space, seed) if not remeasure else (None, {})
        same = all(made.get(field) == provenance[field] for field in MACHINE_FIELDS)
        return (run if run is not None and same else TimingRun()), made

    def save(run: TimingRun, share: float) -> None:
        _write(path, space, seed, provenance, run)
        if progress:
            progress(share)

    run, made = earlier()
    with undisturbed() if run.share(names, limits) < 1 else nullcontext():
        run, made = earlier()  # another program may have measured while this one waited
        if run.share(names, limits) < 1:
            anchor, made = runtime.block(space, anchor_block(space)), provenance
            archs = dict(zip(names, space.decode(genes)))
            run = time_all(
                names,
                lambda name: runtime.subnet(space, archs[name]),
                anchor,
                limits,
                run=TimingRun() if run.moved(anchor, limits, clock) else run,
                clock=clock,
                progress=save,
            )
    timings = run.timings
    milliseconds = np.array([timings[name].median_ms for name in names])
    return SubnetSample(genes, milliseconds, made, len({*run.drifted} & {*names}))


def _write(path: Path, space: SearchSpace, seed: int, provenance: Mapping, run: TimingRun) -> None:
    value = {
        "schema": SCHEMA,
        "what": "latency of subnets",
        **space_fields(space),
        "seed": seed,
        **run.to_json(),
        "made": provenance,
        "drifted": run.drifted,
    }
    write_json(path, value)


def _read(path: Path, space: SearchSpace, seed: int) -> tuple[TimingRun | None, dict]:
    """The run in `path` and how it was made; None where it does not fit or is damaged."""
    try:
        value = read_json(path)
        header = (value.get("schema"), value.get("space_sha256"), value.get("seed"))
        if header != (SCHEMA, space.digest, seed):
            return None, {}
        for name, timings in value["rounds"].items():
            for timing in timings:
                check_timing(timing, f"{path}: subnet {int(name)}")
        for ms in value["anchor_ms"]:
            check_ms(ms, f"{path}: anchor_ms")
        return TimingRun.from_json(value), dict(value["made"])
    except (TableError, KeyError, TypeError, ValueError, AttributeError):
        return None, {}
