"""What decides a DARTS search and the training of a derived network."""

from __future__ import annotations

from dataclasses import dataclass

from labkit.darts.genotype import check_cell
from labkit.data.datasets import DataSet
from labkit.storage.config_fields import (
    check_fraction,
    check_not_negative,
    check_positive,
    check_whole,
)


@dataclass(frozen=True)
class DartsConfig:
    """Everything that decides the genotype a search ends with.

    The defaults are the paper's for CIFAR-10.
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
        if self.min_learning_rate > self.learning_rate:
            raise ValueError(
                f"min_learning_rate must be at most learning_rate, {self.learning_rate:g}, got"
                f" {self.min_learning_rate:g}"
            )


@dataclass(frozen=True)
class DerivedTrainingConfig:
    """Training of a derived network from scratch.

    The defaults are the paper's for CIFAR-10. The paper adds cutout and an auxiliary classifier,
    which 28-pixel clothes do without.
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
        check_fraction(self, "drop_path")


def stack_arguments(
    config: DartsConfig | DerivedTrainingConfig, dataset: DataSet
) -> dict[str, int]:
    """The arguments that the search network and the derived network have in common."""
    return {
        "channels": config.channels,
        "cells": config.cells,
        "stem_stride": config.stem_stride,
        "in_channels": len(dataset.mean),
        "num_classes": len(dataset.classes),
    }


# Minutes on two CPU cores. A fiftieth of the paper's steps need larger steps of the architecture
# weights to get anywhere, and first order halves the cost of each.
CELL_SEARCH_CONFIGS = {
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
DERIVED_TRAINING_CONFIGS = {
    "gpu": DerivedTrainingConfig(),
    "cpu": DerivedTrainingConfig(channels=8, cells=5, stem_stride=2, epochs=4, drop_path=0.0),
}
