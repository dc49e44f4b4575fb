"""What a notebook shows in a front end: a figure, with a text for readers who hear it."""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.collections import PathCollection
from matplotlib.container import ErrorbarContainer

from labkit.storage.atomic_write import write_atomic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DPI = 110
MAX_WRITTEN = 40  # of the texts in a panel, the first are read out


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """`figure` as the content of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def show(figure: Figure, path: Path | None = None) -> None:
    """Display `figure` as a picture, in every front end and without pyplot's state, with
    `alternative_text`.

    With `path` it is kept in this file as well.
    """
    from IPython.display import display

    data, text = png(figure), alternative_text(figure)
    source = f"data:image/png;base64,{b64encode(data).decode()}"
    # As HTML: JupyterLab gives a picture of any other kind no alternative text.
    html = f'<img alt="{escape(text)}" src="{source}">'
    display({"text/html": html, "text/plain": text}, raw=True)
    if path is not None:
        write_atomic(path, lambda temporary: temporary.write_bytes(data))


def alternative_text(figure: Figure) -> str:
    """What a figure says in words: of each panel the title, the axes, the series with their first
    and last values, and whatever is written into it.
    """
    return "; ".join(filter(None, map(_text_of_panel, figure.axes))) or "a picture"


def _series(panel: Axes) -> Iterator[tuple[str, np.ndarray]]:
    """Name and values of lines, of dots, and of dots with error bars; a limit has one value."""
    for line in panel.lines:
        across, heights = map(np.asarray, line.get_data())
        is_limit = len(heights) == 2 and (heights == (0, 1)).all() and across[0] == across[1]
        is_level = len(across) == 2 and (across == (0, 1)).all() and heights[0] == heights[1]
        values = across[:1] if is_limit else heights[:1] if is_level else heights
        yield line.get_label(), values
    for bars in panel.containers:
        if isinstance(bars, ErrorbarContainer) and bars.lines[0] is not None:
            yield bars.get_label(), np.asarray(bars.lines[0].get_ydata())
    for dots in panel.collections:
        if isinstance(dots, PathCollection):
            yield dots.get_label(), np.asarray(dots.get_offsets())[:, 1]


def _text_of_panel(panel: Axes) -> str:
    titles = [panel.get_title(loc) for loc in ("left", "center", "right")]
    axes = [
        f"{name} axis: {label}"
        for name, label in (
            ("horizontal", panel.get_xlabel()),
            ("vertical", panel.get_ylabel()),
        )
        if label
    ]
    series = [
        f"{label}: {values[0]:.4g}" + (f" to {values[-1]:.4g}" if len(values) > 1 else "")
        for label, values in _series(panel)
        if not label.startswith("_") and len(values)
    ]
    legend = panel.get_legend_handles_labels()[1]
    others = [label for label in legend if not any(each.startswith(label) for each in series)]
    names = []
    for axis in (panel.xaxis, panel.yaxis):
        ticks = [text.get_text() for text in axis.get_ticklabels()]
        ticks = [text for text in ticks if "$" not in text]  # a power of ten
        if any(map(str.isalpha, "".join(ticks))):  # else they are numbers
            names += ticks
    written = [text.get_text() for text in panel.texts]
    if len(written) == len(names):  # a number on each bar
        names, written = [f"{name}: {text}" for name, text in zip(names, written)], []
    parts = [*titles, *axes, *series, *others, *names, *dict.fromkeys(written[:MAX_WRITTEN])]
    return ", ".join(" ".join(part.split()) for part in parts if part.strip())
