"""A race between ways of training a small supernet.

It is small enough for a notebook: one resolution, two stages, a few thousand images. A step of the
sandwich rule passes the batch through three subnets, a step of the others through one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch

from labkit.data import datasets as data
from labkit.data.datasets import DataSet
from labkit.space import Arch, SearchSpace, Stage
from labkit.specialize.standard_error import standard_error
from labkit.supernet.evaluation import Evaluator, spread
from labkit.supernet.supernet import Supernet
from labkit.tables.costs import macs_table
from labkit.train.recipes import RECIPES, Recipe
from labkit.train.step import training_step

SPACE = SearchSpace(
    name="race",
    resolutions=(20,),
    in_channels=1,
    num_classes=10,
    stem_width=8,
    final_width=64,
    stages=(
        Stage(16, 2, (1, 2, 3), kernels=(3, 5), expands=(2, 4), act="relu"),
        Stage(32, 2, (1, 2, 3), kernels=(3, 5), expands=(2, 4), act="relu"),
    ),
)
LABELS_ONLY = Recipe("labels", sandwich=False, random_archs=1, distill=False)
STEPS = 300

Sampler = Callable[[np.random.Generator], list[Arch]]  # the archs of one step
ONE_RANDOM: tuple[Recipe, Sampler] = (
    LABELS_ONLY,
    lambda rng: SPACE.decode(SPACE.sample(rng, 1)),
)
WAYS: dict[str, tuple[Recipe, Sampler, int]] = {  # and so many steps
    "largest subnet only": (LABELS_ONLY, lambda rng: [SPACE.largest()], STEPS),
    "one random subnet a step": (*ONE_RANDOM, STEPS),
    "sandwich and distillation": (
        RECIPES["sandwich"],
        lambda rng: RECIPES["sandwich"].archs(SPACE, rng),
        STEPS,
    ),
    "one random subnet, 900 steps": (*ONE_RANDOM, 3 * STEPS),
}


@dataclass
class Race:
    """Accuracies of the same subnets of several supernets, by ascending multiply-adds."""

    dataset: DataSet
    archs: list[Arch]
    macs: np.ndarray  # millions, of each of `archs`
    images: int  # that accuracies are measured on
    accuracies: dict[str, np.ndarray] = field(default_factory=dict)  # percent, by supernet

    def add(self, name: str, supernet: Supernet) -> None:
        """Measure the subnets of `supernet`, each recalibrated."""
        evaluator = Evaluator(
            supernet, self.dataset, "val-search", images=self.images, recalibration_images=500
        )
        self.accuracies[name] = np.array(evaluator.accuracies(self.archs))

    @property
    def errors(self) -> dict[str, np.ndarray]:
        """The standard errors of `accuracies`, in points."""
        return {
            name: np.array([standard_error(value, self.images) for value in values])
            for name, values in self.accuracies.items()
        }


def race(dataset: DataSet, images: int = 5000, randoms: int = 6, seed: int = 5) -> Race:
    """All `WAYS`, judged by the smallest subnet, the largest and some random ones."""
    genes = SPACE.sample(np.random.default_rng(seed), randoms)
    archs = [SPACE.smallest(), *SPACE.decode(genes), SPACE.largest()]
    macs = macs_table(SPACE)(SPACE.encode(archs)) / 1e6
    order = np.argsort(macs)
    result = Race(dataset, [archs[i] for i in order], macs[order], images)
    for way in WAYS:
        result.add(way, train(way, dataset))
    return result


def train(
    way: str,
    dataset: DataSet,
    *,
    batch: int = 64,
    learning_rate: float = 0.2,
    images: int = 6000,
    seed: int = 0,
) -> Supernet:
    """A supernet trained in one of `WAYS`."""
    recipe, sampler, steps = WAYS[way]
    batch_rng, arch_rng = np.random.default_rng((seed, 0)), np.random.default_rng((seed, 1))
    torch.manual_seed(seed)
    supernet = Supernet(SPACE)
    split = dataset.splits["train"]
    indices = spread(len(split.images), images)
    pictures = data.resize(data.normalize(split.images[indices], dataset), SPACE.resolutions[0])
    labels = split.labels[indices]
    optimizer = torch.optim.SGD(
        supernet.parameters(), lr=learning_rate, momentum=0.9, nesterov=True, weight_decay=5e-5
    )
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate * min(1.0, (step + 1) / 20) * (1 - step / steps)
        rows = torch.from_numpy(batch_rng.integers(0, len(indices), batch))
        optimizer.zero_grad()
        training_step(supernet, recipe, sampler(arch_rng), pictures[rows], labels[rows], 0.0)
        optimizer.step()
    return supernet.requires_grad_(False)
