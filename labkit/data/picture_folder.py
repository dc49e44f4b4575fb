"""A folder with one sub-folder of pictures for each class, as torchvision's ImageFolder reads it.

DIR/CLASS/*.jpg                          splits are cut out by content
DIR/train/CLASS/*.jpg, DIR/val/..., DIR/test/...   splits that are there; a missing one of val
                                         and test is cut out of train
"""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import numpy as np
from PIL import Image
from torchvision.datasets import ImageFolder

from labkit.data.record import DataError

PARTS = ("train", "val", "test")
SURVEYED = 200  # pictures that are looked at to know their size and colors
LARGEST_SIDE = 224  # of a network that is proposed for them


class PictureFolder:
    """The pictures in a folder: their files, labels, and which part of the folder they lie in.

    Raises DataError for a folder that is no data set: without classes, with one class, with a class
    that has no images, or with other classes in one of its parts.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).resolve()
        parts = _parts_of(self.path)
        folders = {part: _class_folders(self.path / part) for part in parts}
        self.classes = tuple(folders[parts[0]].classes)
        for part, folder in folders.items():
            _check_classes(self.path / part, folder, self.classes)
        samples = [
            (os.path.relpath(file, self.path), label, part)
            for part, folder in folders.items()
            for file, label in folder.samples
        ]
        # Arrays, not lists: processes that load images share them without copying.
        self.files = np.array([os.fsencode(file) for file, _, _ in samples])  # (N,)
        self.labels = np.array([label for _, label, _ in samples])  # (N,)
        self.parts = np.array([part or "all" for _, _, part in samples])  # (N,)

    def __len__(self) -> int:
        return len(self.files)

    def name_of(self, i: int) -> str:
        return os.fsdecode(self.files[i])

    def file(self, i: int) -> Path:
        return self.path / self.name_of(i)

    def item(self, i: int) -> tuple[Image.Image, int, bytes]:
        """Picture `i`, its label and 16 bytes that stand for its content."""
        data = self.file(i).read_bytes()
        digest = hashlib.sha256(data).digest()[:16]
        return Image.open(io.BytesIO(data)), int(self.labels[i]), digest

    @property
    def version(self) -> str:
        """A digest of the files' names, sizes and times of change: cheap, and another one as soon
        as the folder is another one.
        """
        digest = hashlib.sha256()
        for i, name in enumerate(self.files):
            status = self.file(i).stat()
            digest.update(b"%s\0%d\0%d\0" % (name, status.st_size, status.st_mtime_ns))
        return digest.hexdigest()


class _ClassFolders(ImageFolder):
    """torchvision's, but for hidden folders, which editors and archives leave behind."""

    def find_classes(self, directory: str) -> tuple[list[str], dict[str, int]]:
        classes = [name for name in super().find_classes(directory)[0] if name[0] not in "._"]
        return classes, {name: label for label, name in enumerate(classes)}


def _class_folders(path: Path) -> _ClassFolders:
    try:
        return _ClassFolders(path, allow_empty=True)
    except OSError as error:
        raise DataError(
            f"{path} is no folder of images ({str(error).splitlines()[0]}); wanted is one"
            " sub-folder of images for each class"
        ) from None


def _parts_of(path: Path) -> tuple[str, ...]:
    """("",) where the classes lie in `path` itself, else which of train, val and test it has."""
    if not path.is_dir():
        raise DataError(f"{path} is no folder; give one with a sub-folder of images for each class")
    names = _sub_folders(path)
    # Somebody's class may be called train: it has images in it, and no folders.
    nested = {name for name in names if name in PARTS and _sub_folders(path / name)}
    if not nested:
        return ("",)
    if nested != names or "train" not in names:
        raise DataError(
            f"{path} has the sub-folders {', '.join(sorted(names))}; wanted are train, and if they"
            " are there val and test, with the classes' folders in each, or one folder for each"
            " class"
        )
    return tuple(part for part in PARTS if part in names)


def _sub_folders(path: Path) -> set[str]:
    return {entry.name for entry in path.iterdir() if entry.is_dir() and entry.name[0] not in "._"}


def _check_classes(path: Path, folder: ImageFolder, classes: tuple[str, ...]) -> None:
    if len(folder.classes) < 2:
        raise DataError(
            f"{path} has {len(folder.classes)} class ({', '.join(folder.classes) or 'none'});"
            " wanted are at least two, each with a sub-folder of its images"
        )
    different = sorted(set(folder.classes) ^ set(classes))
    if different:
        raise DataError(
            f"{path} has other classes than {path.parent / 'train'}: {different[0]!r} is only in"
            " one of the two"
        )
    counts = np.bincount(folder.targets, minlength=len(classes))
    empty = [name for name, count in zip(classes, counts) if count == 0]
    if empty:
        raise DataError(
            f"class {empty[0]!r} has no images in {path / empty[0]}; add some (JPEG, PNG, WebP), or"
            " remove the folder"
        )


def survey(folder: PictureFolder) -> tuple[int, int]:
    """Channels (1 if all are gray, else 3) and a side for the pictures of a folder.

    Half of those looked at, at most SURVEYED over the whole folder, have a shorter side of at least
    as many pixels; it is rounded down to a multiple of 8, and is LARGEST_SIDE at most.
    """
    sides, gray = [], True
    for i in np.unique(np.linspace(0, len(folder) - 1, SURVEYED).round().astype(int)):
        try:
            picture = Image.open(folder.file(i))
        except OSError:  # whoever loads the images says so
            continue
        sides.append(min(picture.size))
        gray = gray and picture.mode in ("1", "L", "LA", "I", "I;16", "F")
    if not sides:
        raise DataError(f"none of the images in {folder.path} that were looked at can be read")
    side = min(int(np.median(sides)), LARGEST_SIDE)
    return (1 if gray else 3), max(8, side // 8 * 8)
