"""A wrong tensor beside its inputs: what an answer returned, and where that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from labkit.course.pictures.style import CENTERED

MAX_NUMBERS = 64  # in one panel; more cannot be read
MAX_SIDE, MAX_WIDTH = 2.9, 12.0  # inches of a panel, and of all of them
MAX_OUTLINED = 0.8  # of the entries; where nearly all are wrong, outlines say nothing
DIFFERENCE = "yours less what is asked"


@dataclass(frozen=True)
class Panel:
    """A matrix (rows, columns) as a picture; NaN is blank."""

    title: str
    values: np.ndarray
    frame: tuple[int, int, int, int] | None = None  # top, left, height, width: a part that matters
    wrong: np.ndarray | None = None  # (rows, columns) bool, entries to outline
    rows: str = ""
    columns: str = ""


# From the index of a slice (of all dimensions but the last two) to panels of what it depends on.
InputPanels = Callable[[tuple[int, ...]], list[Panel]]


def compare(
    title: str,
    answer: object,
    expected: np.ndarray,
    input_panels: InputPanels,
    *,
    rows: str = "",
    columns: str = "",
    tolerance: float = 1e-4,
) -> list[Panel]:
    """Panels of the inputs, of `answer`, and of its difference from `expected`.

    There are none where `answer` is right, or no array. Of more than two dimensions the slice with
    the largest difference is shown. An answer of another shape is shown without a difference.
    """
    answer = np.asarray(answer, dtype=float)
    if answer.size == 0 or answer.ndim == 0:
        return []
    outer = max(0, expected.ndim - 2)  # dimensions that an index of a slice has
    if answer.shape != expected.shape:
        title = f"{title}: shape {answer.shape}\nasked is {expected.shape}"
        return [*input_panels((0,) * outer), Panel(title, _matrix(answer))]
    difference = answer - expected
    wrong = np.abs(difference) > tolerance * (1 + np.abs(expected))
    wrong |= np.isnan(answer) != np.isnan(expected)
    if not wrong.any():
        return []
    size = np.where(wrong, np.nan_to_num(np.abs(difference), nan=np.inf), -1)
    index = tuple(map(int, np.unravel_index(size.argmax(), expected.shape)))[:outer]
    axes = {"rows": rows, "columns": columns}
    count = f"{int(wrong.sum())} of {wrong.size} values are wrong"
    return [
        *input_panels(index),
        Panel(title, _matrix(answer[index]), **axes),
        Panel(
            f"{DIFFERENCE}\n{count}",
            _matrix(difference[index]),
            wrong=_matrix(wrong[index]),
            **axes,
        ),
    ]


def _matrix(values: np.ndarray) -> np.ndarray:
    """`values` as a matrix: a vector as one row, more dimensions with the first one as its rows."""
    return values[None] if values.ndim < 2 else values.reshape(len(values), -1)


def draw(panels: Sequence[Panel]) -> Figure:
    """The panels side by side."""
    side = min(MAX_SIDE, MAX_WIDTH / len(panels))
    figure = Figure(figsize=(side * len(panels), side + 0.5), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        _draw_panel(axes, panel)
    return figure


def _draw_panel(axes: Axes, panel: Panel) -> None:
    values = panel.values
    limit = max(float(np.abs(values[np.isfinite(values)]).max(initial=0)), 1e-12)
    rows, columns = values.shape
    aspect = "equal" if 1 / 3 <= rows / columns <= 3 else "auto"
    # Blue is below zero, red above, white is zero: in a difference, what is right.
    colors = {"cmap": "RdBu_r", "vmin": -limit, "vmax": limit}
    axes.imshow(values, aspect=aspect, interpolation="nearest", **colors)
    wrong = np.zeros(values.shape, bool) if panel.wrong is None else panel.wrong
    if values.size <= MAX_NUMBERS:
        _write_numbers(axes, values, wrong, limit)
    if panel.frame:
        top, left, height, width = panel.frame
        axes.add_patch(Rectangle((left - 0.5, top - 0.5), width, height, fill=False, linewidth=2.5))
    if wrong.mean() <= MAX_OUTLINED:
        for row, column in np.argwhere(wrong):
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, linewidth=1.5))
    axes.set_title(panel.title, fontsize=9)
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel(panel.columns, fontsize=8)
    axes.set_ylabel(panel.rows, fontsize=8)


def _write_numbers(axes: Axes, values: np.ndarray, wrong: np.ndarray, limit: float) -> None:
    """Three digits in each entry; NaN only where it is wrong."""
    are_integers = (values[~np.isnan(values)] % 1 == 0).all()
    decimals = 0 if are_integers else min(4, max(0, 2 - int(np.floor(np.log10(limit)))))
    size = 8 if values.shape[1] < 7 else 6.5
    for (row, column), value in np.ndenumerate(values):
        if np.isnan(value) and not wrong[row, column]:
            continue
        text = f"{value:.{decimals}f}".replace("nan", "NaN")
        color = "white" if abs(value) > 0.6 * limit else "black"
        axes.text(column, row, text, fontsize=size, color=color, **CENTERED)
