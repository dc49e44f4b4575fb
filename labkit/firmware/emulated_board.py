"""A library on an emulated microcontroller: cross-compiled, linked, run and measured there.

Debian's gcc-arm-none-eabi compiles and qemu-system-arm emulates. The emulator counts: with -icount
every instruction moves its clock on by the same time, 1.024 us, which a timer of the board reads as
25.6 ticks. So the number of instructions is exact, and the same on every machine; it is no number
of cycles, which depend on the core's pipeline and on the memory.

A board can stand for a microcontroller of data/devices whose engine is firmware: the linker is then
given that device's memories, and a library that does not fit is not linked. Sizes are those of the
library as a user compiles it; it is linked once more with a call after every layer, to be measured.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from labkit.firmware.host_build import run_tool
from labkit.firmware.library import write_files
from labkit.latency.devices import Device, device_names, get_device
from labkit.latency.simulated.device_file import CORES
from labkit.storage.errors import ExportError, LabError

FOLDER = Path(__file__).parent / "board"
MACHINES = dict(zip(CORES, ("mps2-an385", "mps2-an386", "mps2-an500")))
COMPILER, SIZE, EMULATOR = "arm-none-eabi-gcc", "arm-none-eabi-size", "qemu-system-arm"
FLAGS = (
    *("-mthumb", "-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-ffreestanding"),
    *("-fno-tree-loop-distribute-patterns", "-ffunction-sections", "-fdata-sections"),
)
MEASURED, UNMEASURED = ("-include", "board.h"), ("-DNET_DONE(layer)=",)  # of net.c
OBJECTS = ("net.o", "net_kernels.o", "board.o")
PROGRAM_STACK_BYTES = 16384  # of the program that measures, net_run's inside
LIBRARY_ADDRESS = 0x10000  # where board.ld puts the library's code and constants
# Of a board that stands for none.
FLASH_BYTES, SRAM_BYTES = 4 * 1024**2 - LIBRARY_ADDRESS, 3 * 1024**2
SHIFT = 10  # -icount: an instruction lasts 2 ** SHIFT ns
TICK_NS = 40  # the boards' clock of 25 MHz
COMPILE_SECONDS, EMULATE_SECONDS = 120, 300


class Board(NamedTuple):
    """A core, and the bytes of memory that a library may take."""

    name: str
    core: str
    sram_bytes: int = SRAM_BYTES
    flash_bytes: int = FLASH_BYTES

    @property
    def advice(self) -> str:
        """The way out for a library that its memory does not hold."""
        device = f"choose a smaller subnet (labkit search --device {self.name}) or "
        return f"{device * (self.name != self.core)}leave the board out (--board none)"


@dataclass(frozen=True, kw_only=True)
class BoardReport:
    """What was measured on an emulated board; sizes in bytes, those of the linked library alone.

    `instructions` are those of each layer, the most over the images.
    """

    board: str
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


def board_of(device: Device) -> Board:
    """The board of a device whose engine is firmware; a core itself limits no memory."""
    if device.sram_bytes is None:
        return Board(device.name, device.core)
    return Board(device.name, device.core, device.sram_bytes, device.flash_bytes)


def find_board(name: str | Board) -> Board:
    """The board of a core, or of a device whose engine is firmware; a board itself as it is.

    Raises ValueError for another name, LabError where tools are missing.
    """
    if isinstance(name, Board):
        board = name
    elif name in MACHINES:
        board = Board(name, name)
    else:
        known = device_names()
        device = get_device(name) if name in known or name.endswith(".json") else None
        if device is None or device.engine != "firmware":
            firmware = [each for each in known if get_device(each).engine == "firmware"]
            raise ValueError(
                f"no board is called {name!r}, known: {', '.join([*MACHINES, *firmware])}, and"
                ' device files of the engine "firmware"'
            )
        board = board_of(device)
    if missing_tools():
        raise LabError(
            f"{', '.join(missing_tools())} not installed; running on an emulated board needs"
            " them (Debian: apt install gcc-arm-none-eabi qemu-system-arm)"
        )
    return board


def run_on_board(
    files: dict[str, str], name: str | Board, pixels: np.ndarray, *, classes: int, arena_bytes: int
) -> tuple[np.ndarray, BoardReport]:
    """Build a library's files for board `name`, run it on images (N, r, r, C) of bytes, measure it.

    Returns logits (N, classes) int8 and the measurements. Raises what `find_board` does, and
    ExportError where the build fails, the board's memory does not hold the library, or the program
    does not end.
    """
    board = find_board(name)
    with tempfile.TemporaryDirectory() as build:
        folder = Path(build)
        build_image(folder, files, board)
        (folder / "images.bin").write_bytes(np.ascontiguousarray(pixels, np.uint8).tobytes())
        command = emulator_command(MACHINES[board.core], "-icount", f"shift={SHIFT}")
        run_tool(command, EMULATE_SECONDS, folder)
        logits = np.fromfile(folder / "logits.bin", np.int8)
        counts = np.fromfile(folder / "counts.bin", np.int64)
        sections = _sections(folder)
    if logits.size != len(pixels) * classes or (counts.size - 2) % len(pixels):
        raise ExportError(f"the board wrote {logits.size} logits for {len(pixels)} images")
    call, stack, ticks = counts[0], counts[-1], counts[1:-1].reshape(len(pixels), -1)
    missing = sections.get(".net_data", 0) + int(stack) - board.sram_bytes
    if missing > 0:
        raise _does_not_fit(board, f"with {stack} bytes of stack SRAM by {missing:,}")
    instructions = np.rint((ticks - call) * TICK_NS / 2**SHIFT).astype(int)
    report = BoardReport(
        board=board.name,
        core=board.core,
        machine=MACHINES[board.core],
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


def build_image(folder: Path, files: dict[str, str], board: Board) -> None:
    """`folder`/board.elf from a library's files and the board's program, and library.elf: the same
    without what measures, which alone has to fit the board's flash.

    Raises ExportError where they are not compiled, or do not fit the board.
    """
    write_files(folder, {Path(path).name: text for path, text in files.items()})
    for path in FOLDER.iterdir():
        shutil.copy(path, folder)
    for source in ("net_kernels.c", "board.c"):
        _compile(folder, board, source)
    for image, flags, flash_bytes in (
        ("library.elf", UNMEASURED, board.flash_bytes),
        ("board.elf", MEASURED, FLASH_BYTES),
    ):
        _compile(folder, board, "net.c", *flags)
        _link(folder, board._replace(flash_bytes=flash_bytes), image)


def _compile(folder: Path, board: Board, source: str, *flags: str) -> None:
    command = [COMPILER, f"-mcpu={board.core}", *FLAGS, *flags, "-c", source]
    run_tool(command, COMPILE_SECONDS, folder)


def _link(folder: Path, board: Board, image: str) -> None:
    """`folder`/`image`; raises ExportError where the board's memory does not hold the library."""
    symbols = {
        "stack_bytes": PROGRAM_STACK_BYTES,
        "flash_bytes": board.flash_bytes,
        "sram_bytes": board.sram_bytes,
    }
    options = "".join(f",--defsym={name}={size}" for name, size in symbols.items())
    link = [COMPILER, f"-mcpu={board.core}", "-mthumb", "-nostdlib", "-T", "board.ld"]
    link += [f"-Wl,--gc-sections{options}", *OBJECTS, "-lgcc", "-o", image]
    try:
        run_tool(link, COMPILE_SECONDS, folder)
    except ExportError as error:
        over = re.findall(r"region `(FLASH|SRAM)' overflowed by (\d+) bytes", str(error))
        if not over:
            raise
        sizes = " and ".join(f"{region} by {int(size):,}" for region, size in over)
        raise _does_not_fit(board, sizes) from None


def _does_not_fit(board: Board, sizes: str) -> ExportError:
    return ExportError(
        f"the library does not fit {board.name!r}: it exceeds {sizes} bytes; nothing was written;"
        f" {board.advice}"
    )


def emulator_command(machine: str, *options: str) -> list[str]:
    """What runs board.elf of the current folder on `machine`."""
    quiet = ("-nographic", "-monitor", "none", "-serial", "none")
    semihosting = ("-semihosting-config", "enable=on,target=native")
    return [EMULATOR, "-M", machine, *quiet, *semihosting, *options, "-kernel", "board.elf"]


def _sections(folder: Path) -> dict[str, int]:
    """Bytes of every section of the library's image."""
    text = run_tool([SIZE, "-A", "library.elf"], COMPILE_SECONDS, folder)
    return {name: int(size) for name, size in re.findall(r"^(\.\S+)\s+(\d+)", text, re.MULTILINE)}


def tool_version(tool: str) -> str:
    """The first line of what a tool says of itself."""
    return run_tool([tool, "--version"], COMPILE_SECONDS).splitlines()[0]
