"""The model of the arena by hand, and beside what the interpreter reported."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from int8_models_for_tests import int8_model
from spaces_for_tests import ONE_WIDTH, any_spaces

from labkit.space import Arch, Block, BlockShape, network
from labkit.space.operators import Buffer
from labkit.space.presets import FMNIST, get_space
from labkit.tables.arena import (
    arena_table,
    micro_graph,
    persistent_bytes,
    planned_bytes,
    planned_peak,
)
from labkit.tables.costs import AdditiveTable, MaxTable

needs_tflite_micro = pytest.mark.skipif(
    importlib.util.find_spec("tflite_micro") is None, reason="not installed; run `make test-mcu`"
)


def test_a_block_by_hand():
    """16 -> 16 channels on 5x5, expanded to 32, hard swish, squeeze to 8; sizes rounded up to 16
    bytes.
    """
    shape = BlockShape(0, 1, 16, 16, 1, "h_swish", True)
    operators, schedule = micro_graph(network.block(shape, 3, 2, 5))
    narrow, wide = 400, 800  # 16 * 25 and 32 * 25, both multiples of 16
    assert [operator.kernel for operator in operators] == [
        "conv",
        "hard_swish",
        "conv",
        "hard_swish",
        "mean",
        "conv",
        "conv",
        "mul",
        "mul",
        "conv",
        "add",
    ]
    assert schedule.alive() == [
        narrow + wide,
        narrow + 2 * wide,
        narrow + 2 * wide,
        narrow + 2 * wide,
        narrow + wide + 32 + 128 + 2 * 16,  # a mean's sums, and numbers of dimensions and axes
        narrow + wide + 32 + 16,
        narrow + wide + 16 + 32,
        narrow + wide + 64,
        narrow + 2 * wide + 32,
        narrow + wide + narrow,
        3 * narrow,
    ]
    assert [operator.channels for operator in operators] == [32, 0, 32, 0, 0, 8, 32, 0, 0, 16, 0]
    # A convolution's entry of 64 and data of 80; a multiplier and a shift for each channel.
    convolutions = 5 * (64 + 80) + 2 * 4 * (32 + 32 + 8 + 32 + 16)
    # Entry and data of two hard swishes, of the mean and two products, and of the sum.
    others = 2 * (64 + 32) + 3 * (64 + 48) + (64 + 64)
    entries = 24 * (5 * 3 + 6) + 5 * 28 + 3 * 4 + 8  # of tensors, and options
    assert persistent_bytes(network.block(shape, 3, 2, 5)) == (convolutions + others, entries, 24)


def test_table_is_the_largest_operator_plus_the_sum_of_what_they_keep():
    for space in (FMNIST, get_space("ofa-mbv3")):
        table, genes = arena_table(space), space.sample(np.random.default_rng(0), 40)
        assert isinstance(table.maximum, MaxTable) and isinstance(table.total, AdditiveTable)
        for arch, row in zip(space.decode(genes), genes[:, None]):
            operators = network.operators(space, arch)
            assert table.total(row)[0] == 736 + 12 + 8 + 24 + sum(persistent_bytes(operators))
            largest = max(micro_graph(operators).schedule.alive())
            if not any(
                a.expand == b.expand for stage in arch.stages for a, b in zip(stage, stage[1:])
            ):
                assert table.maximum(row)[0] == largest
            else:
                assert table.maximum(row)[0] >= largest


def test_two_shortcuts_in_a_row_keep_two_inputs():
    """20 px: the stem's map is 16 x 10 x 10; two blocks of ratio 2 keep two of them beside two of
    32 x 10 x 10.
    """
    space = replace(
        ONE_WIDTH,
        stem_width=16,
        stem_stride=2,
        stages=(replace(ONE_WIDTH.stages[0], stride=1), *ONE_WIDTH.stages[1:]),
    )
    one = Arch(20, ((Block(3, 2),), (Block(3, 2),) * 2, (Block(3, 2),) * 2))
    two = Arch(20, ((Block(3, 2),) * 2, *one.stages[1:]))
    maximum = arena_table(space).maximum(space.encode([one, two]))
    np.testing.assert_array_equal(maximum, [2 * 3200 + 1600, 2 * 3200 + 2 * 1600])


def test_the_planner_puts_the_largest_first_and_others_into_the_first_gap_that_holds_them():
    """70 lies in front, 50 behind it. When the 70 is gone, 40 takes its place and leaves a gap of
    30.
    """
    placed = [Buffer(40, 3, 4), Buffer(50, 1, 3), Buffer(70, 0, 1)]
    assert planned_peak(placed[1:]) == planned_peak(placed) == 70 + 50
    assert planned_peak([Buffer(30, 3, 3), *placed]) == 70 + 50
    assert (
        planned_peak([Buffer(35, 3, 3), *placed]) == 70 + 50 + 35 > 40 + 50 + 35
    )  # too wide for the gap


def test_of_equal_tensors_the_planner_puts_the_last_first():
    """The second 40 lies in front, the first behind it; 20 beside the first then goes in front."""
    chain = [Buffer(40, 0, 1), Buffer(40, 1, 2), Buffer(20, 0, 0)]
    assert planned_peak(chain) == 80
    # Had the first 40 come first, the 30 would not fit before the second one, which ends at 80.
    assert planned_peak([*chain, Buffer(30, 2, 3), Buffer(50, 3, 4)]) == 50 + 30


def test_the_planner_needs_what_the_interpreter_took():
    """Its report on 20 subnets, of all resolutions and widths."""
    rows = json.loads(
        (Path(__file__).parents[2] / "benchmarks/results/mcu_memory.json").read_text()
    )["rows"]
    archs = [Arch.from_json(row["arch"]) for row in rows]
    assert len({(arch.resolution, arch.width) for arch in archs}) > 10
    for row, arch in zip(rows, archs):
        schedule = micro_graph(network.operators(FMNIST, arch)).schedule
        assert planned_peak(schedule.buffers) == row["activations"]
        assert planned_bytes(FMNIST, arch) == row["arena"]


@needs_tflite_micro
@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(any_spaces, st.integers(0, 1 << 30))
def test_the_interpreter_takes_what_is_planned_in_any_space(space, seed):
    from labkit.deploy.litert.micro_interpreter import MicroInterpreter

    (arch,) = space.decode(space.sample(np.random.default_rng(seed), 1))
    operators = network.operators(space, arch)
    arena = MicroInterpreter(int8_model(operators)).arena()
    assert planned_peak(micro_graph(operators).schedule.buffers) == arena.activations
    assert planned_bytes(space, arch) == arena.total


@settings(max_examples=30, deadline=None)
@given(any_spaces, st.integers(0, 1 << 30))
def test_the_table_is_a_lower_bound_in_any_space(space, seed):
    """Of activations as of persistent memory, the latter to 20 bytes; and no bound is below the
    tensors that are alive, whose sums are those of the buffers.
    """
    table, genes = arena_table(space), space.sample(np.random.default_rng(seed), 5)
    for arch, row in zip(space.decode(genes), genes):
        schedule = micro_graph(network.operators(space, arch)).schedule
        buffers = schedule.buffers
        alive = [
            sum(b.size for b in buffers if b.first <= step <= b.last)
            for step in range(1 + max(b.last for b in buffers))
        ]
        assert alive == schedule.alive()
        planned = planned_peak(buffers)
        assert planned >= table.maximum(row[None])[0] >= max(alive)
        assert 0 <= table.planned(row) - planned - table.total(row[None])[0] <= 20


def test_the_arena_needs_no_torch():
    import subprocess
    import sys

    code = (
        "import sys; from labkit.tables.arena import arena_table; from labkit.space.presets import"
        " FMNIST; arena_table(FMNIST); print('torch' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
        == "False"
    )
