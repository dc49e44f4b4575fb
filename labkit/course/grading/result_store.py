"""Results between runs, so that an interrupted grading goes on where it was, and unchanged work
stays graded.

There is one JSON file for each student. A mark holds as long as what was handed in, the seed, the
limits and the grader (all of labkit's source, the pristine notebooks, the versions of Python, numpy
and torch) are the same.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path

from labkit.course.checking.marking import Mark
from labkit.course.checking.stripped_copy import PACKAGE
from labkit.course.confinement.limits import RunLimits
from labkit.course.grading.signature import is_signed, sign
from labkit.course.handout.pristine_course import course_names, pristine_cells
from labkit.storage.atomic_write import write_json

SCHEMA = "labkit-result-2"
HASHED = re.compile(r"-[0-9a-f]{8}$")  # such a name might be made from another student's
DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)\d)$", re.IGNORECASE)  # no names on Windows


def grader_hash(limits: RunLimits) -> str:
    """Changes with whatever a grade may depend on, apart from the submission and the seed."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        digest.update(name.encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update(json.dumps([pristine_cells(number) for number in course_names()]).encode())
    digest.update(repr((sys.version_info[:3], version("numpy"), version("torch"), limits)).encode())
    return digest.hexdigest()[:16]


def slug(student: str) -> str:
    """A file name for a student: safe everywhere, and not the same for two students.

    >>> slug("anna"), slug("../ben")
    ('anna', '_ben-5e0b5256')
    """
    safe = re.sub(r"[^A-Za-z0-9_-]+", "_", student)[:60]
    if student and safe == student and not HASHED.search(safe) and not DEVICE.match(safe):
        return safe
    return f"{safe}-{hashlib.sha256(student.encode()).hexdigest()[:8]}"


class ResultStore:
    """The folder of results."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def load(self, student: str, digest: str) -> dict:
        """The stored result of a student's hand-in: {"marks": {id: {mark, seed, grader}}, ...}; of
        an earlier hand-in nothing.
        """
        try:
            stored = json.loads(self._path(student).read_text(encoding="utf-8"))
            result = stored["result"]
            if not is_signed(_canonical(result), stored["signature"]):
                raise ValueError("somebody else wrote it")
            origin = (result["schema"], result["digest"], result["student"])
            if origin == (SCHEMA, digest, student):
                for entry in result["marks"].values():
                    Mark(**entry["mark"])
                return result
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            pass  # not written by a grading, or damaged: the student is graded again
        return {"schema": SCHEMA, "student": student, "digest": digest, "marks": {}, "runs": {}}

    def save(self, result: dict) -> None:
        stored = {"result": result, "signature": sign(_canonical(result))}
        write_json(self._path(result["student"]), stored)

    def _path(self, student: str) -> Path:
        return self.folder / f"{slug(student)}.json"


def _canonical(result: object) -> str:
    """A result as the text that is signed."""
    return json.dumps(result, sort_keys=True)


def is_current(result: dict, id: str, seed: int, grader: str) -> bool:
    """Whether the mark of an exercise still holds."""
    entry = result["marks"].get(id)
    return entry is not None and entry["seed"] == seed and entry["grader"] == grader


def entry(mark: Mark, seed: int, grader: str) -> dict:
    """A mark as it is stored, with what it depends on."""
    return {"mark": asdict(mark), "seed": seed, "grader": grader}
