"""An autograder on Gradescope: its settings, and results.json from what was graded of a submission.

The format is that of https://gradescope-autograders.readthedocs.io/en/latest/specs/.
"""

from __future__ import annotations

import json
from pathlib import Path

from labkit.course.judges.registry import get_exercise
from labkit.storage.errors import LabError

SCHEMA = "labkit-autograder-1"
SETTINGS = "autograder.json"


def settings_text(notebook: int | None, seed: int) -> str:
    """What the archive says: the one notebook that is graded, and the seed of the hidden inputs."""
    return json.dumps({"schema": SCHEMA, "notebook": notebook, "seed": seed}) + "\n"


def read_settings(path: Path) -> dict:
    """What `settings_text` wrote; raises LabError for anything else."""
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        if settings["schema"] == SCHEMA:
            return settings
    except (OSError, ValueError, KeyError, TypeError):
        pass
    raise LabError(f"{path} is not of schema {SCHEMA}; make the archive again")


def results(student: dict) -> dict:
    """What Gradescope shows and takes the score from, once every exercise has a mark. Flags and the
    seed are for the instructor only, and so in none of it.
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
        "score": mark["points"],
        "max_score": mark["of"],
        "status": "passed" if mark["points"] == mark["of"] else "failed",
        "output": mark["message"] or "correct",
        "output_format": "text",
        "visibility": "visible",
    }
