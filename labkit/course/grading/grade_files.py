"""What a grading leaves: a table for the gradebook, the same as JSON, and the reports.

Feedback holds what a student may see: points, and what is wrong by the notebook's own checks. The
seed of the hidden inputs, flags and names of others are in the files for the instructor only. Text
that may come from a submission is never put where it could be read as a formula, as Markdown or as
HTML.
"""

from __future__ import annotations

import json
import platform
from collections import Counter
from importlib.metadata import version
from pathlib import Path

from labkit import __version__
from labkit.course.gradebook.by_hand import ByHand
from labkit.course.gradebook.canvas import canvas_table
from labkit.course.gradebook.moodle import feedback_zip, moodle_table
from labkit.course.gradebook.tables import csv_text
from labkit.course.gradebook.terms import Terms
from labkit.course.gradebook.totals import settle
from labkit.course.grading.feedback import (
    class_report,
    feedback,
    free_text_report,
    points_possible,
)
from labkit.course.grading.result_store import slug
from labkit.course.hand_ins.collect import Collection, HandIn
from labkit.course.handout.free_text import FreeText, written_tasks
from labkit.course.judges.registry import get_exercise
from labkit.storage.atomic_write import write_atomic, write_json

SCHEMA = "labkit-grades-1"


def keep_seed(out: Path, seed: int) -> None:
    """Keep the seed of a grading that begins, for the run that goes on where it is interrupted."""
    write_json(_seed_path(out), {"schema": SCHEMA, "seed": seed})


def _seed_path(out: Path) -> Path:
    return out.with_suffix("") / "seed.json"


def read_seed(out: Path) -> int | None:
    """The seed of the grading that wrote `out`, or was interrupted; None if nothing is there.

    Raises FileExistsError if `out` or its .json is there and was not written by a grading: a new
    one would overwrite it.
    """
    for path in (out.with_suffix(".json"), _seed_path(out)):
        try:
            grades = json.loads(path.read_text(encoding="utf-8"))
            if grades["schema"] == SCHEMA:
                return int(grades["seed"])
        except FileNotFoundError:
            path = out
        except (OSError, ValueError, KeyError, TypeError, RecursionError, OverflowError):
            pass  # not written by a grading
        if path.exists():
            raise FileExistsError(
                f"{path} is there and was not written by labkit grade; move it, or give another"
                " --out"
            )
    return None


def write_reports(
    out: Path,
    folder: Path,
    collection: Collection,
    results: dict[str, dict],
    ids: list[str],
    *,
    written: bool,
    terms: Terms,
    by_hand: dict[str, list[ByHand]],
    seed: int,
    grader: str,
    limits: dict,
) -> dict:
    """Write all reports; returns what the JSON holds."""
    hand_ins = collection.hand_ins
    students = [
        _student(hand_in, results[hand_in.student], ids, terms, by_hand[hand_in.student], written)
        for hand_in in hand_ins
    ]
    _flag_shared_ids(students)
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
        "tasks": {task["id"]: task["of"] for student in students for task in student["tasks"]},
        "students": students,
        "missing": _missing(terms, hand_ins),
        "not_graded": [one._asdict() for one in collection.not_graded],
    }
    texts = {student["student"]: feedback(student) for student in students}
    tables = platform_files(grades, terms, texts)
    _write(out.with_suffix(".json"), json.dumps(grades, indent=1, ensure_ascii=False) + "\n")
    _write(out, as_csv(grades))
    for name, text in texts.items():
        _write(folder / "feedback" / f"{slug(name)}.md", text)
    _write(folder / "class.md", class_report(grades))
    lines = [f"{one.path}: {one.reason}\n" for one in collection.not_graded]
    _write(folder / "not-graded.txt", "".join(lines))
    answers = [(hand_in.student, text) for hand_in in hand_ins for text in hand_in.texts]
    _write(folder / "free-text.md", free_text_report(answers))
    _write(folder / "free-text.csv", free_text_table(answers))
    for name, content in tables.items():
        write_atomic(folder / name, lambda path, content=content: path.write_bytes(content))
    return grades


