"""The classification data sets that torchvision downloads, under its own names.

mnist fashion-mnist cifar10 cifar100 svhn stl10 ...   arrays of one size, used as they are
food101 flowers102 gtsrb eurosat ...                  pictures, brought to one size
"""

from __future__ import annotations

import hashlib
import inspect
import re

import torch
import torchvision
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from labkit.data.record import DataError
from labkit.storage.paths import cache_dir

# Classes of torchvision.datasets whose items are a picture and the number of its class: those that
# hold all pictures as an array of one size, and those that read a file for each.
ARRAYS = "MNIST FashionMNIST KMNIST EMNIST CIFAR10 CIFAR100 USPS SVHN STL10".split()
PICTURES = (
    "Caltech101 Caltech256 Country211 DTD EuroSAT FGVCAircraft Flowers102 Food101 GTSRB Imagenette"
    " OxfordIIITPet PCAM RenderedSST2 SUN397 CLEVRClassification"
).split()
NAMES = (*ARRAYS, *PICTURES)
# What else a constructor needs, and the parts of those that have no test split of labels.
OPTIONS = {"EMNIST": {"split": "balanced"}}
PARTS = {"Imagenette": ("train", "val"), "CLEVRClassification": ("train", "val")}


def find(name: str) -> str | None:
    """torchvision's name of the data set that somebody calls `name`.

    >>> find("fashion-mnist"), find("CIFAR-10"), find("photos")
    ('FashionMNIST', 'CIFAR10', None)
    """
    letters = {class_name.lower(): class_name for class_name in NAMES}
    return letters.get(re.sub(r"[^a-z0-9]", "", name.lower()))


def known_names() -> str:
    return ", ".join(class_name.lower() for class_name in NAMES)


def parts_of(class_name: str) -> list[Dataset]:
    """The training and the test part, or the only part; downloaded unless they are in the cache.

    Raises DataError where they are neither here nor downloadable.
    """
    kind, options = getattr(torchvision.datasets, class_name), OPTIONS.get(class_name, {})
    parameters = inspect.signature(kind).parameters
    if "train" in parameters or class_name == "EMNIST":
        parts = [{"train": True}, {"train": False}]
    elif "split" in parameters:
        default = parameters["split"].default, "test"
        parts = [{"split": part} for part in PARTS.get(class_name, default)]
    else:
        parts = [{}]
    root = cache_dir() / class_name.lower()
    try:
        return [kind(root, download=True, **options, **part) for part in parts]
    except (OSError, RuntimeError, ModuleNotFoundError) as error:
        raise DataError(
            f"{class_name} is neither in {root} nor downloadable from here ({error}); put the files"
            " there that torchvision downloads, or use the fashion-mnist that labkit has"
        ) from error


def arrays_of(part: Dataset) -> tuple[Tensor, Tensor]:
    """Images (N, C, H, W) uint8 and labels (N,) int64 of a part that holds an array."""
    images = torch.as_tensor(part.data)
    if images.ndim == 3:
        images = images[:, None]
    elif images.shape[-1] == 3:
        images = images.permute(0, 3, 1, 2)
    labels = part.targets if hasattr(part, "targets") else part.labels
    return images.contiguous(), torch.as_tensor(labels).long()


def classes_of(part: Dataset, labels: Tensor) -> tuple[str, ...]:
    """The names of its classes, or their numbers where torchvision has no names."""
    count = int(labels.max()) + 1
    names = getattr(part, "classes", ())
    return tuple(map(str, names if len(names) == count else range(count)))


class TorchvisionPictures:
    """The pictures of all parts of a torchvision data set, one after the other."""

    def __init__(self, class_name: str, parts: list[Dataset]) -> None:
        self.path, self._parts = class_name, parts
        self.sizes = [len(part) for part in parts]
        self.version = hashlib.sha256(repr((class_name, self.sizes)).encode()).hexdigest()

    def __len__(self) -> int:
        return sum(self.sizes)

    def classes(self, labels: Tensor) -> tuple[str, ...]:
        return classes_of(self._parts[0], labels)

    def name_of(self, i: int) -> str:
        return f"{self.path}, image {i}"

    def item(self, i: int) -> tuple[Image.Image, int, bytes]:
        for part, size in zip(self._parts, self.sizes):
            if i < size:
                picture, label = part[i]
                return picture, int(label), bytes(16)
            i -= size
        raise IndexError(i)
