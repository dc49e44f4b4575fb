"""What a subnet takes of a microcontroller's memories as firmware, known before it is generated.

Working memory (SRAM) is the arena and the stack of net_run; nothing else is static. Of the arena
every layer needs at least what it has to hold apart, so the largest of these is a lower bound that
a table can hold. In the spaces that ship `arena_plan` reaches it; a space without expansion, or of
odd channel numbers, may have archs where it does not, so what search finds is planned, too. The
stack is that of net_run and of the deepest function that it calls; the table has that of the
deepest in the space, some ten bytes more.

Storage (flash) is constants, which are counted, and the code of functions that some layer calls.
No table has both exactly, since a function is linked once, however many stages call it. So the
table has the code of all functions, which an arch never exceeds, and `FirmwareFlash` what it takes
to search exactly nevertheless (`labkit.firmware.best_linked`).
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

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
from labkit.tables.separable import StageTable, highest, lowest


class Function(NamedTuple):
    """Bytes of code and of stack of a function of the engine on each of CORES, by GCC 12.2, -O2."""

    code: tuple[int, int, int]
    stack: tuple[int, int, int]


FUNCTIONS = {
    "net_convolve_pixels": Function((1936, 1428, 1424), (168, 176, 176)),
    "net_convolve": Function((2656, 2300, 2140), (208, 224, 200)),
    "net_convolve_planes_3_1": Function((1228, 1180, 1192), (192, 176, 176)),
    "net_convolve_planes_3_2": Function((1284, 1192, 1196), (200, 184, 184)),
    "net_convolve_planes_5_1": Function((1684, 1776, 1772), (208, 200, 200)),
    "net_convolve_planes_5_2": Function((1792, 1764, 1764), (216, 200, 200)),
    "net_convolve_planes_7_1": Function((1260, 2600, 2604), (192, 216, 216)),
    "net_convolve_planes_7_2": Function((1248, 2568, 2576), (200, 224, 224)),
    "net_convolve_planes": Function((1248, 1808, 1820), (240, 272, 272)),
    "net_average": Function((332, 260, 256), (48, 48, 48)),
    "net_multiply": Function((500, 432, 432), (72, 64, 64)),
    "net_add": Function((416, 328, 332), (96, 80, 80)),
}
RUN_STACK_BYTES = 48  # of net_run itself, at most
# What net_run takes at most, on any core.
STACK_BYTES = RUN_STACK_BYTES + max(max(function.stack) for function in FUNCTIONS.values())
CALL_BYTES = 24  # of net_run, for each layer, at most
START_BYTES = 96  # of functions around net_run, and what aligns them
STRUCTURE_BYTES = {"pool": 16, "scale": 20, "add": 36}  # what a kernel is told; a convolution's:
CONVOLUTION_BYTES = 36
# Activations that are tables of 256 bytes. A ReLU or a ReLU6 sets the limits of its integers.
TABLED = ("h_swish", "h_sigmoid")


@dataclass(frozen=True, eq=False)
class FirmwareFlash(AdditiveTable):
    """Bytes of flash of every subnet, at most: constants, and code of all functions of the space.

    `constants` is what an arch takes without the `functions` (bytes of code by name) that some
    archs call and others do not; `calls` is 1 where an arch calls one.
    """

    constants: AdditiveTable
    functions: Mapping[str, int]
    calls: Mapping[str, MaxTable]

    def linked(self, genes: np.ndarray) -> np.ndarray:
        """Bytes (N,) of archs (N, G): constants, and code of those functions that each calls."""
        code = (size * self.calls[name](genes) for name, size in self.functions.items())
        return self.constants(genes) + sum(code)

    def called(self, genes: np.ndarray) -> set[str]:
        """Which of `functions` the arch of genes (G,) calls."""
        return {name for name, calls in self.calls.items() if calls(genes[None])[0]}

    def shared(self, without: Collection[str]) -> StageTable:
        """Bytes at least: of a function's code each stage that calls it pays one part of as many as
        there are stages, and the code of those in `without` is not counted.
        """
        stages = range(len(self.space.stages))
        # Whole bytes: the sum of fractions can be more than the whole.
        parts = {name: size // len(stages) for name, size in self.functions.items()}
        terms = [
            self.constants.stage_values(s)
            + sum(
                part * self.calls[name].stage_values(s)
                for name, part in parts.items()
                if name not in without
            )
            for s in stages
        ]
        return StageTable(self.space, self.constants.base, terms)


@lru_cache(maxsize=4)
def firmware_arena(space: SearchSpace, core: str) -> ArenaTable:
    """Bytes of SRAM of every subnet: the least arena, and the largest stack of the space."""
    stacks = MaxTable.of_operators(space, lambda operators: stack_bytes(operators, core))
    stack = AdditiveTable.of_operators(space, lambda operators: 0).scaled(1, highest(stacks))

    def planned(space: SearchSpace, arch: Arch) -> int:
        return planned_sram(space, arch, core)

    excess = highest(stacks) - lowest(stacks)
    return ArenaTable(MaxTable.of_operators(space, least_arena), stack, planned, True, excess)


def planned_sram(space: SearchSpace, arch: Arch, core: str) -> int:
    """Bytes of SRAM that the firmware of `arch` takes: its planned arena, and the stack."""
    operators = network.operators(space, arch)
    return arena_plan(operators).arena_bytes + stack_bytes(operators, core)


def least_flash(space: SearchSpace, arch: Arch, core: str) -> int:
    """Bytes of flash that the firmware of `arch` takes at least: without what calls its functions,
    which the linker knows.
    """
    operators, number = network.operators(space, arch), CORES.index(core)
    code = sum(FUNCTIONS[name].code[number] for name in set(map(kernel_function, operators)))
    return code + sum(layer_bytes(operator) - CALL_BYTES for operator in operators)


def stack_bytes(operators: Iterable[Operator], core: str) -> int:
    """Bytes of stack of net_run for a network of `operators`."""
    called, number = set(map(kernel_function, operators)), CORES.index(core)
    return RUN_STACK_BYTES + max(FUNCTIONS[name].stack[number] for name in called)


@lru_cache(maxsize=4)
def firmware_flash(space: SearchSpace, core: str) -> FirmwareFlash:
    """Bytes of flash of every subnet; names of classes, which a program need not link, apart."""
    names, number = set(), CORES.index(core)

    def size(operators: Sequence[Operator]) -> int:
        names.update(map(kernel_function, operators))
        return sum(map(layer_bytes, operators))

    constants = AdditiveTable.of_operators(space, size)
    calls = {
        name: MaxTable.of_operators(space, lambda ops, name=name: name in map(kernel_function, ops))
        for name in sorted(names)
    }
    code = {name: FUNCTIONS[name].code[number] for name in calls}
    functions = {name: code[name] for name, table in calls.items() if not table.base.all()}
    fixed = START_BYTES + 256 * space.in_channels  # with the tables of a pixel's values
    constants = constants.scaled(1, fixed + sum(code.values()) - sum(functions.values()))
    table = constants.scaled(1, sum(functions.values()))
    return FirmwareFlash(
        space,
        table.base,
        table.blocks,
        constants,
        functions,
        {name: calls[name] for name in functions},
    )


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
