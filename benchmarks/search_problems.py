"""What the search benchmarks have in common: the paper's space, its latency and its synthetic
accuracies.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from importlib.metadata import version
from typing import Any, TypeVar

import numpy as np

from labkit.latency.devices import get_device
from labkit.runtime.timing import machine_state
from labkit.search import Budget
from labkit.space import SearchSpace
from labkit.space.presets import get_space
from labkit.tables.costs import AdditiveTable

DEVICE = "pi4"  # simulated; any additive table would do
T = TypeVar("T")


def tutorial_space() -> SearchSpace:
    """The space that OFA's tutorial searches: width 1.2, five resolutions."""
    return replace(
        get_space("ofa-mbv3-w1.2"), name="ofa-tutorial", resolutions=(160, 176, 192, 208, 224)
    )


def latency(space: SearchSpace) -> AdditiveTable:
    return get_device(DEVICE).latency_table(space)


def latency_budget(space: SearchSpace, quantile: float) -> Budget:
    """The given quantile of the latency of random archs."""
    table = latency(space)
    sample = table(space.sample(np.random.default_rng(0), 20_000))
    return Budget(table, float(np.quantile(sample, quantile)), "latency", "ms")


def require_one_thread() -> None:
    """Stop unless numpy's libraries were loaded with one thread; it is too late to change that from
    here.
    """
    if os.environ.get("OMP_NUM_THREADS") != "1":
        sys.exit("this benchmark compares single threads: set OMP_NUM_THREADS=1")


def cpu_time(function: Callable[..., T], *args: Any, **kwargs: Any) -> tuple[float, T]:
    """CPU seconds of the whole process, and what the call returns."""
    start = time.process_time()
    result = function(*args, **kwargs)
    return time.process_time() - start, result


def record(claim: str, peer: str | None = None, **figures: Any) -> dict[str, Any]:
    """A benchmark's figures with the machine, the date and the version of the package `peer`, if
    there is one.
    """
    if peer is not None:
        figures["peer"] = f"{peer} {version(peer)}"
    return {
        "claim": claim,
        **figures,
        "clock": "CPU seconds, one thread",
        "latency": f"simulated, {DEVICE}",
        "machine": machine_state(),
        "numpy": np.__version__,
        "date": date.today().isoformat(),
    }
