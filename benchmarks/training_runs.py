"""Runs of `labkit.train` that a benchmark is made of: each has a folder, is trained once, and
survives being killed.
"""

from __future__ import annotations

from pathlib import Path

import torch

from labkit.space import Arch
from labkit.supernet import weights_file as pretrained
from labkit.supernet.folder import TrainedSupernet
from labkit.supernet.supernet import Supernet
from labkit.train import TrainConfig, train
from labkit.train.config import arch_text

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
    supernet, record = pretrained.load(weights)
    other = config.difference(record["config"])
    if other:
        raise SystemExit(
            f"{weights} was trained with {other[0]}={other[1]!r}, not {other[2]!r}; use another"
            " --out"
        )
    return supernet, record


def is_finished(out: Path) -> bool:
    return (out / "supernet.safetensors").exists()


def one_thread() -> None:
    """Equal arithmetic wherever it runs, and a killed run ends as an uninterrupted one would."""
    torch.set_num_threads(1)
