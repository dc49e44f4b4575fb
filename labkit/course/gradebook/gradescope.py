"""results.json of an autograder on Gradescope, from what was graded of one submission.

The format is that of https://gradescope-autograders.readthedocs.io/en/latest/specs/.
"""

from __future__ import annotations

from labkit.course.judges.registry import get_exercise


def results(student: dict) -> dict:
    """What Gradescope shows and takes the score from. Flags and the seed are for the instructor
    only, and so in none of it.
    """
    return {
        "output": "\n".join(student["notes"]),
        "visibility": "visible",
        "stdout_visibility": "hidden",
        "tests": [_test(mark) for mark in student["marks"]],
    }


def _test(mark: dict) -> dict:
    return {
        "number": mark["id"],
        "name": f"Exercise {mark['id']}: {get_exercise(mark['id']).function}",
        "score": mark["points"] or 0,
        "max_score": mark["of"],
        "status": "passed" if mark["points"] == mark["of"] else "failed",
        "output": mark["message"] or "correct",
        "output_format": "text",
        "visibility": "visible",
    }
