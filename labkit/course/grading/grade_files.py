"""What a grading leaves: a table for the gradebook, the same as JSON, and the reports.

Feedback holds what a student may see: points, and what is wrong by the notebook's own checks. The
seed of the hidden inputs, flags and names of others are in the files for the instructor only. Text
that may come from a submission is never put where it could be read as a formula, as Markdown or as
HTML.
"""

from __future__ import annotations

import csv
import io
import json
import platform
import unicodedata
from importlib.metadata import version
from pathlib import Path

from labkit import __version__
from labkit.course.grading.feedback import class_report, feedback, one_line
from labkit.course.grading.hand_ins import HandIn
from labkit.course.grading.result_store import slug
from labkit.course.judges.registry import get_exercise
from labkit.storage.atomic_write import write_atomic

SCHEMA = "labkit-grades-1"


def read_seed(out: Path) -> int | None:
    """The seed of the grading that wrote `out`; None if nothing is there.

    Raises FileExistsError if `out` or its .json is there and was not written by a grading: a new
    one would overwrite it.
    """
    path = out.with_suffix(".json")
    try:
        grades = json.loads(path.read_text(encoding="utf-8"))
        if grades["schema"] == SCHEMA:
            return int(grades["seed"])
    except FileNotFoundError:
        path = out
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass  # not written by a grading
    if path.exists():
        raise FileExistsError(
            f"{path} is there and was not written by labkit grade; move it, or give another --out"
        )
    return None


def write_reports(
    out: Path,
    folder: Path,
    hand_ins: list[HandIn],
    results: dict[str, dict],
    ids: list[str],
    *,
    seed: int,
    grader: str,
    limits: dict,
) -> dict:
    """Write all reports; returns what the JSON holds."""
    students = [_student(hand_in, results[hand_in.student], ids) for hand_in in hand_ins]
    grades = {
        "schema": SCHEMA,
        "labkit": __version__,
        "grader": grader,
        "seed": seed,
        "limits": limits,
        "python": platform.python_version(),
        "torch": version("torch"),
        "numpy": version("numpy"),
        "exercises": {id: get_exercise(id).points for id in ids},
        "students": students,
    }
    _write(out.with_suffix(".json"), json.dumps(grades, indent=1, ensure_ascii=False) + "\n")
    _write(out, as_csv(grades))
    for student in students:
        _write(folder / "feedback" / f"{slug(student['student'])}.md", feedback(student))
    _write(folder / "class.md", class_report(grades))
    return grades


def _student(hand_in: HandIn, result: dict, ids: list[str]) -> dict:
    entries = [result["marks"][id] for id in ids if id in result["marks"]]
    marks = [
        entry["mark"] | {"seed": entry["seed"], "grader": entry["grader"]} for entry in entries
    ]
    flags = [mark["flag"] for mark in marks if mark["flag"]]
    unanswered = dict.fromkeys(filter(None, map(_no_answer, marks)))
    return {
        "student": hand_in.student,
        "total": sum(mark["points"] for mark in marks),
        "of": sum(mark["of"] for mark in marks),
        "marks": marks,
        "flags": [*hand_in.notes, *flags, *unanswered],
        "notes": list(hand_in.notes),
        "runs": result["runs"],
    }


def _no_answer(mark: dict) -> str:
    """A flag such as `1.2 missing`, where there was no answer to run; else empty."""
    kind = mark["message"].partition(":")[0]
    return {
        "not handed in": mark["message"],
        "missing": f"{mark['id']} missing",
        "split": f"{mark['id']} split",
        "duplicated": f"{mark['id']} duplicated",
    }.get(kind, "")


def _write(path: Path, text: str) -> None:
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))


def as_csv(grades: dict) -> str:
    """One line a student: name, points of each exercise (empty where it was not graded), total,
    flags.
    """
    text = io.StringIO()
    # Quoted, the table can be read also where a semicolon separates columns.
    table = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    table.writerow(["student", *grades["exercises"], "total", "flags"])
    for student in grades["students"]:
        points = {mark["id"]: mark["points"] for mark in student["marks"]}
        table.writerow(
            [
                _cell(student["student"]),
                *(points.get(id, "") for id in grades["exercises"]),
                student["total"],
                _cell("; ".join(student["flags"])),
            ]
        )
    return text.getvalue()


def _cell(text: str) -> str:
    """Text that a spreadsheet shows, and does not calculate."""
    text = one_line(text)
    # Some spreadsheets read the wide forms of these characters as the characters.
    first = unicodedata.normalize("NFKC", text[:1])
    return f"'{text}" if first and first in "=+-@|%" else text
