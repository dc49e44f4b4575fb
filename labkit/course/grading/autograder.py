"""What runs in Gradescope's container: grades the one submission there, and says what it is worth.

    python -m labkit.course.grading.autograder /autograder

reads /autograder/source/autograder.json, grades what is in /autograder/submission as one student's,
and writes /autograder/results/results.json. If grading itself fails, nothing is written there, so
that Gradescope reports a failed autograder and no mark.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from labkit.course.gradebook.gradescope import SETTINGS, read_settings, results
from labkit.course.grading.grade import grade
from labkit.storage.atomic_write import write_atomic
from labkit.storage.errors import LabError


def main(root: Path) -> None:
    """Grade the submission in the container whose folder is `root`."""
    settings = read_settings(root / "source" / SETTINGS)
    with tempfile.TemporaryDirectory(prefix="labkit-autograder-") as folder:
        grades = grade(
            [root / "submission"],
            Path(folder) / "grades.csv",
            notebook=settings["notebook"],
            seed=settings["seed"],
            one_student="submission",
            reference_first=False,  # solutions are not where submissions run
            jobs=1,
            progress=False,
            without_walls=True,  # the container is for one submission
        )
    (student,) = grades["students"]
    if any(mark["points"] is None for mark in student["marks"]):
        raise LabError(f"not all could be graded: {json.dumps(student['runs'])}")
    text = json.dumps(results(student), indent=1) + "\n"
    (root / "results").mkdir(exist_ok=True)
    write_atomic(root / "results" / "results.json", lambda path: path.write_text(text, "utf-8"))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
