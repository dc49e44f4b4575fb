"""What a subnet costs: MACs, parameters, activation memory, and any cost measured block by block.

Two small classes hold every cost. Both are tables over (global choice, block, kernel, expand): an
`AdditiveTable` adds its entries up over the blocks of an arch (MACs, parameters, latency), a
`MaxTable` takes the largest (memory that operators use one after another). Evaluating a population
is one matrix product, one gather and one reduction, whatever the table holds.

Units: one multiply-add is one MAC, and only convolutions and linear layers count; memory in bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from labkit.space import BlockShape, SearchSpace, network
from labkit.space.operators import Operator, alive_values
from labkit.tables.separable import Separable

# resolution, width -> cost of stem and head
Base = Callable[[int, float], float]
# block, kernel, expand ratio, side of the map that enters it -> cost
Entry = Callable[[BlockShape, int, int, int], float]


@dataclass(frozen=True, eq=False)
class BlockTable(Separable):
    """`base` (R,) for what is always there, `blocks` (R, B, K, E) for each choice of each block.

    R are the space's global choices, in their order.
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
    def build(cls, space: SearchSpace, base: Base, entry: Entry) -> BlockTable:
        """Fill a table: `base` is what a global choice costs, `entry` what a block costs."""
        blocks = np.full(block_table_shape(space), np.nan)
        for index, choice in block_choices(space):
            blocks[index] = entry(*choice)
        bases = np.array([base(*choice) for choice in space.global_choices], dtype=float)
        return cls(space, bases, blocks)

    @classmethod
    def of_operators(
        cls, space: SearchSpace, cost: Callable[[Sequence[Operator]], float]
    ) -> BlockTable:
        """Fill a table from a function of the operators of the stem, of a block or of the head."""

        def base(resolution: int, width: float) -> float:
            scaled, side = space.at(width), network.final_side(space, resolution)
            return cls.combine(
                cost(network.stem(scaled, resolution)), cost(network.head(scaled, side))
            )

        costs: dict[tuple, float] = {}  # most blocks of a stage are alike

        def entry(shape: BlockShape, kernel: int, expand: int, side: int) -> float:
            work = (*shape[2:], kernel, expand, side)
            if work not in costs:
                costs[work] = cost(network.block(shape, kernel, expand, side))
            return costs[work]

        return cls.build(space, base, entry)

    def part(self, space: SearchSpace) -> BlockTable:
        """The table of `space`, which this one's space covers."""
        rows = self.rows_of(space)
        return type(self)(space, self.base[rows], self.blocks[rows])

    def stage_values(self, s: int) -> np.ndarray:
        """(R, C_s): the value of every configuration of stage `s`, in the order of its codes.

        Codes that no arch has hold NaN.
        """
        return self._by_stage[s]

    @cached_property
    def _by_stage(self) -> tuple[np.ndarray, ...]:
        return tuple(map(self._stage_values, range(len(self.space.stages))))

    def _stage_values(self, s: int) -> np.ndarray:
        configs, stage = self.space.stage_configs(s), self.space.stages[s]
        depth = np.array(stage.depths)[configs[:, 0]]
        total = self._neutral
        for i in range(stage.max_depth):
            kernel, expand = configs[:, 1 + 2 * i], configs[:, 2 + 2 * i]
            entries = self.blocks[:, self.space.first_block(s) + i, kernel, expand]  # (R, configs)
            total = self.combine(total, np.where(i < depth, entries, self._neutral))
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
        base, blocks = intercept + factor * self.base, factor * self.blocks + per_block
        return AdditiveTable(self.space, base, blocks)


class MaxTable(BlockTable):
    """Cost of an arch = the largest of base and its blocks. Call it on a (N, G) gene matrix."""

    combine = np.maximum
    _neutral = -np.inf


def block_choices(space: SearchSpace) -> Iterator[tuple[tuple[int, ...], tuple]]:
    """Every choice of every block: its place (r, b, k, e) in a table, and what it is.

    That is the block at the global choice's width, its kernel size and expand ratio, and the side
    of the map that enters it.
    """
    for r, (resolution, width) in enumerate(space.global_choices):
        sides = network.block_sides(space, resolution)
        for b, (shape, side) in enumerate(zip(space.at(width).blocks, sides)):
            stage = space.stages[shape.stage]
            for k, kernel in enumerate(stage.kernels):
                for e, expand in enumerate(stage.expands):
                    yield (r, b, k, e), (shape, kernel, expand, side)


def block_table_shape(space: SearchSpace) -> tuple[int, int, int, int]:
    return (
        len(space.global_choices),
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


def macs_table(space: SearchSpace) -> AdditiveTable:
    """Multiply-adds of the convolutions and linear layers.

    >>> from labkit.space import get_space
    >>> space = get_space("fmnist")
    >>> macs_table(space)(space.encode([space.smallest(), space.largest()]))
    array([   41496., 17929568.])
    """
    return AdditiveTable.of_operators(space, lambda operators: sum(o.macs for o in operators))


def params_table(space: SearchSpace) -> AdditiveTable:
    """Trainable parameters of the extracted subnet, batch norm's scale and offset included."""
    return AdditiveTable.of_operators(space, lambda operators: sum(o.params for o in operators))


def activation_table(space: SearchSpace, bytes_per_value: int = 4) -> MaxTable:
    """Peak activation memory in bytes, batch 1 (4 bytes a value for float32, 1 for int8).

    The rules are those of `labkit.space.operators.alive_values`.
    """
    return MaxTable.of_operators(
        space, lambda operators: bytes_per_value * max(alive_values(operators))
    )
