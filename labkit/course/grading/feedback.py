"""Markdown on a grading: feedback for one student, and a report on the class for the instructor.

Text that may come from a submission is shown as it is, none of it as markup.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from statistics import mean

from labkit.course.gradebook.tables import one_line
from labkit.course.handout.free_text import FreeText
from labkit.course.judges.registry import get_exercise

NAMED = 5  # files that are not graded, by each reason

# ---- for the student -----------------------------------------------------------------------------


def feedback(student: dict) -> str:
    """Markdown for one student."""
    lines = [
        f"# Feedback for {_inline(student['student'])}",
        "",
        f"**{student['total']} of {student['of']} points.**",
        "",
    ]
    if student["notes"]:
        lines += [*(f"- {_inline(note)}" for note in student["notes"]), ""]
    lines += ["| exercise | points | |", "|---|---|---|"]
    for mark in student["marks"]:
        verdict = "see below" if mark["message"] else "correct"
        points = "?" if mark["points"] is None else mark["points"]
        lines.append(f"| {mark['id']} | {points} of {mark['of']} | {verdict} |")
    for task in student["tasks"]:
        name, comment = _inline(f"{task['id']} {task['title']}"), _inline(task["comment"])
        points = "?" if task["points"] is None else task["points"]
        lines.append(f"| {name} | {points} of {task['of']} | {comment} |")
    lines += _account_lines(student)
    for message, group in groupby(student["marks"], lambda mark: mark["message"]):
        if message:
            names = [f"{mark['id']} {get_exercise(mark['id']).function}" for mark in group]
            lines += ["", f"## {', '.join(names)}", "", *_quoted(message)]
    if any(mark["message"] for mark in student["marks"]):
        lines += ["", "`labkit check` on your notebook says the same and runs in a minute."]
    elif student["marks"]:
        lines += ["", "All of it is right."]
    return "\n".join(lines) + "\n"


def _account_lines(student: dict) -> list[str]:
    """The table's lines on lateness and on what was given by hand."""
    lines = []
    if student["penalty"]:
        lines.append(f"| late | {-student['penalty']:g} | {student['late_days']} days |")
    for one in student["extra"]:
        name, comment = one["exercise"] or "by hand", _inline(one["comment"])
        lines.append(f"| {name} | {one['points']:+g} | {comment} |")
    return lines


def _inline(text: str) -> str:
    """Text inside a line of Markdown, none of it markup."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|&~$-])", r"\\\1", one_line(text)[:300])


def _quoted(text: str) -> list[str]:
    """Text as a block that is shown as it is, even if it holds backquotes."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", *text.split("\n"), fence]


# ---- for the instructor --------------------------------------------------------------------------


def class_report(grades: dict) -> str:
    """Markdown on the whole class: each exercise with its commonest mistakes, flags, and what
    grading cost.
    """
    students = grades["students"]
    runs = [run for student in students for run in student["runs"].values() if run.get("walls")]
    average, total = mean(s["total"] for s in students), points_possible(grades)
    lines = [
        "# Class report",
        "",
        f"{len(students)} students; mean {average:.1f} of {total} points. Seed {grades['seed']},"
        f" grader {grades['grader']}, labkit {grades['labkit']}, Python {grades['python']}, torch"
        f" {grades['torch']}, numpy {grades['numpy']}.",
        "",
        "## Exercises",
        "",
        "| exercise | right | commonest mistakes |",
        "|---|---|---|",
        *_exercise_lines(grades["exercises"], students),
    ]
    waiting = [task for s in students for task in s["tasks"] if task["points"] is None]
    if grades["tasks"]:
        lines += [
            "",
            f"Written tasks: {', '.join(grades['tasks'])}. {len(waiting)} answers wait for points:"
            " fill in free-text.csv, and give it as `--by-hand`.",
        ]
    flagged = [student for student in students if student["flags"]]
    lines += ["", "## To look at", ""]
    lines += [f"- {_inline(s['student'])}: {_inline('; '.join(s['flags']))}" for s in flagged]
    lines += [] if flagged else ["Nothing."]
    lines += [*_failure_lines(students), *_left_out_lines(grades)]
    return "\n".join([*lines, "", "## How it ran", "", *_cost_lines(runs)]) + "\n"


