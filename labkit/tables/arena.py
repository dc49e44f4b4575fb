"""The memory arena of a subnet on a microcontroller: a maximum plus a sum over operators.

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

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from labkit.space import Arch, BlockShape, SearchSpace, network
from labkit.space.operators import Buffer, Operator, Schedule
from labkit.tables.costs import AdditiveTable, MaxTable
from labkit.tables.separable import MaxPlusSum

ALIGNMENT = 16  # bytes; every tensor starts at a multiple
# what the interpreter itself needs, with the model's input and constants that operators share
INTERPRETER = 820
OPERATOR = 64  # an operator's entry
TENSOR = 24  # a tensor's entry; weights and biases are tensors too
CHANNEL = 8  # multiplier and shift, 32 bits each
# a kernel's options and data
KERNEL_DATA = {"conv": 108, "hard_swish": 28, "mean": 72, "mul": 56, "add": 76}
# a convolution's output, weight and bias; the output of any other kernel
TENSORS = {"conv": 3, "hard_swish": 1, "mean": 1, "mul": 1, "add": 1}
KERNELS = {
    "dense": "conv",
    "pointwise": "conv",
    "depthwise": "conv",
    "linear": "conv",
    "pool": "mean",
    "scale": "mul",
    "add": "add",
}
# Activations that are operators of their own here: the hard sigmoid is ReLU6(x + 3) / 6, of which
# the convolution does the first part and a multiplication the second.
ACTIVATION_KERNELS = {"h_swish": "hard_swish", "h_sigmoid": "mul"}


class MicroOperator(NamedTuple):
    """One operator of the converted network: its kernel, and output channels of a convolution."""

    kernel: str
    channels: int = 0

    @property
    def persistent(self) -> int:
        """Bytes that stay allocated for it."""
        tensors = TENSOR * TENSORS[self.kernel]
        return OPERATOR + tensors + KERNEL_DATA[self.kernel] + CHANNEL * self.channels


class MicroGraph(NamedTuple):
    """The converted network: its operators, and the int8 tensors that they read and write."""

    operators: list[MicroOperator]
    schedule: Schedule


def micro_graph(operators: Sequence[Operator]) -> MicroGraph:
    """What the converter makes of `operators`."""
    schedule, converted = Schedule(_aligned(operators[0].inputs)), []
    outputs = [0]  # the tensor that each operator writes, the network's input first
    for operator in operators:
        size, kernel = _aligned(operator.outputs), KERNELS[operator.kind]
        sums = _aligned(4 * operator.out_channels) if kernel == "mean" else 0  # of 32 bits
        tensor = schedule.run([outputs[i] for i in operator.reads], size, scratch=sums)
        converted.append(MicroOperator(kernel, operator.filters))
        if operator.act in ACTIVATION_KERNELS:
            tensor = schedule.run([tensor], size)
            converted.append(MicroOperator(ACTIVATION_KERNELS[operator.act]))
        outputs.append(tensor)
    return MicroGraph(converted, schedule)


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def peak_bytes(operators: Sequence[Operator]) -> int:
    """Bytes of the tensors that are alive at once, where these are largest."""
    return max(micro_graph(operators).schedule.alive())


def persistent_bytes(operators: Sequence[Operator]) -> int:
    """Bytes that stay allocated for `operators`, without what the interpreter itself needs."""
    return sum(operator.persistent for operator in micro_graph(operators).operators)


def planned_peak(buffers: Sequence[Buffer]) -> int:
    """Bytes that TensorFlow Lite Micro's GreedyMemoryPlanner needs for `buffers`.

    Largest first, each goes to the first gap that holds it among those already placed and alive
    with it.
    """
    placed: list[tuple[int, Buffer]] = []  # offsets
    for buffer in sorted(buffers, key=lambda buffer: -buffer.size):  # stable, as the planner's is
        alive_with_it = sorted(
            (start, start + other.size)
            for start, other in placed
            if other.first <= buffer.last and buffer.first <= other.last
        )
        offset = 0
        for start, end in alive_with_it:
            if start - offset >= buffer.size:
                break
            offset = max(offset, end)
        placed.append((offset, buffer))
    return max(offset + buffer.size for offset, buffer in placed)


def planned_bytes(space: SearchSpace, arch: Arch) -> int:
    """Bytes of arena that the interpreter takes for one int8 subnet: planned and persistent.

    `arena_table` predicts the lifetimes' peak, which this is never below. Of random subnets it is
    1 % or more above the prediction in one of seven of `fmnist` (5 % at worst), in one of four of
    `ofa-proxyless-w1.3` (7 %).
    """
    graph = micro_graph(network.operators(space, arch))
    persistent = sum(operator.persistent for operator in graph.operators)
    return planned_peak(graph.schedule.buffers) + INTERPRETER + persistent


@dataclass(frozen=True, eq=False)
class PeakTable(MaxTable):
    """The largest of base, blocks, and `pairs` (R, B, E) of neighbors with equal expand ratios.

    The interpreter gives large tensors their places first. Around them, the input that a shortcut
    needs lies behind the block's two widest tensors. Its sum waits for the next shortcut: where the
    next block's widest tensors are as large, they leave it no place before the first waiting
    tensor, only one behind it.
    """

    pairs: np.ndarray

    def _stage_values(self, s: int) -> np.ndarray:
        values, configs = super()._stage_values(s), self.space.stage_configs(s)
        stage, codes = self.space.stages[s], self.space.valid_codes(s)
        depth = np.array(stage.depths)[configs[:, 0]]
        for i in range(stage.max_depth - 1):
            expand, next_expand = configs[:, 2 + 2 * i], configs[:, 4 + 2 * i]
            entries = self.pairs[:, self.space.first_block(s) + i, expand]  # (R, configs)
            is_pair = (depth > i + 1) & (expand == next_expand)
            values[:, codes] = np.maximum(values[:, codes], np.where(is_pair, entries, -np.inf))
        return values


class ArenaTable(MaxPlusSum):
    """The arena as exact search can take it: at most what the planner needs."""

    def planned(self, genes: np.ndarray) -> int:
        """`planned_bytes` of the arch of genes (G,)."""
        return planned_bytes(self.space, self.space.decode(genes[None])[0])


# One object for all microcontrollers: exact search sees that their limits are on one cost.
@lru_cache(maxsize=4)
def arena_table(space: SearchSpace) -> ArenaTable:
    """Bytes of arena of int8 subnets, batch 1: activations plus persistent buffers.

    The former are its `maximum`, the latter its `total`.
    """

    def pair(shape: BlockShape, kernel: int, expand: int, side: int) -> int:
        if not shape.has_shortcut:
            return 0
        operators = network.block(shape, kernel, expand, side)
        return peak_bytes(operators) + _aligned(operators[0].inputs)

    peak = MaxTable.of_operators(space, peak_bytes)
    pairs = MaxTable.build(space, lambda resolution, width: 0, pair).blocks[:, :, 0]
    total = AdditiveTable.of_operators(space, persistent_bytes)
    return ArenaTable(
        PeakTable(space, peak.base, peak.blocks, pairs),
        replace(total, base=total.base + INTERPRETER),
    )
