"""Libraries on emulated boards, where the tools are: equal to the host, and counted exactly."""

import json

import numpy as np
import pytest
from firmware_for_tests import (
    GRAY,
    LOOP,
    needs_board,
    needs_interpreter,
    on_host,
    random_library,
    random_pixels,
    synthetic,
)

from labkit.firmware import emulated_board
from labkit.firmware.emulated_board import MACHINES, find_board, run_on_board
from labkit.storage.errors import ExportError, LabError
from labkit.storage.paths import data_dir


@needs_board
@pytest.mark.parametrize("core", MACHINES)
def test_instructions_are_counted_one_by_one(core):
    pixels = np.arange(8, dtype=np.uint8).reshape(2, 2, 2, 1)
    sizes = {"classes": 4, "arena_bytes": 16}
    counts = {}
    for name, second in (("without", ""), ("with", LOOP)):
        logits, report = run_on_board(synthetic(second), core, pixels, **sizes)
        np.testing.assert_array_equal(logits, pixels.reshape(2, 4).astype(int) - 128)
        counts[name] = report.instructions
        assert report.total_instructions == sum(report.instructions)
    # between the hooks lie the instructions themselves and at most twenty around the calls
    assert 1000 <= counts["with"][0] <= 1020 and counts["with"][0] == counts["without"][0]
    assert counts["with"][1] - counts["without"][1] == 1 + 2 * 200


@needs_board
def test_a_layer_that_takes_longer_than_the_timer_goes_is_counted_one_by_one():
    """Its 32 bits are 2^32 ticks of 40 ns, 168 million instructions of 1,024 ns."""
    turns = 90_000_000
    loop = (
        f"""__asm__ volatile("ldr r3, ={turns}\\n 1: subs r3, r3, #1\\n bne 1b" ::: "r3", "cc");"""
    )
    assert 2 * turns > 2**32 * 40 / 1024
    pixels, sizes = np.zeros((1, 2, 2, 1), np.uint8), {"classes": 4, "arena_bytes": 16}
    short, long = (
        run_on_board(synthetic(second), "cortex-m4", pixels, **sizes)[1].instructions
        for second in ("", loop)
    )
    assert long[0] == short[0] and long[1] - short[1] == 1 + 2 * turns


@needs_board
@needs_interpreter
@pytest.mark.parametrize(
    "core",
    ["cortex-m4", *(pytest.param(f"cortex-{m}", marks=pytest.mark.slow) for m in ("m3", "m7"))],
)
def test_a_library_computes_on_the_board_what_it_does_here(core):
    (arch,) = GRAY.decode(GRAY.sample(np.random.default_rng(5), 1))
    written, _ = random_library(GRAY, arch)
    pixels = random_pixels(arch.resolution, 1, 5)
    sizes = {"classes": 6, "arena_bytes": written.plan.arena_bytes}
    logits, report = run_on_board(written.sources(), core, pixels, **sizes)
    np.testing.assert_array_equal(logits, on_host(written, written.quantized(pixels)))
    assert report.data_bytes == report.arena_bytes  # nothing else is static
    assert written.constant_bytes <= report.constant_bytes < written.constant_bytes + 2000
    assert 0 < report.stack_bytes < 1000 and report.images == 5
    assert len(report.instructions) == len(written.network.layers)
    assert min(report.instructions) > 0


@pytest.fixture
def small_board(tmp_path, monkeypatch):
    """Names device files like mcu-20k with so many bytes for the network."""

    def write(sram: int, flash: int) -> str:
        value = json.loads((data_dir() / "devices" / "mcu-20k.json").read_text())
        for memory, size in (("sram", sram), ("flash", flash)):
            value[memory].update(device_bytes=size, reserved_bytes=0)
        path = tmp_path / "small.json"
        path.write_text(json.dumps(value | {"name": "small"}))
        return str(path)

    return write


@needs_board
def test_a_library_is_linked_if_it_fits_to_the_byte_and_else_the_linker_says_by_how_much(
    small_board,
):
    pixels, sizes = np.zeros((1, 2, 2, 1), np.uint8), {"classes": 4, "arena_bytes": 16}
    _, report = run_on_board(synthetic(""), "cortex-m3", pixels, **sizes)
    sram, flash = report.sram_bytes, report.flash_bytes
    _, limited = run_on_board(synthetic(""), small_board(sram, flash), pixels, **sizes)
    assert limited.board == "small" and limited.core == "cortex-m3"
    assert limited.flash_bytes == report.flash_bytes
    for less, over in (
        ((sram - 4, flash), f"with {report.stack_bytes} bytes of stack SRAM by 4"),
        ((report.data_bytes - 4, flash), "SRAM by 4"),
        ((sram, flash - 32), "FLASH by 32"),
    ):
        words = (
            f"does not fit 'small': it exceeds {over} bytes; .*--device small\\) or .*--board none"
        )
        with pytest.raises(ExportError, match=words):
            run_on_board(synthetic(""), small_board(*less), pixels, **sizes)


@needs_board
def test_stack_is_measured():
    deep = "volatile char deep[600]; for (int i = 0; i < 600; i++) deep[i] = deep[i] + 1;"
    pixels, sizes = np.zeros((1, 2, 2, 1), np.uint8), {"classes": 4, "arena_bytes": 16}
    flat, used = (
        run_on_board(synthetic(second), "cortex-m4", pixels, **sizes)[1].stack_bytes
        for second in ("", deep)
    )
    assert 600 <= used - flat <= 640


@needs_board
def test_a_program_that_does_not_end_is_stopped(monkeypatch):
    monkeypatch.setattr(emulated_board, "EMULATE_SECONDS", 2)
    pixels = np.zeros((1, 2, 2, 1), np.uint8)
    with pytest.raises(ExportError, match="qemu-system-arm did not end within 2 s"):
        run_on_board(synthetic("for (;;) ;"), "cortex-m4", pixels, classes=4, arena_bytes=16)


@needs_board
def test_what_the_compiler_says_is_passed_on():
    files = synthetic("nonsense;")
    pixels = np.zeros((1, 2, 2, 1), np.uint8)
    with pytest.raises(ExportError, match="(?s)arm-none-eabi-gcc failed.*nonsense"):
        run_on_board(files, "cortex-m4", pixels, classes=4, arena_bytes=16)


def test_missing_tools_and_unknown_cores_are_named(monkeypatch):
    for name in ("z80", "mcu-64k"):  # of the latter the engine is an interpreter
        with pytest.raises(
            ValueError, match=f"'{name}', known: cortex-m3, .*, mcu-20k, and device"
        ):
            find_board(name)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LabError, match="apt install gcc-arm-none-eabi qemu-system-arm"):
        find_board("cortex-m4")
