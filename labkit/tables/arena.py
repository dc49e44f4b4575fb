"""The memory arena of a subnet on a microcontroller: a maximum plus a sum over operators.

TensorFlow Lite Micro takes all memory from one arena. From one end grow the activations, whose
places are given back: what they need is at least the largest, over the operators, of the tensors
that are alive while it runs. From the other end grow persistent buffers, which stay: for every
operator its entry, its tensors' entries and its kernel's data, and for every output channel of a
convolution the multiplier and the shift that bring 32-bit sums back to 8 bits. Neither batch norms
nor ReLUs are operators: they are folded into convolutions.

`planned_bytes` is what the interpreter takes, to the byte, for any arch of any space: it places
tensors by the interpreter's own rule. Where that rule finds no place without a gap it takes more
than the largest operator does, which no table can say. `arena_table`, which exact search needs, is
therefore a lower bound.

The sizes below are those of the interpreter on a 64-bit machine, where it can be run and asked
(benchmarks/mcu_memory.py). On a 32-bit microcontroller pointers are half as long and the persistent
part of an operator is smaller, so the model errs on the safe side there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from labkit.space import Arch, BlockShape, SearchSpace, network
from labkit.space.operators import Buffer, Operator, Schedule
from labkit.tables.costs import AdditiveTable, MaxTable
from labkit.tables.separable import MaxPlusSum

Planner = Callable[[SearchSpace, Arch], int]
ALIGNMENT = 16  # bytes; every tensor and every persistent buffer starts at a multiple
# what the interpreter itself needs, with the model's input and output and its constants
INTERPRETER, ENTRIES, HANDLES = 736, 12, 8
TENSOR = 24  # a tensor's entry; weights and biases are tensors too
HANDLE = 8  # a pointer to scratch memory


class MicroKernel(NamedTuple):
    """What an operator needs beside the multipliers and shifts of its channels."""

    data: int  # bytes of its entry and of its prepared data, each rounded up
    options: int  # bytes
    tensors: int  # that are its own: its output, and of a convolution the weight and the bias


KERNELS = {
    "conv": MicroKernel(144, 28, 3),
    "hard_swish": MicroKernel(96, 0, 1),
    "mean": MicroKernel(112, 4, 1),
    "mul": MicroKernel(112, 4, 1),
    "add": MicroKernel(128, 8, 1),
}
MEAN_HANDLES = 3  # of its scratch memory
KERNEL_NAMES = {
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


class MicroGraph(NamedTuple):
    """The converted network: its operators, and the int8 tensors that they read and write."""

    operators: list[MicroOperator]
    schedule: Schedule


def micro_graph(operators: Sequence[Operator]) -> MicroGraph:
    """What the converter makes of `operators`."""
    schedule, converted = Schedule(_aligned(operators[0].inputs)), []
    outputs = [0]  # the tensor that each operator writes, the network's input first
    for operator in operators:
        size, kernel = _aligned(operator.outputs), KERNEL_NAMES[operator.kind]
        # a mean's 32-bit sums, the numbers of its dimensions and of its axes: MEAN_HANDLES buffers
        scratch = (_aligned(4 * operator.out_channels), 16, 16) if kernel == "mean" else ()
        tensor = schedule.run([outputs[i] for i in operator.reads], size, scratch)
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


class PersistentBytes(NamedTuple):
    """Memory that stays allocated for operators.

    The interpreter rounds each buffer of `kernels` up to a multiple of 16; entries and handles lie
    close together, and it rounds their ends.
    """

    kernels: int
    entries: int  # of tensors, and kernels' options
    handles: int


def persistent_bytes(operators: Sequence[Operator]) -> PersistentBytes:
    """What `operators` need, without the interpreter itself and constants that they share."""
    converted = micro_graph(operators).operators
    kernels = [KERNELS[operator.kernel] for operator in converted]
    return PersistentBytes(
        sum(kernel.data for kernel in kernels)
        + sum(2 * _aligned(4 * operator.channels) for operator in converted),
        sum(TENSOR * kernel.tensors + kernel.options for kernel in kernels),
        HANDLE * MEAN_HANDLES * sum(operator.kernel == "mean" for operator in converted),
    )


def shared_constants_bytes(space: SearchSpace) -> int:
    """Entries of constants that an arch has once: the 1/6 of hard sigmoids."""
    return TENSOR * any(stage.se for stage in space.stages)


def planned_peak(buffers: Sequence[Buffer]) -> int:
    """Bytes that TensorFlow Lite Micro's GreedyMemoryPlanner needs for `buffers`.

    Largest first, of equal ones the last first, each goes to the first gap that holds it among
    those already placed and alive with it.
    """
    placed: list[tuple[int, Buffer]] = []  # offsets
    for buffer in sorted(buffers[::-1], key=lambda buffer: -buffer.size):
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
    """Bytes of arena that the interpreter takes for one int8 subnet: planned and persistent."""
    operators = network.operators(space, arch)
    kernels, entries, handles = persistent_bytes(operators)
    entries += ENTRIES + shared_constants_bytes(space)
    persistent = INTERPRETER + kernels + _aligned(entries) + _aligned(HANDLES + handles)
    return planned_peak(micro_graph(operators).schedule.buffers) + persistent


@dataclass(frozen=True, eq=False)
class PeakTable(MaxTable):
    """The largest of base, blocks, and `pairs` (R, B, E) of neighbors with equal expand ratios.

    Two shortcuts in a row need more than either block alone. Large tensors get their places first,
    so that a block's widest, of which two at a time are alive, lie side by side from the beginning
    on. Behind them lies what the shortcut keeps, and in both blocks as far behind; but the second
    kept map is the first block's sum, made while the first is there.
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
    """An arena as exact search can take it: at most `excess` bytes more than its planner, `plan`,
    needs, and perhaps less than that.

    `by_kernel` says whether kernel sizes matter to the planner.
    """

    def __init__(
        self,
        maximum: MaxTable,
        total: AdditiveTable,
        plan: Planner,
        by_kernel: bool = False,
        excess: float = 0.0,
    ) -> None:
        super().__init__(maximum, total)
        self.plan, self.by_kernel, self.excess = plan, by_kernel, excess

    def planned(self, genes: np.ndarray) -> int:
        """Bytes that the planner needs for the arch of genes (G,)."""
        return self.plan(self.space, self.space.decode(genes[None])[0])


