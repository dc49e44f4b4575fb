"""Pictures of gradient-based search: two losses and where they lead, weights that move, cells,
latency in the loss.

As in `labkit.course.pictures.plots`, each function returns a figure and shows nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from labkit.course.pictures.plots import BLUE, GRAY, GREEN, ORANGE, PURPLE, RED, SKY, log_axis
from labkit.darts.genotype import CELL_INPUTS, Cell
from labkit.darts.operations import PRIMITIVES
from labkit.search import Front

FAMILIES = {
    "sep_conv": BLUE,
    "dil_conv": SKY,
    "skip": RED,
    "max_pool": ORANGE,
    "avg_pool": ORANGE,
    "none": GRAY,
}


def operation_color(name: str) -> str:
    return next(color for family, color in FAMILIES.items() if name.startswith(family))


def bilevel_paths(
    paths: Mapping[str, np.ndarray],
    loss: Callable[[np.ndarray, np.ndarray], np.ndarray],
    best: tuple[float, float],
) -> Figure:
    """Ways (T, 2) of (a, w) over the plane, the validation loss as shades, and the line of trained
    weights w = a.
    """
    figure = Figure(figsize=(6.6, 4.6), layout="constrained")
    panel = figure.subplots()
    low, high = -2.5, 4.0
    a, w = np.meshgrid(np.linspace(0, high, 60), np.linspace(low, high, 60))
    shades = panel.pcolormesh(
        a, w, loss(a, w), cmap="Grays", vmin=-14, vmax=30, shading="gouraud", rasterized=True
    )
    figure.colorbar(shades, ax=panel, label="validation loss").ax.set_ylim(-14, 10)
    panel.plot(
        [0, high],
        [0, high],
        color="black",
        linestyle="--",
        linewidth=1,
        label="w = w*(a): fully trained",
    )
    for (name, path), color in zip(paths.items(), (RED, PURPLE, BLUE)):
        panel.plot(*path.T, color=color, linewidth=1.6, label=name)
        panel.plot(*path[-1], color=color, marker="o", markersize=8)
    panel.plot(*next(iter(paths.values()))[0], color="black", marker="s")
    panel.annotate(
        "start",
        next(iter(paths.values()))[0],
        xytext=(-8, 0),
        textcoords="offset points",
        fontsize=9,
        ha="right",
        va="center",
    )
    panel.plot(
        *best,
        color=GREEN,
        marker="*",
        markersize=17,
        markeredgecolor="white",
        zorder=4,
        linestyle="none",
        label="best architecture",
    )
    panel.set(
        xlabel="architecture weight a", ylabel="network weight w", xlim=(0, high), ylim=(low, high)
    )
    panel.legend(loc="upper left", fontsize=9)
    return figure


def moving_weights(steps: np.ndarray, weights: np.ndarray, cell: Cell) -> Figure:
    """The weights (T, edges, operations) of a cell over the steps, and at the end, what is kept
    outlined.
    """
    kept = list(_kept(cell))
    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    lines, table = figure.subplots(1, 2, width_ratios=(1, 1.25))
    for edge, column in np.ndindex(weights.shape[1:]):
        chosen = (edge, column) in kept
        lines.plot(
            steps,
            weights[:, edge, column],
            color=operation_color(PRIMITIVES[column]) if chosen else GRAY,
            linewidth=1.8 if chosen else 0.5,
            alpha=1 if chosen else 0.4,
            zorder=3 if chosen else 1,
        )
    lines.set(
        xlabel="search step",
        ylabel="weight of an operation on an edge",
        title=f"all {weights[0].size} weights; in color the {len(kept)} kept",
    )
    lines.grid(alpha=0.25)
    shown = table.imshow(weights[-1], cmap="Grays", vmin=0, aspect="auto")
    for edge, column in kept:
        table.add_patch(
            Rectangle(
                (column - 0.48, edge - 0.46),
                0.96,
                0.92,
                fill=False,
                linewidth=2.5,
                edgecolor=operation_color(PRIMITIVES[column]),
            )
        )
    names = [
        f"{_state(state)} → node {node}"
        for node in range(len(cell))
        for state in range(node + CELL_INPUTS)
    ]
    table.set_xticks(range(len(PRIMITIVES)), PRIMITIVES, rotation=40, ha="right", fontsize=8)
    table.set_yticks(range(len(names)), names, fontsize=8)
    for node in range(1, len(cell)):
        table.axhline(sum(n + CELL_INPUTS for n in range(node)) - 0.5, color="white", linewidth=3)
    table.set_title("at the end; outlined: kept")
    figure.colorbar(shown, ax=table, label="weight")
    return figure


def _kept(cell: Cell) -> Sequence[tuple[int, int]]:
    """(row, column) in the matrix of architecture weights of each edge of a cell."""
    first = 0
    for node, edges in enumerate(cell):
        for operation, state in edges:
            yield first + state, PRIMITIVES.index(operation)
        first += node + CELL_INPUTS


def _state(state: int) -> str:
    return ("input 0", "input 1")[state] if state < CELL_INPUTS else f"node {state - CELL_INPUTS}"


def cells(named: Mapping[str, Cell]) -> Figure:
    """Cells as staircases: a column for each node, a row for each state it may read, kept edges in
    color.
    """
    figure = Figure(figsize=(4.8 * len(named), 3.3), layout="constrained")
    for panel, (name, cell) in zip(np.atleast_1d(figure.subplots(1, len(named))), named.items()):
        for node, edges in enumerate(cell):
            for state in range(node + CELL_INPUTS):
                panel.add_patch(Rectangle((node, state), 0.94, 0.9, color="#EEEEEE"))
            for operation, state in edges:
                color = operation_color(operation)
                panel.add_patch(Rectangle((node, state), 0.94, 0.9, color=color))
                panel.text(
                    node + 0.47,
                    state + 0.45,
                    operation,
                    ha="center",
                    va="center",
                    fontsize=9,
                    color="black" if color in (SKY, ORANGE) else "white",
                )
        states = len(cell) + CELL_INPUTS - 1
        panel.set(xlim=(-0.05, len(cell)), ylim=(states, -0.05), title=name)
        panel.set_xticks(np.arange(len(cell)) + 0.47, [f"node {node}" for node in range(len(cell))])
        panel.set_yticks(
            np.arange(states) + 0.45, [f"reads {_state(state)}" for state in range(states)]
        )
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
    return figure


def searches_on_front(
    front: Front,
    found: Mapping[str, tuple[float, float]],
    limit: float,
    history: Sequence[dict],
    latency_label: str,
) -> Figure:
    """The exact front with what searches found under a limit, and how gradient search came to keep
    to it.
    """
    figure = Figure(figsize=(9.6, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.35, 1))
    left.plot(front.cost, front.accuracy, color=GRAY, label="exact front")
    left.axvline(limit, color=GRAY, linestyle=":", linewidth=1.2)
    left.text(
        limit,
        1.01,
        f"limit {limit:g} ms",
        transform=left.get_xaxis_transform(),
        ha="center",
        va="bottom",
        fontsize=8,
    )
    styles = ((GREEN, "*", 15), (BLUE, "o", 7), (RED, "s", 7))
    for (name, (latency, accuracy)), (color, marker, size) in zip(found.items(), styles):
        left.plot(
            latency,
            accuracy,
            color=color,
            marker=marker,
            markersize=size,
            linestyle="none",
            label=f"{name}: {accuracy:.2f} %",
            zorder=3 if marker == "*" else 4,
        )
    log_axis(left, front.cost[0], front.cost[-1])
    left.set(xlabel=latency_label, ylabel="predicted top-1 accuracy, %")
    left.legend(loc="lower right", fontsize=9)
    expected, prices = ([entry[key] for entry in history] for key in ("cost", "price"))
    right.plot(expected, color=RED, label="expected latency")
    right.plot([], color=ORANGE, linestyle="--", label="price")
    right.axhline(limit, color=GRAY, linestyle=":", linewidth=1.2, label="limit")
    right.set(xlabel="step of gradient search", ylabel="expected latency, ms")
    right.grid(alpha=0.25)
    right.legend(loc="upper center", fontsize=8, ncols=3, handlelength=1.4, columnspacing=1.2)
    right.set_ylim(top=1.12 * max(expected))  # room for the legend
    price = right.twinx()
    price.plot(prices, color=ORANGE, linestyle="--")
    price.set_ylabel("price of latency")
    price.set_ylim(0, 1.6 * max(max(prices), 1e-3))
    return figure
