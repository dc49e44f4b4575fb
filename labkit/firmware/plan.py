"""Where in the arena every tensor of a network lies, decided before it runs.

Two tensors that are alive at the same time lie apart, with one exception: a layer may write over an
input that nothing reads later, as far as it has read it already. A depthwise convolution takes a
channel out of the map before it writes the channel back; gates go channel by channel, too, and
additions value by value; a pointwise convolution reads two pixels, then writes them. So an expanded
map lies around the map it is made from, and what follows it lies in it.

>>> from labkit.space.operators import convolution
>>> narrow, wide = convolution(8, 16, 1, side=10), convolution(16, 8, 3, side=10)
>>> arena_plan([narrow]).arena_bytes, arena_plan([narrow, wide]).arena_bytes
(1632, 3120)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import NamedTuple

import numpy as np

from labkit.space.operators import Operator

ALIGNMENT = 4  # bytes; kernels read and write words
COMPILED = list(product((3, 5, 7), (1, 2)))  # kernels and strides with a function for them alone
ORDERS = 300  # orders of placing that are tried where the first is not the best possible


class Place(NamedTuple):
    """Memory of `size` bytes, and the first and the last step that needs it."""

    size: int
    first: int
    last: int


@dataclass(frozen=True)
class ArenaPlan:
    """Offsets in bytes: of the input and every operator's output, and of every scratch memory."""

    arena_bytes: int
    tensors: tuple[int, ...]
    scratch: tuple[int | None, ...]  # None for an operator that needs none


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def is_planar(operator: Operator) -> bool:
    """Whether the engine convolves it channel by channel: every filter sees one channel only."""
    return operator.kind == "depthwise" or (operator.kind == "dense" and operator.in_channels == 1)


