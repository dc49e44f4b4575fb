"""Every image of a source read once: what can be read, its content, and small sets as an array.

The result is kept in the cache folder, bound to the version of the source, so that a set is decoded
when it is first used and after it has changed.
"""

from __future__ import annotations

import hashlib
import os
from typing import NamedTuple, Protocol

import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from tqdm.auto import tqdm

from labkit.data.decoding import moments, pixels_of
from labkit.data.record import DataError, ImageForm
from labkit.storage import tensor_file
from labkit.storage.atomic_write import naming_errors, one_at_a_time
from labkit.storage.paths import cache_dir
from labkit.storage.tensor_file import CheckpointError

SCHEMA = "labkit-images-1"
RESIDENT_BYTES = 2**29  # the largest array of images that is kept in memory; others are streamed
# Processes that read images: one for each core that this process may use, where the system tells.
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
WORKERS = min(8, CORES)
SHOWN_PROBLEMS = 5
IMAGES_AT_ONCE = 64


class ImageSource(Protocol):
    """Pictures and their labels, in an order of their own."""

    path: object
    version: str  # another one as soon as it is another set

    def __len__(self) -> int: ...

    def name_of(self, i: int) -> str: ...

    def item(self, i: int) -> tuple[Image.Image, int, bytes]:
        """Picture `i`, its label, and 16 bytes that stand for its content."""


class ImageIndex(NamedTuple):
    labels: Tensor  # (N,) int64; -1 where the image cannot be read
    digests: Tensor  # (N, 16) uint8
    moments: Tensor  # (N, C, 2) float64, as `labkit.data.decoding.moments` gives them
    pixels: Tensor | None  # (N, C, side, side) uint8; None for a set that is streamed
    problems: tuple[str, ...]  # images that cannot be read, and why

    def report(self, source: ImageSource) -> str:
        """What is to be said of the images that cannot be read; empty where there are none."""
        if not self.problems:
            return ""
        rest = len(self.problems) - SHOWN_PROBLEMS
        return (
            f"{len(self.problems)} of {len(self.labels)} images in {source.path} cannot be read and"
            f" are skipped: {'; '.join(self.problems[:SHOWN_PROBLEMS])}"
            + (f"; and {rest} more" if rest > 0 else "")
        )


def is_resident(images: int, form: ImageForm) -> bool:
    return images * form.channels * form.side**2 <= RESIDENT_BYTES


def index_of(source: ImageSource, form: ImageForm, *, strict: bool = False) -> ImageIndex:
    """The index of a source, from the cache where it has one of this version and form.

    With `strict`, raises DataError at the first image that cannot be read.
    """
    folder = cache_dir() / "images"
    with naming_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    place = hashlib.sha256(str(source.path).encode()).hexdigest()[:12]
    shape = "-".join(map(str, form))
    path = folder / f"{place}-{shape}-{source.version[:16]}.safetensors"
    with one_at_a_time(folder):  # of several processes one reads the images
        index = _read(path, len(source), form)
        if index is None:
            index = _scan(source, form, strict)
            for old in folder.glob(f"{place}-{shape}-*.safetensors"):
                old.unlink(missing_ok=True)
            tensors = {name: part for name, part in index._asdict().items() if name != "problems"}
            stored = {name: part for name, part in tensors.items() if part is not None}
            header = {"schema": SCHEMA, "problems": index.problems}
            tensor_file.save(path, stored, header)
    if strict and index.problems:
        raise _unreadable(index.problems[0])
    return index


def _unreadable(problem: str) -> DataError:
    return DataError(f"{problem}; replace or remove it, or leave --strict out")


def _read(path: os.PathLike, images: int, form: ImageForm) -> ImageIndex | None:
    """What the cache has; None where it has to be made again."""
    try:
        tensors, header = tensor_file.read(path)
        index = ImageIndex(
            tensors["labels"],
            tensors["digests"],
            tensors["moments"],
            tensors.get("pixels"),
            tuple(map(str, header["problems"])),
        )
    except (CheckpointError, KeyError, TypeError):
        return None
    if header.get("schema") != SCHEMA or _shapes(index) != _shapes(_blank(images, form, "meta")):
        return None
    return index if index.moments.isfinite().all() and (index.labels >= -1).all() else None


def _shapes(index: ImageIndex) -> list[tuple[torch.Size, torch.dtype] | None]:
    return [part if part is None else (part.shape, part.dtype) for part in index[:4]]


def _blank(count: int, form: ImageForm, device: str = "cpu") -> ImageIndex:
    """The index of so many images of which none has been read."""
    shape = (count, form.channels, form.side, form.side)
    with torch.device(device):
        return ImageIndex(
            torch.full((count,), -1),
            torch.zeros(count, 16, dtype=torch.uint8),
            torch.zeros(count, form.channels, 2, dtype=torch.float64),
            torch.zeros(shape, dtype=torch.uint8) if is_resident(count, form) else None,
            (),
        )


def _scan(source: ImageSource, form: ImageForm, strict: bool) -> ImageIndex:
    count, resident = len(source), is_resident(len(source), form)
    index = _blank(count, form)
    loader = DataLoader(
        _Scanned(source, form, resident),
        batch_size=IMAGES_AT_ONCE,
        num_workers=WORKERS if count > IMAGES_AT_ONCE else 0,
        collate_fn=list,
        generator=torch.Generator(),  # of its own, so that the global one is left alone
    )
    problems = []
    with tqdm(total=count, desc=f"reading {source.path}", unit="image", delay=2) as bar:
        for batch in loader:
            for i, item in batch:
                if isinstance(item, str):
                    problems.append(item)
                    if strict:
                        raise _unreadable(item)
                    continue
                label, digest, sums, pixels = item
                index.labels[i], index.moments[i] = label, sums
                index.digests[i] = torch.frombuffer(bytearray(digest), dtype=torch.uint8)
                if resident:
                    index.pixels[i] = pixels
            bar.update(len(batch))
    return index._replace(problems=tuple(problems))


class _Scanned(Dataset):
    """For each image its number, and label, digest, moments and pixels, or what is wrong."""

    def __init__(self, source: ImageSource, form: ImageForm, with_pixels: bool) -> None:
        self.source, self.form, self.with_pixels = source, form, with_pixels

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, i: int) -> tuple[int, tuple | str]:
        try:
            picture, label, digest = self.source.item(i)
            pixels = pixels_of(picture, self.form)
        except Exception as error:  # PIL's readers raise anything for a damaged file
            if isinstance(error, UnidentifiedImageError):  # whose message is about an object
                error = "no image of a known format"
            return i, f"{self.source.name_of(i)} ({error or type(error).__name__})"
        return i, (label, digest, moments(pixels), pixels if self.with_pixels else None)
