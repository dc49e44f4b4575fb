"""What decides a DARTS search and the training of a derived network, and how a resumed run checks
it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from labkit.darts.genotype import check_cell
from labkit.data.datasets import DataSet
from labkit.storage.config_fields import check_not_negative, check_positive, check_whole
from labkit.storage.tensor_file import CheckpointError, check_fields


@dataclass(frozen=True)
class DartsConfig:
    """Everything that decides the genotype a search ends with. The defaults are the paper's for
    CIFAR-10.
    """

    dataset: str = "fashion-mnist"
    channels: int = 16
    cells: int = 8
    nodes: int = 4
    edges_per_node: int = 2
    stem_stride: int = 1
    order: int = 2  # of the architecture gradient: 1 or 2
    epochs: int = 50
    steps_per_epoch: int | None = None  # None: the whole half of the training split
    batch: int = 64
    learning_rate: float = 0.025  # of the network's weights; half a cosine down to the minimum
    min_learning_rate: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 3e-4
    gradient_clip: float = 5.0
    arch_learning_rate: float = 3e-4
    arch_weight_decay: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        check_cell(self.nodes, self.edges_per_node)
        if self.order not in (1, 2):
            raise ValueError(f"order of the architecture gradient must be 1 or 2, got {self.order}")
        check_whole(self, "channels", "cells", "stem_stride", "epochs", "batch", "steps_per_epoch")
        check_whole(self, "seed", least=0)
        check_positive(self, "learning_rate", "gradient_clip", "arch_learning_rate")
        check_not_negative(
            self, "min_learning_rate", "momentum", "weight_decay", "arch_weight_decay"
        )


@dataclass(frozen=True)
class TrainConfig:
    """Training of a derived network from scratch. The defaults are the paper's for CIFAR-10.

    The paper adds cutout and an auxiliary classifier, which 28-pixel clothes do without.
    """

    dataset: str = "fashion-mnist"
    channels: int = 36
    cells: int = 20
    stem_stride: int = 1
    epochs: int = 600
    steps_per_epoch: int | None = None  # None: the whole training split
    batch: int = 96
    learning_rate: float = 0.025  # half a cosine down to 0
    momentum: float = 0.9
    weight_decay: float = 3e-4
    gradient_clip: float = 5.0
    drop_path: float = 0.2  # reached linearly at the end of training
    seed: int = 0

    def __post_init__(self) -> None:
        check_whole(self, "channels", "cells", "stem_stride", "epochs", "batch", "steps_per_epoch")
        check_whole(self, "seed", least=0)
        check_positive(self, "learning_rate", "gradient_clip")
        check_not_negative(self, "momentum", "weight_decay")
        if not 0 <= self.drop_path < 1:
            raise ValueError(f"drop_path must be in [0, 1), got {self.drop_path}")


def stack_of(config: DartsConfig | TrainConfig, dataset: DataSet) -> dict[str, int]:
    """The arguments that search networks and derived networks have in common."""
    return {
        "channels": config.channels,
        "cells": config.cells,
        "stem_stride": config.stem_stride,
        "in_channels": len(dataset.mean),
        "num_classes": len(dataset.classes),
    }


def epoch_steps(config: DartsConfig | TrainConfig, images: int) -> int:
    """Steps of an epoch over `images` images; raises ValueError if there are fewer than a batch."""
    if images < config.batch:
        raise ValueError(f"batch {config.batch} is larger than the {images} images of an epoch")
    return min(images // config.batch, config.steps_per_epoch or images)


def cosine(start: float, end: float, progress: float) -> float:
    """Half a cosine from `start` to `end` as `progress` goes from 0 to 1."""
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * progress))


KINDS = {
    "run": dict,
    "step": int,
    "losses": list,
    "history": list,
    "cpu_seconds": (int, float),
    "wall_seconds": (int, float),
    "price": (int, float),
}


def check_header(path: Path, header: dict, schema: str, run: dict, fields: tuple[str, ...]) -> None:
    """Raise CheckpointError, naming the field or option, unless a checkpoint is whole and of the
    same run.
    """
    if header.get("schema") != schema:
        raise CheckpointError(
            f"{path} has schema {header.get('schema')!r}, this run wants {schema!r}"
        )
    check_fields(path, header, {field: KINDS[field] for field in ("run", *fields)})
    for name, value in run.items():
        if header["run"].get(name) != value:
            raise CheckpointError(
                f"{path} was made with {name}={header['run'].get(name)!r}, this run has {value!r}; "
                "use the same options or another folder"
            )


# Minutes on two CPU cores. A fiftieth of the paper's steps need larger steps of the architecture
# weights to get anywhere, and first order halves the cost of each.
SEARCH_CONFIGS = {
    "gpu": DartsConfig(),
    "cpu": DartsConfig(
        channels=8,
        cells=5,
        nodes=3,
        stem_stride=2,
        order=1,
        epochs=5,
        steps_per_epoch=80,
        arch_learning_rate=6e-3,
    ),
}
TRAIN_CONFIGS = {
    "gpu": TrainConfig(),
    "cpu": TrainConfig(channels=8, cells=5, stem_stride=2, epochs=4, drop_path=0.0),
}
