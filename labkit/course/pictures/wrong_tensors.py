"""A wrong tensor beside its inputs: what an answer was given, what it returned, and where that
differs.

Only `check` in a notebook draws these, for the inputs that it shows. Graders never do, and the copy
of labkit that they run answers with does not hold what is compared here
(`labkit.course.judges.drawn_tensors`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from labkit.course.exercises.exercise import Plain, Wrong
from labkit.course.exercises.trial import UNJUDGEABLE

MOST_NUMBERS = 64  # in one panel; more cannot be read
SIDE, WIDEST = 2.9, 12.0  # inches of a panel, and of all of them
MOST_OUTLINED = 0.8  # of the entries; where nearly all are wrong, outlines say nothing
DIFFERENCE = "yours less what is asked"


@dataclass(frozen=True)
class Panel:
    """A matrix (rows, columns) as a picture; NaN is left blank."""

    title: str
    values: np.ndarray
    frame: tuple[int, int, int, int] | None = (
        None  # top, left, height, width of a part that matters
    )
    wrong: np.ndarray | None = None  # (rows, columns) bool, entries to outline
    rows: str = ""
    columns: str = ""


Given = Callable[[tuple[int, ...]], list[Panel]]  # the slice that is shown -> its inputs


def compare(
    what: str,
    got: object,
    asked: np.ndarray,
    given: Given,
    *,
    rows: str = "",
    columns: str = "",
    tolerance: float = 1e-4,
) -> list[Panel]:
    """Panels: inputs, `got`, and the difference from `asked`; none where `got` is no array, or
    right.

    Of more than two dimensions the slice with the largest difference is shown. Of a result of
    another shape there is no difference to show.
    """
    got = np.asarray(got, dtype=float)
    if got.size == 0 or got.ndim == 0:
        return []
    if got.shape != asked.shape:
        at = (0,) * max(0, asked.ndim - 2)
        return [*given(at), Panel(f"{what}: shape {got.shape}\nasked is {asked.shape}", _flat(got))]
    difference = got - asked
    off = np.abs(difference) > tolerance * (1 + np.abs(asked))
    off |= np.isnan(got) != np.isnan(asked)
    if not off.any():
        return []
    largest = np.where(off, np.nan_to_num(np.abs(difference), nan=np.inf), -1).argmax()
    at = tuple(map(int, np.unravel_index(largest, asked.shape)))[: max(0, asked.ndim - 2)]
    shown, less, mask = (_flat(values[at]) for values in (got, difference, off))
    return [
        *given(at),
        Panel(what, shown, rows=rows, columns=columns),
        Panel(
            f"{DIFFERENCE}\n{int(off.sum())} of {off.size} values are wrong",
            less,
            wrong=mask,
            rows=rows,
            columns=columns,
        ),
    ]


def _flat(values: np.ndarray) -> np.ndarray:
    """As a matrix: a vector is one row, of more dimensions the first counts rows."""
    return values[None] if values.ndim < 2 else values.reshape(len(values), -1)


def picture(id: str, inputs: dict[str, Plain], returned: Plain) -> Figure | None:
    """What was wrong with the answer to exercise `id`; None where a picture would not help."""
    from labkit.course.judges.drawn_tensors import DRAWN

    if id not in DRAWN or returned is None:
        return None
    try:
        panels = DRAWN[id](inputs, returned)
    except (*UNJUDGEABLE, Wrong):  # returned may be anything
        return None
    return draw(panels) if panels else None


def draw(panels: Sequence[Panel]) -> Figure:
    side = min(SIDE, WIDEST / len(panels))
    figure = Figure(figsize=(side * len(panels), side + 0.5), layout="constrained")
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        _draw(axes, panel)
    return figure


def _draw(axes: Axes, panel: Panel) -> None:
    values = panel.values
    limit = max(float(np.abs(values[np.isfinite(values)]).max(initial=0)), 1e-12)
    # Blue is below zero, red above, white is zero: in a difference, what is right.
    axes.imshow(
        values,
        cmap="RdBu_r",
        vmin=-limit,
        vmax=limit,
        aspect="equal" if _squarish(values) else "auto",
        interpolation="nearest",
    )
    wrong = np.zeros(values.shape, bool) if panel.wrong is None else panel.wrong
    if values.size <= MOST_NUMBERS:
        decimals = (
            0
            if (values[~np.isnan(values)] % 1 == 0).all()
            else max(0, 2 - int(np.floor(np.log10(limit))))
        )
        for (row, column), value in np.ndenumerate(values):
            if not np.isnan(value) or wrong[row, column]:
                axes.text(
                    column,
                    row,
                    f"{value:.{min(decimals, 4)}f}".replace("nan", "NaN"),
                    ha="center",
                    va="center",
                    fontsize=8 if values.shape[1] < 7 else 6.5,
                    color="white" if abs(value) > 0.6 * limit else "black",
                )
    if panel.frame:
        top, left, height, width = panel.frame
        axes.add_patch(Rectangle((left - 0.5, top - 0.5), width, height, fill=False, linewidth=2.5))
    if wrong.mean() <= MOST_OUTLINED:
        for row, column in np.argwhere(wrong):
            axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, linewidth=1.5))
    axes.set_title(panel.title, fontsize=9)
    axes.set(xticks=[], yticks=[])
    axes.set_xlabel(panel.columns, fontsize=8)
    axes.set_ylabel(panel.rows, fontsize=8)


def _squarish(values: np.ndarray) -> bool:
    rows, columns = values.shape
    return 1 / 3 <= rows / columns <= 3
