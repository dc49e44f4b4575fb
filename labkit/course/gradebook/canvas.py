"""The table that Canvas's gradebook imports.

Canvas finds students by the number in `ID`, and the assignment by a column's title: its name with
its number in parentheses as the exported gradebook has it, else its name. A title that it does not
know becomes a new assignment, once confirmed. Source: lib/gradebook_importer.rb.
"""

from __future__ import annotations

import re

from labkit.course.gradebook.tables import csv_text
from labkit.course.hand_ins.roster import Roster

ABOUT = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section")


def canvas_table(students: list[dict], of: float, assignment: str, roster: Roster | None) -> str:
    """CSV with one line a student; without a roster of Canvas's, names and ids alone."""
    is_canvas = roster is not None and roster.columns.platform == "canvas"
    header = roster.header if is_canvas else list(ABOUT)
    about = [name for name in header if name in (*ABOUT, "Integration ID", "Root Account")]
    title = next((name for name in header if _name(name) == assignment), assignment)
    rows: list[list[object]] = [[*about, title]]
    rows.append(["    Points Possible", *[""] * (len(about) - 1), of])
    for student in students:
        row = roster.row_of(student["student"], student["id"]) if is_canvas else None
        cells = row or {"Student": student["student"], "ID": student["id"]}
        rows.append([*(cells.get(name, "") for name in about), student["total"]])
    return csv_text(rows)


def _name(title: str) -> str:
    """The name of an assignment, without its number."""
    return re.sub(r" \(\d+\)$", "", title)
