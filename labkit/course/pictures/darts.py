"""Pictures of gradient-based search: paths over a loss, moving weights, cells."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from labkit.course.pictures.style import (
    BLUE,
    CENTERED,
    GRAY,
    GREEN,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    one_panel,
    row_of_panels,
)
from labkit.darts.genotype import CELL_INPUTS, Cell
from labkit.darts.operations import PRIMITIVES

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
    """Paths (T, 2) of (a, w) over the shades of the validation loss, and the line w = a.

    On that line the network weight w is trained to the end for the architecture weight a.
    """
    figure, panel = one_panel(6.6, 4.6)
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
    start = next(iter(paths.values()))[0]
    panel.plot(*start, color="black", marker="s")
    panel.annotate(
        "start",
        start,
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
    """The weights (T, edges, operations) of a cell over the steps, and a table of the last ones.

    In color and outlined are the operations that the derived `cell` keeps.
    """
    derived = _positions(cell)
    figure = Figure(figsize=(9.6, 4.0), layout="constrained")
    lines, table = figure.subplots(1, 2, width_ratios=(1, 1.25))
    for edge, column in np.ndindex(weights.shape[1:]):
        in_cell = (edge, column) in derived
        lines.plot(
            steps,
            weights[:, edge, column],
            color=operation_color(PRIMITIVES[column]) if in_cell else GRAY,
            linewidth=1.8 if in_cell else 0.5,
            alpha=1 if in_cell else 0.4,
            zorder=3 if in_cell else 1,
        )
    lines.set(
        xlabel="search step",
        ylabel="weight of an operation on an edge",
        title=f"all {weights[0].size} weights; in color the {len(derived)} kept",
    )
    lines.grid(alpha=0.25)
    shades = table.imshow(weights[-1], cmap="Grays", vmin=0, aspect="auto")
    for edge, column in derived:
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
    figure.colorbar(shades, ax=table, label="weight")
    return figure


def _positions(cell: Cell) -> list[tuple[int, int]]:
    """(edge, operation) of each edge of a cell in the matrix of architecture weights."""
    positions, first_edge = [], 0
    for node, edges in enumerate(cell):
        for operation, state in edges:
            positions.append((first_edge + state, PRIMITIVES.index(operation)))
        first_edge += node + CELL_INPUTS
    return positions


def _state(state: int) -> str:
    return ("input 0", "input 1")[state] if state < CELL_INPUTS else f"node {state - CELL_INPUTS}"


def cells(named: Mapping[str, Cell]) -> Figure:
    """Cells as staircases: a column for each node, a row for each state it may read.

    The edges that a cell has are in the color of their operation.
    """
    figure, panels = row_of_panels(len(named), 4.8, 3.3)
    for panel, (name, cell) in zip(panels, named.items()):
        for node, edges in enumerate(cell):
            for state in range(node + CELL_INPUTS):
                panel.add_patch(Rectangle((node, state), 0.94, 0.9, color="#EEEEEE"))
            for operation, state in edges:
                color = operation_color(operation)
                panel.add_patch(Rectangle((node, state), 0.94, 0.9, color=color))
                text_color = "black" if color in (SKY, ORANGE) else "white"
                style = {"fontsize": 9, "color": text_color, **CENTERED}
                panel.text(node + 0.47, state + 0.45, operation, **style)
        states = len(cell) + CELL_INPUTS - 1
        panel.set(xlim=(-0.05, len(cell)), ylim=(states, -0.05), title=name)
        panel.set_xticks(np.arange(len(cell)) + 0.47, [f"node {node}" for node in range(len(cell))])
        panel.set_yticks(
            np.arange(states) + 0.45, [f"reads {_state(state)}" for state in range(states)]
        )
        panel.tick_params(length=0)
        panel.spines[:].set_visible(False)
    return figure
