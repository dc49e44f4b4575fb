"""A race between three ways of training a small supernet on the same batches.

It is small enough for a notebook: one resolution, two stages, a few thousand images. A step of the
sandwich rule passes the batch through three subnets, a step of the others through one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch

from labkit.data import datasets as data
from labkit.data.datasets import DataSet
from labkit.space import Arch, SearchSpace, Stage
from labkit.supernet.evaluation import Evaluator, spread
from labkit.supernet.supernet import Supernet
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

Sampler = Callable[[np.random.Generator], list[Arch]]  # the archs of one step
WAYS: dict[str, tuple[Recipe, Sampler]] = {
    "largest subnet only": (LABELS_ONLY, lambda rng: [SPACE.largest()]),
    "one random subnet a step": (LABELS_ONLY, lambda rng: SPACE.decode(SPACE.sample(rng, 1))),
    "sandwich and distillation": (
        RECIPES["sandwich"],
        lambda rng: RECIPES["sandwich"].archs(SPACE, rng),
    ),
}


def train(
    way: str,
    dataset: DataSet,
    *,
    steps: int = 300,
    batch: int = 64,
    learning_rate: float = 0.2,
    images: int = 6000,
    seed: int = 0,
) -> Supernet:
    """A supernet trained in one of `WAYS` on `steps` batches."""
    recipe, sampler = WAYS[way]
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


def accuracies(
    supernet: Supernet, dataset: DataSet, archs: Sequence[Arch], images: int = 1000
) -> list[float]:
    """The accuracies of some subnets in percent, each recalibrated."""
    evaluator = Evaluator(supernet, dataset, "val-search", images=images, recalibration_images=500)
    return evaluator.accuracies(archs)
