"""Memory of firmware as the search predicts it: against the planner, and against linked images."""

import numpy as np
import pytest
from firmware_for_tests import GRAY, needs_board, needs_interpreter, random_library, random_pixels
from hypothesis import given, settings
from hypothesis import strategies as st
from spaces_for_tests import any_spaces

from labkit.firmware.emulated_board import MACHINES, run_on_board
from labkit.firmware.memory import (
    CODE_BYTES,
    STACK_BYTES,
    firmware_arena,
    firmware_flash,
)
from labkit.firmware.plan import arena_plan, kernel_function, least_arena
from labkit.space import network
from labkit.space.presets import spaces


@settings(max_examples=30, deadline=None)
@given(any_spaces, st.integers(0, 1 << 30))
def test_the_table_has_what_the_largest_layer_needs_in_any_space(space, seed):
    """So it is never above the plan; what a search answers is planned besides."""
    genes = space.sample(np.random.default_rng(seed), 3)
    table = firmware_arena.__wrapped__(space)
    for arch, row in zip(space.decode(genes), genes):
        operators = network.operators(space, arch)
        assert table(row[None])[0] == least_arena(operators) + STACK_BYTES
        assert table.planned(row) == arena_plan(operators).arena_bytes + STACK_BYTES
        assert table(row[None])[0] <= table.planned(row)


@pytest.mark.parametrize("space", spaces.values(), ids=lambda space: space.name)
def test_in_spaces_that_ship_the_plan_takes_no_more(space):
    """So exact search within a limit on it is exact."""
    genes, table = space.sample(np.random.default_rng(2), 15), firmware_arena(space)
    assert [table.planned(row) for row in genes] == table(genes).tolist()


@needs_board
@needs_interpreter
@pytest.mark.parametrize("core", MACHINES)
def test_a_linked_image_takes_what_was_predicted(core):
    """All but the code of kernels that it does not call, and what names and activations differ by,
    some of which are no tables.
    """
    (arch,) = GRAY.decode(GRAY.sample(np.random.default_rng(8), 1))
    written, _ = random_library(GRAY, arch)
    pixels = random_pixels(arch.resolution, 1, 1)
    sizes = {"classes": 6, "arena_bytes": written.plan.arena_bytes}
    _, report = run_on_board(written.sources(), core, pixels, **sizes)
    genes = GRAY.encode([arch])
    called = {kernel_function(operator) for operator in network.operators(GRAY, arch)}
    elsewhere = {
        kernel_function(operator)
        for other in GRAY.decode(GRAY.sample(np.random.default_rng(0), 200))
        for operator in network.operators(GRAY, other)
    }
    unused = sum(CODE_BYTES[name][list(MACHINES).index(core)] for name in elsewhere - called)
    surplus = firmware_flash(GRAY, core)(genes)[0] - unused - report.flash_bytes
    assert 0 <= surplus < 600
    assert report.data_bytes + STACK_BYTES == firmware_arena(GRAY).planned(genes[0])
    assert report.stack_bytes <= STACK_BYTES


def test_an_estimate_needs_no_torch():
    import subprocess
    import sys

    code = (
        "import sys; from labkit.firmware.memory import firmware_flash; from labkit.space.presets"
        " import FMNIST; firmware_flash(FMNIST, 'cortex-m4'); print('torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert said.strip() == "False"
