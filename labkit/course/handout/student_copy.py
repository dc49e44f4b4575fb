"""What a student's notebook is made of: the instructor's, without solutions, outputs and stray
metadata.

Structure is carried by comments in the source, which every front end keeps:

    # Exercise 1.2 (2 points)      first line of the cell that holds an answer
    # BEGIN SOLUTION               what stands between these two, at their indentation, is replaced
    # END SOLUTION                 by `raise NotImplementedError`
    # NBVAL_CHECK_OUTPUT           first line of a cell whose stored output nbval compares
    # FOR THE INSTRUCTOR: ...      first line (after that one) of a cell that students do not get

and, in a text cell, by the heading of a task that is answered in writing and marked by hand:

    ## 8.2 A space (6 points)
"""

from __future__ import annotations

import re
from copy import deepcopy
from pathlib import Path

from labkit.course.handout.notebook_file import (
    cell_source,
    new_code_cell,
    new_notebook,
    source_lines,
)

INSTRUCTOR = Path(__file__).resolve().parents[3] / "notebooks" / "instructor"
EXERCISE = re.compile(r"^# Exercise (\d+\.\d+) \((?P<points>\d+) points?\)[ \t]*$", re.MULTILINE)
WRITTEN_TASK = re.compile(r"^#+ (\d+\.\d+) (.+) \((?P<points>\d+) points?\)[ \t]*$", re.MULTILINE)
SOLUTION = re.compile(
    r"^([ \t]*)# BEGIN SOLUTION[ \t]*\n.*?^\1# END SOLUTION[ \t]*$", re.MULTILINE | re.DOTALL
)
CHECKED = "# NBVAL_CHECK_OUTPUT\n"
FOR_INSTRUCTOR = "# FOR THE INSTRUCTOR:"


def exercise_ids(source: str) -> list[str]:
    """The exercises that a cell of the course holds the answers to.

    >>> exercise_ids("# Exercise 1.2 (2 points)\\ndef sort_channels(): ...")
    ['1.2']
    """
    return [header[1] for header in EXERCISE.finditer(source)]


def without_solution(text: str, where: str = "cell") -> str:
    """Source with every solution replaced; raises ValueError for markers that do not pair up."""
    cleaned = SOLUTION.sub(r"\1raise NotImplementedError", text)
    if "BEGIN SOLUTION" in cleaned or "END SOLUTION" in cleaned:
        raise ValueError(
            f"{where}: BEGIN SOLUTION and END SOLUTION do not pair up at one indentation"
        )
    return cleaned


def student_copy(notebook: dict, name: str = "notebook") -> dict:
    """The student's notebook: no solutions, outputs, execution counts, nbval's markers or stray
    metadata. `name` is for the message of the ValueError where markers do not pair up.
    """
    cells = []
    for i, cell in enumerate(notebook["cells"]):
        text = cell_source(cell)
        if text.removeprefix(CHECKED).startswith(FOR_INSTRUCTOR):
            continue
        if cell["cell_type"] == "code":
            text = without_solution(text, f"{name}, cell {i}").removeprefix(CHECKED)
            cells.append(new_code_cell(cell["id"], text))
        else:
            cells.append(_text_cell(cell))
    return new_notebook(cells)


def instructor_copy(notebook: dict) -> dict:
    """An instructor's notebook as it is committed: outputs and counts of checked cells only."""
    cells = []
    for cell in notebook["cells"]:
        if cell["cell_type"] != "code":
            cells.append(_text_cell(cell))
            continue
        copy = new_code_cell(cell["id"], cell_source(cell))
        if cell_source(cell).startswith(CHECKED) and cell["outputs"]:
            copy["execution_count"] = cell["execution_count"]
            copy["outputs"] = [_output(output) for output in cell["outputs"]]
        cells.append(copy)
    return new_notebook(cells)


def _text_cell(cell: dict) -> dict:
    source = source_lines(cell_source(cell))
    return {"cell_type": cell["cell_type"], "id": cell["id"], "metadata": {}, "source": source}


def _output(output: dict) -> dict:
    """An output without metadata, except the empty one that its type must have."""
    copy = deepcopy({key: value for key, value in output.items() if key != "metadata"})
    if copy["output_type"] in ("display_data", "execute_result"):
        copy["metadata"] = {}
    return copy
