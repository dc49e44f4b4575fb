"""A student's total: the grader's points, less what lateness costs, with what was given by hand."""

from __future__ import annotations

from labkit.course.gradebook.by_hand import ByHand
from labkit.course.gradebook.deadline import Deadline
from labkit.course.hand_ins.collect import HandIn
from labkit.course.handout.free_text import written_tasks

MISSING = "its heading is in no notebook that was handed in"


def settle(
    points: float,
    hand_in: HandIn,
    deadline: Deadline | None,
    lines: list[ByHand],
    *,
    written: bool = False,
) -> tuple[dict, list[str]]:
    """What a hand-in is worth, and flags: {"points", "late_days", "penalty", "extra", "tasks",
    "total"}.

    The penalty is a share of the grader's points; what is given by hand is added after it. A total
    is never below zero. If tasks are to be answered in `written` form, all of them count.
    """
    flags = []
    days = _late_days(hand_in, deadline, lines)
    if days is None:
        flags.append("late, by a time that the platform does not say: give --roster, or late_days")
    elif days:
        flags.append(f"{days} days late" if days > 1 else "1 day late")
    penalty = deadline.penalty(points, days) if deadline and days else 0.0
    tasks = settle_tasks(hand_in, lines, written)
    flags += [f"{task['id']} missing" for task in tasks if task["comment"] == MISSING]
    extras = [
        line
        for line in lines
        if (line.points or line.comment) and line.exercise not in written_tasks()
    ]
    by_hand = sum(line.points for line in extras) + sum(task["points"] or 0 for task in tasks)
    total = max(0.0, points - penalty + by_hand)
    account = {
        "points": points,
        "late_days": days,
        "penalty": penalty,
        "extra": [
            {"exercise": line.exercise, "points": plain(line.points), "comment": line.comment}
            for line in extras
        ],
        "tasks": tasks,
        "total": plain(total),
    }
    return account, flags


def settle_tasks(hand_in: HandIn, lines: list[ByHand], written: bool) -> list[dict]:
    """The written tasks of a hand-in, with `written` all of the course, and others that were given
    points: {"id", "title", "points", "of", "comment"}. Points are None for an answer that nobody
    has marked yet.
    """
    answered = {text.task: bool(text.text) for text in hand_in.texts if text.task}
    marked = {line.exercise: line for line in lines}
    settled = []
    for id, title, of in written_tasks().values():
        if id in marked:
            points, comment = plain(marked[id].points), marked[id].comment
        elif id in answered:
            points = None if answered[id] else 0
            comment = "not marked yet" if answered[id] else "nothing was written"
        elif written:
            points, comment = 0, MISSING
        else:
            continue
        settled.append({"id": id, "title": title, "points": points, "of": of, "comment": comment})
    return settled


def _late_days(hand_in: HandIn, deadline: Deadline | None, lines: list[ByHand]) -> int | None:
    """Days begun; None where it is late and nothing says how much."""
    by_hand = [line.late_days for line in lines if line.late_days is not None]
    if by_hand:
        return by_hand[-1]
    if hand_in.late_days is not None:
        return hand_in.late_days
    if deadline and hand_in.submitted:
        return deadline.days_late(hand_in.submitted)
    return None if hand_in.late else 0


def plain(points: float) -> float | int:
    """Points without digits that say nothing: 3 for 3.0."""
    rounded = round(points, 2)
    return int(rounded) if rounded == int(rounded) else rounded
