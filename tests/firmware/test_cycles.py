"""Cycles by rules: of instructions written down, of programs of known length, of real libraries."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from firmware_for_tests import (
    GRAY,
    LOOP,
    needs_board,
    needs_interpreter,
    random_library,
    random_pixels,
    synthetic,
)
from latency_for_tests import TINY, own_cache  # noqa: F401  (a fixture)

from labkit.cli import cli
from labkit.firmware import emulated_board
from labkit.firmware.cycles import latency_table, operator_cycles, trace
from labkit.firmware.cycles.latency_table import core_table
from labkit.firmware.cycles.operator_cycles import executed_operators, operator_key
from labkit.firmware.cycles.rules import RULES, Instruction, cycles
from labkit.firmware.cycles.trace import Executed, read_trace, traced
from labkit.firmware.emulated_board import MACHINES, build_image, find_board, run_on_board
from labkit.latency.devices import DeviceError, get_device
from labkit.latency.kit.board_import import check_board_name
from labkit.space import network
from labkit.space.operators import Operator, convolution
from labkit.storage.errors import ExportError
from labkit.tables.costs import macs_table

ONE_OF_A_KIND = (
    convolution(3, 8, 3, 9, 2),
    convolution(8, 8, 5, 6, act="h_swish", depthwise=True),
    convolution(8, 12, 1, 5, act="relu"),
    Operator("pool", 12, 12, 5, 5, 5),
    Operator("scale", 12, 12, 5, reads=(-1, -2)),
    Operator("add", 12, 12, 5, reads=(-1, -2)),
    Operator("linear", 12, 10, 1),
)


# ---- rules ----


@pytest.mark.parametrize(
    "text, m4, m3",
    [
        ("adds r0, r1, r2; mul r0, r1, r2; cmp r0, #1; nop", 4, 4),
        ("ldr r0, [r1]", 2, 2),
        ("ldr.w r0, [r1]; ldrsb r2, [r1, #4]; ldrhne r3, [r4]", 4, 4),  # back to back: N + 1
        ("ldr r0, [r1]; adds r0, #1; ldr r2, [r1]", 5, 5),
        ("str r0, [r1]; strb.w r2, [r3], #1; ldr r0, [r1]", 4, 4),
        ("ldrd r0, r1, [r2]; strd r0, r1, [r2]", 6, 6),
        ("push {r4, r5, lr}; ldmia.w r0!, {r4-r7}; pop {r4-r6, pc}", 4 + 5 + 5, 4 + 5 + 5),
        ("push.w {r4, r5, r6, r7, r8, sb, sl, fp, lr}", 10, 10),
        ("smlad r0, r1, r2, r0; smmulr r0, r1, r2; ssat r0, #8, r0", 3, 3),
        ("mla r0, r1, r2, r0; mls r0, r1, r2, r0", 2, 4),
        ("smull r0, r1, r2, r3; umlal r0, r1, r2, r3", 2, 12),
        ("udiv r0, r1, r2", 12, 12),
        ("itt ge; addge r0, #1; strge r0, [r1]", 3, 3),
        ("tbb [pc, r0]", 2, 2),
    ],
)
def test_instructions_take_what_the_manuals_say(text, m4, m3):
    instructions = [Instruction(*each.strip().partition(" ")[::2]) for each in text.split(";")]
    counted = [cycles(RULES[core], instructions) for core in ("cortex-m4", "cortex-m3")]
    assert counted == [m4, m3]


# ---- logs ----

LOG = """\
IN: board_layer_done
0x0000004c:  4770       bx       lr

Trace 0: 0x7f21fc011c40 [00800408/0000004c/00000110/ff000200] board_layer_done
Trace 0: 0x7f21fc011c40 [00800408/0000004c/00000110/ff000200] board_layer_done
Trace 0: 0x7f21fc011c40 [00800408/0000004c/00000110/ff000200] board_layer_done
----------------
IN: net_run
0x00010000:  6808       ldr      r0, [r1]
0x00010002:  f84d 0b04  str      r0, [sp], #4
0x00010006:  d1fb       bne      #0x10000

Trace 0: 0x7f21fc011d00 [00800408/00010000/00000110/ff000200] net_run
Trace 0: 0x7f21fc011d00 [00800408/00010000/00000110/ff000200] net_run
----------------
IN: net_run
0x00010008:  f000 f820  bl       #0x4c

