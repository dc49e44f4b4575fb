"""What a notebook shows in a front end: a figure."""

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
