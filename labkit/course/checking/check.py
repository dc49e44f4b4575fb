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
from importlib.util import find_spec
from pathlib import Path

from labkit.course.checking.assembly import stubs
from labkit.course.checking.confined_copy import write_base, write_without
from labkit.course.checking.marking import CELL_LIMIT_S, Mark, make_job, mark
from labkit.course.checking.submission import MARKER, Submission, find_answers, parse, read_notebook
from labkit.course.judges.registry import TOPICS, get_exercise
from labkit.storage.errors import LabError, MissingPackage

SEED = 0


def check_file(path: Path, *, seed: int = SEED) -> list[Mark]:
    """Marks of every exercise of the notebook at `path`; raises NotANotebook, or LabError if it has
    no exercises.
    """
    return check_cells(parse(read_notebook(path)), seed=seed)


def check_cells(cells: list[tuple[str, str]], *, seed: int = SEED) -> list[Mark]:
    """The same for a notebook's cells: (type, source) pairs."""
    submission = sort_out(cells)
    if not submission.notebooks:
        raise LabError(
            "no cell has a comment like `# Exercise 1.2 (4 points)`: there is nothing to check"
        )
    marks = []
    for number in submission.notebooks:
        ids = [
            id
            for id in (*submission.answers, *submission.problems)
            if int(id.partition(".")[0]) == number
        ]
        with tempfile.TemporaryDirectory(prefix="labkit-") as folder:
            paths = shadows(Path(folder) / "labkit", number, ids)
            result = _run(make_job(submission, ids, paths, seed), Path(folder) / "run")
        marks += [mark(id, submission, result, seed) for id in ids]
    return sorted(marks, key=lambda one: [int(part) for part in one.id.split(".")])


def sort_out(cells: list[tuple[str, str]]) -> Submission:
    numbers = {int(id.partition(".")[0]) for _, source in cells for id in MARKER.findall(source)}
    return find_answers(
        cells,
        {id: stub for number in numbers & set(TOPICS) for id, stub in stubs(number).items()},
    )


def shadows(folder: Path, number: int, ids: list[str]) -> dict[str, Path]:
    """Where the kernel of each exercise finds labkit; the copies are made."""
    base = write_base(folder / "base", number)
    return {
        id: (
            write_without(folder / id, base, get_exercise(id))
            if get_exercise(id).instead_of
            else base
        )
        for id in ids
    }


def _run(job: dict, folder: Path) -> dict:
    """Execute a job in a process of its own, and end everything that it started."""
    for package in ("nbval", "nbformat"):
        if find_spec(package) is None:
            raise MissingPackage(f"checking a notebook needs {package}: pip install nbval nbformat")
    folder.mkdir()
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "labkit.course.checking.execution",
        str(folder / "job.json"),
        str(folder / "result.json"),
    ]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    limit_s = 120 + 3 * CELL_LIMIT_S * len(job["notebooks"])
    try:
        errors = process.communicate(timeout=limit_s)[1]
    except subprocess.TimeoutExpired:
        return {"ended": f"the notebook did not come to an end within {limit_s:g} s"}
    finally:
        if hasattr(os, "killpg"):
            try:
                os.killpg(process.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        process.kill()
    if process.returncode != 0:
        raise LabError(
            f"the notebook could not be run: {errors.decode(errors='replace').strip()[-500:]}"
        )
    return json.loads((folder / "result.json").read_text(encoding="utf-8"))


def table(marks: list[Mark]) -> list[str]:
    """Marks as lines of text: exercise, points, pass or what is wrong."""
    lines = [f"{'exercise':<10}{'points':<9}"]
    for one in marks:
        first, *rest = (one.message or "pass").split("\n")
        lines += [
            f"{one.id:<10}{f'{one.points} of {one.of}':<9}{first}",
            *(" " * 19 + line for line in rest),
        ]
    return [
        *lines,
        f"{'all':<10}{sum(one.points for one in marks)} of {sum(one.of for one in marks)}",
    ]