# One object for all microcontrollers: exact search sees that their limits are on one cost.
@lru_cache(maxsize=4)
def arena_table(space: SearchSpace) -> ArenaTable:
    """Bytes of arena of int8 subnets, batch 1, at least: activations plus persistent buffers.

    The former are its `maximum`, the latter its `total`, at most 20 bytes below what is needed.
    """

    def pair(shape: BlockShape, kernel: int, expand: int, side: int) -> int:
        operators = network.block(shape, kernel, expand, side)
        narrow, wide = _aligned(operators[0].inputs), _aligned(operators[0].outputs)
        sums = _aligned(4 * operators[0].out_channels) if shape.se else 0
        # only where the widest are the widest
        return 2 * (wide + narrow) if shape.has_shortcut and max(narrow, sums) < wide else 0

    peak = MaxTable.of_operators(space, peak_bytes)
    pairs = MaxTable.build(space, lambda resolution, width: 0, pair).blocks[:, :, 0]
    total = AdditiveTable.of_operators(space, lambda operators: sum(persistent_bytes(operators)))
    constant = INTERPRETER + ENTRIES + HANDLES + shared_constants_bytes(space)
    return ArenaTable(
        PeakTable(space, peak.base, peak.blocks, pairs),
        replace(total, base=total.base + constant),
        planned_bytes,
    )
