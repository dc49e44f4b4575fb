"""A stage of a search space, and the blocks that it consists of."""

from __future__ import annotations

import numbers
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

ACTIVATIONS = ("relu", "relu6", "h_swish")
# Of channels, classes and pixels; of blocks, kernel sizes and expand ratios. Beyond any network,
# and small enough that nothing counted from them overflows.
LARGEST, LARGEST_CHOICE = 10**6, 100


@dataclass(frozen=True)
class Stage:
    """A run of blocks with one output width; the first of them has the stage's stride.

    A stage of depth d runs its first d blocks, as in OFA. Raises ValueError for choices that no
    network can have.

    >>> Stage(width=16, stride=2, depths=(1, 2)).block_choices  # 3 kernel sizes, 3 expand ratios
    9
    """

    width: int
    stride: int
    depths: tuple[int, ...]
    kernels: tuple[int, ...] = (3, 5, 7)
    expands: tuple[int, ...] = (3, 4, 6)
    act: str = "h_swish"
    se: bool = False

    def __post_init__(self) -> None:
        for field in ("depths", "kernels", "expands"):
            values = tuple(getattr(self, field))
            object.__setattr__(self, field, values)  # lists will do, but a space is a key of caches
            if not all(map(is_whole, values)):
                raise ValueError(f"stage {field} must be whole numbers, got {values}")
            if not is_ascending(values, most=LARGEST_CHOICE):
                raise ValueError(
                    f"stage {field} must be ascending, from 1 to {LARGEST_CHOICE}, got {values}"
                )
        if self.expands[0] == 1 and len(self.expands) > 1:
            raise ValueError(
                "expand ratio 1 means no expansion, which shares no weights with"
                f" {self.expands[1:]}"
            )
        if any(k % 2 == 0 for k in self.kernels):
            raise ValueError(f"kernel sizes must be odd, got {self.kernels}")
        check_activation("act", self.act)
        if not is_positive(self.width) or not is_positive(self.stride) or self.stride > 2:
            raise ValueError(
                f"stage width {self.width} and stride {self.stride}: want 1 to {LARGEST:,} and 1 or"
                " 2"
            )
        store_as(self, int, "width", "stride", "depths", "kernels", "expands")

    @property
    def max_depth(self) -> int:
        return self.depths[-1]

    @property
    def block_choices(self) -> int:
        """Number of choices for one block."""
        return len(self.kernels) * len(self.expands)


def store_as(value: object, kind: type, *fields: str) -> None:
    """Make the numbers in fields of a frozen dataclass of one kind: JSON has none of numpy's, and a
    space with 1 for 1.0 would be the same one with another digest.
    """
    for field in fields:
        numbers = getattr(value, field)
        if numbers is not None:
            plain = tuple(map(kind, numbers)) if isinstance(numbers, tuple) else kind(numbers)
            object.__setattr__(value, field, plain)


def is_whole(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_positive(value: object) -> bool:
    """Whether it is a whole number of at least 1, and not absurd."""
    return is_whole(value) and 1 <= value <= LARGEST


def is_ascending(values: Sequence[float], least: float = 1, most: float = LARGEST) -> bool:
    """Whether there are values, all different, from `least` on upwards and to `most`."""
    ascending = bool(values) and list(values) == sorted(set(values))
    return ascending and values[0] >= least and values[-1] <= most


def check_activation(field: str, name: str) -> None:
    if name not in ACTIVATIONS:
        raise ValueError(f"{field}: unknown activation {name!r}, known: {', '.join(ACTIVATIONS)}")


class BlockShape(NamedTuple):
    """What of a block does not depend on its own kernel size and expand ratio."""

    stage: int
    index: int  # position inside the stage
    in_channels: int
    out_channels: int
    stride: int
    act: str
    se: bool = False
    divisor: int = 8  # of the channels between its convolutions

    @property
    def name(self) -> str:
        """Its name among the blocks of a supernet or subnet."""
        return block_name(self.stage, self.index)

    @property
    def has_shortcut(self) -> bool:
        return self.stride == 1 and self.in_channels == self.out_channels


def block_name(stage: int, index: int) -> str:
    """Name of a block among the modules of a supernet or subnet."""
    return f"stage{stage}_block{index}"
