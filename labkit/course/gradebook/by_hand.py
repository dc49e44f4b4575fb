"""Points, comments and extensions that a teaching assistant gives by hand.

They stand in a table of their own, which grading reads and never writes: student, exercise, points,
comment, late_days. So they survive every regrading. A task that is answered in writing gets all of
its points here.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import NamedTuple

from labkit.course.hand_ins.csv_table import read_rows
from labkit.course.handout.free_text import written_tasks
from labkit.course.judges.registry import get_exercise
from labkit.storage.json_fields import number_in

COLUMNS = ("student", "exercise", "points", "comment", "late_days")
MOST = 100_000  # points, or days


class ByHand(NamedTuple):
    """One line of the table."""

    student: str  # name or id
    exercise: str = ""  # or a written task; empty for the hand-in as a whole
    points: float = 0.0  # added to those of the grader; may be negative but for a written task
    comment: str = ""
    late_days: int | None = None  # in the place of what the platform says; 0 for an extension


def read_by_hand(path: Path) -> list[ByHand]:
    """The lines that give something; raises ValueError that names the line and what is wrong."""
    (_, header), *rows = read_rows(path) or [(0, [])]
    missing = {"student", "points", "comment"} - set(header)
    if missing:
        raise ValueError(f"{path} lacks the columns {', '.join(sorted(missing))}; see {COLUMNS}")
    lines = []
    for number, row in rows:
        cells = dict.fromkeys(COLUMNS, "") | dict(zip(header, row))
        if not (cells["points"] or cells["comment"] or cells["late_days"]):
            continue
        try:
            lines.append(_line(cells))
        except ValueError as error:
            raise ValueError(f"{path}, line {number}: {error}") from None
    return lines


def _line(cells: dict[str, str]) -> ByHand:
    if not cells["student"]:
        raise ValueError("no student is named")
    task = written_tasks().get(cells["exercise"])
    if cells["exercise"] and task is None:
        get_exercise(cells["exercise"])
    points = number_in(cells["points"].replace(",", ".") or "0")
    if not abs(points) <= MOST:
        raise ValueError(f"{cells['points']!r} are no points")
    if task is not None and not (cells["points"] and 0 <= points <= task.points):
        worth = f"task {task.id} is worth 0 to {task.points} points"
        raise ValueError(f"{worth}, not {cells['points'] or 'a comment alone'}")
    late_days = int(cells["late_days"]) if cells["late_days"] else None
    if not 0 <= (late_days or 0) <= MOST:
        raise ValueError(f"{late_days} is no number of late days")
    return ByHand(cells["student"], cells["exercise"], points, cells["comment"], late_days)


def lines_by_student(
    lines: list[ByHand], students: list[tuple[str, str]]
) -> dict[str, list[ByHand]]:
    """Name of a student -> the lines that are about him or her, by name or id.

    `students` are (name, id) pairs. Raises ValueError for a line about nobody, whose points would
    be lost, and for one about several.
    """
    by_student: dict[str, list[ByHand]] = {name: [] for name, _ in students}
    for line in lines:
        key = _key(line.student)
        matches = [name for name, id in students if key in (_key(name), _key(id))]
        if len(matches) != 1:
            who = "nobody" if not matches else f"{len(matches)} students"
            raise ValueError(f"points by hand for {line.student!r}, which is the name of {who}")
        by_student[matches[0]].append(line)
    return by_student


def _key(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
