"""Runs of `labkit.train` that a benchmark is made of: each has a folder, is trained once, and
survives being killed.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from labkit.data.datasets import DataSet
from labkit.space import Arch
from labkit.supernet import weights_file as pretrained
from labkit.supernet.evaluation import Evaluator
from labkit.supernet.supernet import Supernet
from labkit.train import TrainConfig, train


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


def right_answers(supernet: Supernet, arch: Arch, dataset: DataSet, split: str) -> np.ndarray:
    """(N,) bool: which images of the split the arch names rightly, after BN recalibration."""
    evaluator = Evaluator(supernet, dataset, split)
    return (evaluator.logits(arch).argmax(1) == evaluator.labels).numpy()


def paired(correct: np.ndarray, baseline_correct: np.ndarray) -> dict[str, float]:
    """Difference of two accuracies on the same images, in points, and its standard error."""
    gains = 100 * (correct.astype(float) - baseline_correct)
    return {
        "points": float(gains.mean()),
        "standard_error": float(gains.std() / np.sqrt(len(gains))),
    }


def one_thread() -> None:
    """Equal arithmetic wherever it runs, and a killed run ends as an uninterrupted one would."""
    torch.set_num_threads(1)
