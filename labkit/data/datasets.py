"""Data sets: Fashion-MNIST, which the repository embeds, and CIFAR-10, which torchvision downloads.

Splits are fixed. Of Fashion-MNIST's 60,000 training images, 50,000 train; of the 10,000 held out,
search (accuracy pairs, predictors) sees `val-search` and what is reported as measured comes from
`val`, so that a subnet is not judged on the images that chose it. `test` is read once, for a
report.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.datasets import CIFAR10, FashionMNIST

from labkit.data.fashion_mnist import DataError, unpack_fashion_mnist
from labkit.data.record import DatasetRecord
from labkit.storage.paths import cache_dir

SPLITS = ("train", "val-search", "val", "test")
HELD_OUT_PER_CLASS = 500  # for each of the two validation halves
SPLIT_SEED = 20191908


class Split(NamedTuple):
    images: Tensor  # (N, C, H, W) uint8
    labels: Tensor  # (N,) int64

    def to(self, device: torch.device) -> Split:
        return Split(*(part.to(device) for part in self))


class DataSet(NamedTuple):
    splits: dict[str, Split]
    mean: tuple[float, ...]  # of each channel, for pixels in [0, 1]
    std: tuple[float, ...]
    classes: tuple[str, ...]
    name: str = "unnamed"

    @property
    def record(self) -> DatasetRecord:
        """What a supernet that is trained on these images records of them."""
        return DatasetRecord(
            name=self.name,
            classes=self.classes,
            channels=self.splits["train"].images.shape[1],
            mean=self.mean,
            std=self.std,
            splits={name: len(split.images) for name, split in self.splits.items()},
        )


def _held_out(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Indices of train, val-search and val: stratified, and the same for ever.

    RandomState's stream is frozen by numpy's compatibility policy; Generator's is not.
    """
    rng = np.random.RandomState(SPLIT_SEED)
    parts: list[list[np.ndarray]] = [[], [], []]
    for label in np.unique(labels):
        order = rng.permutation(np.flatnonzero(labels == label))
        search, val, train = np.split(order, [HELD_OUT_PER_CLASS, 2 * HELD_OUT_PER_CLASS])
        for part, indices in zip(parts, (train, search, val)):
            part.append(indices)
    train, search, val = (np.sort(np.concatenate(part)) for part in parts)
    return train, search, val


def _split(
    images: Tensor, labels: Tensor, test_images: Tensor, test_labels: Tensor
) -> dict[str, Split]:
    splits = {
        name: Split(images[indices], labels[indices])
        for name, indices in zip(SPLITS, map(torch.from_numpy, _held_out(labels.numpy())))
    }
    return {**splits, "test": Split(test_images, test_labels)}


@lru_cache(maxsize=2)
def load(name: str = "fashion-mnist") -> DataSet:
    """The data set `name` with its four splits; raises DataError if its files are not there or not
    whole.
    """
    if name == "fashion-mnist":
        root = unpack_fashion_mnist()
        train, test = FashionMNIST(root, train=True), FashionMNIST(root, train=False)
        splits = _split(train.data[:, None], train.targets, test.data[:, None], test.targets)
        return DataSet(splits, (0.2860,), (0.3530,), tuple(train.classes), name)
    if name == "cifar10":
        root = cache_dir() / "cifar10"
        try:
            train, test = (CIFAR10(root, train=part, download=True) for part in (True, False))
        except (OSError, RuntimeError) as error:
            raise DataError(
                f"CIFAR-10 is neither in {root} nor downloadable from here ({error}); put "
                "cifar-10-python.tar.gz there, or use the embedded fashion-mnist"
            ) from error

        def images(data: np.ndarray) -> Tensor:
            return torch.from_numpy(data).permute(0, 3, 1, 2).contiguous()

        splits = _split(
            images(train.data),
            torch.tensor(train.targets),
            images(test.data),
            torch.tensor(test.targets),
        )
        return DataSet(
            splits, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), tuple(train.classes), name
        )
    raise DataError(f"unknown data set {name!r}, known: fashion-mnist, cifar10")


def normalize(images: Tensor, dataset: DataSet, dtype: torch.dtype = torch.float32) -> Tensor:
    """Images (N, C, H, W) as uint8 -> `dtype`, with mean 0 and deviation 1 over the training
    images.
    """
    mean, std = (
        torch.tensor(v, device=images.device, dtype=dtype).view(1, -1, 1, 1)
        for v in (dataset.mean, dataset.std)
    )
    return (images.to(dtype) / 255 - mean) / std


def resize(images: Tensor, resolution: int) -> Tensor:
    """Float images (N, C, H, W) at `resolution` pixels: bilinear, antialiased, unchanged if they
    fit.
    """
    if images.shape[-1] == resolution:
        return images
    return F.interpolate(
        images, (resolution, resolution), mode="bilinear", antialias=True, align_corners=False
    )
