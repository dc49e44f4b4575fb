"""What a subnet takes of a microcontroller's memories as firmware, known before it is generated.

Working memory (SRAM) is the arena and the stack of net_run; nothing else is static. Of the arena
every layer needs at least what it has to hold apart, so the largest of these is a lower bound that
a table can hold. In the spaces that ship `arena_plan` reaches it; a space without expansion, or of
odd channel numbers, may have archs where it does not, so what search finds is planned, too.

Storage (flash) is constants, which are counted, and code. A kernel is linked where some layer calls
it; a table has the code of all kernels that an arch of the space may call, and is too large by
those that an arch does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from labkit.firmware.plan import (
    arena_plan,
    is_planar,
    kernel_function,
    least_arena,
    patch_values,
)
from labkit.latency.simulated.device_file import CORES
from labkit.space import Arch, SearchSpace, network
from labkit.space.operators import Operator
from labkit.tables.arena import ArenaTable
from labkit.tables.costs import AdditiveTable, MaxTable

STACK_BYTES = 320  # reserved; what net_run takes is measured on the emulated board

# Bytes of the engine's functions on Cortex-M3, M4 and M7, by GCC 12.2 with -O2.
CODE_BYTES = {
    "net_convolve_pixels": (1936, 1428, 1424),
    "net_convolve": (2656, 2300, 2140),
    "net_convolve_planes_3_1": (1228, 1180, 1192),
    "net_convolve_planes_3_2": (1284, 1192, 1196),
    "net_convolve_planes_5_1": (1684, 1776, 1772),
    "net_convolve_planes_5_2": (1792, 1764, 1764),
    "net_convolve_planes_7_1": (1260, 2600, 2604),
    "net_convolve_planes_7_2": (1248, 2568, 2576),
    "net_convolve_planes": (1248, 1808, 1820),
    "net_average": (348, 268, 264),
    "net_multiply": (500, 432, 432),
    "net_add": (416, 328, 332),
}
CALL_BYTES = 24  # of net_run, for each layer
START_BYTES = 96  # of functions around net_run, and what aligns them
STRUCTURE_BYTES = {"pool": 16, "scale": 20, "add": 36}  # what a kernel is told; a convolution's:
CONVOLUTION_BYTES = 36
TABLED = ("relu6", "h_swish", "h_sigmoid")  # activations that are tables of 256 bytes
NAME_BYTES = 20  # of a class's name, and a pointer to it


@lru_cache(maxsize=4)
def firmware_arena(space: SearchSpace) -> ArenaTable:
    """Bytes of SRAM of every subnet: the arena, at least, and the stack."""
    stack = AdditiveTable.of_operators(space, lambda operators: 0).scaled(1, STACK_BYTES)
    return ArenaTable(MaxTable.of_operators(space, least_arena), stack, planned_sram, True)


def planned_sram(space: SearchSpace, arch: Arch) -> int:
    """Bytes of SRAM that the firmware of `arch` takes: its planned arena, and the stack."""
    return arena_plan(network.operators(space, arch)).arena_bytes + STACK_BYTES


@lru_cache(maxsize=4)
def firmware_flash(space: SearchSpace, core: str) -> AdditiveTable:
    """Bytes of flash of every subnet, at most: constants, and code of all kernels of the space."""
    called, number = set(), CORES.index(core)

    def size(operators: Sequence[Operator]) -> int:
        called.update(map(kernel_function, operators))
        return sum(map(layer_bytes, operators))

    table = AdditiveTable.of_operators(space, size)
    inputs, names = 256 * space.in_channels, space.num_classes * NAME_BYTES
    code = START_BYTES + sum(CODE_BYTES[function][number] for function in called)
    return table.scaled(1, code + inputs + names)


def layer_bytes(operator: Operator) -> int:
    """Bytes of flash of one layer: its tables, what its kernel is told, and the call."""
    if not operator.weight_shape:
        return STRUCTURE_BYTES[operator.kind] + CALL_BYTES
    filters, weights = operator.out_channels, operator.weights
    biases = filters
    if not is_planar(operator):  # blocks of four filters
        biases = -(-filters // 4) * 4
        weights = biases * patch_values(operator)
    tables = [weights, 4 * biases, 4 * filters, filters]  # the last two: factors
    tables += [256] * (operator.act in TABLED)
    return sum(-(-size // 4) * 4 for size in tables) + CONVOLUTION_BYTES + CALL_BYTES
