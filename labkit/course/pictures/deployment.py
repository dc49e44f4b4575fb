"""Pictures of deployment: every subnet on every device, and what one scale does to a layer."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from labkit.course.pictures.style import BLUE, CENTERED, ORANGE, RED, one_panel, row_of_panels
from labkit.specialize.choices import ALL
from labkit.specialize.deployment_matrix import DeploymentMatrix
from labkit.specialize.targets import milliseconds

LETTERS_PER_INCH = 15  # of a caption
LOSS_COLORS = LinearSegmentedColormap.from_list("loss", ["#F1F8FD", "#5AAEE0"])


def deployment_matrix(matrix: DeploymentMatrix) -> Figure:
    """Every subnet (rows) on every device (columns).

    A device's own subnet is framed. The others are too slow or too big for it, or less accurate.
    """
    rows, columns = matrix.latency_ms.shape
    width = max(9.2, 3.6 + 1.5 * columns)  # room for the title of a few devices, too
    figure, panel = one_panel(width, 2.4 + 0.72 * rows)
    for s in range(rows):
        for d in range(columns):
            _draw_cell(panel, matrix, s, d)
        verdict = matrix.verdict(s).replace(", ", ",\n")
        panel.text(columns + 0.08, s + 0.5, verdict, va="center", fontsize=9.5)
    names = [
        "one network\nfor all" if choice.owner == ALL else f"subnet of\n{choice.owner}"
        for choice in matrix.choices
    ]
    panel.set_yticks(np.arange(rows) + 0.5, names, fontsize=10)
    heads = [
        f"{origin.replace(', ', ',' + chr(10))}\n{target.name}\n"
        f"≤ {milliseconds(target.budget_ms, target.costs.device.label)} ms"
        for target, origin in zip(matrix.targets, matrix.latency_is)
    ]
    panel.set_xticks(np.arange(columns) + 0.5, heads, fontsize=10)
    panel.xaxis.tick_top()
    panel.tick_params(length=0)
    panel.set(xlim=(0, columns + 1.55), ylim=(rows, 0))
    panel.spines[:].set_visible(False)
    panel.text(
        columns + 0.08, -0.12, "as one network\nfor all devices", fontsize=9.5, fontweight="bold"
    )
    if any(map(matrix.serves_all, range(rows))):
        title = "Here one network is as good for all devices as their own"
    else:
        title = "One network for all devices is too slow somewhere, or worse somewhere"
    figure.suptitle(title, fontsize=13, fontweight="bold")
    errors = "" if matrix.loss_error is None else ", ± one standard error"
    caption = (
        "Rows: subnets of one supernet. Columns: the devices that they are put on, each with a"
        " budget. Framed: the device's own subnet.",
        f"Accuracy: {matrix.accuracy_is}{errors}; elsewhere points above or below the device's own"
        " subnet.",
    )
    lines = [textwrap.fill(line, round(LETTERS_PER_INCH * width)) for line in caption]
    figure.supxlabel("\n".join(lines), fontsize=9)
    return figure


def _draw_cell(panel: Axes, matrix: DeploymentMatrix, s: int, d: int) -> None:
    """Subnet `s` on device `d`: accuracy, or what is wrong with it, above latency over budget."""
    is_owner, loss = matrix.is_owner(s, d), matrix.loss[s, d]
    hatch = None
    if not matrix.fits[s, d]:
        color, hatch, text = "#C4C4C4", "xx", "does not fit"
    elif matrix.too_slow[s, d]:
        color, hatch, text = "#F2A67C", "//", "too slow"
    elif is_owner:
        color, text = "white", f"{matrix.accuracy[s, d]:.1f}{_error(matrix.accuracy_error, s, d)} %"
    else:
        worst = max(0.1, float(matrix.loss.max()))
        color = LOSS_COLORS(min(1.0, max(0.0, loss) / worst))
        points = f"{-loss:+.1f}".replace("-", "−")
        text = f"{points}{_error(matrix.loss_error, s, d)}"
        if points[1:] == "0.0":
            text = f"0.0{_error(matrix.loss_error, s, d)}"
    style = {"edgecolor": "black", "linewidth": 2.5} if is_owner else {"edgecolor": "white"}
    rectangle = Rectangle((d + 0.03, s + 0.04), 0.94, 0.92, facecolor=color, hatch=hatch, **style)
    panel.add_patch(rectangle)
    behind = {"facecolor": color, "edgecolor": "none", "pad": 1.5} if hatch else None
    weight = "bold" if is_owner or hatch else "normal"
    panel.text(d + 0.5, s + 0.38, text, fontsize=12, fontweight=weight, bbox=behind, **CENTERED)
    over_budget = f"{matrix.over_budget[s, d]:.2f}× budget"
    panel.text(d + 0.5, s + 0.72, over_budget, fontsize=8.5, bbox=behind, **CENTERED)


def _error(errors: np.ndarray | None, s: int, d: int) -> str:
    """A standard error as it stands behind its number; nothing where there is none."""
    return "" if errors is None else f" ± {errors[s, d]:.1f}"


def levels_of_channels(layers: Mapping[str, np.ndarray], bits: int) -> Figure:
    """How many steps of a layer's one scale each channel's range spans, widest channel first.

    `layers` are the largest absolute weights of each output channel.
    """
    figure, panels = row_of_panels(len(layers), 4.2, 3.2)
    largest = 2 ** (bits - 1) - 1
    for panel, (name, ranges) in zip(panels, layers.items()):
        steps = np.sort(ranges)[::-1] / ranges.max() * largest
        positions = np.arange(len(steps))
        panel.bar(positions, steps, width=1.0, color=BLUE, label="one scale for the layer")
        panel.axhline(largest, color=ORANGE, linewidth=2, label="a scale for each channel")
        panel.axhline(0.5, color=RED, linestyle="--", label="below: all weights become 0")
        panel.set(title=name, ylim=(0, 1.35 * largest))
        panel.set(xlabel="output channel, sorted", ylabel=f"steps of the scale ({bits} bits)")
        panel.legend(fontsize=8, loc="upper right")
    return figure
