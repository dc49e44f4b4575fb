"""One architecture as a value, and as JSON."""

from __future__ import annotations

import json
import numbers
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Block(NamedTuple):
    """An inverted residual block as the search sees it."""

    kernel: int
    expand: int


@dataclass(frozen=True)
class Arch:
    """One subnet: an input resolution in pixels, its blocks stage by stage, and a width multiplier.

    >>> print(Arch(28, ((Block(3, 2),), (Block(5, 4), Block(3, 3)))))
    28px k3e2 | k5e4 k3e3
    >>> print(Arch(24, ((Block(3, 3),),), width=0.5))
    24px x0.5 k3e3
    """

    resolution: int
    stages: tuple[tuple[Block, ...], ...]
    width: float = 1.0  # times the space's nominal channel numbers

    @property
    def depths(self) -> tuple[int, ...]:
        return tuple(len(blocks) for blocks in self.stages)

    def to_json(self) -> dict:
        """A width only where it is not 1."""
        stages = [[list(block) for block in blocks] for blocks in self.stages]
        width = {} if self.width == 1 else {"width": self.width}
        return {"resolution": self.resolution, **width, "stages": stages}

    @classmethod
    def from_json(cls, value: Mapping | str) -> Arch:
        """Read `{"resolution": r, "stages": [[[kernel, expand], ...], ...]}` (or its JSON text).

        It may have a `"width"`, which is otherwise 1.
        Raises ValueError when the structure is another one. Whether the choices exist in a space
        is for `SearchSpace.validate` to say.
        """
        if isinstance(value, str):
            try:
                value = json.loads(value)
            except (json.JSONDecodeError, RecursionError) as error:
                raise ValueError(f"arch is not valid JSON: {error}") from None
        try:
            stages = tuple(
                tuple(Block(_as_int(k), _as_int(e)) for k, e in blocks)
                for blocks in value["stages"]
            )
            return cls(_as_int(value["resolution"]), stages, _as_float(value.get("width", 1.0)))
        except (KeyError, TypeError, ValueError, OverflowError) as error:
            raise ValueError(
                'an arch looks like {"resolution": 28, "stages": [[[kernel, expand], ...],'
                f" ...]}}; got {str(value)[:120]!r} ({type(error).__name__}: {error})"
            ) from None

    @classmethod
    def parse(cls, text: str) -> Arch:
        """Read what `str` of an arch gives; raises ValueError for another text.

        >>> Arch.parse("28px x0.5 k3e2 | k5e4 k3e3").depths
        (1, 2)
        """
        head = re.fullmatch(r"(\d+)px( x([\d.e-]+))?( .*)?", text)
        stages = head and [stage.split() for stage in (head[4] or "").split("|")]
        blocks = stages and [[re.fullmatch(r"k(\d+)e(\d+)", b) for b in stage] for stage in stages]
        if not blocks or not all(map(all, blocks)):
            raise ValueError(f"an arch is written like '28px k3e2 | k5e4 k3e3', got {text[:120]!r}")
        pairs = [[[int(block[1]), int(block[2])] for block in stage] for stage in blocks]
        return cls.from_json(
            {"resolution": int(head[1]), "stages": pairs, "width": float(head[3] or 1)}
        )

    def __str__(self) -> str:
        stages = " | ".join(" ".join(f"k{k}e{e}" for k, e in blocks) for blocks in self.stages)
        short = f"{self.width:g}"  # 2 for 2.0, but all digits that tell it from another
        digits = short if float(short) == self.width else repr(self.width)
        width = "" if self.width == 1 else f"x{digits} "
        return f"{self.resolution}px {width}{stages}"


def _as_int(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"expected an integer, got {value!r}")
    return int(value)


def _as_float(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"expected a number, got {value!r}")
    return float(value)
