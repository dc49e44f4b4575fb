"""What fits into a number of minutes: a space for the images, and how long to train in it.

Speeds are measured here, by short trainings with the images themselves, before anything is decided.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from labkit.adopt.space_proposal import propose
from labkit.data import datasets
from labkit.data.datasets import DataSet
from labkit.latency.devices import Device
from labkit.space import SearchSpace
from labkit.specialize.device_costs import DeviceCosts
from labkit.storage.errors import LabError
from labkit.supernet.evaluation import Evaluator
from labkit.supernet.supernet import Supernet
from labkit.tables.costs import macs_table
from labkit.train import TrainConfig, train
from labkit.train.config import quick_precision

LEAST_EPOCHS = 40  # that a space must allow, to be chosen
SIDES = (224, 192, 160, 128, 96, 64, 48, 40, 32, 24)
WIDTHS = (32, 24, 16, 8)
MOST_BATCH, LEAST_BATCH = 128, 8
STEPS_AN_EPOCH = 8  # at least, by smaller batches where there are few images
FEW_STEPS, MORE_STEPS = 4, 12  # of the short trainings whose difference is the time of a step


class PlanError(LabError):
    """No training for these images and devices fits into the time."""


@dataclass(frozen=True)
class Plan:
    """A training that fits, and what an epoch of it was measured to take."""

    config: TrainConfig
    epoch_seconds: float

    @property
    def training_seconds(self) -> float:
        return self.config.epochs * self.epoch_seconds

    def within(self, seconds: float) -> Plan:
        """The same with as many epochs as fit into `seconds`; none may."""
        epochs = int(seconds / self.epoch_seconds)
        return replace(self, config=replace(self.config, epochs=max(1, epochs)))


def candidates(
    name: str, *, classes: int, channels: int, side: int, devices: Sequence[Device] = ()
) -> Iterator[SearchSpace]:
    """Spaces for images of `side` pixels whose smallest subnet fits every device, the most
    expensive first.
    """
    sides = {side, *(smaller for smaller in SIDES if smaller < side)}
    shapes = {"classes": classes, "channels": channels}
    spaces = [propose(name, side=s, width=w, **shapes) for s in sides for w in WIDTHS]
    limited = [d for d in devices if d.sram_bytes is not None or d.flash_bytes is not None]
    for space in sorted(spaces, key=step_macs, reverse=True):
        costs = [DeviceCosts(space, device, progress=False) for device in limited]
        if all(cost.fits([space.smallest()])[0] for cost in costs):
            yield space


def step_macs(space: SearchSpace) -> float:
    """MACs of one image in a step of the sandwich: largest, smallest and one between them."""
    ends = macs_table(space)(space.encode([space.smallest(), space.largest()]))
    return float(ends.sum() + np.sqrt(ends.prod()))


def make_plan(
    folder: Path | str,
    spaces: Sequence[SearchSpace],
    seconds: float,
    *,
    augment: str = "crop,flip",
    seed: int = 0,
    device: str | None = None,
) -> Plan:
    """The most expensive of `spaces`, which descend, in which training has LEAST_EPOCHS in
    `seconds`; where none has, the cheapest one with as many epochs as fit.

    Raises PlanError where not even one does.
    """

    def measured(space: SearchSpace) -> Plan:
        options = {"augment": augment, "seed": seed, "device": device}
        return _measured(training_config(folder, space, **options), device)

    middle = spaces[len(spaces) // 2]
    per_mac = measured(middle).epoch_seconds / step_macs(middle)
    promising = [s for s in spaces if LEAST_EPOCHS * per_mac * step_macs(s) <= seconds]
    for space in promising or spaces[-1:]:
        plan = measured(space)
        # What a step takes is not quite in proportion to its MACs.
        if plan.epoch_seconds * LEAST_EPOCHS <= 1.25 * seconds:
            break
    if plan.epoch_seconds > seconds:
        raise PlanError(
            f"one pass over these images takes {plan.epoch_seconds / 60:.1f} minutes even in the"
            f" cheapest space, and there are {seconds / 60:.1f} to train; give more --minutes"
        )
    return plan.within(seconds)


def training_config(
    images: Path | str,
    space: SearchSpace,
    *,
    augment: str = "crop,flip",
    seed: int = 0,
    device: str | None = None,
) -> TrainConfig:
    """How to train in `space` on `images`, a folder or a name: batch and learning rate suit their
    number.
    """
    config = TrainConfig(
        space=space,
        dataset=str(images),
        augment=augment,
        crop_padding=max(2, space.resolutions[-1] // 14),
        sampling="log-macs",
        precision=quick_precision(device, "sandwich"),
        seed=seed,
        warmup_epochs=2.0,
    )
    count = len(_images(config).splits["train"].images)
    batch = MOST_BATCH
    while batch > LEAST_BATCH and count // batch < STEPS_AN_EPOCH:
        batch //= 2
    batch = min(batch, count)
    rate = config.learning_rate * batch / MOST_BATCH  # a smaller batch wants smaller steps
    return replace(config, batch=batch, learning_rate=rate)


def _images(config: TrainConfig) -> DataSet:
    return datasets.load(config.dataset, config.image_form)


def _measured(config: TrainConfig, device: str | None) -> Plan:
    """The configuration with the seconds that an epoch takes here, its end included."""
    steps = len(_images(config).splits["train"].images) // config.batch
    if steps <= MORE_STEPS:
        once, thrice = (_seconds(replace(config, epochs=n), device) for n in (1, 3))
        return Plan(config, (thrice - once) / 2)
    few, more = (
        _seconds(replace(config, epochs=1, steps_per_epoch=n), device)
        for n in (FEW_STEPS, MORE_STEPS)
    )
    step_seconds = (more - few) / (MORE_STEPS - FEW_STEPS)
    return Plan(config, few + (steps - FEW_STEPS) * step_seconds)


def _seconds(config: TrainConfig, device: str | None) -> float:
    with tempfile.TemporaryDirectory() as out, open(os.devnull, "w") as nowhere:
        start = time.perf_counter()
        with contextlib.redirect_stdout(nowhere):  # where the curve of a training is printed
            train(config, Path(out), progress=False, device=device)
        return time.perf_counter() - start


def arch_seconds(supernet: Supernet, dataset: DataSet, archs: int = 4) -> float:
    """Seconds that measuring one random arch on val-search takes here, by a few of them."""
    space, evaluator = supernet.space, Evaluator(supernet, dataset, "val-search")
    genes = space.sample(np.random.default_rng(0), archs)
    start = time.perf_counter()
    evaluator.accuracies(space.decode(genes))
    return (time.perf_counter() - start) / archs
