"""Pictures of a supernet: subnets lit up in its outline, its kernels and channels, its schedule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from labkit.course.pictures.charts import LINE_STYLES
from labkit.course.pictures.style import (
    BLUE,
    CENTERED,
    GRAY,
    PURPLE,
    RED,
    SKY,
    one_panel,
    row_of_panels,
)
from labkit.space import Arch, SearchSpace
from labkit.specialize.choices import ALL, Choice
from labkit.specialize.targets import Target, latency_text

KERNEL_COLORS = {3: SKY, 5: BLUE, 7: PURPLE}
DARK = (BLUE, GRAY)  # on which a label is white
BLOCK_WIDTH = 0.84  # blocks are 1 apart
LABEL_HEIGHT = 0.8  # of the lowest block that a label fits into, in expand ratios at full width


def lit_supernet(space: SearchSpace, archs: Mapping[str, Arch]) -> Figure:
    """For each named arch, the blocks of the supernet in outline and those of the arch filled."""
    figure = Figure(figsize=(8.2, 2.1 * len(archs)), layout="constrained")
    for panel, (name, arch) in zip(np.atleast_1d(figure.subplots(len(archs))), archs.items()):
        draw_arch(panel, space, arch)
        panel.set_title(f"{name}: {size_text(arch)}", fontsize=10, loc="left")
    return figure


def subnets_of_devices(
    space: SearchSpace, targets: Sequence[Target], choices: Sequence[Choice]
) -> Figure:
    """One row for each device: its budget, and its subnet lit up in the outline of the supernet."""
    choice_of = {choice.owner: choice for choice in choices if choice.owner != ALL}
    widest = max(max(stage.expands) for stage in space.stages)
    height = np.full(len(targets), widest + 0.4)
    height[-1] += 1.0  # below the last row stand the names of the stages
    figure = Figure(figsize=(8.2, 0.23 * height.sum() + 0.27 * len(targets)), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(targets), height_ratios=height))
    for panel, target in zip(panels, targets):
        choice, device = choice_of[target.name], target.costs.device
        draw_arch(panel, space, choice.arch)
        panel.set_ylabel("")
        if panel is not panels[-1]:
            for text in panel.texts:
                text.set_visible(not text.get_text().startswith("stage"))
            panel.set_ylim(-widest / 2 - 0.2, widest / 2 + 0.2)
        panel.set_title(
            f"{device.title.partition(' (')[0]}: at most"
            f" {latency_text(target.budget_ms, device.label)};"
            f" {size_text(choice.arch)}, predicted {choice.predicted_accuracy:.1f} %",
            fontsize=9.5,
            loc="left",
        )
    return figure


def size_text(arch: Arch) -> str:
    """Image side, width multiplier where it is not 1, and number of blocks of an arch.

    >>> from labkit.space import get_space
    >>> size_text(get_space("fmnist").largest())
    '28 px, 11 blocks'
    """
    width = "" if arch.width == 1 else f", {arch.width:g} × width"
    blocks = sum(arch.depths)
    return f"{arch.resolution} px{width}, {blocks} block{'' if blocks == 1 else 's'}"


def draw_arch(panel: Axes, space: SearchSpace, arch: Arch) -> None:
    """Blocks side by side: height is the share of the channels, color and label the kernel size."""
    draw_outlines(panel, space)
    draw_blocks(panel, space, arch)


def _stage_starts(space: SearchSpace) -> list[float]:
    """Where each stage begins; between two stages, half a block is free."""
    return [
        0.5 * s + sum(stage.max_depth for stage in space.stages[:s])
        for s in range(len(space.stages))
    ]


def draw_outlines(panel: Axes, space: SearchSpace) -> None:
    """The supernet at full size, in gray outline."""
    starts, widest = _stage_starts(space), max(max(stage.expands) for stage in space.stages)
    style = {"fill": False, "edgecolor": "#BBBBBB", "linewidth": 0.8}
    for s, (stage, start) in enumerate(zip(space.stages, starts)):
        expand = max(stage.expands)
        for i in range(stage.max_depth):
            panel.add_patch(Rectangle((start + i, -expand / 2), BLOCK_WIDTH, expand, **style))
        panel.text(
            start + (stage.max_depth - 1 + BLOCK_WIDTH) / 2,
            -widest / 2 - 0.35,
            f"stage {s}, {stage.width} channels",
            ha="center",
            va="top",
            fontsize=8,
        )
    end = starts[-1] + space.stages[-1].max_depth
    panel.set(xlim=(-0.3, end + 0.2), ylim=(-widest / 2 - 1.2, widest / 2 + 0.2))
    panel.set(xticks=[], yticks=[])
    times = "" if len(space.widths) == 1 else "\n× width"
    panel.set_ylabel(f"channels\n(expand ratio{times})", fontsize=8)
    panel.spines[:].set_visible(False)


def draw_blocks(panel: Axes, space: SearchSpace, arch: Arch) -> list[Artist]:
    """The blocks that a subnet uses of the supernet, filled; returns the artists added.

    A block of a network of half the width is half as high. A label that does not fit into its
    block stands above it.
    """
    artists: list[Artist] = []
    share = arch.width / space.widths[-1]
    for start, blocks in zip(_stage_starts(space), arch.stages):
        for x, (kernel, expand) in enumerate(blocks):
            color, x_left, height = KERNEL_COLORS.get(kernel, GRAY), start + x, share * expand
            block = Rectangle((x_left, -height / 2), BLOCK_WIDTH, height, color=color)
            artists.append(panel.add_patch(block))
            label, middle = f"{kernel}×{kernel}", x_left + BLOCK_WIDTH / 2
            if height < LABEL_HEIGHT:
                style = {"ha": "center", "va": "bottom", "fontsize": 8}
                artists.append(panel.text(middle, height / 2 + 0.1, label, **style))
            else:
                ink = "white" if color in DARK else "black"
                style = {"color": ink, "fontsize": 8, **CENTERED}
                artists.append(panel.text(middle, 0, label, **style))
    return artists


def shrinking_kernels(kernels: Sequence[np.ndarray]) -> Figure:
    """A row for each channel: its kernels, from the largest to the smallest, and beside each
    smaller one the plain center of the largest.

    `kernels` are (C, k, k), from large to small. Each kernel has colors up to its own largest tap,
    since the batch norm behind it undoes any scale.
    """
    largest = kernels[0]
    side = largest.shape[-1]
    titles, columns = [f"{side}×{side} kernel"], [largest]
    for kernel in kernels[1:]:
        small = kernel.shape[-1]
        edge = (side - small) // 2
        titles += [f"its center, {small}×{small}", f"{small}×{small} kernel, learned"]
        columns += [largest[:, edge : edge + small, edge : edge + small], kernel]
    height = 1.75 * len(largest) + 0.4
    figure = Figure(figsize=(1.75 * len(columns), height), layout="constrained")
    grid = figure.subplots(len(largest), len(columns), squeeze=False)
    for panel, title in zip(grid[0], titles):
        panel.set_title(title, fontsize=9)
    for channel, row in enumerate(grid):
        for panel, column in zip(row, columns):
            limit = np.abs(column[channel]).max()
            panel.imshow(column[channel], cmap="PuOr", vmin=-limit, vmax=limit)
            panel.set(xticks=[], yticks=[])
        row[0].set_ylabel(f"channel {channel}", fontsize=9)
    return figure


def channel_importance(blocks: Mapping[str, tuple[np.ndarray, Mapping[str, int]]]) -> Figure:
    """The importance of each middle channel of some blocks, and where narrower blocks cut.

    A block is (importance of each channel, how many channels each narrower block keeps).
    """
    figure, panels = row_of_panels(len(blocks), 4.2, 3.0)
    for panel, (name, (importance, cuts)) in zip(panels, blocks.items()):
        top = importance.max()
        panel.stairs(importance, np.arange(len(importance) + 1) - 0.5, fill=True, color=BLUE)
        for label, cut in cuts.items():
            panel.axvline(cut - 0.5, color=RED, linestyle="--", linewidth=1)
            panel.text(cut - 1, 1.02 * top, label, ha="right", va="bottom", fontsize=8, color=RED)
        panel.set(title=name, ylim=(0, 1.15 * top))
        panel.set(xlabel="middle channel", ylabel="importance (sum of |weights|)")
    return figure


def shrinking_schedule(
    phases: Sequence[tuple[int, str, int]], choices: Mapping[str, Sequence[int]], steps: int
) -> Figure:
    """Which choices of each dimension a step may draw, over the steps of a shrinking schedule.

    `phases` are (first step, dimension, number of its largest choices that are allowed).
    """
    figure, panel = one_panel(7.2, 0.32 * sum(map(len, choices.values())) + 1.0)
    labels = []
    for (name, values), (color, _) in zip(choices.items(), LINE_STYLES):
        phases_of_name = [(start, count) for start, of, count in phases if of == name]
        for rank, value in enumerate(reversed(values), start=1):
            starts = [start for start, count in phases_of_name if count >= rank]
            begin = 0 if rank == 1 else min(starts, default=steps)
            panel.barh(len(labels), steps - begin, left=begin, color=color, height=0.8)
            labels.append(f"{name} {value}")
    panel.set(yticks=range(len(labels)), yticklabels=labels)
    panel.set(xlabel="training step", xlim=(0, steps))
    panel.invert_yaxis()
    panel.grid(axis="x", alpha=0.25)
    return figure
