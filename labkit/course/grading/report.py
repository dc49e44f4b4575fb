"""What a grading leaves: a table for the gradebook, the same as JSON, feedback for each student, a
class report.

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
import re
import unicodedata
from collections import Counter
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from statistics import mean

from labkit import __version__
from labkit.course.checking.marking import Mark
from labkit.course.grading.collect import HandIn
from labkit.course.grading.store import slug
from labkit.course.judges.registry import get_exercise
from labkit.storage.atomic_write import write_atomic

SCHEMA = "labkit-grades-1"


def read_seed(out: Path) -> int | None:
    """The seed of the grading that wrote `out`; None if nothing is there.

    Raises FileExistsError if `out` or its .json is there and not of a grading: writing would lose
    what somebody made.
    """
    there = out.with_suffix(".json")
    try:
        grades = json.loads(there.read_text(encoding="utf-8"))
        if grades["schema"] == SCHEMA:
            return int(grades["seed"])
    except FileNotFoundError:
        there = out
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        pass  # from elsewhere
    if there.exists():
        raise FileExistsError(
            f"{there} is there and was not written by labkit grade; move it, or give another --out"
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
    students = [_student(one, results[one.student], ids) for one in hand_ins]
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
    named = dict.fromkeys(filter(None, map(_no_answer, marks)))
    return {
        "student": hand_in.student,
        "total": sum(mark["points"] for mark in marks),
        "of": sum(mark["of"] for mark in marks),
        "marks": marks,
        "flags": [*hand_in.notes, *flags, *named],
        "notes": list(hand_in.notes),
        "runs": result["runs"],
    }


def _no_answer(mark: dict) -> str:
    """`1.2 missing`, where there was no answer to run."""
    kind = mark["message"].partition(":")[0]
    return {
        "not handed in": mark["message"],
        "missing": f"{mark['id']} missing",
        "split": f"{mark['id']} split",
        "duplicated": f"{mark['id']} duplicated",
    }.get(kind, "")


def _write(path: Path, text: str) -> None:
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8", newline="\n"))


# ---- for the gradebook ---------------------------------------------------------------------------


def as_csv(grades: dict) -> str:
    """One line a student: name, points of each exercise (empty where it was not graded), total,
    flags.
    """
    text = io.StringIO()
    table = csv.writer(
        text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC
    )  # where ; separates, too
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
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    first = unicodedata.normalize(
        "NFKC", text[:1]
    )  # wide forms of these count for some spreadsheets
    return f"'{text}" if first and first in "=+-@|%" else text


# ---- for the student -----------------------------------------------------------------------------


def feedback(student: dict) -> str:
    """Markdown for one student."""
    lines = [
        f"# Feedback for {_inline(student['student'])}",
        "",
        f"**{student['total']} of {student['of']} points.**",
        "",
    ]
    lines += [f"- {_inline(note)}" for note in student["notes"]] + [""] * bool(student["notes"])
    lines += ["| exercise | points | |", "|---|---|---|"]
    lines += [
        f"| {mark['id']} | {mark['points']} of {mark['of']} |"
        f" {'see below' if mark['message'] else 'correct'} |"
        for mark in student["marks"]
    ]
    for message, marks in groupby(student["marks"], lambda mark: mark["message"]):
        if message:
            names = [f"{mark['id']} {get_exercise(mark['id']).function}" for mark in marks]
            lines += ["", f"## {', '.join(names)}", "", *_quoted(message)]
    wrong = any(mark["message"] for mark in student["marks"])
    lines += [
        "",
        (
            "`labkit check` on your notebook says the same and runs in a minute."
            if wrong
            else "All of it is right."
        ),
    ]
    return "\n".join(lines) + "\n"


def _inline(text: str) -> str:
    """Text inside of a line of Markdown, none of it markup."""
    text = " ".join("".join(c if c.isprintable() else " " for c in text).split())[:300]
    return re.sub(r"([\\`*_{}\[\]<>()#+!|&~$-])", r"\\\1", text)


def _quoted(text: str) -> list[str]:
    """Text as a block that is shown as it is, whatever is in it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", *text.split("\n"), fence]


# ---- for the instructor --------------------------------------------------------------------------


def class_report(grades: dict) -> str:
    """Markdown on the whole class: each exercise with its commonest mistakes, flags, what grading
    cost.
    """
    students = grades["students"]
    runs = [run for student in students for run in student["runs"].values() if run.get("seconds")]
    lines = [
        "# Class report",
        "",
        (
            f"{len(students)} students; mean {mean(s['total'] for s in students):.1f} of"
            f" {sum(grades['exercises'].values())} points. Seed {grades['seed']}, grader"
            f" {grades['grader']}, labkit {grades['labkit']}, Python {grades['python']}, torch"
            f" {grades['torch']}, numpy {grades['numpy']}."
        ),
        "",
        "## Exercises",
        "",
        "| exercise | right | commonest mistakes |",
        "|---|---|---|",
    ]
    lines += [_exercise_line(id, students) for id in grades["exercises"]]
    flagged = [student for student in students if student["flags"]]
    lines += ["", "## To look at", ""]
    lines += [f"- {_inline(s['student'])}: {_inline('; '.join(s['flags']))}" for s in flagged] or [
        "Nothing."
    ]
    lines += ["", "## How it ran", ""]
    lines += [
        f"- walls: {walls} ({count} notebooks)"
        for walls, count in Counter(run["walls"] for run in runs).most_common()
    ]
    if runs:
        starts = [value for run in runs for value in run["kernel_start_s"]]
        lines += [
            f"- {len(runs)} notebooks ran, on average {mean(run['seconds'] for run in runs):.1f} s"
            f" each, {mean(run['cpu_s'] for run in runs):.1f} s of them on a core"
        ]
        lines += (
            [
                f"- a kernel's start took {mean(starts):.2f} s on average, {sum(starts):.0f} s in"
                " all; what it imports is shared by all of them"
            ]
            if starts
            else []
        )
    return "\n".join(lines) + "\n"


def _exercise_line(id: str, students: list[dict]) -> str:
    marks = [
        Mark(**{name: mark[name] for name in ("id", "points", "of", "message", "flag")})
        for student in students
        for mark in student["marks"]
        if mark["id"] == id
    ]
    mistakes = Counter(_kind(mark.message) for mark in marks if not mark.passed)
    common = "; ".join(f"{count}× {_inline(kind)}" for kind, count in mistakes.most_common(3))
    return f"| {id} | {sum(mark.passed for mark in marks)} of {len(marks)} | {common} |"


def _kind(message: str) -> str:
    """A message without its numbers, so that the same mistake is counted once."""
    kind = re.sub(r"[-+]?\d[\d.,e+-]*", "…", message.split("\n")[0])
    return kind if len(kind) <= 120 else kind[:117] + " …"
