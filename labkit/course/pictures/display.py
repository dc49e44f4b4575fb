"""What a notebook shows in a front end: a figure, and a prediction beside the result."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.storage.atomic_write import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110


def png(figure: Figure, dpi: int = DPI) -> bytes:
    """`figure` as the content of a PNG file."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def show(figure: Figure, path: Path | None = None) -> None:
    """Display `figure` as a picture, in every front end and without pyplot's state.

    With `path` it is kept in this file as well.
    """
    from IPython.display import Image, display

    data = png(figure)
    display(Image(data=data))
    if path is not None:
        write_atomic(path, lambda temporary: temporary.write_bytes(data))


def beside(predicted: float | str | None, result: float | str, unit: str = "") -> None:
    """Print what the student predicted beside the result.

    >>> beside(20, 19.25, "ms")
    you predicted 20 ms; the result is 19.25 ms
    """

    def text(value: float | str) -> str:
        figure = f"{value:.4g}" if isinstance(value, (int, float)) else value
        return f"{figure} {unit}".strip()

    start = "you made no prediction" if predicted is None else f"you predicted {text(predicted)}"
    print(f"{start}; the result is {text(result)}")
