"""Whole subnets measured on this machine, kept in a file as they are: what a latency regression
learns from.

The file is written again after each chunk, so that an interrupted run goes on where it stopped, and
asking for more subnets later measures only those that are new.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from labkit.latency.measured.blocks import space_digest
from labkit.latency.measured.latency_file import (
    TableError,
    check_ms,
    check_timing,
    parse,
    read_bytes,
)
from labkit.latency.measured.measurement import Runtime, anchor_block, get_runtime
from labkit.runtime.timing import (
    DEFAULT,
    Timing,
    TimingLimits,
    machine_state,
    merge,
    moved,
    share_done,
    time_all,
)
from labkit.space import SearchSpace
from labkit.storage.atomic_write import write_atomic

SCHEMA = 2
LEARNING = DEFAULT._replace(
    min_rounds=3, max_rounds=3, max_repeats=50, redo=1
)  # for hundreds of subnets
SAME = (
    "cpu",
    "runtime",
    "runtime_version",
    "threads",
    "batch",
)  # what must not change when a run goes on
GROUP = 50  # archs drawn at a time: the first of many are the same however many are drawn


class Subnets(NamedTuple):
    """N measured subnets and the state of the machine that measured them."""

    genes: np.ndarray  # (N, G)
    milliseconds: np.ndarray  # (N,)
    made: Mapping[str, object]
    drifted: int  # how many were measured while the machine changed speed


def sample(space: SearchSpace, count: int, seed: int) -> np.ndarray:
    """(count, G) random archs; a larger count begins with the same ones."""
    groups = [
        space.sample(np.random.default_rng([seed, i]), GROUP) for i in range(-(-count // GROUP))
    ]
    return np.concatenate(groups)[:count]


def measured_subnets(
    space: SearchSpace,
    path: Path,
    count: int,
    *,
    seed: int = 0,
    runtime: Runtime | None = None,
    limits: TimingLimits = LEARNING,
    remeasure: bool = False,
    clock: Callable[[], float] = time.perf_counter,
    progress: Callable[[float], None] | None = None,
) -> Subnets:
    """The first `count` random subnets of `seed`, measured end to end; what `path` holds is not
    measured again.

    A file that does not fit (another space, seed or runtime, damaged) is replaced, as is one whose
    machine now runs at another speed. `progress(share)` is called with the share that is done.
    """
    genes, names = sample(space, count, seed), [str(i) for i in range(count)]
    kept = None if remeasure else _read(path, space, seed)
    runtime = get_runtime() if runtime is None else runtime
    made = {
        **machine_state(),
        "runtime": runtime.name,
        "runtime_version": runtime.version,
        "threads": runtime.threads,
        "batch": runtime.batch,
        "limits": limits._asdict(),
    }
    if kept is not None and any(kept["made"].get(field) != made[field] for field in SAME):
        kept = None
    if kept is None or not all(
        len(kept["rounds"].get(name, ())) >= limits.min_rounds for name in names
    ):
        anchor, archs = (
            runtime.block(space, anchor_block(space)),
            dict(zip(names, space.decode(genes))),
        )
        if kept is None or moved(anchor, kept["anchor_ms"], limits, clock):
            kept = {"rounds": {}, "anchor_ms": [], "drifted": [], "unsteady": {}}
        kept["made"], before = made, list(kept["anchor_ms"])

        def save(rounds: Mapping[str, list[Timing]], anchor_ms: list[float]) -> None:
            kept["rounds"].update(
                {name: list(timings) for name, timings in rounds.items() if timings}
            )
            kept["anchor_ms"] = before + anchor_ms
            _write(path, space, seed, kept)
            if progress:
                progress(share_done(rounds, limits))

        session = time_all(
            names,
            lambda name: runtime.subnet(space, archs[name]),
            anchor,
            limits,
            done=dict(kept["rounds"]),
            unsteady=kept["unsteady"],
            clock=clock,
            progress=save,
        )
        kept["drifted"] = sorted({*kept["drifted"], *session.drifted}, key=int)
        _write(path, space, seed, kept)
    milliseconds = np.array([merge(kept["rounds"][name]).median_ms for name in names])
    return Subnets(genes, milliseconds, kept["made"], len({*kept["drifted"]} & {*names}))


def _write(path: Path, space: SearchSpace, seed: int, kept: Mapping) -> None:
    value = {
        "schema": SCHEMA,
        "what": "latency of subnets",
        "space": space.name,
        "space_sha256": space_digest(space),
        "seed": seed,
        **kept,
        "rounds": {
            name: [timing._asdict() for timing in timings]
            for name, timings in kept["rounds"].items()
        },
    }
    write_atomic(path, lambda temporary: temporary.write_text(json.dumps(value) + "\n"))


def _read(path: Path, space: SearchSpace, seed: int) -> dict | None:
    """What `path` holds, rounds as timings, or None if it does not fit."""
    try:
        value = parse(read_bytes(path), path)
        if (value.get("schema"), value.get("space_sha256"), value.get("seed")) != (
            SCHEMA,
            space_digest(space),
            seed,
        ):
            return None
        for name, rounds in value["rounds"].items():
            for timing in rounds:
                check_timing(timing, f"{path}: subnet {int(name)}")
        for ms in value["anchor_ms"]:
            check_ms(ms, f"{path}: anchor_ms")
        rounds = {
            name: [Timing(**timing) for timing in timings]
            for name, timings in value["rounds"].items()
        }
        return {
            "rounds": rounds,
            "anchor_ms": value["anchor_ms"],
            "made": dict(value["made"]),
            "drifted": list(value["drifted"]),
            "unsteady": {name: int(n) for name, n in value.get("unsteady", {}).items()},
        }
    except (TableError, KeyError, TypeError, ValueError, AttributeError):
        return None
