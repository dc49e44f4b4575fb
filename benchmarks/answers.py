"""Which images a network names rightly, and how two networks compare on the same images.

An accuracy on N images has a standard error of sqrt(p (1 - p) / N), but most of that is which
images there are, and the same for both networks: what differs between them is known better.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from labkit.data.datasets import DataSet
from labkit.space import Arch
from labkit.specialize.standard_error import paired_difference
from labkit.storage.atomic_write import write_atomic
from labkit.storage.provenance import sha256
from labkit.supernet.evaluation import Evaluator
from labkit.supernet.folder import TrainedSupernet
from labkit.supernet.supernet import Supernet


def right_answers(
    supernet: Supernet, arch: Arch, dataset: DataSet, *splits: str
) -> np.ndarray:  # (N,)
    """Which images of the splits, one after another, the arch names rightly, after BN
    recalibration.
    """
    return _right_answers([Evaluator(supernet, dataset, split) for split in splits], arch)


def _right_answers(evaluators: Sequence[Evaluator], arch: Arch) -> np.ndarray:
    stats = evaluators[0].recalibrate(arch)
    parts = [
        (evaluator.logits(arch, stats).argmax(1) == evaluator.labels).numpy()
        for evaluator in evaluators
    ]
    return np.concatenate(parts)


class InheritedAnswers:
    """`right_answers` of a trained supernet's archs, each computed once and kept in a folder."""

    def __init__(self, trained: TrainedSupernet, splits: Sequence[str], folder: Path) -> None:
        self.trained, self.splits = trained, tuple(splits)
        self.weights_sha256 = sha256(trained.weights_path)
        self.folder = folder / f"{trained.name}-{self.weights_sha256[:12]}-{'-'.join(splits)}"

    @cached_property
    def _evaluators(self) -> list[Evaluator]:
        supernet, dataset = self.trained.supernet, self.trained.dataset
        return [Evaluator(supernet, dataset, split) for split in self.splits]

    @property
    def images(self) -> int:
        record = self.trained.dataset_record
        return sum(record.splits[split] for split in self.splits)

    def __call__(self, arch: Arch) -> np.ndarray:  # (N,) bool
        path = self.folder / f"{hashlib.sha256(str(arch).encode()).hexdigest()[:20]}.txt"
        if path.exists():
            return unpacked(path.read_text(encoding="ascii"), self.images)
        right = _right_answers(self._evaluators, arch)
        write_atomic(path, lambda file: file.write_text(packed(right), encoding="ascii"))
        return right


def paired(correct: np.ndarray, baseline_correct: np.ndarray) -> dict[str, float]:
    """Difference of two accuracies on the same images, in points, and its standard error.

    (N,) each: right or wrong, or the mean of that over several networks.
    """
    points, error = paired_difference(correct, baseline_correct)
    return {"points": points, "standard_error": error}


class Gain(NamedTuple):
    """What one side gains over another on the same images, where several archs stand for a side."""

    of_images: np.ndarray  # (N,) mean over the archs, between -1 and 1
    variance_of_archs: float  # of the mean accuracy, for which archs were drawn; squared points

    @classmethod
    def of(cls, correct: np.ndarray, baseline_correct: np.ndarray) -> Gain:
        """(archs, N) each, or (N,) for a side that one arch stands for."""
        gains = np.atleast_2d(correct.astype(float) - baseline_correct)  # (archs, N)
        variance = np.var(100 * gains.mean(1)) / max(len(gains) - 1, 1)
        return cls(gains.mean(0), float(variance))


def mean_gain(parts: Sequence[Gain]) -> dict[str, float]:
    """The mean gain in points, as `paired` gives it; its standard error counts which images there
    are, the same in all parts, and which archs were drawn, others in each.
    """
    points = paired(np.mean([part.of_images for part in parts], axis=0), np.zeros(1))
    of_archs = sum(part.variance_of_archs for part in parts) ** 0.5 / len(parts)
    return {**points, "standard_error": float(np.hypot(points["standard_error"], of_archs))}


def show(difference: dict[str, float]) -> str:
    """A difference as tables have it.

    >>> show({"points": 0.5, "standard_error": 0.125})
    '+0.50 ± 0.12'
    """
    return "{points:+.2f} ± {standard_error:.2f}".format(**difference)


def packed(right: np.ndarray) -> str:
    """(N,) bool as text: eight images a byte, in base64."""
    return base64.b64encode(np.packbits(right)).decode()


def unpacked(text: str, images: int) -> np.ndarray:
    """The (images,) bool that `packed` made a text of."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=images).astype(bool)
