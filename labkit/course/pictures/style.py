"""What all pictures share: colors, empty panels, readable axes, lines of limits, saving.

Each function of this package that makes a picture returns a matplotlib figure and shows nothing.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.storage.atomic_write import write_atomic

# Okabe and Ito's palette: its colors differ for readers with every common kind of color blindness.
BLUE = "#0072B2"
ORANGE = "#E69F00"
GREEN = "#009E73"
RED = "#D55E00"
PURPLE = "#CC79A7"
SKY = "#56B4E9"
BLACK = "#000000"
GRAY = "#777777"
PALETTE = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK, GRAY)  # the order in which lines take them
CENTERED = {"ha": "center", "va": "center"}  # of a text


def one_panel(width: float, height: float) -> tuple[Figure, Axes]:
    """A figure of this size in inches, with one panel."""
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def row_of_panels(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels side by side, each of this size in inches."""
    figure = Figure(figsize=(width * count, height), layout="constrained")
    return figure, list(figure.subplots(1, count, squeeze=False)[0])


def mark_limit(panel: Axes, limit: float, name: str) -> None:
    """A dotted vertical line at `limit`, with its name above the panel."""
    panel.axvline(limit, color=GRAY, linestyle=":", linewidth=1)
    above = {"transform": panel.get_xaxis_transform(), "ha": "center", "va": "bottom"}
    panel.text(limit, 1.01, name, fontsize=8, **above)


def log_axis(panel: Axes, low: float, high: float) -> None:
    """A logarithmic horizontal axis with readable numbers on it."""
    panel.set_xscale("log")
    panel.set_xticks(nice_ticks(low, high))
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_formatter("")
    panel.grid(alpha=0.25)


def log_height(panel: Axes, low: float, high: float) -> None:
    """A logarithmic vertical axis with readable numbers on it."""
    panel.set_yscale("log")
    panel.set_yticks(nice_ticks(low, high))
    panel.yaxis.set_major_formatter("{x:g}")
    panel.yaxis.set_minor_formatter("")


def nice_ticks(low: float, high: float) -> np.ndarray:
    """Round numbers from `low` to `high` for a logarithmic axis, at least four if possible."""
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 5, 7), (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)):
        ticks = (10.0 ** decades[:, None] * np.array(steps)).ravel()
        ticks = ticks[(ticks >= low * 0.95) & (ticks <= high * 1.05)]
        if len(ticks) >= 4:
            break
    return ticks


def save_figure(figure: Figure, path: Path) -> None:
    """Write a picture in one step; the format follows the file's ending, PNG if it has none."""
    # Drawn before the file is opened: matplotlib's PDF writer hides the error of a full disk.
    data = io.BytesIO()
    figure.savefig(data, dpi=120, format=Path(path).suffix[1:] or "png")
    write_atomic(path, lambda temporary: temporary.write_bytes(data.getvalue()))