Trace 0: 0x7f21fc011e00 [00800408/00010008/00000110/ff000200] net_run
Trace 0: 0x7f21fc011c40 [00800408/0000004c/00000110/ff000200] board_layer_done
"""


def test_a_log_says_how_often_each_block_ran_and_which_branches_were_taken():
    """Twice load, store, branch: 2 + 1 + 1, and 2 more where it is taken; then the call, 1 + 2."""
    (layer,) = read_trace(LOG.splitlines(keepends=True)).executed(RULES["cortex-m4"])
    assert layer == Executed(instructions=7, cycles=2 * 4 + 2 + 3)


def test_a_log_without_instructions_is_an_error():
    for log in ("", "qemu: no such machine\n", LOG.split("Trace")[0]):
        with pytest.raises(ExportError, match="shows no instructions of the network"):
            read_trace(log.splitlines(keepends=True))


# ---- programs ----


def _traced(tmp_path, files, core):
    build_image(tmp_path, files, find_board(core))
    (tmp_path / "images.bin").write_bytes(bytes(4))
    return traced(tmp_path, MACHINES[core]).executed(RULES[core])


@needs_board
def test_a_loop_takes_what_its_instructions_do(tmp_path):
    """Two hundred times a subtraction and a branch, which is not taken once: 4 * 200 - 2, and one
    cycle before it.
    """
    without, loop = (_traced(tmp_path, synthetic(second), "cortex-m4") for second in ("", LOOP))
    assert loop[0] == without[0] and 1000 <= loop[0].cycles <= 1030
    assert loop[1].instructions - without[1].instructions == 1 + 2 * 200
    assert loop[1].cycles - without[1].cycles == 1 + 4 * 200 - 2


@needs_board
def test_a_program_that_does_not_end_is_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr(trace, "EMULATE_SECONDS", 2)
    with pytest.raises(ExportError, match="qemu-system-arm did not end within 2 s"):
        _traced(tmp_path, synthetic("for (;;) ;"), "cortex-m4")


@needs_board
def test_operators_are_counted_one_by_one_whatever_runs_beside_them():
    together = executed_operators(ONE_OF_A_KIND, "cortex-m4")
    backwards = executed_operators(ONE_OF_A_KIND[::-1], "cortex-m4")[::-1]
    for one, other in zip(together, backwards):  # but for what net_run has in registers
        assert abs(one.cycles - other.cycles) <= 10
        assert one.cycles > one.instructions > 0


@needs_board
@needs_interpreter
@pytest.mark.parametrize("core", ["cortex-m4", pytest.param("cortex-m3", marks=pytest.mark.slow)])
def test_operators_alone_take_what_a_library_of_them_does(core, tmp_path):
    """A real library, its weights and images, and the emulator's own count of instructions."""
    (arch,) = GRAY.decode(GRAY.sample(np.random.default_rng(5), 1))
    library, _ = random_library(GRAY, arch)
    pixels = random_pixels(arch.resolution, 1, 1)
    build_image(tmp_path, library.sources(), find_board(core))
    (tmp_path / "images.bin").write_bytes(pixels.tobytes())
    layers = traced(tmp_path, MACHINES[core]).executed(RULES[core])
    alone = executed_operators(network.operators(GRAY, arch), core)
    for layer, whole, single in zip(library.network.layers, layers, alone, strict=True):
        # a limit of 6 is a table where the largest integer stands for more, and else costs nothing
        limited = layer.operator.act == "relu6" and layer.activation is not None
        rel = 0.05 if limited else 0.02
        assert whole.cycles == pytest.approx(single.cycles, rel=rel, abs=20)
    sizes = {"classes": 6, "arena_bytes": library.plan.arena_bytes}
    _, report = run_on_board(library.sources(), core, pixels, **sizes)
    np.testing.assert_allclose([each.instructions for each in layers], report.instructions, atol=4)


def test_a_core_without_rules_is_named():
    with pytest.raises(ValueError, match="'cortex-m7', only for cortex-m3, cortex-m4"):
        executed_operators(ONE_OF_A_KIND, "cortex-m7")


# ---- tables ----


@pytest.fixture
def counts(monkeypatch):
    """A core that takes a thousand cycles for a MAC, and the operators that it was asked for."""
    asked = []

    def executed(operators, core):
        asked.append([operator_key(operator) for operator in operators])
        return [Executed(1, 1000 * max(1, operator.macs)) for operator in operators]

    monkeypatch.setattr(operator_cycles, "executed_operators", executed)
    monkeypatch.setattr(operator_cycles, "find_board", lambda core: None)
    for module in (operator_cycles, latency_table):
        monkeypatch.setattr(module, "tool_version", lambda tool: "1.0")
    return asked


def test_a_table_is_a_device_and_adds_up_the_cycles_of_operators(counts):
    """At 100 MHz a thousand cycles are 0.01 ms, of a MAC and of an operator without MACs."""
    table = core_table(TINY, "cortex-m4").table
    genes = TINY.sample(np.random.default_rng(0), 50)
    idle = [
        sum(operator.macs == 0 for operator in network.operators(TINY, arch))
        for arch in TINY.decode(genes)
    ]
    expected = 0.01 * (macs_table(TINY)(genes) + idle)
    np.testing.assert_allclose(table(genes), expected)
    device = get_device("cortex-m4")
    assert device.label == "emulated, M4 cycles" and device.kind == "emulated"
    assert device.title.startswith("Cortex-M4 at 100 MHz, emulated (firmware ")
    np.testing.assert_allclose(device.latency_table(TINY)(genes), expected)
    with pytest.raises(DeviceError, match="is emulated, so there are no measured subnets"):
        device.latency_regression(TINY)
    with pytest.raises(DeviceError, match="labkit lut measure --board cortex-m4"):
        device.latency_table(GRAY)
    with pytest.raises(DeviceError, match="'cortex-m3' was emulated for no space yet: .*cortex-m3"):
        get_device("cortex-m3")