def _failure_lines(students: list[dict]) -> list[str]:
    """What failed in the grader, each failure once, with whom it left without a mark."""
    whom: dict[str, list[str]] = {}
    for student in students:
        for run in student["runs"].values():
            for id, failure in run.get("failures", {}).items():
                whom.setdefault(failure, []).append(f"{student['student']} {id}")
    lines = ["", "## Failures of the grader", ""] if whom else []
    for failure, names in whom.items():
        shown = ", ".join(map(_inline, names[:NAMED]))
        more = f" and {len(names) - NAMED} more" if names[NAMED:] else ""
        lines += [f"No mark for {shown}{more}:", "", *_quoted(failure), ""]
    return lines


def _left_out_lines(grades: dict) -> list[str]:
    """Who handed in nothing, and what lies there and is not graded, counted by reason."""
    lines = []
    if grades["missing"]:
        names = ", ".join(map(_inline, grades["missing"]))
        lines += ["", "## In the class list, without a hand-in", "", names]
    by_reason: dict[str, list[str]] = {}
    for one in grades["not_graded"]:
        by_reason.setdefault(one["reason"], []).append(one["path"])
    if by_reason:
        lines += ["", f"## Not graded: {len(grades['not_graded'])} files", ""]
    for reason, paths in sorted(by_reason.items(), key=lambda group: -len(group[1])):
        shown = ", ".join(map(_inline, paths[:NAMED]))
        more = f" and {len(paths) - NAMED} more, in not-graded.txt" if paths[NAMED:] else ""
        lines.append(f"- {len(paths)}× {_inline(reason)}: {shown}{more}")
    return lines


def _cost_lines(runs: list[dict]) -> list[str]:
    """How notebooks were confined, and what their runs took."""
    walls = Counter(run["walls"] for run in runs).most_common()
    lines = [f"- walls: {text} ({count} notebooks)" for text, count in walls]
    if runs:
        seconds, cpu_s = (mean(run[name] for run in runs) for name in ("seconds", "cpu_s"))
        lines.append(
            f"- {len(runs)} notebooks ran, on average {seconds:.1f} s each, {cpu_s:.1f} s of them"
            " on a core"
        )
    starts = [value for run in runs for value in run["kernel_start_s"]]
    if starts:
        lines.append(
            f"- a kernel's start took {mean(starts):.2f} s on average, {sum(starts):.0f} s in all;"
            " what it imports is shared by all of them"
        )
    return lines


def free_text_report(answers: list[tuple[str, FreeText]]) -> str:
    """Markdown with what students wrote into text cells, by question, each as it was written."""
    lines = ["# What students wrote", ""]
    lines += [] if answers else ["Nothing beyond the course's own texts."]
    by_question = sorted(answers, key=lambda answer: answer[1].question)
    for question, group in groupby(by_question, lambda answer: answer[1].question):
        lines += [f"## {_inline(question)}", ""]
        for student, answer in group:
            lines += [f"### {_inline(student)}", "", *_quoted(answer.text), ""]
    return "\n".join(lines) + "\n"


def points_possible(grades: dict) -> int:
    """What all exercises and written tasks of a grading are worth."""
    return sum(grades["exercises"].values()) + sum(grades["tasks"].values())


def _exercise_lines(ids: Iterable[str], students: list[dict]) -> list[str]:
    """Rows of a table, of the exercises that have marks: `--exercise` asks for some only."""
    lines = []
    for id in ids:
        marks = [mark for student in students for mark in student["marks"] if mark["id"] == id]
        wrong = [mark for mark in marks if mark["points"] != mark["of"]]
        mistakes = Counter(_kind(mark["message"]) for mark in wrong)
        common = "; ".join(f"{count}× {_inline(kind)}" for kind, count in mistakes.most_common(3))
        if marks:
            lines.append(f"| {id} | {len(marks) - len(wrong)} of {len(marks)} | {common} |")
    return lines


def _kind(message: str) -> str:
    """A message without its numbers, so that the same mistake is counted once."""
    kind = re.sub(r"[-+]?\d[\d.,e+-]*", "…", message.split("\n")[0])
    return kind if len(kind) <= 120 else kind[:117] + " …"
