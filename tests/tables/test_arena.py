"""The model of the arena by hand, and beside what the interpreter reported."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from spaces_for_tests import ONE_WIDTH

from labkit.space import Arch, Block, BlockShape, network
from labkit.space.operators import Buffer
from labkit.space.presets import FMNIST, get_space
from labkit.tables.arena import arena_table, micro_graph, planned_bytes, planned_peak
from labkit.tables.costs import AdditiveTable, MaxTable


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
        narrow + wide + 32 + 128,
        narrow + wide + 32 + 16,
        narrow + wide + 16 + 32,
        narrow + wide + 64,
        narrow + 2 * wide + 32,
        narrow + wide + narrow,
        3 * narrow,
    ]
    assert [operator.channels for operator in operators] == [32, 0, 32, 0, 0, 8, 32, 0, 0, 16, 0]
    # an entry of 64, three tensors of 24, the kernel's 108, 8 a channel
    assert operators[0].persistent == 64 + 72 + 108 + 8 * 32


def test_table_is_the_largest_operator_plus_the_sum_of_what_they_keep():
    for space in (FMNIST, get_space("ofa-mbv3")):
        table, genes = arena_table(space), space.sample(np.random.default_rng(0), 40)
        assert isinstance(table.maximum, MaxTable) and isinstance(table.total, AdditiveTable)
        for arch, row in zip(space.decode(genes), genes[:, None]):
            operators, schedule = micro_graph(network.operators(space, arch))
            assert table.total(row)[0] == 820 + sum(operator.persistent for operator in operators)
            largest = max(schedule.alive())
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


def test_the_planner_needs_what_the_interpreter_took():
    """Its report on 20 subnets, among them three that take more than the tensors alive at once."""
    rows = json.loads(
        (Path(__file__).parents[2] / "benchmarks/results/mcu_memory.json").read_text()
    )["rows"]
    assert (
        len(rows) == 20
        and sum(row["activations"] > row["predicted_activations"] for row in rows) == 3
    )
    for row in rows:
        arch = Arch.from_json(row["arch"])
        schedule = micro_graph(network.operators(FMNIST, arch)).schedule
        assert planned_peak(schedule.buffers) == row["activations"]
        assert planned_bytes(FMNIST, arch) == pytest.approx(row["arena"], abs=12)


@pytest.mark.parametrize("name", ["fmnist", "ofa-mbv3", "ofa-proxyless-w1.3"])
def test_the_planner_is_never_below_the_tensors_that_are_alive(name):
    """Also, the sums of what is alive are those of the buffers, step by step."""
    space = get_space(name)
    genes = space.sample(np.random.default_rng(1), 60)
    for arch, predicted in zip(space.decode(genes), arena_table(space).maximum(genes)):
        schedule = micro_graph(network.operators(space, arch)).schedule
        buffers = schedule.buffers
        alive = [
            sum(b.size for b in buffers if b.first <= step <= b.last)
            for step in range(1 + max(b.last for b in buffers))
        ]
        assert alive == schedule.alive()
        planned = planned_peak(buffers)
        assert planned >= max(alive) and planned >= predicted >= max(alive)


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
