"""The class list that a platform exports: who is in the class, under which id, and who handed in
when.

It reads Canvas's gradebook, Moodle's grading worksheet, GitHub Classroom's grades, and any table
with a column `student` and perhaps `id`, `email`, `submitted`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from labkit.course.hand_ins.csv_table import read_rows

# What Moodle shows a reader of English; other languages' times are left to the column's reader.
MOODLE_TIME = "%A, %d %B %Y, %I:%M %p"
MOODLE_LATE = re.compile(r"(?:(\d{1,5}) days? ?)?(?:(\d+) hours? ?)?(?:\d+ mins? ?)?late")


class Columns(NamedTuple):
    """Which columns of a platform's table say what."""

    platform: str
    id: str
    name: str
    aliases: tuple[str, ...]  # other names of a student
    submitted: str = ""


TABLES = (
    Columns("canvas", "ID", "Student", ("SIS User ID", "SIS Login ID")),
    Columns(
        "moodle",
        "Identifier",
        "Full name",
        ("Email address", "Username", "ID number"),
        "Last modified (submission)",
    ),
    Columns(
        "github",
        "student_repository_name",
        "roster_identifier",
        ("github_username",),
        "submission_timestamp",
    ),
    Columns("plain", "id", "student", ("email",), "submitted"),
)


@dataclass(frozen=True)
class Roster:
    """A class list as it was read, with its rows as they are for a table that is made from it."""

    columns: Columns
    header: list[str]
    rows: list[dict[str, str]]  # of students
    path: Path

    def row_of(self, name: str, id: str) -> dict[str, str] | None:
        """The row of a student: that with the id; else that with the name, if it is only one's."""
        columns = self.columns
        if id:
            ids = (columns.id, *columns.aliases)
            matches = [row for row in self.rows if id in (plain_id(row[one]) for one in ids)]
            if matches:
                return matches[0]
        names = (columns.id, columns.name, *columns.aliases)
        matches = [row for row in self.rows if _key(name) in (_key(row[one]) for one in names)]
        return matches[0] if len(matches) == 1 else None

    def identify(self, name: str, id: str) -> dict[str, str | int | None]:
        """What the list knows of a student: HandIn's fields student, id, submitted, late_days."""
        row = self.row_of(name, id)
        if row is None:
            return {}
        columns = self.columns
        return {
            "student": row[columns.name] or row[columns.id],
            "id": plain_id(row[columns.id]),
            "submitted": _time(row.get(columns.submitted, "")),
            "late_days": _late_days(row.get("Status", "")),
        }


def read_roster(path: Path) -> Roster:
    """The class list in the file at `path`; raises ValueError for one that cannot be read."""
    (_, header), *table = read_rows(path) or [(0, [])]
    for columns in TABLES:
        if columns.name in header and (columns.id in header or columns.platform == "plain"):
            break
    else:
        raise ValueError(
            f"{path} has the columns {', '.join(header[:8]) or 'of an empty file'}; a class list"
            " has those of Canvas, Moodle or GitHub Classroom, or a column `student`"
        )
    lines = [
        {name: "" for name in [*header, columns.id, *columns.aliases]} | dict(zip(header, cells))
        for _, cells in table
    ]
    rows = [row for row in lines if _is_student(row, columns)]
    ids = Counter(plain_id(row[columns.id]) for row in rows if row[columns.id])
    twice = [id for id, count in ids.items() if count > 1]
    if twice:
        raise ValueError(f"{path} has {', '.join(twice[:3])} in column {columns.id} more than once")
    return Roster(columns, header, rows, Path(path))


def plain_id(id: str) -> str:
    """An id without the word that Moodle puts before it.

    >>> plain_id("Participant 1234")
    '1234'
    """
    return re.sub(r"^\w+ (?=\d+$)", "", id.strip())


def _is_student(row: dict[str, str], columns: Columns) -> bool:
    if columns.platform != "canvas":
        return True
    return bool(row["ID"]) or row["Student"] not in ("", "Points Possible")


def _key(name: str) -> str:
    """A name in which order of words, case, accents' encoding and signs between do not matter."""
    words = re.findall(r"\w+", unicodedata.normalize("NFC", name).casefold())
    return " ".join(sorted(words))


def _late_days(status: str) -> int | None:
    """Days begun that a hand-in is late by Moodle's status, which considers extensions; None where
    it says nothing of that.

    >>> _late_days("Submitted for grading - 1 day 3 hours late"), _late_days("Submitted")
    (2, None)
    """
    late = MOODLE_LATE.search(status)
    return int(late[1] or 0) + 1 if late else None


def _time(text: str) -> str:
    """A time in ISO 8601; empty where there is none, or it is in words that are not English."""
    for read in (datetime.fromisoformat, lambda text: datetime.strptime(text, MOODLE_TIME)):
        try:
            time = read(text.strip().replace(" UTC", "+00:00"))
        except ValueError:
            continue
        if time.year > 1970:  # else it is the "never" of some program
            return time.isoformat()
    return ""
