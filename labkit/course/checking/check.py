"""Check a notebook on the student's own machine, in the way that it will be graded, but without
isolation.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

from labkit.course.checking.marking import CELL_LIMIT_S, Mark, make_job, mark
from labkit.course.checking.stripped_copy import write_copies
from labkit.course.checking.submission import find_answers
from labkit.course.checking.submitted_file import parse, read_notebook
from labkit.course.exercises.exercise import notebook_number
from labkit.storage.errors import LabError, MissingPackage
from labkit.storage.paths import data_dir

SEED = 0


def check_file(path: Path, *, seed: int = SEED) -> list[Mark]:
    """Marks of every exercise of the notebook at `path`; raises NotANotebook, or LabError if it has
    no exercises.
    """
    return check_cells(parse(read_notebook(path)), seed=seed)


def check_cells(cells: list[tuple[str, str]], *, seed: int = SEED) -> list[Mark]:
    """The same for a notebook's cells: (type, source) pairs."""
    submission = find_answers(cells)
    if not submission.notebooks:
        raise LabError(
            "no cell has a comment like `# Exercise 1.2 (4 points)`: there is nothing to check"
        )
    marks = []
    for number in submission.notebooks:
        ids = [*submission.answers, *submission.problems]
        ids = [id for id in ids if notebook_number(id) == number]
        with tempfile.TemporaryDirectory(prefix="labkit-") as folder:
            copies = write_copies(Path(folder) / "labkit", number, ids)
            result = _run(make_job(submission, ids, copies, seed), Path(folder) / "run")
        marks += [mark(id, submission, result, seed) for id in ids]
    return sorted(marks, key=lambda mark: [int(part) for part in mark.id.split(".")])


def _run(job: dict, folder: Path) -> dict:
    """Execute a job in a process of its own, and end everything that it started."""
    for package in ("nbval", "nbformat"):
        if find_spec(package) is None:
            raise MissingPackage(f"checking a notebook needs {package}: pip install nbval nbformat")
    folder.mkdir()
    job_path, result_path = folder / "job.json", folder / "result.json"
    job_path.write_text(json.dumps(job), encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "labkit.course.execution.job", job_path, result_path],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        # Beside the copy of labkit that answers run with there is no data.
        env={**os.environ, "OMP_NUM_THREADS": "1", "LABKIT_DATA": str(data_dir())},
    )
    limit_s = 120 + 3 * CELL_LIMIT_S * len(job["notebooks"])
    try:
        errors = process.communicate(timeout=limit_s)[1]
    except subprocess.TimeoutExpired:
        return {"ended": f"the notebook did not come to an end within {limit_s:g} s"}
    finally:
        if hasattr(os, "killpg"):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        process.kill()
    if process.returncode != 0:
        message = errors.decode(errors="replace").strip()[-500:]
        raise LabError(f"the notebook could not be run: {message}")
    return json.loads(result_path.read_text(encoding="utf-8"))


def table(marks: list[Mark]) -> list[str]:
    """Marks as lines of text: exercise, points, pass or what is wrong."""
    lines = [f"{'exercise':<10}{'points':<9}"]
    for one in marks:
        first, *more = (one.message or "pass").split("\n")
        points = f"{one.points} of {one.of}"
        lines.append(f"{one.id:<10}{points:<9}{first}")
        lines += [" " * 19 + line for line in more]
    total, maximum = sum(one.points for one in marks), sum(one.of for one in marks)
    return [*lines, f"{'all':<10}{total} of {maximum}"]
