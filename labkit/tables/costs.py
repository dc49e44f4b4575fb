"""What a subnet costs: MACs, parameters, activation memory, and any cost measured block by block.

Two small classes hold every cost. Both are tables over (resolution, block, kernel, expand): an
`AdditiveTable` adds its entries up over the blocks of an arch (MACs, parameters, latency), a
`MaxTable` takes the largest (memory that operators use one after another). Evaluating a population
is one matrix product, one gather and one reduction, whatever the table holds.

Units: one multiply-add is one MAC, and only convolutions and linear layers count; memory in bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from labkit.space import BlockShape, SearchSpace, mid_channels, se_channels
from labkit.tables.separable import Separable

Entry = Callable[
    [BlockShape, int, int, int], float
]  # block, kernel, expand, its input's side -> cost


@dataclass(frozen=True, eq=False)
class BlockTable(Separable):
    """`base` (R,) for what is always there, `blocks` (R, B, K, E) for each choice of each block.

    Where stages differ in their number of choices, the surplus entries are NaN and never read.
    """

    space: SearchSpace
    base: np.ndarray
    blocks: np.ndarray

    def __post_init__(self) -> None:
        shape = block_table_shape(self.space)
        if self.base.shape != shape[:1] or self.blocks.shape != shape:
            raise ValueError(
                f"a table for {self.space.name!r} has base {shape[:1]} and blocks {shape}; "
                f"got {self.base.shape} and {self.blocks.shape}"
            )
        used = self.blocks[block_table_mask(self.space)]
        if not (np.isfinite(used).all() and np.isfinite(self.base).all()):
            raise ValueError(
                f"table for {self.space.name!r} has entries that are missing or not finite"
            )

    @classmethod
    def build(cls, space: SearchSpace, base: Callable[[int], float], entry: Entry) -> BlockTable:
        """Fill a table from functions of (resolution) and (block, kernel, expand, input side)."""
        blocks = np.full(block_table_shape(space), np.nan)
        for r, resolution in enumerate(space.resolutions):
            for b, (shape, side) in enumerate(zip(space.blocks, block_sides(space, resolution))):
                stage = space.stages[shape.stage]
                for k, kernel in enumerate(stage.kernels):
                    for e, expand in enumerate(stage.expands):
                        blocks[r, b, k, e] = entry(shape, kernel, expand, side)
        return cls(space, np.array([base(r) for r in space.resolutions], dtype=float), blocks)

    def stage_values(self, s: int) -> np.ndarray:
        """(R, C_s): this table's value for every configuration of stage `s`, in the order of its
        codes.

        Codes that no arch has hold NaN.
        """
        return self._by_stage[s]

    @cached_property
    def _by_stage(self) -> tuple[np.ndarray, ...]:
        return tuple(map(self._stage_values, range(len(self.space.stages))))

    def _stage_values(self, s: int) -> np.ndarray:
        configs, stage = self.space.stage_configs(s), self.space.stages[s]
        first = next(b for b, shape in enumerate(self.space.blocks) if shape.stage == s)
        depth = np.array(stage.depths)[configs[:, 0]]
        total = None
        for i in range(stage.max_depth):
            kernel, expand = configs[:, 1 + 2 * i], configs[:, 2 + 2 * i]
            values = np.where(
                i < depth, self.blocks[:, first + i, kernel, expand], self._neutral
            )  # (R, configs)
            total = values if total is None else self.combine(total, values)
        out = np.full((len(self.base), self.space.stage_sizes[s]), np.nan)
        out[:, self.space.valid_codes(s)] = total
        return out


class AdditiveTable(BlockTable):
    """Cost of an arch = base + the sum over its blocks. Call it on a (N, G) gene matrix."""

    combine = np.add
    _neutral = 0.0

    def scaled(
        self, factor: float, intercept: float = 0.0, per_block: float = 0.0
    ) -> AdditiveTable:
        """The table of intercept + factor * cost + per_block * (number of blocks)."""
        return AdditiveTable(
            self.space, intercept + factor * self.base, factor * self.blocks + per_block
        )


class MaxTable(BlockTable):
    """Cost of an arch = the largest of base and its blocks. Call it on a (N, G) gene matrix."""

    combine = np.maximum
    _neutral = -np.inf


def block_table_shape(space: SearchSpace) -> tuple[int, int, int, int]:
    return (
        len(space.resolutions),
        len(space.blocks),
        max(len(s.kernels) for s in space.stages),
        max(len(s.expands) for s in space.stages),
    )


def block_table_mask(space: SearchSpace) -> np.ndarray:
    """(R, B, K, E) bool: the entries that a table of `space` uses."""
    mask = np.zeros(block_table_shape(space), dtype=bool)
    for b, shape in enumerate(space.blocks):
        stage = space.stages[shape.stage]
        mask[:, b, : len(stage.kernels), : len(stage.expands)] = True
    return mask


def block_sides(space: SearchSpace, resolution: int) -> list[int]:
    """Side of the feature map that enters each block."""
    sides, side = [], out_side(resolution, space.stem_stride)
    for shape in space.blocks:
        sides.append(side)
        side = out_side(side, shape.stride)
    return sides


def out_side(side: int, stride: int) -> int:
    """Side after a convolution with padding k // 2 (odd kernels)."""
    return -(-side // stride)


def final_side(space: SearchSpace, resolution: int) -> int:
    return out_side(block_sides(space, resolution)[-1], space.blocks[-1].stride)


# ---- MACs and parameters, in closed form -----------------------------------------------------------


def block_macs(shape: BlockShape, kernel: int, expand: int, side: int, se: bool) -> int:
    middle, out = mid_channels(shape.in_channels, expand), out_side(side, shape.stride)
    expansion = shape.in_channels * middle * side**2 if expand > 1 else 0
    excite = 2 * middle * se_channels(middle) if se else 0
    return expansion + middle * (kernel * out) ** 2 + excite + middle * shape.out_channels * out**2


def block_params(shape: BlockShape, kernel: int, expand: int, se: bool) -> int:
    middle = mid_channels(shape.in_channels, expand)
    expansion = (
        shape.in_channels * middle + 2 * middle if expand > 1 else 0
    )  # weights, then batch norm
    excite = 2 * middle * se_channels(middle) + middle + se_channels(middle) if se else 0
    return (
        expansion
        + middle * kernel**2
        + 2 * middle
        + excite
        + middle * shape.out_channels
        + 2 * shape.out_channels
    )


def macs_table(space: SearchSpace) -> AdditiveTable:
    """Multiply-adds of the convolutions and linear layers."""

    def base(resolution: int) -> int:
        side, last = out_side(resolution, space.stem_stride), final_side(space, resolution)
        total = space.in_channels * 9 * space.stem_width * side**2
        if space.first_width:
            total += block_macs(
                BlockShape(-1, 0, space.stem_width, space.first_width, 1), 3, 1, side, False
            )
        width = space.stages[-1].width
        if space.final_width:
            total += width * space.final_width * last**2
            width = space.final_width
        if space.feature_width:
            total += width * space.feature_width
            width = space.feature_width
        return total + width * space.num_classes

    return AdditiveTable.build(
        space,
        base,
        lambda shape, kernel, expand, side: block_macs(
            shape, kernel, expand, side, space.stages[shape.stage].se
        ),
    )


def params_table(space: SearchSpace) -> AdditiveTable:
    """Trainable parameters of the extracted subnet, batch norm's scale and offset included."""
    total = space.in_channels * 9 * space.stem_width + 2 * space.stem_width
    if space.first_width:
        total += block_params(
            BlockShape(-1, 0, space.stem_width, space.first_width, 1), 3, 1, False
        )
    width = space.stages[-1].width
    if space.final_width:
        total += width * space.final_width + 2 * space.final_width
        width = space.final_width
    if space.feature_width:
        total += width * space.feature_width
        width = space.feature_width
    total += width * space.num_classes + space.num_classes
    return AdditiveTable.build(
        space,
        lambda _: total,
        lambda shape, kernel, expand, _: block_params(
            shape, kernel, expand, space.stages[shape.stage].se
        ),
    )


# ---- activation memory -----------------------------------------------------------------------------


def block_memory(shape: BlockShape, expand: int, side: int, se: bool) -> int:
    """Largest number of activation values alive at once inside a block.

    Operators run one after another, each with its input and output in memory; a shortcut keeps the
    block's input until it is added. Activations and batch norm work in place (they are folded), the
    scale of a squeeze-excite is applied in place, and the addition writes over the projection.
    """
    middle, out = mid_channels(shape.in_channels, expand), out_side(side, shape.stride)
    source = shape.in_channels * side**2
    kept = source if shape.has_shortcut else 0
    wide_in, wide_out, result = middle * side**2, middle * out**2, shape.out_channels * out**2
    steps = []
    if expand > 1:
        steps.append(source + wide_in)
        steps.append(kept + wide_in + wide_out)
    else:
        steps.append(source + wide_out)
    if se:
        steps.append(kept + wide_out + middle + se_channels(middle))
    steps.append(kept + wide_out + result)
    return max(steps)


def activation_table(space: SearchSpace, bytes_per_value: int = 4) -> MaxTable:
    """Peak activation memory in bytes, batch 1 (4 bytes a value for float32, 1 for int8)."""

    def base(resolution: int) -> int:
        side, last = out_side(resolution, space.stem_stride), final_side(space, resolution)
        stem = space.stem_width * side**2
        steps = [space.in_channels * resolution**2 + stem]
        if space.first_width:
            steps.append(
                block_memory(
                    BlockShape(-1, 0, space.stem_width, space.first_width, 1), 1, side, False
                )
            )
        width, area = space.stages[-1].width, last**2
        if space.final_width:
            steps.append((width + space.final_width) * area)
            width = space.final_width
        steps.append(width * area + width)  # pooling
        if space.feature_width:
            steps.append(width + space.feature_width)
            width = space.feature_width
        steps.append(width + space.num_classes)
        return bytes_per_value * max(steps)

    return MaxTable.build(
        space,
        base,
        lambda shape, kernel, expand, side: (
            bytes_per_value * block_memory(shape, expand, side, space.stages[shape.stage].se)
        ),
    )
