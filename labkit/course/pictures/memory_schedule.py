"""What is in memory while each operator of a subnet runs, as numbers and as a picture.

The rules are those of `labkit.tables.costs.block_memory`, which gives the peak alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from labkit.course.pictures.style import BLUE, GRAY, ORANGE, RED, SKY
from labkit.space import Arch, BlockShape, SearchSpace, block_name, mid_channels, se_channels
from labkit.tables.costs import block_sides, final_side, out_side


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
    space.validate(arch)
    pixels = arch.resolution**2
    side = out_side(arch.resolution, space.stem_stride)
    steps = [Step("stem", "conv", space.in_channels * pixels, space.stem_width * side**2, 0)]
    if space.first_width:
        steps += _block(
            "first", BlockShape(-1, 0, space.stem_width, space.first_width, 1), 1, side, False
        )
    for shape, side in zip(space.blocks, block_sides(space, arch.resolution)):
        if shape.index < len(arch.stages[shape.stage]):
            expand = arch.stages[shape.stage][shape.index].expand
            steps += _block(
                block_name(shape.stage, shape.index),
                shape,
                expand,
                side,
                space.stages[shape.stage].se,
            )
    width, area = space.stages[-1].width, final_side(space, arch.resolution) ** 2
    if space.final_width:
        steps.append(Step("final", "conv", width * area, space.final_width * area, 0))
        width = space.final_width
    steps.append(Step("head", "pool", width * area, width, 0))
    if space.feature_width:
        steps.append(Step("head", "feature", width, space.feature_width, 0))
        width = space.feature_width
    return [*steps, Step("head", "classify", width, space.num_classes, 0)]


def _block(place: str, shape: BlockShape, expand: int, side: int, se: bool) -> list[Step]:
    middle, out = mid_channels(shape.in_channels, expand), out_side(side, shape.stride)
    source, wide_in, wide_out = shape.in_channels * side**2, middle * side**2, middle * out**2
    waiting = source if shape.has_shortcut else 0
    steps = []
    if expand > 1:
        steps += [
            Step(place, "expand", source, wide_in, 0),
            Step(place, "depthwise", wide_in, wide_out, waiting),
        ]
    else:
        steps.append(Step(place, "depthwise", source, wide_out, 0))
    if se:
        steps.append(Step(place, "squeeze", wide_out, middle + se_channels(middle), waiting))
    return [*steps, Step(place, "project", wide_out, shape.out_channels * out**2, waiting)]


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
