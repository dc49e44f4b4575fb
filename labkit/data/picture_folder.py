"""A folder with one sub-folder of pictures for each class, as torchvision's ImageFolder reads it.

DIR/CLASS/*.jpg                          splits are cut out by content
DIR/train/CLASS/*.jpg, DIR/val/..., DIR/test/...   splits that are there; a missing one of val
                                         and test is cut out of train
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from labkit.data.record import DataError

PARTS = ("train", "val", "test")
# A word in others' names for them, as in Training, seg_test or val2017.
SPLIT = re.compile(
    r"(train(ing)?|val(id(ation)?)?|test(ing)?|eval(uation)?|dev)(set|data|images|imgs)?"
)
FORMATS = {*"AVIF BMP GIF JPEG JPEG2000 MPO PNG PPM TGA TIFF WEBP".split()}
ENDINGS = tuple(e for e, name in Image.registered_extensions().items() if name in FORMATS)
SURVEYED = 200  # pictures that are looked at to know their size and colors
LARGEST_SIDE = 224  # of a network that is proposed for them


def require_outside(out: Path, images: Path) -> None:
    """Raise DataError where `out`, into which files are to be written, lies in a folder of images:
    its own folder would be taken for a class.
    """
    if Path(os.path.realpath(out)).is_relative_to(os.path.realpath(images)):
        raise DataError(
            f"{out} lies in the folder of images {images}, where it would count as a class of them;"
            " choose a folder elsewhere (--out DIR)"
        )


class PictureFolder:
    """The pictures in a folder: their files, labels, and which part of the folder they lie in.

    Raises DataError for a folder that is no data set: without classes, with one class, with a class
    that has no images, or with other classes in one of its parts.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).resolve()
        parts = _parts_of(self.path)
        classes = {part: sorted(_sub_folders(self.path / part)) for part in parts}
        self.classes = tuple(classes[parts[0]])
        for part, names in classes.items():
            _check_classes(self.path / part, names, self.classes)
        homes = [
            os.path.realpath(self.path / part / name) for part in parts for name in self.classes
        ]
        folders, names = [], []  # of each class in each part; what its files are called
        for part in parts:
            for label, name in enumerate(self.classes):
                files = _images_in(self.path / part / name, homes)
                lengths = np.array([len(file) for file in files], np.uint16)
                folders.append(
                    (len(files), label, part or "all", os.path.join(part, name), lengths)
                )
                names.append(b"".join(files))
        # Arrays and one text, not lists of objects, of which each would take a hundred bytes.
        counts, labels, kinds, self._folders, lengths = zip(*folders)
        self._names = b"".join(names)
        self._ends = np.concatenate(lengths).cumsum(dtype=np.int64)  # (N,)
        self._firsts = np.cumsum((0, *counts))  # image with which each folder begins
        self.labels = np.repeat(np.array(labels, np.int32), counts)  # (N,)
        self.parts = np.repeat(np.array(kinds, object), counts)  # (N,)

    def __len__(self) -> int:
        return len(self.labels)

    def name_of(self, i: int) -> str:
        """Path of picture `i` inside the folder."""
        folder = self._folders[np.searchsorted(self._firsts, i, side="right") - 1]
        start = self._ends[i - 1] if i else 0
        return os.path.join(folder, os.fsdecode(self._names[start : self._ends[i]]))

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
        for i in range(len(self)):
            name, file = self.name_of(i), self.file(i)
            status = file.stat() if file.exists() else file.lstat()  # a link to nowhere
            line = os.fsencode(name), status.st_size, status.st_mtime_ns
            digest.update(b"%s\0%d\0%d\0" % line)
        return digest.hexdigest()


def _images_in(path: Path, classes: Sequence[str]) -> list[bytes]:
    """Paths of the images in a class's folder and below, from there, in order.

    Each folder is read once, and under a name without links if it has one. A link is not followed
    to what lies in one of the folders of the `classes`, or around it: that is read where it lies.
    Hidden files and folders are left out, such as macOS's `._` beside each file of an archive.
    Raises DataError where there are no images.
    """
    images, visited = [], set()
    tops = [str(path)]
    for top in tops:  # and then, in this order, what the links in it lead to
        for place, folders, files in os.walk(top, onerror=_not_readable):
            real = os.path.realpath(place)
            folders[:] = sorted(name for name in folders if not _is_hidden(name))
            if real in visited:
                folders.clear()
                continue
            visited.add(real)
            links = (link for name in folders if os.path.islink(link := os.path.join(place, name)))
            tops += [link for link in links if not _overlaps(os.path.realpath(link), classes)]
            below = os.path.relpath(place, path)
            images += [
                os.fsencode(os.path.normpath(os.path.join(below, name)))
                for name in files
                if name.lower().endswith(ENDINGS) and not _is_hidden(name)
            ]
    if not images:
        raise DataError(
            f"class {path.name!r} has no images in {path}; add some (JPEG, PNG, WebP), or move the"
            " folder elsewhere if it is not one of images"
        )
    return sorted(images)


