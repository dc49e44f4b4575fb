"""Pictures of the ideas in the notebooks: the supernet with a subnet lit up, kernels, channels,
searches.

As in `labkit.course.pictures.plots`, each function returns a figure and shows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from labkit.course.pictures.plots import BLUE, GRAY, GREEN, ORANGE, PURPLE, RED, SKY, log_axis
from labkit.search import Front
from labkit.space import Arch, SearchSpace

KERNEL_COLORS = {3: SKY, 5: BLUE, 7: PURPLE}
SERIES = ((BLUE, "o"), (RED, "s"), (ORANGE, "D"), (GREEN, "^"))


def lit_supernet(space: SearchSpace, archs: Mapping[str, Arch]) -> Figure:
    """For each named arch, all blocks of the supernet in outline and those of the arch filled in."""
    figure = Figure(figsize=(8.2, 2.1 * len(archs)), layout="constrained")
    for panel, (name, arch) in zip(np.atleast_1d(figure.subplots(len(archs))), archs.items()):
        draw_arch(panel, space, arch)
        panel.set_title(
            f"{name}: {arch.resolution} px, {sum(arch.depths)} blocks", fontsize=10, loc="left"
        )
    return figure


def draw_arch(panel: Axes, space: SearchSpace, arch: Arch) -> None:
    """Blocks from left to right: height is the expand ratio, color and label the kernel size."""
    draw_outlines(panel, space)
    draw_blocks(panel, space, arch)


def _left_edges(space: SearchSpace) -> list[float]:
    """Where each stage begins: blocks are 1 apart and 0.84 wide, stages half a block further apart."""
    return [
        0.5 * s + sum(stage.max_depth for stage in space.stages[:s])
        for s in range(len(space.stages))
    ]


def draw_outlines(panel: Axes, space: SearchSpace) -> None:
    """The supernet at full size, in gray outline."""
    edges, widest = _left_edges(space), max(max(stage.expands) for stage in space.stages)
    for s, (stage, left) in enumerate(zip(space.stages, edges)):
        full = max(stage.expands)
        for i in range(stage.max_depth):
            panel.add_patch(
                Rectangle(
                    (left + i, -full / 2),
                    0.84,
                    full,
                    fill=False,
                    edgecolor="#BBBBBB",
                    linewidth=0.8,
                )
            )
        panel.text(
            left + (stage.max_depth - 0.16) / 2,
            -widest / 2 - 0.35,
            f"stage {s}, {stage.width} channels",
            ha="center",
            va="top",
            fontsize=8,
        )
    right = edges[-1] + space.stages[-1].max_depth
    panel.set(
        xlim=(-0.3, right + 0.2), ylim=(-widest / 2 - 1.2, widest / 2 + 0.2), yticks=[], xticks=[]
    )
    panel.set_ylabel("width\n(expand ratio)", fontsize=8)
    panel.spines[:].set_visible(False)


def draw_blocks(panel: Axes, space: SearchSpace, arch: Arch) -> list[Artist]:
    """What a subnet uses of the supernet, filled; the artists added."""
    drawn: list[Artist] = []
    for left, blocks in zip(_left_edges(space), arch.stages):
        for i, (kernel, expand) in enumerate(blocks):
            color = KERNEL_COLORS.get(kernel, GRAY)
            drawn.append(
                panel.add_patch(Rectangle((left + i, -expand / 2), 0.84, expand, color=color))
            )
            drawn.append(
                panel.text(
                    left + i + 0.42,
                    0,
                    f"{kernel}×{kernel}",
                    ha="center",
                    va="center",
                    color="white",
                    fontsize=8,
                )
            )
    return drawn


def shrinking_kernels(
    kernels: Sequence[np.ndarray], crops: Sequence[np.ndarray], channels: Sequence[int]
) -> Figure:
    """One row a channel: the largest kernel, then each smaller one beside the plain crop of the
    larger.

    `kernels` are (C, k, k) from large to small, `crops` the plain centers (C, k, k) of the largest.
    """
    titles, columns = [f"{k.shape[-1]}×{k.shape[-1]} kernel" for k in kernels[:1]], [kernels[0]]
    for kernel, crop in zip(kernels[1:], crops):
        side = kernel.shape[-1]
        titles += [f"its center, {side}×{side}", f"{side}×{side} kernel, learned"]
        columns += [crop, kernel]
    figure = Figure(figsize=(1.75 * len(columns), 1.75 * len(channels) + 0.4), layout="constrained")
    grid = figure.subplots(len(channels), len(columns), squeeze=False)
    for panel, title in zip(grid[0], titles):
        panel.set_title(title, fontsize=9)
    for row, channel in zip(grid, channels):
        limit = max(np.abs(column[channel]).max() for column in columns)
        for panel, column in zip(row, columns):
            panel.imshow(column[channel], cmap="PuOr", vmin=-limit, vmax=limit)
            panel.set(xticks=[], yticks=[])
        row[0].set_ylabel(f"channel {channel}", fontsize=9)
    return figure


def channel_importance(
    blocks: Mapping[str, np.ndarray], cuts: Mapping[str, Sequence[tuple[str, int]]]
) -> Figure:
    """Importance of each middle channel of some blocks, and where narrower blocks cut them off."""
    figure = Figure(figsize=(4.2 * len(blocks), 3.0), layout="constrained")
    for panel, (name, values) in zip(
        np.atleast_1d(figure.subplots(1, len(blocks))), blocks.items()
    ):
        panel.bar(np.arange(len(values)), values, width=1.0, color=BLUE)
        for label, cut in cuts[name]:
            panel.axvline(cut - 0.5, color=RED, linestyle="--", linewidth=1)
            panel.text(
                cut - 1, 1.02 * values.max(), label, ha="right", va="bottom", fontsize=8, color=RED
            )
        panel.set(
            title=name,
            ylim=(0, 1.15 * values.max()),
            xlabel="middle channel",
            ylabel="sum of |project| weights",
        )
    return figure


def lines(
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    x_label: str,
    y_label: str,
    title: str = "",
    log_x: bool = False,
) -> Figure:
    """Named series over a common horizontal axis."""
    figure = Figure(figsize=(6.4, 3.6), layout="constrained")
    panel = figure.subplots()
    for (name, values), (color, marker) in zip(series.items(), SERIES):
        panel.plot(x, values, color=color, marker=marker, markersize=4, label=name)
    panel.set(xlabel=x_label, ylabel=y_label, title=title)
    if log_x:
        log_axis(panel, min(x), max(x))
    panel.grid(alpha=0.25)
    panel.legend(fontsize=9)
    return figure


def bars(values: Mapping[str, float], *, y_label: str, title: str = "") -> Figure:
    """Named values as horizontal bars, with the numbers on them."""
    figure = Figure(figsize=(6.4, 0.5 * len(values) + 1.0), layout="constrained")
    panel = figure.subplots()
    colors = [color for color, _ in SERIES]
    drawn = panel.barh(
        list(values), list(values.values()), color=[colors[i % 4] for i in range(len(values))]
    )
    panel.bar_label(drawn, fmt="%.1f", padding=3)
    panel.invert_yaxis()
    panel.set(xlabel=y_label, title=title, xlim=(0, 1.15 * max(values.values())))
    return figure


def histories(
    runs: Mapping[str, Sequence[np.ndarray]], evaluations: Mapping[str, float], optimum: float
) -> Figure:
    """Best accuracy so far of several runs of each method over the archs looked at, and the exact
    optimum.

    `evaluations` is how many archs each entry of a method's history stands for.
    """
    figure = Figure(figsize=(6.6, 3.8), layout="constrained")
    panel = figure.subplots()
    panel.axhline(optimum, color=GRAY, linestyle=":", label="exact optimum")
    for (name, curves), (color, _) in zip(runs.items(), SERIES):
        for i, curve in enumerate(curves):
            seen = (1 + np.arange(len(curve))) * evaluations[name]
            panel.plot(
                seen, curve, color=color, alpha=0.8, linewidth=1.2, label=name if i == 0 else None
            )
    panel.set(xlabel="subnets looked at", ylabel="best predicted accuracy, %", xscale="log")
    panel.grid(alpha=0.25)
    panel.legend(loc="lower right", fontsize=9)
    return figure


def front_and_cloud(
    front: Front,
    cloud: tuple[np.ndarray, np.ndarray],
    budgets: Mapping[str, float],
    chosen: Mapping[str, tuple[float, float]],
    latency_label: str,
) -> Figure:
    """The exact front above a cloud of random subnets (latency, accuracy), budgets as lines, chosen
    subnets as dots.
    """
    figure = Figure(figsize=(6.8, 4.2), layout="constrained")
    panel = figure.subplots()
    panel.scatter(*cloud, s=4, color=GRAY, alpha=0.35, label="random subnets", rasterized=True)
    panel.plot(front.cost, front.accuracy, color=BLUE, label="exact front")
    for name, limit in budgets.items():
        panel.axvline(limit, color=GRAY, linestyle=":", linewidth=1)
        panel.text(
            limit,
            1.01,
            name,
            transform=panel.get_xaxis_transform(),
            ha="center",
            va="bottom",
            fontsize=8,
        )
    if chosen:
        panel.scatter(*zip(*chosen.values()), color=RED, zorder=3, label="found by evolution")
    panel.grid(alpha=0.25)
    panel.set(xlabel=latency_label, ylabel="predicted top-1 accuracy, %")
    panel.legend(loc="lower right", fontsize=9)
    return figure


def schedule(
    phases: Sequence[tuple[int, str, int]], choices: Mapping[str, Sequence[int]], steps: int
) -> Figure:
    """Which choices of each dimension may be drawn over the steps of a shrinking schedule."""
    figure = Figure(
        figsize=(7.2, 0.32 * sum(map(len, choices.values())) + 1.0), layout="constrained"
    )
    panel, labels = figure.subplots(), []
    for (name, values), (color, _) in zip(choices.items(), SERIES):
        starts = {count: start for start, of, count in reversed(phases) if of == name}
        for rank, value in enumerate(reversed(values), start=1):
            begin = (
                0 if rank == 1 else min((s for c, s in starts.items() if c >= rank), default=steps)
            )
            panel.barh(len(labels), steps - begin, left=begin, color=color, height=0.8)
            labels.append(f"{name} {value}")
    panel.set(
        yticks=range(len(labels)), yticklabels=labels, xlabel="training step", xlim=(0, steps)
    )
    panel.invert_yaxis()
    panel.grid(axis="x", alpha=0.25)
    return figure
