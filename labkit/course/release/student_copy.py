"""What a student's notebook is made of: the instructor's, without solutions, outputs and stray
metadata.

Structure is carried by comments in the source, which every front end keeps:

    # Exercise 1.2 (4 points)      first line of the cell that holds an answer
    # BEGIN SOLUTION               what stands between these two, at their indentation, is replaced by
    # END SOLUTION                 `raise NotImplementedError`
    # NBVAL_CHECK_OUTPUT           first line of a cell whose stored output nbval compares
"""

from __future__ import annotations

import json
import re
from copy import deepcopy
from pathlib import Path

INSTRUCTOR = Path(__file__).resolve().parents[3] / "notebooks" / "instructor"
EXERCISE = re.compile(r"^# Exercise (\d+\.\d+) \((\d+) points?\)[ \t]*$", re.MULTILINE)
SOLUTION = re.compile(
    r"^([ \t]*)# BEGIN SOLUTION[ \t]*\n.*?^\1# END SOLUTION[ \t]*$", re.MULTILINE | re.DOTALL
)
CHECKED = "# NBVAL_CHECK_OUTPUT\n"
METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def read(path: Path) -> dict:
    return json.loads(Path(path).read_text(encoding="utf-8"))


def as_text(notebook: dict) -> str:
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def source(cell: dict) -> str:
    return "".join(cell["source"])


def lines(text: str) -> list[str]:
    """Source as notebooks store it: a list of lines, each but the last with its line end."""
    return text.splitlines(keepends=True)


def without_solution(text: str, where: str = "cell") -> str:
    """Source with every solution replaced; raises ValueError for markers that do not pair up."""
    cleaned = SOLUTION.sub(r"\1raise NotImplementedError", text)
    if "BEGIN SOLUTION" in cleaned or "END SOLUTION" in cleaned:
        raise ValueError(
            f"{where}: BEGIN SOLUTION and END SOLUTION do not pair up at one indentation"
        )
    return cleaned


def student_copy(notebook: dict, name: str = "notebook") -> dict:
    """The student's notebook: no solutions, outputs, execution counts, markers of nbval or stray
    metadata.
    """
    cells = []
    for i, cell in enumerate(notebook["cells"]):
        copy = {key: deepcopy(cell[key]) for key in ("cell_type", "id") if key in cell}
        copy["metadata"] = {}
        text = source(cell)
        if cell["cell_type"] == "code":
            text = without_solution(text, f"{name}, cell {i}").removeprefix(CHECKED)
            copy |= {"execution_count": None, "outputs": []}
        cells.append({**copy, "source": lines(text)})
    return {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}


def settled(notebook: dict) -> dict:
    """An instructor's notebook as it is committed: outputs and counts of checked cells only."""
    cells = []
    for cell in notebook["cells"]:
        kept = {"cell_type": cell["cell_type"], "id": cell["id"], "metadata": {}}
        if cell["cell_type"] == "code":
            checked = source(cell).startswith(CHECKED)
            outputs = [_output(output) for output in cell["outputs"]] if checked else []
            kept |= {
                "execution_count": cell["execution_count"] if outputs else None,
                "outputs": outputs,
            }
        cells.append({**kept, "source": lines(source(cell))})
    return {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}


def _output(output: dict) -> dict:
    kept = {key: value for key, value in output.items() if key != "metadata"}
    if kept["output_type"] in ("display_data", "execute_result"):
        kept["metadata"] = {}
    return json.loads(json.dumps(kept))
