"""The batches of a run: a function of the seed and the step, cut into a part for each process."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field

import torch
from torch import Tensor

from labkit.data.augmentation import (
    CROP_PADDING,
    DEFAULT_AUGMENTATIONS,
    Epoch,
    batch_of,
    plan_epoch,
    transformed,
)
from labkit.data.datasets import DataSet, Split, normalize
from labkit.data.streamed_images import StreamedImages
from labkit.runtime.distributed import World


@dataclass
class Batches:
    """Batches of `batch` samples of a split: one for each step, in a new order in each epoch.

    An epoch is the whole split, or at most `epoch_limit` steps. Under torchrun, every process gets
    its part of a batch. Raises ValueError for a batch that is larger than the split or cannot be
    divided.
    """

    dataset: DataSet
    split: Split
    batch: int
    seed: int
    ranks: World
    epoch_limit: int | None = None
    erase: float = 0.0  # share of the images that have a rectangle erased
    padding: int = CROP_PADDING  # pixels around an image, from which a crop of its size is taken
    dtype: torch.dtype = torch.float32
    augmentations: Collection[str] = DEFAULT_AUGMENTATIONS
    _planned: tuple[int, Epoch] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        size, ranks = len(self.split.images), self.ranks.size
        if self.batch > size:
            raise ValueError(f"batch {self.batch} is larger than the {size} images of an epoch")
        if self.batch % ranks:
            raise ValueError(
                f"batch {self.batch} does not divide into {ranks} processes with equal parts; "
                f"use a multiple of {ranks}"
            )
        self.split = self.split.to(self.ranks.device)
        self.steps_per_epoch = min(size // self.batch, self.epoch_limit or size)

    def epoch_and_samples(self, step: int) -> tuple[Epoch, Tensor]:
        """The epoch of `step`, and the indices (batch / processes,) of this process's samples."""
        index, within = divmod(step, self.steps_per_epoch)
        if self._planned is None or self._planned[0] != index:
            images = self.split.images
            epoch = plan_epoch(
                len(images), self.seed, index, self.erase, self.padding, self.augmentations
            )
            self._planned = index, epoch.to(self.ranks.device)
            if isinstance(images, StreamedImages):
                steps = range(within, self.steps_per_epoch)
                images.announce([self._samples(epoch, each) for each in steps])
        epoch = self._planned[1]
        return epoch, self._samples(epoch, within)

    def _samples(self, epoch: Epoch, within: int) -> Tensor:
        """This process's samples of the epoch's step number `within`."""
        return self.ranks.part(epoch.order[within * self.batch : (within + 1) * self.batch])

    def plain(self, step: int) -> tuple[Tensor, Tensor]:
        """Normalized images (batch / processes, C, H, W) and labels, as they are in the split."""
        _, samples = self.epoch_and_samples(step)
        images = normalize(self.split.images[samples], self.dataset, self.dtype)
        return images, self.split.labels[samples]

    def augmented(self, step: int) -> tuple[Tensor, Tensor]:
        """The same with crops, flips, torchvision's transforms and erased rectangles."""
        epoch, samples = self.epoch_and_samples(step)
        fill = self.dataset.mean
        images, labels = batch_of(self.split, epoch, samples, fill, self.padding)
        number = step // self.steps_per_epoch
        images = transformed(images, self.augmentations, samples, self.seed, number)
        return normalize(images, self.dataset, self.dtype), labels
