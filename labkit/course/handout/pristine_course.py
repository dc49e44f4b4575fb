"""The cells of the course as it is handed out, which checks, grades and reports build on.

In an instructor's checkout they come from the instructor's notebooks, on a student's machine from
the files in data/course that were made of these: the code of all notebooks, and the texts of those
in which students write texts of their own.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from labkit.course.handout import student_copy
from labkit.course.handout.notebook_file import as_text, code_sources, read, text_sources
from labkit.storage.atomic_write import write_atomic
from labkit.storage.errors import LabError
from labkit.storage.paths import data_dir

SCHEMA = "labkit-course-1"


def course_dir() -> Path:
    """Where the cells of the course are, for checks on a student's machine."""
    return data_dir() / "course"


def write_course(name: str, notebook: dict) -> None:
    """Store the cells of a student's copy for `pristine_cells` and `course_texts`."""
    texts = text_sources(notebook)
    content = {
        "schema": SCHEMA,
        "made_by": "python -m labkit.course.release.student_notebooks",
        "cells": code_sources(notebook),
        **({"texts": texts} if any(map(student_copy.WRITTEN_TASK.search, texts)) else {}),
    }
    path = course_dir() / f"{name}.json"
    write_atomic(path, lambda temporary: temporary.write_text(as_text(content), encoding="utf-8"))


def course_names() -> dict[int, str]:
    """Number of a notebook -> the name of its file, without the suffix."""
    paths = sorted(student_copy.INSTRUCTOR.glob("[0-9][0-9]_*.ipynb"))
    paths = paths or sorted(course_dir().glob("[0-9][0-9]_*.json"))
    return {int(path.stem[:2]): path.stem for path in paths}


@cache
def pristine_cells(number: int) -> tuple[str, ...]:
    """The code cells of notebook `number` as it is handed out; raises LabError where it is not."""
    for path in sorted(student_copy.INSTRUCTOR.glob(f"{number:02}_*.ipynb")):
        return tuple(code_sources(student_copy.student_copy(read(path), path.name)))
    for path in sorted(course_dir().glob(f"{number:02}_*.json")):
        return _stored(path, "cells")
    raise LabError(f"notebook {number} is not in {student_copy.INSTRUCTOR} nor in {course_dir()}")


@cache
def course_texts() -> tuple[str, ...]:
    """The text cells of the course as it is handed out: of all notebooks in an instructor's
    checkout, else of those in which students write.
    """
    paths = sorted(student_copy.INSTRUCTOR.glob("[0-9][0-9]_*.ipynb"))
    if paths:
        return tuple(text for path in paths for text in text_sources(read(path)))
    files = sorted(course_dir().glob("[0-9][0-9]_*.json"))
    return tuple(text for path in files for text in _stored(path, "texts"))


def _stored(path: Path, name: str) -> tuple[str, ...]:
    """The cells in a file of data/course; raises LabError for a file that is not sound."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] == SCHEMA:
            return tuple(map(str, content.get(name, ())))
    except (ValueError, KeyError, TypeError):
        pass
    raise LabError(f"{path} is not of schema {SCHEMA}; fetch the course again")


def unsolved_cells(number: int) -> dict[str, str]:
    """The unsolved answer cells of notebook `number`, by exercise id."""
    cells = pristine_cells(number)
    return {id: source for source in cells for id in student_copy.exercise_ids(source)}
