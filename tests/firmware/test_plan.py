"""Plans are executed symbolically: every byte of the arena remembers which value was written there,
and every kernel, in the order in which it reads and writes, must find what it reads.
"""

import numpy as np
import pytest
from firmware_for_tests import GRAY
from networks_for_tests import RICH

from labkit.firmware.plan import ALIGNMENT, ArenaPlan, arena_plan, scratch_bytes
from labkit.space import SearchSpace, Stage, network
from labkit.space.operators import Operator, convolution
from labkit.space.presets import spaces
from labkit.tables.arena import planned_bytes

STRIDE = 1 << 32  # more than a tensor has values; a byte holds tensor * STRIDE + index


class Arena:
    """Which tensor's value every byte holds."""

    def __init__(self, plan: ArenaPlan) -> None:
        self.plan, self.bytes = plan, np.full(plan.arena_bytes, -1, np.int64)

    def places(self, tensor: int, indices: np.ndarray) -> np.ndarray:
        return self.plan.tensors[tensor] + indices

    def write(self, tensor: int, indices: np.ndarray) -> None:
        self.bytes[self.places(tensor, indices)] = tensor * STRIDE + indices

    def read(self, tensor: int, indices: np.ndarray) -> None:
        expected = tensor * STRIDE + indices
        assert (self.bytes[self.places(tensor, indices)] == expected).all()

    def run(self, step: int, operator: Operator) -> None:
        target, sources = step + 1, [step + 1 + back for back in operator.reads]
        if self.plan.scratch[step] is not None:
            begin = self.plan.scratch[step]
            assert begin % ALIGNMENT == 0
            self.bytes[begin : begin + scratch_bytes(operator)] = -1
        area, out_area = operator.side**2, operator.out_side**2
        ins, outs = operator.in_channels, operator.out_channels
        if operator.kind == "depthwise":
            for channel in range(ins):
                self.read(*sources, np.arange(area) * ins + channel)
                self.write(target, np.arange(out_area) * outs + channel)
        elif operator.kind == "pointwise" and ins % 4 == 0:
            for pixel in range(0, area, 2):
                pair = np.arange(pixel, min(pixel + 2, area))[:, None]
                self.read(*sources, (pair * ins + np.arange(ins)).ravel())
                self.write(target, (pair * outs + np.arange(outs)).ravel())
        elif operator.kind in ("add", "scale"):
            # value by value, for a product channel by channel
            order = np.arange(area * ins)
            if operator.kind == "scale":
                order = order.reshape(area, ins).T.ravel()
            for index in order:
                at = np.array([index])
                self.read(sources[0], at)
                self.read(sources[1], at % ins if operator.kind == "scale" else at)
                self.write(target, at)
        else:  # reads and writes in any order
            for index in range(operator.outputs):
                self.read(*sources, np.arange(area * ins))
                self.write(target, np.array([index]))
            self.read(*sources, np.arange(area * ins))


def execute(operators: list[Operator], plan: ArenaPlan) -> None:
    arena, first = Arena(plan), operators[0]
    arena.write(0, np.arange(first.side**2 * first.in_channels))
    for step, operator in enumerate(operators):
        arena.run(step, operator)
    arena.read(len(operators), np.arange(operators[-1].outputs))


# Small maps of odd numbers of channels: a product may lie over a part of its map.
GATED = SearchSpace(
    "gated",
    (9,),
    (
        Stage(19, 2, (1,), kernels=(3,), expands=(5,)),
        Stage(3, 2, (2, 3), kernels=(9,), expands=(5,), se=True),
        Stage(25, 2, (1, 2, 3), kernels=(1, 5, 11), expands=(2,), act="relu6", se=True),
    ),
    in_channels=5,
    num_classes=10,
    stem_width=4,
    stem_stride=2,
    final_width=45,
    divisor=1,
)


@pytest.mark.parametrize("space", [RICH, GRAY, GATED], ids=lambda space: space.name)
def test_every_kernel_finds_what_it_reads(space):
    for arch in space.decode(space.sample(np.random.default_rng(0), 6)):
        operators = network.operators(space, arch)
        execute(operators, arena_plan(operators))


def test_the_execution_notices_a_plan_that_is_wrong():
    """By one word, wherever a tensor lies over another."""
    operators = network.operators(GRAY, GRAY.smallest())
    plan, noticed = arena_plan(operators), 0
    for i in range(1, len(plan.tensors) - 1):
        moved = tuple(offset + 4 * (j == i) for j, offset in enumerate(plan.tensors))
        try:
            execute(operators, ArenaPlan(plan.arena_bytes + 4, moved, plan.scratch))
        except AssertionError:
            noticed += 1
    assert noticed > len(operators) / 2


@pytest.mark.parametrize("space", spaces.values(), ids=lambda space: space.name)
def test_the_arena_is_smaller_than_the_interpreters(space):
    for arch in space.decode(space.sample(np.random.default_rng(1), 5)):
        arena = arena_plan(network.operators(space, arch)).arena_bytes
        assert arena < 0.8 * planned_bytes(space, arch)


def test_an_expansion_lies_around_its_input_and_a_projection_in_its_own():
    expand = convolution(8, 32, 1, side=10, norm=True)
    middle = convolution(32, 32, 3, side=10, depthwise=True, norm=True)
    project = convolution(32, 8, 1, side=10, norm=True)
    plan = arena_plan([expand, middle, project])
    plane = 2 * 12 * 16 + 4 * 3 * 2 * 2  # of 16 bits, four outputs at a time, and the filter
    assert plan.arena_bytes == 3200 + plane
    assert plan.tensors[1] == plan.tensors[2]
