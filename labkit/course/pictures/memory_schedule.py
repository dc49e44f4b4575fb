"""What is in memory while each operator of a subnet runs, as numbers and as a picture.

The rules are those of `labkit.space.operators.alive_values`, whose maximum is the peak.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from labkit.course.pictures.style import BLUE, GRAY, ORANGE, RED, SKY
from labkit.space import Arch, SearchSpace, network
from labkit.space.operators import Operator, alive_values

LABELS = {
    "stem": "conv",
    "final": "conv",
    "se": "squeeze",
    "0": "feature",
    "classifier": "classify",
}


class Step(NamedTuple):
    """One operator: how many activation values it reads, writes, and leaves waiting.

    What waits is the input of a block with a shortcut, until it is added to the block's output.
    """

    place: str  # the block, or the layer outside of blocks
    operator: str
    reads: int
    writes: int
    waiting: int

    @property
    def total(self) -> int:
        return self.reads + self.writes + self.waiting


def memory_steps(space: SearchSpace, arch: Arch) -> list[Step]:
    """The operators of `arch` in the order in which they run.

    An addition is no step of its own, since it overwrites one of its inputs.
    """
    operators = network.operators(space, arch)
    alive = alive_values(operators)
    pairs = [pair for pair in zip(operators, alive) if pair[0].kind != "add"]
    steps = []
    for (part, name), group in groupby(pairs, lambda pair: _step_name(pair[0])):
        members, alive = zip(*group)
        reads = members[0].inputs
        waiting = alive[0] - reads - members[0].outputs
        writes = max(alive) - reads - waiting
        label = LABELS.get(name, name)
        steps.append(Step(part.removeprefix("blocks."), label, reads, writes, waiting))
    return steps


def _step_name(operator: Operator) -> tuple[str, str]:
    """Its part and its name there; the operators of a squeeze-excite are one step."""
    return operator.part, (operator.name or operator.part).partition(".")[0]


def operators_and_sizes(
    space: SearchSpace, arch: Arch
) -> tuple[list[tuple[list[str], str]], dict[str, int]]:
    """The operators of `arch` as (tensors read, tensor made), and the bytes of each tensor at one
    byte a value.

    What adds or scales writes over its first input: it makes a tensor of no bytes, and whatever
    reads its result reads that input.
    """
    results, operators, sizes = ["image"], [], {}
    for i, operator in enumerate(network.operators(space, arch)):
        sizes.setdefault("image", operator.inputs)
        reads, made = [results[j] for j in operator.reads], f"tensor {i}"
        in_place = operator.kind in ("scale", "add")
        operators.append((reads, made))
        sizes[made] = 0 if in_place else operator.outputs
        results.append(reads[0] if in_place else made)
    return operators, sizes


def memory_over_schedule(
    networks: Mapping[str, Sequence[Step]],
    bytes_per_value: int,
    limit_bytes: float,
    limit_name: str,
) -> Figure:
    """For each network, what is in memory while each operator runs, in KiB, and a limit."""
    figure = Figure(figsize=(8.2, 2.6 * len(networks)), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(networks), sharey=True))
    kib_per_value, limit_kib = bytes_per_value / 1024, limit_bytes / 1024
    highest = max(step.total for steps in networks.values() for step in steps) * kib_per_value
    parts = (
        ("reads", {"color": BLUE, "label": "read"}),
        ("writes", {"color": SKY, "label": "written"}),
        ("waiting", {"color": ORANGE, "label": "kept for the shortcut", "hatch": "///"}),
    )
    for panel, (name, steps) in zip(panels, networks.items()):
        positions, floor = np.arange(len(steps)), np.zeros(len(steps))
        for part, style in parts:
            kib = np.array([getattr(step, part) for step in steps]) * kib_per_value
            panel.bar(
                positions, kib, bottom=floor, width=0.9, edgecolor="white", linewidth=0, **style
            )
            floor += kib
        panel.axhline(limit_kib, color=RED, linestyle="--", label=limit_name)
        for i, (before, step) in enumerate(zip(steps, steps[1:])):
            if step.place != before.place:
                panel.axvline(i + 0.5, color=GRAY, linewidth=0.5)
        panel.set_xticks(positions, [step.operator for step in steps], rotation=90, fontsize=7)
        panel.set(xlim=(-0.6, len(steps) - 0.4), ylim=(0, 1.3 * max(highest, limit_kib)))
        panel.set_ylabel("in memory, KiB")
        panel.set_title(name, fontsize=10, loc="left")
    panels[0].legend(fontsize=8, ncols=4, loc="upper right")
    panels[-1].set_xlabel("operator, in order of time")
    return figure
