"""The pieces that a latency table of a space is made of, each measured once however often it
occurs.

A subnet is a stem, its blocks and a head. Blocks that compute the same (same widths, stride,
kernel, expand ratio and map) share one piece, within a stage and across resolutions.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import NamedTuple

import numpy as np

from labkit.space import BlockShape, SearchSpace
from labkit.tables.costs import AdditiveTable, block_sides, final_side


class Piece(NamedTuple):
    """A stem (of a resolution), a head (of a final map), or a block on a map of `side` pixels."""

    kind: str  # 'stem', 'head' or 'block'
    side: int
    shape: BlockShape | None = None
    kernel: int = 0
    expand: int = 0
    act: str = ""
    se: bool = False

    @property
    def key(self) -> str:
        """Name of the piece, the same for all blocks that compute the same."""
        if self.kind != "block":
            return f"{self.kind}-{self.side}px"
        s = self.shape
        return (
            f"block-{s.in_channels}to{s.out_channels}-s{s.stride}-{self.side}px-k{self.kernel}-e{self.expand}"
            f"-{self.act}{'-se' if self.se else ''}"
        )


def block_piece(
    space: SearchSpace, shape: BlockShape, kernel: int, expand: int, side: int
) -> Piece:
    stage = space.stages[shape.stage]
    return Piece("block", side, shape, kernel, expand, stage.act, stage.se)


def pieces(space: SearchSpace) -> dict[str, Piece]:
    """Every distinct piece of `space` by its key."""
    found: dict[str, Piece] = {}
    for resolution in space.resolutions:
        todo = [Piece("stem", resolution), Piece("head", final_side(space, resolution))]
        for shape, side in zip(space.blocks, block_sides(space, resolution)):
            stage = space.stages[shape.stage]
            todo += [
                block_piece(space, shape, kernel, expand, side)
                for kernel in stage.kernels
                for expand in stage.expands
            ]
        for piece in todo:
            found.setdefault(piece.key, piece)
    return found


def table_of(space: SearchSpace, times_ms: Mapping[str, float]) -> AdditiveTable:
    """The table whose blocks take `times_ms`, by piece key. Raises KeyError for a piece without a
    time.
    """

    def base(resolution: int) -> float:
        return (
            times_ms[Piece("stem", resolution).key]
            + times_ms[Piece("head", final_side(space, resolution)).key]
        )

    return AdditiveTable.build(
        space,
        base,
        lambda shape, kernel, expand, side: times_ms[
            block_piece(space, shape, kernel, expand, side).key
        ],
    )


def block_counts(space: SearchSpace, genes: np.ndarray) -> np.ndarray:
    """(N,) number of blocks of each arch."""
    depths = genes[:, space.depth_columns]
    return sum(np.array(stage.depths)[depths[:, s]] for s, stage in enumerate(space.stages))


def space_digest(space: SearchSpace) -> str:
    """SHA-256 of what `space` is: a table made for another space, or an older version of it, is
    told apart.
    """
    return hashlib.sha256(json.dumps(asdict(space), sort_keys=True).encode()).hexdigest()