def test_devices_of_the_core_have_its_table_at_their_clock(counts):
    genes = TINY.sample(np.random.default_rng(0), 50)
    simulated = get_device("mcu-20k").latency_table(TINY)(genes)
    core_table(TINY, "cortex-m3")
    device, core = get_device("mcu-20k"), get_device("cortex-m3")
    np.testing.assert_allclose(
        device.latency_table(TINY)(genes), core.latency_table(TINY)(genes) * 100 / 72
    )
    assert device.label.startswith("emulated, M3 cycles in tiny-") and device.sram_bytes
    assert device.latency_table(GRAY) and not np.allclose(
        device.latency_table(TINY)(genes), simulated
    )


def test_devices_of_the_core_have_its_table_at_some_resolutions_too(counts):
    core_table(TINY, "cortex-m3")
    part, device = replace(TINY, resolutions=TINY.resolutions[:1]), get_device("mcu-20k")
    genes = part.sample(np.random.default_rng(0), 50)
    emulated = get_device("cortex-m3").latency_table(part)(genes)
    np.testing.assert_allclose(device.latency_table(part)(genes), emulated * 100 / 72)
    assert "(whole or in part), else simulated" in device.label


def test_an_interrupted_count_goes_on_where_it_stopped(counts, monkeypatch):
    monkeypatch.setattr(operator_cycles, "BATCH_OPERATORS", 3)
    shares = []

    def stop_after_two(share):
        shares.append(share)
        if len(shares) == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        operator_cycles.operator_cycles(ONE_OF_A_KIND, "cortex-m4", stop_after_two)
    assert [len(batch) for batch in counts] == [3, 3]
    known = operator_cycles.operator_cycles(ONE_OF_A_KIND, "cortex-m4", shares.append)
    assert counts[2:] == [[operator_key(ONE_OF_A_KIND[-1])]] and shares[-1] == 1
    assert known == {operator_key(each): 1000 * max(1, each.macs) for each in ONE_OF_A_KIND}
    (path,) = (operator_cycles.cache_dir() / "cycles").iterdir()
    path.write_text('{"schema": 1, "cycles": {"dense": "many"}}')  # damaged: counted again
    assert operator_cycles.operator_cycles(ONE_OF_A_KIND, "cortex-m4") == known


def test_a_program_counts_what_its_log_has_room_for(counts, monkeypatch):
    work = {operator_key(each): each.macs + each.outputs for each in ONE_OF_A_KIND}
    limit = max(work.values())
    monkeypatch.setattr(operator_cycles, "BATCH_WORK", limit)
    operator_cycles.operator_cycles(ONE_OF_A_KIND, "cortex-m4")
    assert sum(counts, []) == list(work) and 1 < len(counts) < len(work)
    for batch, after in zip(counts, [*counts[1:], None]):
        total = sum(work[key] for key in batch)
        assert total <= limit and (after is None or total + work[after[0]] > limit)


def test_what_the_engine_is_told_of_an_operator_is_in_its_key():
    first = convolution(8, 8, 3, 5, 1, act="relu")
    changes = {"out_channels": 9, "in_channels": 9, "side": 6, "kernel": 5, "stride": 2}
    keys = {operator_key(first._replace(**{field: value})) for field, value in changes.items()}
    keys |= {operator_key(first._replace(act="h_swish")), operator_key(first)}
    assert len(keys) == len(changes) + 2
    same = (first._replace(act=None), first._replace(part="x"))
    assert {operator_key(each) for each in same} == {operator_key(first)}


def test_the_command_counts_for_the_core_of_a_device(counts, monkeypatch):
    monkeypatch.setattr(emulated_board, "missing_tools", list)
    command = ["lut", "measure", "--supernet", "tiny", "--board"]
    answer = json.loads(CliRunner().invoke(cli, [*command, "mcu-20k", "--json"]).stdout)
    assert answer["made"]["cpu"] == "Cortex-M3 at 100 MHz, emulated"
    assert list(get_device("cortex-m3").files.values()) == [Path(answer["path"])]
    asked = len(counts)
    result = CliRunner().invoke(cli, [*command, "cortex-m3"])
    assert "labkit search --device cortex-m3" in result.stdout and len(counts) == asked
    result = CliRunner().invoke(cli, [*command, "cortex-m3", "--ship", "mine"])
    assert result.exit_code and "leave out --board or --ship" in result.output
    with pytest.raises(ValueError, match="'cortex-m3' is taken"):
        check_board_name("cortex-m3")
