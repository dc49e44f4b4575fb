"""The costs of a search on this machine: CPU time of a few steps, and energy where a meter is."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch

from labkit.data import datasets as data
from labkit.data.datasets import DataSet
from labkit.space import Arch
from labkit.supernet.evaluation import spread
from labkit.supernet.supernet import Supernet
from labkit.train.recipes import RECIPES
from labkit.train.step import training_step

POWERCAP = Path("/sys/class/powercap")  # Linux: energy counters of Intel's and AMD's processors


def cpu_seconds(work: Callable[[], object]) -> tuple[object, float]:
    """The result of `work`, and the CPU time that all threads of this process spent on it."""
    start = time.process_time()
    result = work()
    return result, time.process_time() - start


def step_seconds(
    supernet: Supernet,
    dataset: DataSet,
    arch: Arch | None = None,
    *,
    batch: int = 128,
    steps: int = 4,
    seed: int = 0,
) -> float:
    """CPU seconds of a training step, the median of a few.

    The step trains `arch` alone, or the whole supernet by the sandwich rule (None). It trains a
    copy, so that `supernet` stays as it is.
    """
    trained = deepcopy(supernet).requires_grad_(True)
    optimizer = torch.optim.SGD(trained.parameters(), lr=1e-3, momentum=0.9)
    recipe, rng = RECIPES["alone" if arch else "sandwich"], np.random.default_rng(seed)
    split = dataset.splits["train"]
    indices = spread(len(split.images), batch)
    images, labels = data.normalize(split.images[indices], dataset), split.labels[indices]

    def step() -> None:
        archs = [arch] if arch else recipe.archs(trained.space, rng)
        optimizer.zero_grad()
        training_step(trained, recipe, archs, images, labels, 0.0)
        optimizer.step()

    step()  # the first one also allocates memory
    return statistics.median(cpu_seconds(step)[1] for _ in range(steps))


def power_readings(
    work: Callable[[], object], times: int, joules: Callable[[], float | None] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """When `work` ran, `times` times, in seconds, and what power was drawn meanwhile, in watts.

    `joules` reads an energy counter, `processor_joules` by default. The power is the mean between
    two of its readings, taken for the middle between them; nan where there is no reading, or the
    counter has started over.
    """
    joules = joules or processor_joules
    readings = [(time.perf_counter(), joules())]
    for _ in range(times):
        work()
        readings.append((time.perf_counter(), joules()))
    seconds, energy = np.array(readings, dtype=float).T  # None is nan
    watts = np.diff(energy) / np.diff(seconds)
    return (seconds[1:] + seconds[:-1]) / 2, np.where(watts < 0, np.nan, watts)


def processor_joules(folder: Path = POWERCAP) -> float | None:
    """The processors' energy counter in joules; None where there is none that can be read.

    The difference of two readings is the energy of the whole processor, other programs included.
    Counters start over after some hours.
    """
    # A zone is a processor, or a part of one (two colons), or, as in laptops, the whole board
    # (psys), which holds the processor's energy too, or a processor's counter once more
    # (intel-rapl-mmio).
    try:
        readings = [
            int((zone / "energy_uj").read_text())
            for zone in sorted(folder.glob("intel-rapl:*"))
            if zone.name.count(":") == 1 and (zone / "name").read_text().startswith("package")
        ]
    except (OSError, ValueError):
        return None  # most systems let only the administrator read them
    return sum(readings) / 1e6 if readings else None
