"""Check a notebook on the student's own machine: what it will be graded with, by what grades it."""

from __future__ import annotations

import atexit
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from functools import cache, cached_property
from itertools import groupby
from pathlib import Path

from labkit.course.checking.answer_run import RunPlan, course_view, make_plan, marks_of
from labkit.course.checking.marking import Mark
from labkit.course.checking.submission import Submission, find_answers
from labkit.course.checking.submitted_file import parse, read_notebook
from labkit.course.confinement.fork_server import ForkServer, try_walls
from labkit.course.confinement.limits import RunLimits
from labkit.course.confinement.walls import Walls
from labkit.course.exercises.exercise import notebook_number
from labkit.course.exercises.message_lines import message_lines
from labkit.storage.errors import LabError
from labkit.storage.paths import data_dir

SEED = 0


class Checker:
    """A process that forks confined runs of answers, and the copies of labkit that they use."""

    def __init__(self) -> None:
        self._stack, self._plans = ExitStack(), {}
        self._server = self._stack.enter_context(ForkServer({"LABKIT_DATA": str(data_dir())}))

    def __enter__(self) -> Checker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process and remove the copies."""
        self._stack.close()

    def marks(self, submission: Submission, ids: Iterable[str]) -> list[Mark]:
        """The marks of exercises `ids`, in the order of their ids."""
        marks = []
        for number, group in groupby(sorted(ids, key=_numbers), notebook_number):
            plan = self._plan(number)
            group_marks, replies = marks_of(submission, group, plan, self._server.address)
            marks += [_with_reason(mark, replies[mark.id].get("failure")) for mark in group_marks]
        return marks

    @cached_property
    def _walls(self) -> Walls:
        return try_walls(self._server, course_view())

    def _plan(self, number: int) -> RunPlan:
        if number not in self._plans:
            plan = make_plan(self._server.folder / "copies", [number], SEED, RunLimits())
            self._plans[number] = replace(plan, namespaces=self._walls.namespaces)
        return self._plans[number]


def check_file(path: Path, checker: Checker | None = None) -> list[Mark]:
    """Marks of every exercise of the notebook at `path`, by `checker` if there is one already;
    raises NotANotebook, or LabError if it has no exercises.
    """
    return check_cells(parse(read_notebook(path)), checker)


def check_cells(cells: list[tuple[str, str]], checker: Checker | None = None) -> list[Mark]:
    """The same for a notebook's cells: (type, source) pairs."""
    submission = find_answers(cells)
    if not submission.notebooks:
        raise LabError(
            "no cell has a comment like `# Exercise 1.2 (2 points)`: there is nothing to check"
        )
    ids = [*submission.answers, *submission.problems]
    if checker is not None:
        return checker.marks(submission, ids)
    with Checker() as checker:
        return checker.marks(submission, ids)


@cache
def session_checker() -> Checker:
    """One that is started once and ends with this process: for checks cell by cell."""
    checker = Checker()
    atexit.register(checker.close)
    return checker


def _with_reason(mark: Mark, failure: str | None) -> Mark:
    """A mark whose message says, on the student's own machine, what failed there."""
    if failure is None:
        return mark
    return replace(mark, message=f"{mark.message}: {failure.strip().splitlines()[-1]}")


def _numbers(id: str) -> list[int]:
    return [int(part) for part in id.split(".")]


def table(marks: list[Mark]) -> list[str]:
    """Marks as lines of text: exercise, points, pass or what is wrong."""
    lines = [f"{'exercise':<10}{'points':<9}"]
    for one in marks:
        first, *more = message_lines(one.message or "pass")
        points = f"{'?' if one.points is None else one.points} of {one.of}"
        lines.append(f"{one.id:<10}{points:<9}{first}")
        lines += [" " * 19 + line for line in more]
    total, maximum = sum(one.points or 0 for one in marks), sum(one.of for one in marks)
    return [*lines, f"{'all':<10}{total} of {maximum}"]
