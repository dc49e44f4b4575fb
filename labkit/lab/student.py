"""Student notebooks from the instructor's: solutions out, outputs out, nothing else changed.

    python -m labkit.lab.student            write notebooks/*.ipynb from notebooks/instructor/*.ipynb, and their code
                                            to data/course/, against which `labkit check` checks a student's notebook
    python -m labkit.lab.student --run [NAME ...]  first run the instructor's and store the checked outputs

Structure is carried by comments in the source, which every front end keeps:

    # Exercise 1.2 (4 points)      first line of the cell that holds an answer
    # BEGIN SOLUTION               what stands between these two, at their indentation, is replaced by
    # END SOLUTION                 `raise NotImplementedError`
    # NBVAL_CHECK_OUTPUT           first line of a cell whose stored output nbval compares
"""

from __future__ import annotations

import argparse
import json
import re
from copy import deepcopy
from pathlib import Path

from labkit.paths import write_atomic

INSTRUCTOR = Path(__file__).resolve().parents[2] / "notebooks" / "instructor"
EXERCISE = re.compile(r"^# Exercise (\d+\.\d+) \((\d+) points?\)[ \t]*$", re.MULTILINE)
SOLUTION = re.compile(r"^([ \t]*)# BEGIN SOLUTION[ \t]*\n.*?^\1# END SOLUTION[ \t]*$", re.MULTILINE | re.DOTALL)
CHECKED = "# NBVAL_CHECK_OUTPUT\n"
METADATA = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"}}


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
        raise ValueError(f"{where}: BEGIN SOLUTION and END SOLUTION do not pair up at one indentation")
    return cleaned


def student_copy(notebook: dict, name: str = "notebook") -> dict:
    """The student's notebook: no solutions, outputs, execution counts, markers of nbval or stray metadata."""
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
            kept |= {"execution_count": cell["execution_count"] if outputs else None, "outputs": outputs}
        cells.append({**kept, "source": lines(source(cell))})
    return {"cells": cells, "metadata": METADATA, "nbformat": 4, "nbformat_minor": 5}


def _output(output: dict) -> dict:
    kept = {key: value for key, value in output.items() if key != "metadata"}
    if kept["output_type"] in ("display_data", "execute_result"):
        kept["metadata"] = {}
    return json.loads(json.dumps(kept))


def run(path: Path, timeout: int = 300) -> dict:
    """Execute an instructor's notebook and return it settled; raises what nbclient raises on a failing cell."""
    import nbformat
    from nbclient import NotebookClient

    notebook = nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=timeout, kernel_name="python3",
                   resources={"metadata": {"path": str(Path(path).parent)}}).execute()
    return settled(json.loads(nbformat.writes(notebook)))


def main() -> None:
    from labkit.checking.assemble import write_course  # which reads notebooks with this module

    parser = argparse.ArgumentParser(description="Write the students' notebooks from the instructor's.")
    parser.add_argument("--run", nargs="*", metavar="NAME",
                        help="execute these instructor notebooks first (all without a name), e.g. 01_supernet")
    arguments = parser.parse_args()
    for path in sorted(INSTRUCTOR.glob("*.ipynb")):
        if arguments.run is not None and (not arguments.run or path.stem in arguments.run):
            _write(path, run(path))
        copy = student_copy(read(path), path.name)
        _write(INSTRUCTOR.parent / path.name, copy)
        write_course(path.stem, copy)


def _write(path: Path, notebook: dict) -> None:
    write_atomic(path, lambda temporary: temporary.write_text(as_text(notebook), encoding="utf-8"))
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
