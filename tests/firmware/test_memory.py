"""Memory of firmware as the search predicts it: against the planner, and against linked images."""

import re
import shutil

import numpy as np
import pytest
from firmware_for_tests import GRAY, needs_board, needs_interpreter, random_library, random_pixels
from hypothesis import given, settings
from hypothesis import strategies as st
from spaces_for_tests import any_spaces

from labkit.firmware.emulated_board import (
    COMPILER,
    FLAGS,
    MACHINES,
    SIZE,
    run_on_board,
    tool_version,
)
from labkit.firmware.host_build import run_tool
from labkit.firmware.library import HERE
from labkit.firmware.memory import (
    FUNCTIONS,
    STACK_BYTES,
    START_BYTES,
    TABLED,
    firmware_arena,
    firmware_flash,
    layer_bytes,
    least_flash,
    stack_bytes,
)
from labkit.firmware.plan import arena_plan, kernel_function, least_arena
from labkit.latency.simulated.device_file import CORES
from labkit.space import SearchSpace, Stage, network
from labkit.space.presets import spaces

# Large maps of odd numbers of channels, and kernels without functions of their own: offsets in the
# arena are many, and too large for an instruction.
WIDE_KERNELS = SearchSpace(
    "wide-kernels",
    (28,),
    (
        Stage(6, 1, (1, 2, 3), kernels=(9, 13), expands=(3, 6), act="relu"),
        Stage(21, 1, (1, 2), kernels=(1, 5, 11), expands=(1,), act="relu6", se=True),
        Stage(13, 2, (1, 2), kernels=(13,), expands=(2, 3), act="relu6"),
    ),
    in_channels=5,
    num_classes=10,
    stem_width=12,
    stem_stride=1,
    final_width=10,
    head_act="relu",
    divisor=3,
)


@settings(max_examples=30, deadline=None)
@given(any_spaces, st.integers(0, 1 << 30))
def test_the_table_has_what_the_largest_layer_needs_in_any_space(space, seed):
    """What a search answers is planned besides."""
    genes = space.sample(np.random.default_rng(seed), 3)
    table = firmware_arena.__wrapped__(space, "cortex-m4")
    for arch, row in zip(space.decode(genes), genes):
        operators = network.operators(space, arch)
        stack = stack_bytes(operators, "cortex-m4")
        assert stack <= table(row[None])[0] - least_arena(operators) <= STACK_BYTES
        assert table.planned(row) == arena_plan(operators).arena_bytes + stack


@pytest.mark.parametrize("space", spaces.values(), ids=lambda space: space.name)
def test_in_spaces_that_ship_the_plan_takes_no_more(space):
    """So exact search within a limit meets few archs that do not fit."""
    genes, table = space.sample(np.random.default_rng(2), 15), firmware_arena(space, "cortex-m4")
    for arch, row, bytes_ in zip(space.decode(genes), genes, table(genes)):
        least = least_arena(network.operators(space, arch))
        assert arena_plan(network.operators(space, arch)).arena_bytes == least
        assert table.planned(row) <= bytes_ <= table.planned(row) + 48


@settings(max_examples=30, deadline=None)
@given(any_spaces, st.integers(0, 1 << 30))
def test_a_function_is_linked_once_however_many_layers_call_it(space, seed):
    genes = space.sample(np.random.default_rng(seed), 5)
    table = firmware_flash.__wrapped__(space, "cortex-m7")
    for arch, row in zip(space.decode(genes), genes):
        operators = network.operators(space, arch)
        called = {kernel_function(operator) for operator in operators}
        code = sum(FUNCTIONS[name].code[2] for name in called)
        rest = sum(map(layer_bytes, operators)) + 256 * space.in_channels + START_BYTES
        (linked,) = table.linked(row[None])
        assert linked == code + rest
        assert table.called(row) == called & set(table.functions)
        # A part of a function that every stage calls is that function; nothing is above it.
        for without in (set(), set(list(table.functions)[:1]), set(table.functions)):
            uncounted = sum(table.functions[name] for name in without & called)
            assert table.shared(without)(row[None])[0] <= linked - uncounted
        assert linked <= table(row[None])[0]


