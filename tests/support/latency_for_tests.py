"""A small space and made-up latency files of it, for the tests of tables and kits."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spaces_for_tests import ONE_WIDTH

from labkit.latency.measured import measurement as measure
from labkit.latency.measured import runtimes
from labkit.latency.measured.blocks import (
    block_counts,
    table_from_times,
    timed_blocks,
)
from labkit.runtime.timing import Timing, TimingLimits, machine_state
from labkit.space import Stage
from labkit.space.presets import spaces

TINY = replace(
    ONE_WIDTH,
    name="tiny",
    resolutions=(12, 16),
    stages=(
        Stage(16, 1, (1, 2), kernels=(3, 5), expands=(2, 3), act="relu"),
        Stage(24, 2, (1, 2), kernels=(3,), expands=(2, 3), se=True),
    ),
)
COARSE = TimingLimits(
    warmup=1, min_repeats=2, max_repeats=2, min_rounds=1, max_rounds=1, chunk=100, redo=0, drift=1e9
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, tmp_path_factory, monkeypatch):
    """Of its own for each test: a cache folder, and one for temporary files, where programs that
    measure this machine wait for each other. The small space is among the known ones.
    """
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    temporary = str(tmp_path_factory.mktemp("temporary"))
    monkeypatch.setenv("TMPDIR", temporary)
    monkeypatch.setattr(tempfile, "tempdir", temporary)
    monkeypatch.setitem(spaces, "tiny", TINY)


def made_up(
    space=TINY,
    *,
    factor: float = 0.7,
    intercept: float = 0.02,
    per_block: float = -0.004,
    noise: float = 0.0,
    subnets: int = 20,
    block_ms: Callable[[str], float] | None = None,
) -> dict:
    """A latency file whose whole subnets follow exactly (or with noise) from its blocks, random
    unless given by name.
    """
    rng = np.random.default_rng(5)

    def timing(ms: float) -> dict:
        return Timing(float(ms), float(ms) * 0.99, float(ms) * 1.01, 0.02, 50)._asdict()

    times = {
        name: float(ms)
        for name, ms in zip(timed_blocks(space), rng.uniform(0.01, 0.1, len(timed_blocks(space))))
    }
    if block_ms is not None:
        times = {name: block_ms(name) for name in times}
    genes = (
        measure.calibration_genes(space, subnets)
        if subnets
        else np.zeros((0, space.num_genes), dtype=np.int8)
    )
    total = (
        factor * table_from_times(space, times)(genes)
        + intercept
        + per_block * block_counts(space, genes)
    )
    total *= 1 + noise * rng.standard_normal(len(total))
    timings = {name: timing(ms) for name, ms in times.items()}
    seconds = sum(50 * ms for ms in [*times.values(), *total]) / 1e3
    anchor = times[measure.anchor_block(space).key]
    return {
        "schema": 1,
        "what": "latency",
        "space": space.name,
        "space_sha256": space.digest,
        "made": {
            "cpu": "made up",
            "runtime": "onnxruntime",
            "runtime_version": "1.0",
            "threads": 2,
            "batch": 1,
            "seconds": 5 * seconds,
        },
        "anchor_ms": [anchor, 1.01 * anchor, anchor],
        "drifted": [],
        "pieces": timings,
        "subnets": [
            {"arch": arch.to_json(), **timing(ms)} for arch, ms in zip(space.decode(genes), total)
        ],
    }


def here(value: dict) -> dict:
    """The same latency file, as if this machine had made it."""
    value["made"].update(cpu=machine_state()["cpu"], runtime=runtimes.default_runtime())
    return value


def save(value: dict, path: Path) -> Path:
    path.write_text(json.dumps(value))
    return path
