"""What a course decides besides its exercises: who is in it, deadlines, points by hand, tables."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labkit.course.gradebook.deadline import Deadline
from labkit.course.hand_ins.roster import Roster

ASSIGNMENT = "Once-for-All lab"  # the name that a new column gets in a platform's gradebook
FORMATS = ("canvas", "moodle")


@dataclass(frozen=True)
class Terms:
    """What is left out is not used: without a deadline nothing is late, and so on."""

    roster: Roster | None = None
    deadline: Deadline | None = None
    by_hand: Path | None = None  # a table of points and comments
    formats: tuple[str, ...] = ()  # tables to write for platforms
    assignment: str = ASSIGNMENT
