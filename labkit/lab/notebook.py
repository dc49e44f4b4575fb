"""Small things that notebooks do in a front end: show a figure, put a prediction beside a result."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 110


def png(figure: Figure, dpi: int = DPI) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def show(figure: Figure) -> None:
    """Display `figure` as a picture, in every front end and without pyplot's state."""
    from IPython.display import Image, display

    display(Image(data=png(figure)))


def beside(predicted: float | str | None, result: float | str, unit: str = "") -> None:
    """Print what the student predicted beside what came out."""
    def text(value: float | str) -> str:
        return f"{value:.4g} {unit}".strip() if isinstance(value, (int, float)) else f"{value} {unit}".strip()

    said = "you made no prediction" if predicted is None else f"you predicted {text(predicted)}"
    print(f"{said}; the result is {text(result)}")
