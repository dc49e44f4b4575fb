"""What fits into a number of minutes: a space for the images, and how long to train in it.

Speeds are measured here, by short trainings with the images themselves, before anything is decided.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from labkit.adopt.space_proposal import propose
from labkit.data import datasets
from labkit.data.datasets import DataSet
from labkit.latency.devices import Device
from labkit.space import SearchSpace
from labkit.specialize.device_costs import DeviceCosts
from labkit.storage.errors import LabError
from labkit.tables.costs import macs_table
from labkit.train import TrainConfig, train
from labkit.train.config import quick_precision

LEAST_EPOCHS = 40  # that a space must allow, to be chosen
SIDES = (224, 192, 160, 128, 96, 64, 48, 40, 32, 24)
WIDTHS = (32, 24, 16, 8)
MOST_BATCH, LEAST_BATCH = 128, 8
STEPS_AN_EPOCH = 8  # at least, by smaller batches where there are few images
# Speeds are measured in so many spaces at most, by trainings that take this share of the time for
# training each; none begins after a share of it, whatever reading images and so on took.
PROBES, PROBE, PROBING = 3, 0.01, 0.1


class PlanError(LabError):
    """No training for these images and devices fits into the time."""


@dataclass(frozen=True)
class Plan:
    """A training that fits, what an epoch of it was measured to take, what choosing and deploying a
    subnet for each device will, and as soon as that is known how many pairs are measured.
    """

    config: TrainConfig
    epoch_seconds: float
    deploying_seconds: float = 0.0
    pairs: int = 0

    def within(self, seconds: float) -> Plan:
        """The same with as many epochs as fit into `seconds`; raises PlanError where none does."""
        epochs = int(seconds / self.epoch_seconds)
        if epochs < 1:
            raise PlanError(
                f"one pass over these images takes {self.epoch_seconds / 60:.1f} minutes in space"
                f" {self.config.search_space.name!r}, and there are {max(0.0, seconds) / 60:.1f} to"
                " train; give more --minutes"
            )
        return replace(self, config=replace(self.config, epochs=epochs))


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

    A step is measured in the cheapest space, taken to last in proportion to its MACs, and measured
    again in the space that this chooses, until that chooses itself or there is no time to measure
    another. Raises PlanError where not even one epoch fits.
    """
    start = time.perf_counter()

    def measured(space: SearchSpace) -> Plan:
        config = training_config(folder, space, augment=augment, seed=seed, device=device)
        steps_per_epoch = len(_images(config).splits["train"].images) // config.batch
        return Plan(config, steps_per_epoch * step_seconds(config, PROBE * seconds, device))

    space = spaces[-1]
    for _ in range(PROBES):
        plan, probe = measured(space), space
        per_mac = plan.epoch_seconds / step_macs(probe)
        affordable = (s for s in spaces if LEAST_EPOCHS * per_mac * step_macs(s) <= seconds)
        space = next(affordable, spaces[-1])
        if space == probe or time.perf_counter() - start > PROBING * seconds:
            break
    if space != probe:
        config = training_config(folder, space, augment=augment, seed=seed, device=device)
        plan = Plan(config, per_mac * step_macs(space))
    return plan.within(seconds)


def use_faster_threads(
    work: Callable[[], object] | None = None, clock: Callable[[], float] = time.perf_counter
) -> None:
    """Let torch and numpy compute in one thread from now on where that is faster than in all: on a
    busy machine threads wait for each other, at every layer.
    """
    from threadpoolctl import threadpool_limits

    images, weights = torch.ones(64, 32, 24, 24), torch.ones(32, 32, 1, 1)
    work = work or (lambda: torch.nn.functional.conv2d(images, weights).relu())
    seconds = {torch.get_num_threads(): 0.0, 1: 0.0}
    for threads in [*seconds] * 3:  # in turns: what else the machine does changes
        torch.set_num_threads(threads)
        start = clock()
        for _ in range(20):
            work()
        seconds[threads] += clock() - start
    torch.set_num_threads(min(seconds, key=seconds.get))
    if torch.get_num_threads() == 1:
        threadpool_limits(1, user_api="blas")  # of numpy, where a predictor is fitted


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


def step_seconds(
    config: TrainConfig, seconds: float, device: str | None = None, out: Path | None = None
) -> float:
    """What a step takes here, by training silently for `seconds`, for one step at least.

    The weights are left in `out`, if that is given.
    """
    times: list[float] = []

    def clock() -> float:
        times.append(time.perf_counter())
        return float(len(times) > 1 and times[-1] - times[0] >= seconds)

    with tempfile.TemporaryDirectory() as place:
        train(config, Path(out or place), progress=False, device=device, clock=clock)
    first = 1 if len(times) > 2 else 0  # the first step takes longer than the others
    return (times[-1] - times[first]) / (len(times) - 1 - first)
