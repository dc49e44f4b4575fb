"""A library on an emulated microcontroller: cross-compiled, linked, run and measured there.

Debian's gcc-arm-none-eabi compiles and qemu-system-arm emulates. The emulator counts: with -icount
every instruction moves its clock on by the same time, 1.024 us, which a timer of the board reads as
25.6 ticks. So the number of instructions is exact, and the same on every machine; it is no number
of cycles, which depend on the core's pipeline and on the memory.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labkit.firmware.host_build import SOURCES, run_tool
from labkit.firmware.library import write_files
from labkit.storage.errors import ExportError, LabError

FOLDER = Path(__file__).parent / "board"
MACHINES = {"cortex-m3": "mps2-an385", "cortex-m4": "mps2-an386", "cortex-m7": "mps2-an500"}
COMPILER, SIZE, EMULATOR = "arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm"
FLAGS = (
    *("-mthumb", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-ffreestanding"),
    *("-fno-tree-loop-distribute-patterns", "-ffunction-sections", "-fdata-sections"),
    *("-include", "board.h"),
)
STACK_BYTES = 16384  # reserved; what net_run takes of it is measured
SHIFT = 10  # -icount: an instruction lasts 2 ** SHIFT ns
TICK_NS = 40  # the boards' clock of 25 MHz
COMPILE_SECONDS, EMULATE_SECONDS = 120, 300


@dataclass(frozen=True, kw_only=True)
class BoardReport:
    """What was measured on an emulated board; sizes in bytes, those of the linked library alone.

    `instructions` are those of each layer, the most over the images.
    """

    core: str
    machine: str
    compiler: str
    emulator: str
    code_bytes: int
    constant_bytes: int
    arena_bytes: int
    data_bytes: int  # static memory, the arena included
    stack_bytes: int
    instructions: tuple[int, ...]
    total_instructions: int  # a picture, the most over the images
    images: int

    @property
    def flash_bytes(self) -> int:
        return self.code_bytes + self.constant_bytes

    @property
    def sram_bytes(self) -> int:
        return self.data_bytes + self.stack_bytes


def missing_tools() -> list[str]:
    """Programs that building for a board and emulating it need and that are not installed."""
    return [name for name in (COMPILER, SIZE, EMULATOR) if shutil.which(name) is None]


def require_board(core: str) -> None:
    """Raise ValueError for an unknown core, LabError where tools are missing."""
    if core not in MACHINES:
        raise ValueError(f"unknown core {core!r}, known: {', '.join(MACHINES)}")
    if missing_tools():
        raise LabError(
            f"{', '.join(missing_tools())} not installed; running on an emulated board needs"
            " them (Debian: apt install gcc-arm-none-eabi qemu-system-arm)"
        )


def run_on_board(
    files: dict[str, str], core: str, pixels: np.ndarray, *, classes: int, arena_bytes: int
) -> tuple[np.ndarray, BoardReport]:
    """Build a library's files for `core`, run it on images (N, r, r, C) of bytes, measure it.

    Returns logits (N, classes) int8 and the measurements. Raises LabError without the tools,
    ExportError where the build fails or the program does not end.
    """
    require_board(core)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_files(folder, {Path(path).name: text for path, text in files.items()})
        for path in FOLDER.iterdir():
            shutil.copy(path, folder)
        _link(folder, core)
        (folder / "images.bin").write_bytes(np.ascontiguousarray(pixels, np.uint8).tobytes())
        _emulate(folder, MACHINES[core])
        logits = np.fromfile(folder / "logits.bin", np.int8)
        counts = np.fromfile(folder / "counts.bin", np.uint32).astype(np.int64)
        sections = _sections(folder)
    if logits.size != len(pixels) * classes or (counts.size - 2) % len(pixels):
        raise ExportError(f"the board wrote {logits.size} logits for {len(pixels)} images")
    call, stack, ticks = counts[0], counts[-1], counts[1:-1].reshape(len(pixels), -1)
    instructions = np.rint((ticks - call) * TICK_NS / 2**SHIFT).astype(int)
    report = BoardReport(
        core=core,
        machine=MACHINES[core],
        compiler=tool_version(COMPILER),
        emulator=tool_version(EMULATOR),
        code_bytes=sections.get(".net_code", 0),
        constant_bytes=sections.get(".net_constants", 0),
        arena_bytes=arena_bytes,
        data_bytes=sections.get(".net_data", 0),
        stack_bytes=int(stack),
        instructions=tuple(map(int, instructions.max(0))),
        total_instructions=int(instructions.sum(1).max()),
        images=len(pixels),
    )
    return logits.reshape(-1, classes), report


def _link(folder: Path, core: str) -> None:
    """board.elf from the library and the board's program."""
    sources = (*SOURCES, "board.c")
    for source in sources:
        target = Path(source).with_suffix(".o")
        command = [COMPILER, f"-mcpu={core}", *FLAGS, "-c", source, "-o", target]
        run_tool(command, COMPILE_SECONDS, folder)
    objects = [Path(source).with_suffix(".o") for source in sources]
    options = f"-Wl,--gc-sections,--defsym=stack_bytes={STACK_BYTES}"
    link = [COMPILER, f"-mcpu={core}", "-mthumb", "-nostdlib", "-T", "board.ld", options]
    run_tool([*link, *objects, "-lgcc", "-o", "board.elf"], COMPILE_SECONDS, folder)


def _emulate(folder: Path, machine: str) -> None:
    quiet = ("-nographic", "-monitor", "none", "-serial", "none")
    semihosting = ("-semihosting-config", "enable=on,target=native")
    command = [EMULATOR, "-M", machine, *quiet, "-icount", f"shift={SHIFT}", *semihosting]
    run_tool([*command, "-kernel", "board.elf"], EMULATE_SECONDS, folder)


def _sections(folder: Path) -> dict[str, int]:
    """Bytes of every section of the linked image."""
    text = run_tool([SIZE, "-A", "board.elf"], COMPILE_SECONDS, folder)
    return {name: int(size) for name, size in re.findall(r"^(\.\S+)\s+(\d+)", text, re.MULTILINE)}


def tool_version(tool: str) -> str:
    """The first line of what a tool says of itself."""
    return run_tool([tool, "--version"], COMPILE_SECONDS).splitlines()[0]