def patch_values(operator: Operator) -> int:
    """Input values that a filter of a dense convolution sees, a multiple of 4."""
    return _aligned(operator.weights // operator.out_channels)


def is_direct(operator: Operator) -> bool:
    """Whether filters see one pixel of the map as it lies there."""
    return (
        operator.weights > 0
        and (operator.kernel, operator.stride) == (1, 1)
        and patch_values(operator) == operator.in_channels
    )


def scratch_bytes(operator: Operator) -> int:
    """Bytes that the engine's kernel needs while it runs, as engine/net_kernels.c uses them."""
    if not operator.weight_shape:
        return 0
    kernel, stride, out_side = operator.kernel, operator.stride, operator.out_side
    if is_planar(operator):  # the channel's plane, and its filter as pairs, twice
        rows = (out_side - 1) * stride + kernel
        width = (((out_side + 3) // 4 * 4 - 1) * stride + kernel + 2) // 2 * 2
        return 2 * rows * width + 4 * kernel * 2 * (kernel // 2 + 1)
    length = patch_values(operator)  # two columns of 16 bits, and a patch that is put together
    return 4 * length if is_direct(operator) else 5 * length


def kernel_function(operator: Operator) -> str:
    """The engine's function that computes it."""
    if not operator.weight_shape:
        return {"pool": "net_average", "scale": "net_multiply", "add": "net_add"}[operator.kind]
    if is_planar(operator):
        size = operator.kernel, operator.stride
        return "net_convolve_planes" + ("_{}_{}".format(*size) if size in COMPILED else "")
    return "net_convolve_pixels" if is_direct(operator) else "net_convolve"


class Overlap(NamedTuple):
    """How many bytes an output may begin before an input that it writes over: least and most."""

    least: int
    most: float


def overlap(operator: Operator) -> Overlap | None:
    """How an output may lie over an input; None where it may not.

    A depthwise convolution writes a channel where it has read it, and so does the product of a map
    and a gate: both tensors begin at one place. A pointwise convolution has written m + 2 pixels
    when it reads pixel m + 2, the next. They must end before it.
    """
    if operator.kind == "add":
        return Overlap(0, math.inf)
    if operator.kind in ("depthwise", "scale"):
        return Overlap(0, 0)
    if operator.kind == "pointwise" and is_direct(operator):
        last_read = (operator.side**2 - 1) // 2 * 2  # the pixel that is read last begins a pair
        growth = operator.out_channels - operator.in_channels
        return Overlap(_aligned(max(0, last_read * growth)), math.inf)
    return None


class _Problem:
    """Places that have to be found, and what keeps them apart."""

    def __init__(self, operators: Sequence[Operator]) -> None:
        first = operators[0]
        self.places = [Place(_aligned(first.side**2 * first.in_channels), 0, 0)]
        self.over: dict[tuple[int, int], Overlap] = {}  # (output, input)
        reads = []
        for step, operator in enumerate(operators):
            inputs = [step + 1 + i for i in operator.reads]  # tensor 0 is the network's input
            reads.append(inputs)
            for i in inputs:
                self.places[i] = self.places[i]._replace(last=step)
            self.places.append(Place(_aligned(operator.outputs), step, step))
        for step, operator in enumerate(operators):
            distance = overlap(operator)
            # of a product, only the map is gone through as the output is
            inputs = reads[step][:1] if operator.kind == "scale" else reads[step]
            for i in inputs:
                if distance is not None and self.places[i].last == step:
                    self.over[step + 1, i] = distance
        self.scratch: list[int | None] = []
        for step, operator in enumerate(operators):
            size = _aligned(scratch_bytes(operator))
            self.scratch.append(len(self.places) if size else None)
            if size:
                self.places.append(Place(size, step, step))
        self.conflicts = [
            [j for j, other in enumerate(self.places) if i != j and _meet(place, other)]
            for i, place in enumerate(self.places)
        ]

    def lower_bound(self) -> int:
        """Bytes that some step needs in any plan: all that it has to hold apart.

        A step sees only tensors of its own block, so a network's is the largest of its blocks'.
        """
        bound = 0
        for step in range(max(place.last for place in self.places) + 1):
            alive = [i for i, place in enumerate(self.places) if place.first <= step <= place.last]
            total = sum(self.places[i].size for i in alive)
            pairs = [pair for pair in self.over if pair[0] == self._output(step)]
            saved = 0
            for output, source in pairs:
                size, other = self.places[output].size, self.places[source].size
                saved = max(
                    saved, size + other - max(size, self.over[output, source].least + other)
                )
            bound = max(bound, total - saved)
        return bound

    @staticmethod
    def _output(step: int) -> int:
        return step + 1

    def fits(self, i: int, offset: int, offsets: dict[int, int]) -> bool:
        size = self.places[i].size
        for j in self.conflicts[i]:
            if j not in offsets:
                continue
            apart = offset + size <= offsets[j] or offsets[j] + self.places[j].size <= offset
            if not (
                apart
                or self._lies_over(i, j, offsets[j] - offset)
                or self._lies_over(j, i, offset - offsets[j])
            ):
                return False
        return True

    def _lies_over(self, output: int, source: int, distance: int) -> bool:
        """Whether `output` may begin `distance` bytes before `source`."""
        limits = self.over.get((output, source))
        return limits is not None and limits.least <= distance <= limits.most

    def placed(self, order: Sequence[int]) -> tuple[int, dict[int, int]]:
        """Arena and offsets where each, in this order, takes the lowest place that it fits in."""
        offsets: dict[int, int] = {}
        for i in order:
            candidates = {0}
            for j in self.conflicts[i]:
                if j in offsets:
                    candidates.add(offsets[j] + self.places[j].size)
                    if (i, j) in self.over:
                        candidates.add(offsets[j] - self.over[i, j].least)
                    if (j, i) in self.over:
                        candidates.add(offsets[j] + self.over[j, i].least)
                    candidates.add(offsets[j] - self.places[i].size)
            offsets[i] = min(
                offset for offset in candidates if offset >= 0 and self.fits(i, offset, offsets)
            )
        return max(offsets[i] + self.places[i].size for i in order), offsets


def least_arena(operators: Sequence[Operator]) -> int:
    """Bytes that no arena of a network or a block of `operators` is smaller than."""
    return _Problem(operators).lower_bound()


def _meet(a: Place, b: Place) -> bool:
    return a.first <= b.last and b.first <= a.last


def arena_plan(operators: Sequence[Operator]) -> ArenaPlan:
    """The smallest of some hundred plans for a network of `operators`.

    The first places large tensors first. Where that takes more than the network's largest step
    needs, other orders are tried: two places in the order change sides, and the better order stays.
    """
    problem, rng = _Problem(operators), np.random.default_rng(0)
    bound, count = problem.lower_bound(), len(problem.places)
    order = sorted(range(count), key=lambda i: -problem.places[i].size)
    arena, offsets = problem.placed(order)
    for _ in range(ORDERS):
        if arena == bound:
            break
        i, j = rng.integers(0, count, 2)
        changed = list(order)
        changed.insert(j, changed.pop(i))
        size, places = problem.placed(changed)
        if size <= arena:
            arena, offsets, order = size, places, changed
    return ArenaPlan(
        arena,
        tuple(offsets[i] for i in range(len(operators) + 1)),
        tuple(None if i is None else offsets[i] for i in problem.scratch),
    )