def platform_files(grades: dict, terms: Terms, feedback_texts: dict[str, str]) -> dict[str, bytes]:
    """Name -> content of what platforms import; raises ValueError where one could not import it."""
    students = [one for one in grades["students"] if one["complete"] and not one["shares_id"]]
    of, files = points_possible(grades), {}
    if "canvas" in terms.formats:
        table = canvas_table(students, of, terms.assignment, terms.roster)
        files["canvas.csv"] = table.encode()
    if "moodle" in terms.formats:
        files["moodle.csv"] = moodle_table(students, of, terms.roster).encode()
        files["moodle-feedback.zip"] = feedback_zip(
            [(one["student"], one["id"], feedback_texts[one["student"]]) for one in students]
        )
    return files


def _flag_shared_ids(students: list[dict]) -> None:
    """Say of hand-ins with one id that no table for a platform holds them: one of them would decide
    what the student gets.
    """
    counts = Counter(student["id"] for student in students if student["id"])
    for student in students:
        student["shares_id"] = counts[student["id"]] > 1
        if student["shares_id"]:
            student["flags"].append(
                f"{counts[student['id']]} hand-ins have the id {student['id']}: in no platform's"
                " table"
            )


def _missing(terms: Terms, hand_ins: list[HandIn]) -> list[str]:
    """Who is in the class list and handed in nothing."""
    if terms.roster is None:
        return []
    name, id = terms.roster.columns.name, terms.roster.columns.id
    rows = [terms.roster.row_of(hand_in.student, hand_in.id) for hand_in in hand_ins]
    return [row[name] or row[id] for row in terms.roster.rows if row not in rows]


def _student(
    hand_in: HandIn,
    result: dict,
    ids: list[str],
    terms: Terms,
    by_hand: list[ByHand],
    written: bool,
) -> dict:
    entries = [result["marks"][id] for id in ids if id in result["marks"]]
    marks = [
        entry["mark"] | {"seed": entry["seed"], "grader": entry["grader"]} for entry in entries
    ]
    points = sum(mark["points"] or 0 for mark in marks)
    account, late_flags = settle(points, hand_in, terms.deadline, by_hand, written=written)
    flags = [mark["flag"] for mark in marks if mark["flag"]]
    unanswered = dict.fromkeys(filter(None, map(_no_answer, marks)))
    if terms.roster and terms.roster.row_of(hand_in.student, hand_in.id) is None:
        late_flags.append("not in the class list")
    return {
        "student": hand_in.student,
        "id": hand_in.id,
        **account,
        "complete": all(one["points"] is not None for one in [*marks, *account["tasks"]]),
        "of": sum(one["of"] for one in [*marks, *account["tasks"]]),
        "marks": marks,
        "flags": [*hand_in.notes, *late_flags, *flags, *unanswered],
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
    """One line a student: name, points of each exercise, total, flags; and id, lateness and points
    by hand where any student has them. What was not graded is empty, and so is a total without it.
    """
    students = grades["students"]
    about = ["id"] if any(one["id"] for one in students) else []
    account = ["late_days", "penalty"] if any(one["penalty"] for one in students) else []
    account += ["by_hand"] if any(one["extra"] for one in students) else []
    ids = [*grades["exercises"], *grades["tasks"]]
    rows = [["student", *about, *ids, *account, "total", "flags"]]
    for student in students:
        points = {one["id"]: one["points"] for one in [*student["marks"], *student["tasks"]]}
        by_hand = sum(one["points"] for one in student["extra"])
        cells = student | {"by_hand": by_hand, "flags": "; ".join(student["flags"])}
        cells |= {id: points.get(id, "") for id in ids}
        cells["total"] = student["total"] if student["complete"] else ""
        rows.append([cells[name] if cells[name] is not None else "" for name in rows[0]])
    return csv_text(rows)


def free_text_table(answers: list[tuple[str, FreeText]]) -> str:
    """The texts of students with empty columns for points and comments: a table of points by hand
    once they are filled in. Several texts for one task are one line.
    """
    rows = [["student", "exercise", "points", "of", "comment", "question", "text"]]
    for student, answer in answers:
        of = written_tasks()[answer.task].points if answer.task else ""
        if answer.task and rows[-1][:2] == [student, answer.task]:
            rows[-1][-1] += f"\n\n{answer.text}"
        else:
            rows.append([student, answer.task, "", of, "", answer.question, answer.text])
    return csv_text(rows)
