"""The grading worksheet that Moodle imports, and the zip with feedback files.

Moodle finds students by the number after `Participant`, which is also in the names of what it lets
one download. It silently ignores a grade above the assignment's maximum, so that is refused here.
 Sources: mod/assign/feedback/offline and mod/assign/feedback/file.
"""

from __future__ import annotations

import io
import math
import re
import zipfile

from labkit.course.gradebook.tables import csv_text
from labkit.course.hand_ins.roster import Roster
from labkit.storage.json_fields import number_in

COLUMNS = (
    "Identifier",
    "Full name",
    "Email address",
    "Status",
    "Grade",
    "Maximum grade",
    "Grade can be changed",
    "Last modified (submission)",
    "Last modified (grade)",
    "Feedback comments",
)
# Of a zip's members, so that the same feedback gives the same zip.
DATE = (1980, 1, 1, 0, 0, 0)


def moodle_table(students: list[dict], of: float, roster: Roster | None) -> str:
    """CSV with one line a student, from Moodle's own worksheet if `roster` is one.

    Raises ValueError where the worksheet's maximum grade is less than the points that there are.
    """
    is_moodle = roster is not None and roster.columns.platform == "moodle"
    header = list(roster.header if is_moodle else COLUMNS)
    header += [name for name in ("Grade", "Feedback comments") if name not in header]
    rows: list[list[object]] = [header]
    for student in students:
        row = roster.row_of(student["student"], student["id"]) if is_moodle else None
        if row is None:
            row = {
                "Identifier": f"Participant {student['id']}" if student["id"] else "",
                "Full name": student["student"],
                "Maximum grade": of,
            }
        maximum = row.get("Maximum grade") or row.get("Maximum Grade") or of
        if not _number(str(maximum)) >= of:
            raise ValueError(
                f"the worksheet's maximum grade is {maximum}, and there are {of} points; set the"
                " assignment's maximum grade in Moodle and export the worksheet again"
            )
        cells = row | {"Grade": student["total"], "Feedback comments": _comment(student)}
        rows.append([cells.get(name, "") for name in header])
    return csv_text(rows)


def _number(text: str) -> float:
    """A number with a comma or a point; NaN for what is none."""
    try:
        return number_in(text.strip().replace(",", "."))
    except ValueError:
        return math.nan


def _comment(student: dict) -> str:
    """The points in a line; what is wrong is in the feedback file."""
    parts = [
        f"{mark['id']}: {'?' if mark['points'] is None else mark['points']} of {mark['of']}"
        for mark in student["marks"]
    ]
    parts += [f"late: -{student['penalty']:g}"] if student["penalty"] else []
    parts += [
        " ".join(filter(None, (one["exercise"], f"{one['points']:+g}", one["comment"])))
        for one in student["extra"]
    ]
    return "; ".join(parts)


def feedback_zip(feedback: list[tuple[str, str, str]]) -> bytes:
    """A zip for "Upload multiple feedback files": (name, id, text) of each student with an id."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, id, text in feedback:
            if id.isdecimal():
                # Moodle looks for the number after the first underscore.
                prefix = re.sub(r"[^\w .-]|_", " ", name).strip(". ") or "student"
                path = f"{prefix}_{id}_assignsubmission_file_/feedback.md"
                member = zipfile.ZipInfo(path, DATE)
                member.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(member, text)
    return packed.getvalue()
