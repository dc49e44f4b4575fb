"""The memory arena of a subnet on a microcontroller, as a maximum over operators plus a sum over
operators.

TensorFlow Lite Micro takes all memory from one arena. From one end grow the activations, whose
places are given back: what they need is the largest, over the operators, of the tensors that are
alive while it runs. From the other end grow persistent buffers, which stay: for every operator its
entry, its tensors' entries and its kernel's data, and for every output channel of a convolution the
multiplier and the shift that bring 32-bit sums back to 8 bits. Neither batch norms nor ReLUs are
operators: they are folded into convolutions.

The planner that gives the activations their places may find none without a gap. It then takes more
than the largest operator does, which no table can say: `planned_bytes` does as it does, for one
arch.

The sizes below are those of the interpreter on a 64-bit machine, where it can be run and asked
(benchmarks/mcu_memory.py). On a 32-bit microcontroller pointers are half as long and the persistent
part of an operator is smaller, so the model errs on the safe side there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from typing import NamedTuple

import numpy as np

from labkit.space import Arch, BlockShape, SearchSpace, mid_channels, se_channels
from labkit.tables.costs import AdditiveTable, MaxTable, block_sides, final_side, out_side
from labkit.tables.separable import MaxPlusSum

ALIGNMENT = 16  # bytes; every tensor starts at a multiple
# what the interpreter itself keeps, with the model's input and constants that operators share
INTERPRETER = 820
OPERATOR = 64  # an operator's entry
TENSOR = 24  # a tensor's entry; weights and biases are tensors too
CHANNEL = 8  # multiplier and shift, 32 bits each
KERNEL_DATA = {
    "conv": 108,
    "hard_swish": 28,
    "mean": 72,
    "mul": 56,
    "add": 76,
}  # a kernel's options and data
OWN_TENSORS = {
    "conv": 3,
    "hard_swish": 1,
    "mean": 1,
    "mul": 1,
    "add": 1,
}  # a convolution's output, weight, bias


class Operator(NamedTuple):
    """One operator of the converted network: bytes alive while it runs, and what it keeps."""

    kind: str
    alive: int
    channels: int = 0  # output channels of a convolution or linear layer

    @property
    def persistent(self) -> int:
        return (
            OPERATOR
            + TENSOR * OWN_TENSORS[self.kind]
            + KERNEL_DATA[self.kind]
            + CHANNEL * self.channels
        )


def _alive(*values: int) -> int:
    """Bytes of int8 tensors of so many values each."""
    return sum(-(-n // ALIGNMENT) * ALIGNMENT for n in values)


def _convolution(
    source: int, channels: int, area: int, act: str | None, *kept: int
) -> Iterator[Operator]:
    """A convolution, and the hard swish behind it, which is an operator of its own and not done in
    place.
    """
    yield Operator("conv", _alive(source, channels * area, *kept), channels)
    if act == "h_swish":
        yield Operator("hard_swish", _alive(channels * area, channels * area, *kept))


def block_operators(
    shape: BlockShape, expand: int, side: int, act: str, se: bool
) -> Iterator[Operator]:
    """The operators of an inverted residual block on a map of `side` pixels; a shortcut's input is
    kept.
    """
    mid, area, out_area = (
        mid_channels(shape.in_channels, expand),
        side**2,
        out_side(side, shape.stride) ** 2,
    )
    source, wide, result = shape.in_channels * area, mid * out_area, shape.out_channels * out_area
    kept = (source,) if shape.has_shortcut else ()
    if expand > 1:
        conv, *swish = _convolution(source, mid, area, act)
        yield conv
        for operator in swish:
            yield operator._replace(alive=operator.alive + _alive(*kept))
        yield from _convolution(mid * area, mid, out_area, act, *kept)
    else:
        yield from _convolution(source, mid, out_area, act)
    if se:
        squeezed = se_channels(mid)
        yield Operator("mean", _alive(wide, mid, 4 * mid, *kept))  # with its 32-bit sums
        yield from _convolution(mid, squeezed, 1, None, wide, *kept)
        yield from _convolution(squeezed, mid, 1, None, wide, *kept)
        yield Operator(
            "mul", _alive(mid, mid, wide, *kept)
        )  # by 1/6: the hard sigmoid is ReLU6(x + 3) / 6
        yield Operator("mul", _alive(mid, wide, wide, *kept))
    yield from _convolution(wide, shape.out_channels, out_area, None, *kept)
    if shape.has_shortcut:
        yield Operator("add", _alive(source, result, result))


def base_operators(space: SearchSpace, resolution: int) -> Iterator[Operator]:
    """The operators that every subnet has: stem, fixed block, final convolution, pooling,
    classifier.
    """
    side = out_side(resolution, space.stem_stride)
    yield from _convolution(
        space.in_channels * resolution**2, space.stem_width, side**2, space.stem_act
    )
    if space.first_width:
        shape = BlockShape(-1, 0, space.stem_width, space.first_width, 1)
        yield from block_operators(shape, 1, side, space.first_act, False)
    width, area = space.stages[-1].width, final_side(space, resolution) ** 2
    if space.final_width:
        yield from _convolution(width * area, space.final_width, area, space.head_act)
        width = space.final_width
    yield Operator("mean", _alive(width * area, width, 4 * width))
    if space.feature_width:
        yield from _convolution(width, space.feature_width, 1, space.head_act)
        width = space.feature_width
    yield from _convolution(width, space.num_classes, 1, None)


def arch_operators(space: SearchSpace, arch: Arch) -> list[Operator]:
    """The operators of one subnet, those of the base first."""
    operators = list(base_operators(space, arch.resolution))
    for shape, side in zip(space.blocks, block_sides(space, arch.resolution)):
        if shape.index < len(arch.stages[shape.stage]):
            stage = space.stages[shape.stage]
            expand = arch.stages[shape.stage][shape.index].expand
            operators += block_operators(shape, expand, side, stage.act, stage.se)
    return operators


class Buffer(NamedTuple):
    """A tensor, or an operator's scratch memory: its bytes, and the first and last operator that
    needs it.
    """

    size: int
    first: int
    last: int


def arch_buffers(space: SearchSpace, arch: Arch) -> list[Buffer]:
    """What the planner has to place for one subnet: all tensors in the order of the graph, then
    scratch memory.

    Times count the operators of the converted network. They are in another order than those of
    `arch_operators`, where the base comes first.
    """
    sizes, first, last, scratch = [], [], [], []
    steps = count()

    def tensor(size: int, step: int) -> int:
        sizes.append(size)
        first.append(step)
        last.append(step)
        return len(sizes) - 1

    def operator(size: int, *inputs: int, sums: int = 0) -> int:
        step = next(steps)
        for i in inputs:
            last[i] = step
        if sums:
            scratch.append(Buffer(_alive(sums), step, step))
        return tensor(_alive(size), step)

    def convolution(x: int, channels: int, area: int, act: str | None) -> int:
        y = operator(channels * area, x)
        return operator(channels * area, y) if act == "h_swish" else y

    def block(x: int, shape: BlockShape, expand: int, side: int, act: str, se: bool) -> int:
        mid, area, source = (
            mid_channels(shape.in_channels, expand),
            out_side(side, shape.stride) ** 2,
            x,
        )
        if expand > 1:
            x = convolution(x, mid, side**2, act)
        x = convolution(x, mid, area, act)
        if se:
            gate = operator(mid, x, sums=4 * mid)
            gate = convolution(convolution(gate, se_channels(mid), 1, None), mid, 1, None)
            x = operator(mid * area, x, operator(mid, gate))
        x = convolution(x, shape.out_channels, area, None)
        return operator(shape.out_channels * area, source, x) if shape.has_shortcut else x

    side = out_side(arch.resolution, space.stem_stride)
    x = tensor(_alive(space.in_channels * arch.resolution**2), 0)
    x = convolution(x, space.stem_width, side**2, space.stem_act)
    if space.first_width:
        x = block(
            x,
            BlockShape(-1, 0, space.stem_width, space.first_width, 1),
            1,
            side,
            space.first_act,
            False,
        )
    for shape, side in zip(space.blocks, block_sides(space, arch.resolution)):
        if shape.index < len(arch.stages[shape.stage]):
            stage = space.stages[shape.stage]
            x = block(
                x, shape, arch.stages[shape.stage][shape.index].expand, side, stage.act, stage.se
            )
    width = space.stages[-1].width
    if space.final_width:
        width = space.final_width
        x = convolution(x, width, final_side(space, arch.resolution) ** 2, space.head_act)
    x = operator(width, x, sums=4 * width)
    if space.feature_width:
        x = convolution(x, space.feature_width, 1, space.head_act)
    convolution(x, space.num_classes, 1, None)
    return [*map(Buffer, sizes, first, last), *scratch]


def planned_peak(buffers: Sequence[Buffer]) -> int:
    """Bytes that TensorFlow Lite Micro's GreedyMemoryPlanner needs for `buffers`.

    Largest first, each goes to the first gap that holds it among those already placed and alive
    with it.
    """
    placed: list[tuple[int, int, Buffer]] = []  # offset, end
    for new in sorted(buffers, key=lambda buffer: -buffer.size):  # stable, as the planner's sort is
        offset = 0
        for low, high in sorted(
            (low, high)
            for low, high, old in placed
            if old.first <= new.last and new.first <= old.last
        ):
            if low - offset >= new.size:
                break
            offset = max(offset, high)
        placed.append((offset, offset + new.size, new))
    return max(high for _, high, _ in placed)


def planned_bytes(space: SearchSpace, arch: Arch) -> int:
    """Bytes of arena that the interpreter takes for one int8 subnet: what the planner needs, and
    what operators keep.

    `arena_table` predicts the lifetimes' peak, which this is never below. Of random subnets it is 1
    % or more above the prediction in one of seven of `fmnist` (5 % at worst), in one of four of
    `ofa-proxyless-w1.3` (7 %).
    """
    kept = sum(operator.persistent for operator in arch_operators(space, arch))
    return planned_peak(arch_buffers(space, arch)) + INTERPRETER + kept


@dataclass(frozen=True, eq=False)
class PeakTable(MaxTable):
    """The largest of base, blocks, and pairs of neighbors with the same expand ratio: `pairs` (R,
    B, E).

    The interpreter gives large tensors their places first. Around them, the input that a shortcut
    keeps lies behind the block's two widest tensors. Its sum is kept for the next shortcut: where
    the next block's widest tensors are as large, they leave it no place before the first kept
    tensor, only one behind it.
    """

    pairs: np.ndarray

    def _stage_values(self, s: int) -> np.ndarray:
        values, configs = super()._stage_values(s), self.space.stage_configs(s)
        first = next(b for b, shape in enumerate(self.space.blocks) if shape.stage == s)
        depth, codes = (
            np.array(self.space.stages[s].depths)[configs[:, 0]],
            self.space.valid_codes(s),
        )
        for i in range(self.space.stages[s].max_depth - 1):
            same = (depth > i + 1) & (configs[:, 2 + 2 * i] == configs[:, 4 + 2 * i])
            pair = np.where(
                same, self.pairs[:, first + i, configs[:, 2 + 2 * i]], -np.inf
            )  # (R, configs)
            values[:, codes] = np.maximum(values[:, codes], pair)
        return values


class ArenaTable(MaxPlusSum):
    """The arena as exact search can take it. What it predicts may be less than what the planner
    needs.
    """

    def planned(self, genes: np.ndarray) -> int:
        """`planned_bytes` of the arch of genes (G,)."""
        return planned_bytes(self.space, self.space.decode(genes[None])[0])


@lru_cache(
    maxsize=4
)  # one object for all microcontrollers: exact search sees that their limits are on one cost
def arena_table(space: SearchSpace) -> ArenaTable:
    """Bytes of arena of int8 subnets, batch 1: activations (`maximum`) plus persistent buffers
    (`total`).
    """

    def operators(shape: BlockShape, expand: int, side: int) -> list[Operator]:
        stage = space.stages[shape.stage]
        return list(block_operators(shape, expand, side, stage.act, stage.se))

    def largest(shape: BlockShape, kernel: int, expand: int, side: int) -> int:
        return max(operator.alive for operator in operators(shape, expand, side))

    def pair(shape: BlockShape, kernel: int, expand: int, side: int) -> float:
        kept = _alive(shape.in_channels * side**2)
        return largest(shape, kernel, expand, side) + kept if shape.has_shortcut else 0

    def base(resolution: int) -> int:
        return max(operator.alive for operator in base_operators(space, resolution))

    def persistent(shape: BlockShape, kernel: int, expand: int, side: int) -> int:
        return sum(operator.persistent for operator in operators(shape, expand, side))

    peak, pairs = MaxTable.build(space, base, largest), MaxTable.build(space, base, pair)
    return ArenaTable(
        PeakTable(space, peak.base, peak.blocks, pairs.blocks[:, :, 0]),
        AdditiveTable.build(
            space,
            lambda resolution: (
                INTERPRETER
                + sum(operator.persistent for operator in base_operators(space, resolution))
            ),
            persistent,
        ),
    )
