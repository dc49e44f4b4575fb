"""Small things that notebooks do in a front end: show a figure, put a prediction beside a result,
check all answers.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
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
        return (
            f"{value:.4g} {unit}".strip()
            if isinstance(value, (int, float))
            else f"{value} {unit}".strip()
        )

    said = "you made no prediction" if predicted is None else f"you predicted {text(predicted)}"
    print(f"{said}; the result is {text(result)}")


def check_notebook(path: str | Path | None = None) -> None:
    """Print what the notebook would be graded with: exercise, points, pass or what is wrong.

    Without `path` it is the answers as they last ran in this session, in any front end; with it,
    the saved file. Answers run in a process of their own, so this takes about a minute. Raises
    LabError where there is no answer.

    It is a notebook's last cell, which must not stop a notebook that is run as a whole: under
    pytest (nbval), which checks answers cell by cell, it leaves them to it; where nbval is missing,
    as on Colab, it says what to install.
    """
    from labkit.course.checking.check import check_cells, check_file, table
    from labkit.storage.errors import MissingPackage

    if "PYTEST_VERSION" in os.environ:
        print("left to pytest, which checks each answer in the cell after it")
        return
    try:
        print(
            "\n".join(table(check_cells(_executed()) if path is None else check_file(Path(path))))
        )
    except MissingPackage as missing:
        print(f"{missing}, then run this cell again (in a notebook: %pip)")


def _executed() -> list[tuple[str, str]]:
    """The cells that ran in this session, those with answers each as it was last."""
    from IPython import get_ipython

    from labkit.course.checking.submission import MARKER, is_answer

    shell, others, last = get_ipython(), [], {}
    # As typed: in `In` the code of a cell with a magic, such as %%time, is one string.
    typed = getattr(getattr(shell, "history_manager", None), "input_hist_raw", None)
    for source in typed or (shell.user_ns.get("In", []) if shell else []):
        ids = MARKER.findall(source)
        last |= {
            id: source
            for id in ids
            if id not in last or is_answer(id, source) or not is_answer(id, last[id])
        }
        others += [source] if source.strip() and not ids else []
    return [("code", source) for source in dict.fromkeys([*others, *last.values()])]
