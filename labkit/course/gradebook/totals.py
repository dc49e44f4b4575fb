"""A student's total: the grader's points, less what lateness costs, with what was given by hand."""

from __future__ import annotations

from labkit.course.gradebook.by_hand import ByHand
from labkit.course.gradebook.deadline import Deadline
from labkit.course.hand_ins.collect import HandIn


def settle(
    points: float, hand_in: HandIn, deadline: Deadline | None, lines: list[ByHand]
) -> tuple[dict, list[str]]:
    """What a hand-in is worth, and flags: {"points", "late_days", "penalty", "extra", "total"}.

    The penalty is a share of the grader's points; what is given by hand is added after it. A total
    is never below zero.
    """
    flags = []
    days = _late_days(hand_in, deadline, lines)
    if days is None:
        flags.append("late, by a time that the platform does not say: give --roster, or late_days")
    elif days:
        flags.append(f"{days} days late" if days > 1 else "1 day late")
    penalty = deadline.penalty(points, days) if deadline and days else 0.0
    extras = [line for line in lines if line.points or line.comment]
    total = max(0.0, points - penalty + sum(line.points for line in extras))
    account = {
        "points": points,
        "late_days": days,
        "penalty": penalty,
        "extra": [
            {"exercise": line.exercise, "points": plain(line.points), "comment": line.comment}
            for line in extras
        ],
        "total": plain(total),
    }
    return account, flags


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
