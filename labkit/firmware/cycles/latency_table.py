"""A latency file of a space from the emulator: milliseconds of every block at a clock of 100 MHz.

They are cycles of the engine by a core's rules, added up over a block's operators; so nothing
disturbs them, and a subnet takes the sum of its blocks. A board's own clock, and the factor by
which its memory makes it slower, are in its device file.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import date

from labkit.firmware.cycles.operator_cycles import fingerprint, operator_cycles, operator_key
from labkit.firmware.emulated_board import COMPILER, EMULATOR, tool_version
from labkit.latency.devices import EMULATED_MHZ
from labkit.latency.measured.blocks import TimedBlock, timed_blocks
from labkit.latency.measured.latency_file import contents
from labkit.latency.measured.lookup_table import LatencyTable, write_table
from labkit.latency.measured.measurement import anchor_block
from labkit.latency.measured.table_files import table_path
from labkit.runtime.timing import Timing, TimingRun, latency_file
from labkit.space import SearchSpace


def measure(
    space: SearchSpace, core: str, *, progress: Callable[[float], None] | None = None
) -> dict:
    """Count the cycles of every block of `space` on `core`: the content of a latency file.

    `progress` and what is raised are as of `operator_cycles`.
    """
    blocks, start = timed_blocks(space), time.time()
    operators = [operator for block in blocks.values() for operator in block.operators(space)]
    cycles = operator_cycles(operators, core, progress)

    def timing(block: TimedBlock) -> Timing:
        ms = _block_cycles(space, block, cycles) / (1e3 * EMULATED_MHZ)
        return Timing(ms, ms, ms, spread=0.0, repeats=1)

    rounds = {key: [timing(block)] for key, block in blocks.items()}
    run = TimingRun(rounds, anchor_ms=[timing(anchor_block(space)).median_ms])
    provenance = {
        "date": date.today().isoformat(),
        "cpu": f"{core.title()} at {EMULATED_MHZ} MHz, emulated",
        "runtime": "firmware",
        "runtime_version": fingerprint(),
        "threads": 1,
        "batch": 1,
        "compiler": tool_version(COMPILER),
        "emulator": tool_version(EMULATOR),
        "seconds": round(time.time() - start, 1),
    }
    return latency_file(contents(space, []), run, provenance)


def _block_cycles(space: SearchSpace, block: TimedBlock, cycles: Mapping[str, int]) -> int:
    return sum(cycles[operator_key(operator)] for operator in block.operators(space))


def core_table(
    space: SearchSpace, core: str, *, progress: Callable[[float], None] | None = None
) -> LatencyTable:
    """Measure `space` on `core`, and keep the table in the cache folder as the device `core`."""
    return write_table(measure(space, core, progress=progress), table_path(core, space), space)
