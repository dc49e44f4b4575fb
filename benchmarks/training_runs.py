"""Runs of `labkit.train` that a benchmark is made of: each has a folder, is trained once, and
survives being killed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from labkit.space import Arch
from labkit.supernet import weights_file
from labkit.supernet.folder import TrainedSupernet
from labkit.supernet.supernet import Supernet
from labkit.train import TrainConfig, train
from labkit.train.config import AUTOCAST, arch_text
from labkit.train.step import training_step
from labkit.train.train_state import TrainState

# What a network that trains alone has in common with the training of a supernet.
SHARED_SETTINGS = (
    *("dataset", "erase", "crop_padding", "label_smoothing"),
    *("batch", "momentum", "weight_decay", "warmup_epochs", "ema_decay"),
)


def alone(trained: TrainedSupernet, arch: Arch, **changes: object) -> TrainConfig:
    """The training of one arch with the images, the augmentation and the optimizer of its supernet,
    but for `changes`.
    """
    recorded = trained.record["config"]
    settings = {field: recorded[field] for field in SHARED_SETTINGS if field in recorded}
    settings |= {"space": trained.space.name, "recipe": "alone", "arch": arch_text(arch)}
    return TrainConfig(**{**settings, **changes})


def finished(config: TrainConfig, out: Path) -> tuple[Supernet, dict]:
    """The averaged weights of the run in `out`, which is finished first, and their record."""
    weights = out / "supernet.safetensors"
    if not weights.exists():
        train(config, out, resume=True, device="cpu")  # what is reported are core-hours
    supernet, record = weights_file.load(weights)
    other = config.difference(record["config"])
    if other:
        raise SystemExit(
            f"{weights} was trained with {other[0]}={other[1]!r}, not {other[2]!r}; use another"
            " --out"
        )
    return supernet, record


def is_finished(out: Path) -> bool:
    return (out / "supernet.safetensors").exists()


def archs_of_step(config: TrainConfig, step: int, total: int) -> list[Arch]:
    """The archs that a run of `total` steps trains at `step`."""
    recipe, rng = config.resolved_recipe, np.random.default_rng((config.seed, step))
    return recipe.archs(config.search_space, rng, recipe.phase_at(step, total))


def random_batch(state: TrainState) -> tuple[Tensor, Tensor]:
    """Images (batch, C, H, W) of noise at the largest resolution, and labels, where the run is."""
    space, weights = state.supernet.space, state.supernet.classifier.weight
    side = space.resolutions[-1]
    images = torch.randn(state.config.batch, space.in_channels, side, side, device=weights.device)
    return images, torch.zeros(len(images), dtype=torch.long, device=weights.device)


def take_gradients(
    state: TrainState, images: Tensor, labels: Tensor, step: int, total: int
) -> None:
    """What a run of `total` steps does at `step`, but for its update of the weights."""
    config, recipe = state.config, state.config.resolved_recipe
    first = recipe.teacher_from(total)
    state.optimizer.zero_grad()
    training_step(
        state.supernet,
        recipe,
        archs_of_step(config, step, total),
        images,
        labels,
        config.label_smoothing,
        state.teacher if first is not None and step >= first else None,
        autocast=AUTOCAST.get(config.precision),
        scaler=state.grad_scaler,
    )


def one_thread() -> None:
    """Equal arithmetic wherever it runs, and a killed run ends as an uninterrupted one would."""
    torch.set_num_threads(1)
