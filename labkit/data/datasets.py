"""Data sets: Fashion-MNIST, which the repository embeds, those that torchvision downloads, and
folders of pictures.

Splits are fixed (`labkit.data.splits`). Of Fashion-MNIST's 60,000 training images, 50,000 train;
10,000 are held out, in two halves.
"""

from __future__ import annotations

import hashlib
import os
import sys
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.datasets import FashionMNIST

from labkit.data import torchvision_sets
from labkit.data.decoding import moments
from labkit.data.fashion_mnist import unpack_fashion_mnist
from labkit.data.image_index import ImageIndex, ImageSource, index_of
from labkit.data.picture_folder import PictureFolder
from labkit.data.record import DataError, DatasetRecord, ImageForm
from labkit.data.splits import SPLITS, mixed, sortable, split_by_content, split_by_position
from labkit.data.streamed_images import StreamedImages
from labkit.data.torchvision_sets import TorchvisionPictures

# Mean and standard deviation of the channels, as weights were trained with them.
STATISTICS = {
    "FashionMNIST": ((0.2860,), (0.3530,)),
    "CIFAR10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
}
SMALLEST_STD = 1 / 255  # of a channel that is the same in all images
IMAGES_AT_ONCE = 10_000


class Split(NamedTuple):
    images: Tensor | StreamedImages  # (N, C, H, W) uint8
    labels: Tensor  # (N,) int64

    def to(self, device: torch.device) -> Split:
        return Split(*(part.to(device) for part in self))


class DataSet(NamedTuple):
    splits: dict[str, Split]  # in an order in which classes are mixed
    mean: tuple[float, ...]  # of each channel, for pixels in [0, 1]
    std: tuple[float, ...]
    classes: tuple[str, ...]
    name: str = "unnamed"
    form: ImageForm | None = None  # how pictures were brought to one size; None: they are of one
    content: str | None = None  # SHA-256 of the images of each split, where they are a folder's

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
            form=self.form,
            content=self.content,
        )


def load(
    name: str | Path = "fashion-mnist", form: ImageForm | None = None, *, strict: bool = False
) -> DataSet:
    """The data set `name` with its four splits: a name that torchvision knows, or a folder.

    Pictures of different sizes are brought to `form`; those of one size stay as they are. What
    cannot be read is skipped, and named on standard error. Raises DataError if the files are not
    there, not whole or no data set, and with `strict` for an image that cannot be read.
    """
    is_folder = isinstance(name, Path) or os.sep in name  # a word is a name first
    class_name = None if is_folder else torchvision_sets.find(str(name))
    if class_name in torchvision_sets.ARRAYS:
        return _of_arrays(str(name), class_name)
    form = form or ImageForm()
    if form.channels not in (1, 3):
        raise DataError(f"pictures have 1 or 3 channels, not {form.channels}")
    if class_name is not None:
        return _of_pictures(str(name), class_name, form, strict)
    if Path(name).is_dir():
        return _of_folder(Path(name).resolve(), form, strict)
    raise DataError(
        f"unknown data set {str(name)!r}: it is no folder of images here, and none of"
        f" {torchvision_sets.known_names()}"
    )


@lru_cache(maxsize=2)
def _of_arrays(name: str, class_name: str) -> DataSet:
    if class_name == "FashionMNIST":
        root = unpack_fashion_mnist()
        parts = [FashionMNIST(root, train=True), FashionMNIST(root, train=False)]
    else:
        parts = torchvision_sets.parts_of(class_name)
    train, test = (Split(*torchvision_sets.arrays_of(part)) for part in parts)
    indices = map(torch.from_numpy, split_by_position(train.labels.numpy()))
    splits = {
        split: Split(train.images[rows], train.labels[rows]) for split, rows in zip(SPLITS, indices)
    }
    mean, std = STATISTICS.get(class_name) or _statistics(
        torch.cat([moments(chunk) for chunk in splits["train"].images.split(IMAGES_AT_ONCE)])
    )
    classes = torchvision_sets.classes_of(parts[0], train.labels)
    return DataSet({**splits, "test": test}, mean, std, classes, name)


