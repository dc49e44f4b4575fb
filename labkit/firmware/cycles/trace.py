"""What a program executed on the emulated board, from QEMU's log.

With `-d in_asm,exec,nochain` QEMU writes every basic block of instructions when it first translates
it, and one line with the block's address each time that it runs. A block ends with a branch, or
earlier; so the next one's address says whether a branch was taken.
"""

from __future__ import annotations

import re
import subprocess
import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from labkit.firmware.cycles.rules import REFILL, Instruction, Rules, cycles
from labkit.firmware.emulated_board import EMULATE_SECONDS, LIBRARY_ADDRESS, emulator_command
from labkit.storage.errors import ExportError

HOOK = "board_layer_done"  # the function that board.c has called after every layer
CALLS_BEFORE = 3  # of it: two to measure it, one before the network runs
LISTING = re.compile(r"0x([0-9a-f]{8}):\s+([0-9a-f]{4}(?: [0-9a-f]{4})?)\s+(\S+)\s*(.*)")


class BasicBlock(NamedTuple):
    """Instructions that are executed one after another, and the address behind them."""

    instructions: tuple[Instruction, ...]
    end: int


class Executed(NamedTuple):
    """Instructions and cycles of a layer."""

    instructions: int
    cycles: int


class Trace(NamedTuple):
    """Basic blocks by address, and how often which followed which in each layer."""

    blocks: dict[int, BasicBlock]
    layers: list[Counter[tuple[int, int]]]

    def executed(self, rules: Rules) -> list[Executed]:
        """What every layer executed of the library, the hook and its program left out."""
        cost = {
            address: Executed(len(each.instructions), cycles(rules, each.instructions))
            for address, each in self.blocks.items()
            if address >= LIBRARY_ADDRESS
        }
        totals = []
        for counts in self.layers:
            number = time = 0
            for (address, following), count in counts.items():
                if address in cost:
                    taken = following != self.blocks[address].end
                    overlap = not taken and self._loads_meet(address, following)
                    number += count * cost[address].instructions
                    time += count * (cost[address].cycles + REFILL * taken - overlap)
            totals.append(Executed(number, time))
        return totals

    def _loads_meet(self, address: int, following: int) -> bool:
        """Whether one block ends and the next begins with a load: a block may end at a page."""
        neighbors = self.blocks[address].instructions[-1], self.blocks[following].instructions[0]
        return all(instruction.loads for instruction in neighbors)


def read_trace(lines: Iterable[str]) -> Trace:
    """The trace of QEMU's log of one run of a network.

    Raises ExportError for a log without instructions or without the hook.
    """
    blocks: dict[int, BasicBlock] = {}
    listing: list[tuple[int, int, Instruction]] = []  # address, bytes
    layers, counts = [], Counter()
    previous = hook = ""
    for line in lines:
        if line.startswith("Trace"):
            address = line.split("/", 2)[1]
            if listing:
                blocks[int(address, 16)] = _basic_block(listing)
                listing = []
            counts[previous, address] += 1
            previous = address
            if line.endswith(HOOK + "\n"):
                hook = hook or address
                if address == hook:
                    layers.append(counts)
                    counts = Counter()
        elif match := LISTING.match(line):
            address, code, mnemonic, operands = match.groups()
            instruction = Instruction(mnemonic, operands.strip())
            listing.append((int(address, 16), len(code.replace(" ", "")) // 2, instruction))
    if not blocks or len(layers) <= CALLS_BEFORE:
        raise ExportError(
            "the emulator's log shows no instructions of the network; cycles need a QEMU that"
            " disassembles (-d in_asm), as Debian's does"
        )
    numbers = [
        Counter({(int(a, 16), int(b, 16)): n for (a, b), n in each.items()})
        for each in layers[CALLS_BEFORE:]
    ]
    return Trace(blocks, numbers)


def _basic_block(listing: list[tuple[int, int, Instruction]]) -> BasicBlock:
    address, size, _ = listing[-1]
    return BasicBlock(tuple(instruction for _, _, instruction in listing), address + size)


def traced(folder: Path, machine: str) -> Trace:
    """Run `folder`/board.elf on one image; raises ExportError when it fails or does not end."""
    return read_trace(_log(emulator_command(machine, "-d", "in_asm,exec,nochain"), folder))


def _log(command: list[str], folder: Path) -> Iterator[str]:
    """Lines of what the emulator writes, which may be gigabytes."""
    with subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        timer = threading.Timer(EMULATE_SECONDS, process.kill)
        timer.start()
        try:
            yield from process.stderr
            code = process.wait()
            late = not timer.is_alive()
        finally:
            timer.cancel()
            process.kill()
    if late:
        raise ExportError(f"{command[0]} did not end within {EMULATE_SECONDS:g} s and was stopped")
    if code:
        raise ExportError(f"{command[0]} failed with exit code {code}")
