"""The reference hand-in, the instructor's own solutions: it is graded before anybody else's, and
unless it gets all points nothing is.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

from labkit.course.checking.answer_run import RunPlan, marks_of
from labkit.course.checking.submission import Submission, find_answers
from labkit.course.exercises.exercise import notebook_number
from labkit.course.handout.notebook_file import code_sources, read
from labkit.course.handout.student_copy import INSTRUCTOR
from labkit.storage.errors import LabError


def reference(number: int) -> Submission:
    """The instructor's notebook of that number as a hand-in; raises LabError where it is not."""
    paths = sorted(INSTRUCTOR.glob(f"{number:02}_*.ipynb"))
    if not paths:
        raise LabError(
            f"grading begins with the instructor's own solutions, and there is no notebook"
            f" {number:02}_*.ipynb in {INSTRUCTOR}"
        )
    return find_answers([("code", source) for source in code_sources(read(paths[0]))])


def require_full_reference(ids: Iterable[str], plan: RunPlan, address: str) -> None:
    """Raise LabError unless the instructor's solutions of exercises `ids` get all points."""
    lost = []
    for number, group in groupby(sorted(ids, key=notebook_number), notebook_number):
        marks, replies = marks_of(reference(number), group, plan, address)
        lost += [
            f"{mark.id}: {replies[mark.id].get('failure') or mark.message}"
            for mark in marks
            if not mark.passed
        ]
    if lost:
        raise LabError(
            "nothing was graded: the instructor's own solutions did not get all points, so there is"
            " something wrong with this machine, the course or the seed (--seed draws others)\n"
            + "\n".join(lost)
        )