def _overlaps(path: str, others: Sequence[str]) -> bool:
    """Whether a real path lies in one of the others, is one, or has one in it."""
    return any(os.path.commonpath((path, other)) in (path, other) for other in others)


def _not_readable(error: OSError) -> None:
    raise DataError(f"{error.filename} cannot be read: {error.strerror}")


def _is_hidden(name: str) -> bool:
    return name[0] == "." or name == "__MACOSX"


def _parts_of(path: Path) -> tuple[str, ...]:
    """("",) where the classes lie in `path` itself, else which of train, val and test it has."""
    if not path.is_dir():
        raise DataError(f"{path} is no folder; give one with a sub-folder of images for each class")
    names = _sub_folders(path)
    # Somebody's class may be called train: it has images in it, and no folders.
    nested = {name for name in names if name in PARTS and _sub_folders(path / name)}
    if not nested:
        _refuse_splits_of_other_names(path, names)
        return ("",)
    if nested != names or "train" not in names:
        raise DataError(
            f"{path} has the sub-folders {', '.join(sorted(names))}; wanted are train, and if they"
            " are there val and test, with the classes' folders in each, or one folder for each"
            " class"
        )
    return tuple(part for part in PARTS if part in names)


def _refuse_splits_of_other_names(path: Path, names: set[str]) -> None:
    """Raise DataError where folders are called like splits and hold folders: two of them are, or
    one, and all hold the same classes.

    The same folders alone say nothing: every class may have its pictures from the front and back.
    Neither does a name: somebody's class may be called train.
    """
    below = {name: _sub_folders(path / name) for name in names}
    splits = [name for name in names if _is_split(name)]
    classes = [*below.values()]
    alike = len(names) > 1 and len(classes[0]) > 1 and all(each == classes[0] for each in classes)
    if splits and alike or len(splits) > 1 and any(below[name] for name in splits):
        raise DataError(
            f"{path} has the sub-folders {', '.join(sorted(names))}: if they are splits, call them"
            " train, val and test, with a folder for each class directly in each of them; if they"
            " are classes, call them otherwise"
        )


def _is_split(name: str) -> bool:
    return any(SPLIT.fullmatch(word) for word in re.split(r"[\W\d_]+", name.lower()))


def _sub_folders(path: Path) -> set[str]:
    """Names of the folders in a folder that are not hidden and no links to what it lies in."""
    return {
        entry.name
        for entry in path.iterdir()
        if entry.is_dir()
        and not _is_hidden(entry.name)
        and not path.resolve().is_relative_to(entry.resolve())
    }


def _is_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_classes(path: Path, names: Sequence[str], classes: tuple[str, ...]) -> None:
    if not names:
        raise DataError(
            f"{path} is no folder of images: it has no sub-folders; wanted is one sub-folder of"
            " images for each class"
        )
    if len(names) < 2:
        raise DataError(
            f"{path} has 1 class ({names[0]}); wanted are at least two, each with a sub-folder of"
            " its images"
        )
    for name in names:
        if not _is_text(name):
            raise DataError(
                f"the name of the class {os.fsencode(name)!r} in {path} is no text in UTF-8; rename"
                " the folder"
            )
    different = sorted(set(names) ^ set(classes))
    if different:
        raise DataError(
            f"{path} has other classes than {path.parent / 'train'}: {different[0]!r} is only in"
            " one of the two"
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
        except Exception:  # PIL raises anything for damaged files; whoever loads them says so
            continue
        sides.append(min(picture.size))
        gray = gray and (picture.mode in ("1", "L", "LA", "F") or picture.mode.startswith("I"))
    if not sides:
        raise DataError(f"none of the images in {folder.path} that were looked at can be read")
    side = min(int(np.median(sides)), LARGEST_SIDE)
    return (1 if gray else 3), max(8, side // 8 * 8)
