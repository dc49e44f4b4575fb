"""What deploying to any target does alike: its images, its checks, and how it is reported.

A deployed model counts only once it computes the same as torch, and files are written after that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from labkit.data.datasets import DataSet, normalize, resize
from labkit.runtime.timing import Call, time_all
from labkit.space import Arch
from labkit.storage.errors import ExportError, LabError
from labkit.supernet.evaluation import spread
from labkit.supernet.subnet import Subnet

MAX_ERROR = 1e-4  # largest difference of a logit, float model against torch
LOGITS_BATCH = 64
SHOWN_IMAGES = 5


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """One deployed subnet. Accuracies are in percent on images of the split.

    `right` and `int8_right` (N,) say which of them are named rightly, where that was noted.
    """

    arch: Arch
    path: str
    split: str
    accuracy: float
    int8_accuracy: float | None = None
    right: np.ndarray | None = field(default=None, compare=False, repr=False)
    int8_right: np.ndarray | None = field(default=None, compare=False, repr=False)

    @property
    def accuracy_drop(self) -> float | None:
        """Points of accuracy that int8 loses."""
        return None if self.int8_accuracy is None else self.accuracy - self.int8_accuracy

    @property
    def memory_bytes(self) -> int | None:
        """Working memory that it takes, as far as that is known."""
        return None

    @property
    def storage_bytes(self) -> int:
        """Bytes of the file, or of the code and constants."""
        raise NotImplementedError

    def lines(self) -> list[str]:
        """What a terminal says about it."""
        raise NotImplementedError

    def to_json(self) -> dict:
        fields = {**asdict(self), "arch": self.arch.to_json(), "accuracy_drop": self.accuracy_drop}
        return {name: value for name, value in fields.items() if not name.endswith("right")}


def require_file_name(path: Path, suffix: str, target: str) -> None:
    """Raise LabError unless `path` ends in `suffix` and is no folder."""
    if path.suffix != suffix or path.is_dir():
        raise LabError(
            f"a model for {target} is written to a {suffix} file, got {str(path)!r}; name it like"
            f" model{suffix}"
        )


def require_eval_mode(subnet: Subnet) -> None:
    if subnet.training:
        raise ValueError(
            "the subnet is in training mode; call eval() first, its batch norms are to be folded"
        )


def split_images(
    dataset: DataSet, split: str, resolution: int, count: int | None = None
) -> tuple[Tensor, Tensor]:
    """Images (N, C, r, r) as the network takes them, and labels (N,): the first `count` or all.

    Raises ValueError for a count below 1.
    """
    if count is not None and count < 1:
        raise ValueError(f"accuracy needs images, got {count}")
    images, labels = dataset.splits[split].images[:count], dataset.splits[split].labels[:count]
    return resize(normalize(images, dataset), resolution), labels


class CalibrationImages:
    """Training images that set the activation ranges: `count` of them, or all that there are.

    They are used like a tensor (N, C, r, r), as far as `len` and `split` go, and prepared a batch
    at a time: memory does not grow with N.
    """

    def __init__(self, dataset: DataSet, resolution: int, count: int) -> None:
        self.dataset, self.resolution = dataset, resolution
        self.rows = spread(len(dataset.splits["train"].images), count)

    def __len__(self) -> int:
        return len(self.rows)

    def split(self, size: int) -> Iterator[Tensor]:
        images = self.dataset.splits["train"].images
        for rows in self.rows.split(size):
            yield resize(normalize(images[rows], self.dataset), self.resolution)


def finite_batches(images: Tensor | CalibrationImages, size: int) -> Iterator[Tensor]:
    """The `images` (N, C, r, r) in batches of `size`, each as `finite` gives it.

    Raises ValueError where there are none.
    """
    if not len(images):
        raise ValueError("static quantization needs calibration images")
    return (finite(batch, i * size) for i, batch in enumerate(images.split(size)))


def finite(images: Tensor, first: int = 0) -> Tensor:
    """The `images` themselves; raises ValueError, which gives their numbers counted from `first`,
    where some have NaN or infinite values.
    """
    rows = (~images.isfinite().flatten(1).all(1)).nonzero().flatten() + first
    if len(rows):
        numbers = ", ".join(map(str, rows[:SHOWN_IMAGES].tolist()))
        more = f" and {len(rows) - SHOWN_IMAGES} more" if len(rows) > SHOWN_IMAGES else ""
        raise ValueError(
            f"images {numbers}{more} (counted from 0) have pixels that are NaN or infinite; leave"
            " them out"
        )
    return images


def channels_last(images: Tensor) -> Iterator[np.ndarray]:
    """Each image of (N, C, r, r) as float32 (1, r, r, C)."""
    yield from np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())[:, None]


def torch_logits(subnet: Subnet, images: Tensor) -> np.ndarray:
    """(N, classes) logits of `subnet` in torch."""
    with torch.inference_mode():
        return torch.cat([subnet(batch) for batch in images.split(LOGITS_BATCH)]).numpy()


def check_agreement(
    logits: np.ndarray,
    subnet: Subnet,
    images: Tensor,
    *,
    model: str,
    tolerance: float = MAX_ERROR,
) -> float:
    """The largest absolute difference between `logits` (N, classes) of a model and torch's.

    Raises ExportError when it is larger than `tolerance`, and ValueError for images with NaN;
    `model` says whose logits they are.
    """
    difference = float(np.abs(logits - torch_logits(subnet, finite(images))).max())
    if not difference <= tolerance:  # not `>`: a NaN must fail
        raise ExportError(
            f"the {model} model differs from torch by {difference:.2g} on {len(images)} images, "
            f"allowed is {tolerance:.2g}; nothing was written"
        )
    return difference


def top1_percent(logits: np.ndarray, labels: Tensor) -> float:
    """Top-1 accuracy in percent, of logits (N, classes) and labels (N,)."""
    return float(100 * (logits.argmax(1) == labels.numpy()).mean())


def median_ms(calls: dict[str, Call]) -> dict[str, float]:
    """Median milliseconds of each call, timed in turns on this machine."""
    run = time_all(list(calls), calls.__getitem__, next(iter(calls.values())))
    return {name: timing.median_ms for name, timing in run.timings.items()}
