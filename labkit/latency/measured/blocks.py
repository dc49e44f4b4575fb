"""The blocks of which a latency table of a space consists, each timed once however often it occurs.

A subnet runs a stem, its elastic blocks and a head, one after another. All of them are called
blocks here. Blocks that compute the same (equal widths, stride, kernel size, expand ratio and
feature map) share one timing, within a stage and across global choices. Latency files list them by
their keys in the field `pieces`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from labkit.space import BlockShape, SearchSpace, network
from labkit.space.network import block_sides, final_side
from labkit.space.operators import Operator
from labkit.tables.costs import AdditiveTable


class TimedBlock(NamedTuple):
    """A stem (of a resolution), a head (of a final map), or a block on a map of `side` pixels.

    >>> from labkit.space.presets import FMNIST
    >>> list(timed_blocks(FMNIST))[:3]
    ['stem-12px-x0.25', 'head-2px-x0.25', 'block-4to8-s2-12px-k3-e2-relu']
    """

    kind: str  # 'stem', 'head' or 'block'
    side: int
    shape: BlockShape | None = None
    kernel: int = 0
    expand: int = 0
    width: float = 1.0  # of a stem or a head: a block's shape says it

    @property
    def key(self) -> str:
        """The block's name, the same for all blocks that compute the same."""
        if self.kind != "block":
            width = "" if self.width == 1 else f"-x{self.width:g}"
            return f"{self.kind}-{self.side}px{width}"
        shape, act = self.shape, self.shape.act + ("-se" if self.shape.se else "")
        return (
            f"block-{shape.in_channels}to{shape.out_channels}-s{shape.stride}-{self.side}px"
            f"-k{self.kernel}-e{self.expand}-{act}"
        )

    def operators(self, space: SearchSpace) -> tuple[Operator, ...]:
        """What is timed; operators of an elastic block are called `block.expand` and so on."""
        if self.kind == "stem":
            return network.stem(space.at(self.width), self.side)
        if self.kind == "head":
            return network.head(space.at(self.width), self.side)
        return network.block(self.shape, self.kernel, self.expand, self.side)


def timed_blocks(space: SearchSpace) -> dict[str, TimedBlock]:
    """Every distinct block of `space` by its key."""
    blocks: dict[str, TimedBlock] = {}
    for resolution, width in space.global_choices:
        candidates = [
            TimedBlock("stem", resolution, width=width),
            TimedBlock("head", final_side(space, resolution), width=width),
        ]
        for shape, side in zip(space.at(width).blocks, block_sides(space, resolution)):
            stage = space.stages[shape.stage]
            candidates += [
                TimedBlock("block", side, shape, kernel, expand)
                for kernel in stage.kernels
                for expand in stage.expands
            ]
        for block in candidates:
            blocks.setdefault(block.key, block)
    return blocks


def part_with_times(space: SearchSpace, times_ms: Container[str]) -> SearchSpace:
    """`space` at those of its resolutions of which `times_ms` has a block that no other has.

    Where that is none, it is `space`.
    """
    keys = {r: timed_blocks(replace(space, resolutions=(r,))).keys() for r in space.resolutions}
    counts = Counter(key for each in keys.values() for key in each)
    part = [r for r in keys if any(counts[key] == 1 and key in times_ms for key in keys[r])]
    return replace(space, resolutions=tuple(part) or space.resolutions)


def table_from_times(space: SearchSpace, times_ms: Mapping[str, float]) -> AdditiveTable:
    """The table whose blocks take `times_ms`, by key; KeyError for a block without a time."""

    def base_ms(resolution: int, width: float) -> float:
        stem = TimedBlock("stem", resolution, width=width)
        head = TimedBlock("head", final_side(space, resolution), width=width)
        return times_ms[stem.key] + times_ms[head.key]

    def block_ms(shape: BlockShape, kernel: int, expand: int, side: int) -> float:
        return times_ms[TimedBlock("block", side, shape, kernel, expand).key]

    return AdditiveTable.build(space, base_ms, block_ms)


def block_counts(space: SearchSpace, genes: np.ndarray) -> np.ndarray:
    """(N,) number of elastic blocks of each arch."""
    depths = genes[:, space.depth_columns]
    return sum(np.array(stage.depths)[depths[:, s]] for s, stage in enumerate(space.stages))