def measured(space: SearchSpace, genes: np.ndarray, core: str, seed: int):
    """A library of random weights, what was measured of it on `core`, and the flash predicted.

    A ReLU6 of random scales may cut off what integers could be, by a table that is no activation's;
    a converted one does not.
    """
    (arch,) = space.decode(genes[None])
    written, _ = random_library(space, arch, seed)
    tables = 256 * sum(
        operator.act not in TABLED and layer.activation is not None
        for operator, layer in zip(written.network.operators, written.network.layers)
        if operator.weight_shape
    )
    pixels = random_pixels(arch.resolution, space.in_channels, 1)
    sizes = {"classes": space.num_classes, "arena_bytes": written.plan.arena_bytes}
    _, report = run_on_board(written.sources(), core, pixels, **sizes)
    return written, report, firmware_flash.__wrapped__(space, core).linked(genes[None])[0] + tables


@needs_board
@needs_interpreter
@pytest.mark.parametrize("core", MACHINES)
@pytest.mark.parametrize("space", [GRAY, WIDE_KERNELS], ids=lambda space: space.name)
def test_a_linked_image_takes_what_was_predicted(space, core):
    """All but what calls and alignment differ by, and for SRAM to the byte."""
    (genes,) = space.sample(np.random.default_rng(8), 1)
    written, report, predicted = measured(space, genes, core, seed=0)
    assert 0 <= predicted - report.flash_bytes <= 64 + 8 * len(written.network.layers)
    stack = stack_bytes(written.network.operators, core)
    assert 0 <= stack - report.stack_bytes <= 32
    assert report.data_bytes + stack == firmware_arena(space, core).planned(genes)


@needs_board
@needs_interpreter
@settings(max_examples=5, deadline=None)
@given(any_spaces, st.sampled_from(CORES), st.integers(0, 1 << 30))
def test_no_library_takes_more_flash_than_search_counts_or_less_than_the_least(space, core, seed):
    """So what search recommends within a device's flash is linked."""
    (genes,) = space.sample(np.random.default_rng(seed), 1)
    written, report, predicted = measured(space, genes, core, seed)
    assert least_flash(space, written.arch, core) <= report.flash_bytes <= predicted


@needs_board
@pytest.mark.parametrize("core", MACHINES)
def test_functions_take_what_the_table_says(core, tmp_path):
    """As the compiler says it, where it is the one that the table is of."""
    version = tool_version(COMPILER)
    if " 12.2" not in version:
        pytest.skip(f"the table is of GCC 12.2, here is {version}")
    for path in (HERE / "engine").iterdir():
        shutil.copy(path, tmp_path)
    command = [COMPILER, f"-mcpu={core}", *FLAGS, "-fstack-usage", "-c", "net_kernels.c"]
    run_tool(command, 60, tmp_path)
    sections = run_tool([SIZE, "-A", "net_kernels.o"], 60, tmp_path)
    code = re.findall(r"^\.text\.(net_\w+)\s+(\d+)", sections, re.MULTILINE)
    usage = (tmp_path / "net_kernels.su").read_text()
    stack = re.findall(r":(net_\w+)\s+(\d+)\s+static$", usage, re.MULTILINE)
    number = CORES.index(core)
    assert {name: function.code[number] for name, function in FUNCTIONS.items()} == {
        name: int(size) for name, size in code
    }
    assert {name: function.stack[number] for name, function in FUNCTIONS.items()} == {
        name: int(size) for name, size in stack
    }


def test_an_estimate_needs_no_torch():
    import subprocess
    import sys

    code = (
        "import sys; from labkit.firmware.memory import firmware_flash; from labkit.space.presets"
        " import FMNIST; firmware_flash(FMNIST, 'cortex-m4'); print('torch' in sys.modules)"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert said.strip() == "False"
