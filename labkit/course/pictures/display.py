"""What a notebook shows in a front end: a figure, with a text for readers who hear it."""

from __future__ import annotations

import io
from base64 import b64encode
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

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
        f"{line.get_label()}: {heights[0]:.4g} to {heights[-1]:.4g}"
        for line in panel.lines
        if not line.get_label().startswith("_") and len(heights := line.get_ydata())
    ]
    legend = panel.get_legend_handles_labels()[1]
    others = [label for label in legend if not any(each.startswith(label) for each in series)]
    names = []
    for axis in (panel.xaxis, panel.yaxis):
        ticks = [text.get_text() for text in axis.get_ticklabels()]
        if any(map(str.isalpha, "".join(ticks))):  # else they are numbers
            names += ticks
    written = [text.get_text() for text in panel.texts]
    if len(written) == len(names):  # a number on each bar
        names, written = [f"{name}: {text}" for name, text in zip(names, written)], []
    parts = [*titles, *axes, *series, *others, *names, *dict.fromkeys(written[:MAX_WRITTEN])]
    return ", ".join(" ".join(part.split()) for part in parts if part.strip())
