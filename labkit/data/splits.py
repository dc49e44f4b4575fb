"""How a data set is cut into train, val-search, val and test: stratified, and the same forever.

Search (accuracy pairs, predictors) sees `val-search`, and what is reported as measured comes from
`val`, so that a subnet is not judged on the images that chose it. `test` is read once, for a
report.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from labkit.data.record import DataError

SPLITS = ("train", "val-search", "val", "test")
HELD_OUT_SHARE = 10  # a tenth of each class, at most, is held out for each of the others
HELD_OUT = 5_000  # images of all classes together, at most, in a part that is held out
SPLIT_SEED = 20191908


def held_out_of_class(images: int, classes: int) -> int:
    """How many images of a class that has `images` of them are held out for one of the parts.

    >>> held_out_of_class(6000, 10), held_out_of_class(285, 7), held_out_of_class(1300, 1000)
    (500, 28, 5)
    """
    return max(1, min(images // HELD_OUT_SHARE, HELD_OUT // classes))


def split_by_position(labels: np.ndarray, parts: int = 2) -> list[np.ndarray]:
    """Ascending indices of train and of `parts` held-out parts, of images whose order never
    changes.

    RandomState's stream is frozen by numpy's compatibility policy; Generator's is not.
    """
    rng, members = np.random.RandomState(SPLIT_SEED), np.unique(labels)
    pieces: list[list[np.ndarray]] = [[] for _ in range(parts + 1)]
    for label in members:
        order = rng.permutation(np.flatnonzero(labels == label))
        share = held_out_of_class(len(order), len(members))
        *held_out, train = np.split(order, share * np.arange(1, parts + 1))
        for piece, indices in zip(pieces, (train, *held_out)):
            piece.append(indices)
    return [_joined(piece) for piece in pieces]


def mixed(indices: np.ndarray) -> np.ndarray:
    """The same in an order that means nothing, and is always the same.

    Images that lie by class would be seen by class, and batch norms would be recalibrated with
    batches of a single class each.
    """
    return np.random.RandomState(SPLIT_SEED).permutation(indices)


def split_by_content(
    labels: np.ndarray, digests: np.ndarray, parts: np.ndarray, classes: Sequence[str]
) -> dict[str, np.ndarray]:
    """Indices of each split, of images in any order and under any names.

    The order of their `digests` (N, 16) decides, so that the same images are split alike
    everywhere, and an image that is added or removed moves hardly any other. Copies of an image
    stay together. `parts` (N,) says what the images' folder is: "train", "val" or "test", or "all"
    where no part is separate; what is missing is cut out of train. Each split is in that order,
    too, in which classes are mixed (see `mixed`). Raises DataError for a class with too few images.
    """
    pieces: dict[str, list[np.ndarray]] = {name: [] for name in SPLITS}
    present = {part for part in (*SPLITS, "all") if (parts == part).any()}
    cut = [name for name in SPLITS[1:] if name.removesuffix("-search") not in present]
    for c, name in enumerate(classes):
        members = {
            part: _by_content(np.flatnonzero((labels == c) & (parts == part)), digests)
            for part in present
        }
        rows, numbers = members["all" if "all" in present else "train"]
        different = int(numbers.max(initial=-1)) + 1
        if different <= len(cut):
            raise DataError(
                f"class {name!r} has {different} different images to train with; at least"
                f" {len(cut) + 1} are wanted: one for each of train, {', '.join(cut)}"
                if cut
                else f"class {name!r} has no images to train with that can be read"
            )
        share = held_out_of_class(different, len(classes))
        for i, split in enumerate(cut):
            pieces[split].append(rows[numbers // share == i])
        pieces["train"].append(rows[numbers >= len(cut) * share])
        if "val" in present:
            rows, numbers = members["val"]
            if numbers.max(initial=-1) < 1:
                raise DataError(
                    f"class {name!r} has {numbers.max(initial=-1) + 1} different images in val; at"
                    " least 2 are wanted, because search sees one half and the other half judges"
                )
            pieces["val-search"].append(rows[numbers % 2 == 0])
            pieces["val"].append(rows[numbers % 2 == 1])
        if "test" in present:
            pieces["test"].append(members["test"][0])
    return {name: _by_content(_joined(piece), digests)[0] for name, piece in pieces.items()}


def _by_content(rows: np.ndarray, digests: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The images `rows` in the order of their content, and the content's number for each."""
    keys = sortable(digests[rows])
    order = np.lexsort(keys.T[::-1])
    changes = (keys[order][1:] != keys[order][:-1]).any(1)
    return rows[order], np.concatenate([[0], changes.cumsum()])[: len(rows)]


def sortable(digests: np.ndarray) -> np.ndarray:
    """Digests (N, 16) of bytes as numbers (N, 2), which are ordered as the bytes are."""
    return np.ascontiguousarray(digests).view(">u8").astype(np.uint64)


def _joined(pieces: Sequence[np.ndarray]) -> np.ndarray:
    return np.sort(np.concatenate(pieces)) if pieces else np.empty(0, int)