def _of_folder(path: Path, form: ImageForm, strict: bool) -> DataSet:
    folder = PictureFolder(path)
    index = _index(folder, form, strict)
    readable = np.flatnonzero(index.labels.numpy() >= 0)
    digests, labels = index.digests.numpy(), folder.labels
    parts = split_by_content(
        labels[readable], digests[readable], folder.parts[readable], folder.classes
    )
    rows = {name: readable[indices] for name, indices in parts.items()}
    if report := _report_of_copies(folder, digests, rows):
        print(f"labkit: {report}", file=sys.stderr)
    content = hashlib.sha256()
    places = np.argsort(np.argsort([str(label) for label in range(len(folder.classes))]))
    for name, indices in rows.items():
        content.update(name.encode())
        order = np.lexsort((places[labels[indices]], *sortable(digests[indices]).T[::-1]))
        for i in indices[order]:  # as the lines of digest and label are ordered
            content.update(digests[i].tobytes() + b"%d" % labels[i])
    splits, mean, std = _assembled(folder, index, rows, form)
    return DataSet(splits, mean, std, folder.classes, str(folder.path), form, content.hexdigest())


def _report_of_copies(
    folder: PictureFolder, digests: np.ndarray, rows: dict[str, np.ndarray]
) -> str:
    """What is to be said of images that lie in several splits or classes; empty without such."""
    images = np.concatenate(list(rows.values()))
    splits = np.repeat(np.arange(len(rows)), [len(indices) for indices in rows.values()])
    keys = sortable(digests[images])  # (N, 2)
    places = np.stack([splits, folder.labels[images]], 1)
    order = np.lexsort((images, *keys.T))
    copies = (keys[order][1:] == keys[order][:-1]).all(1)
    apart = copies & (places[order][1:] != places[order][:-1]).any(1)
    if not apart.any():
        return ""
    first = int(apart.argmax())
    names = [folder.name_of(int(i)) for i in images[order][first : first + 2]]
    count = len(np.unique(keys[order][1:][apart], axis=0))
    return (
        f"{count} images in {folder.path} lie in several of {', '.join(rows)}, or in several"
        f" classes, such as {' and '.join(names)}; what is measured on them is too good or"
        " contradicts itself: remove the copies"
    )


@lru_cache(maxsize=2)
def _of_pictures(name: str, class_name: str, form: ImageForm, strict: bool) -> DataSet:
    pictures = TorchvisionPictures(class_name, torchvision_sets.parts_of(class_name))
    index = _index(pictures, form, strict)
    labels, first_part = index.labels.numpy(), pictures.sizes[0]
    readable = np.flatnonzero(labels >= 0)
    train, test = readable[readable < first_part], readable[readable >= first_part]
    rows = [train[part] for part in split_by_position(labels[train], 2 if len(test) else 3)]
    rows = map(mixed, [*rows, test] if len(test) else rows)
    splits, mean, std = _assembled(pictures, index, dict(zip(SPLITS, rows)), form)
    return DataSet(splits, mean, std, pictures.classes(index.labels), name, form)


def _index(source: ImageSource, form: ImageForm, strict: bool) -> ImageIndex:
    index = index_of(source, form, strict=strict)
    if index.problems:
        print(f"labkit: {index.report(source)}", file=sys.stderr)
    return index


def _assembled(
    source: ImageSource, index: ImageIndex, rows: dict[str, np.ndarray], form: ImageForm
) -> tuple[dict[str, Split], tuple[float, ...], tuple[float, ...]]:
    """The splits of the images `rows`, and mean and standard deviation of the training images."""
    splits = {}
    for name, numbers in rows.items():
        indices = torch.from_numpy(numbers)
        streamed = index.pixels is None
        images = StreamedImages(source, form, indices) if streamed else index.pixels[indices]
        splits[name] = Split(images, index.labels[indices])
    return splits, *_statistics(index.moments[torch.from_numpy(rows["train"])])


def _statistics(image_moments: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each channel, from the moments (N, C, 2) of images."""
    mean, square = image_moments.mean(0).T  # (C,) each
    std = (square - mean**2).clamp(min=SMALLEST_STD**2).sqrt()
    return tuple(mean.tolist()), tuple(std.tolist())


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
