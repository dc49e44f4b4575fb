"""Which student handed in what: notebooks in folders and files, without following a link."""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import NamedTuple

from labkit.course.checking.submission import Submission, find_answers
from labkit.course.checking.submitted_file import NotANotebook, parse, read_notebook
from labkit.course.handout.pristine_course import course_names

SKIPPED = re.compile(r"^(\.|__MACOSX$|__pycache__$)")
# Some browsers put another suffix behind a notebook's.
NOTEBOOK = re.compile(r"\.ipynb(\.txt|\.json)?$", re.IGNORECASE)
# What browsers and Jupyter add to the name of a copy.
COPY = re.compile(r"[ _-]*(\(\d+\)|copy *\d*)", re.IGNORECASE)
MAX_NOTEBOOKS = 40  # of one student that are read


@dataclass(frozen=True)
class HandIn:
    """What one student handed in."""

    student: str
    submission: Submission
    digest: str  # of all that was read, for resuming
    notes: tuple[str, ...] = ()


class _Files(NamedTuple):
    """The notebooks under one student's name, before they are read."""

    name: str
    paths: list[Path]
    notes: list[str]


def collect(paths: Iterable[Path], leave_out: Iterable[Path] = ()) -> list[HandIn]:
    """Hand-ins by student, in the order of their names.

    A file is a student, named like it. In a folder each sub-folder and each notebook is a student;
    a folder whose notebooks all have the course's names is one student itself, unless there are
    notebooks in its sub-folders. Raises ValueError for a path that does not exist.
    """
    excluded = {path.resolve() for path in leave_out}
    students: list[_Files] = []
    for path in map(Path, paths):
        if path.is_symlink():
            students.append(_Files(_stem(path), [], [_link_note(path.name)]))
        elif path.is_dir():
            students += _students_in(path, excluded)
        elif path.exists():
            students.append(_Files(_stem(path), [path], []))
        else:
            raise ValueError(f"{path} is not there")
    students = [student._replace(name=_text(student.name)) for student in students]
    hand_ins = [_read(*student) for student in _with_distinct_names(students)]
    return sorted(hand_ins, key=lambda hand_in: hand_in.student)


def _with_distinct_names(students: list[_Files]) -> list[_Files]:
    """The same students, numbered where several have one name: `anna`, `anna #2`."""
    counts = Counter(student.name for student in students)
    reserved = set(counts)  # a numbered name must not be another student's real one
    assigned, distinct = set(), []
    for name, paths, notes in students:
        if counts[name] > 1:
            notes = [*notes, f"{counts[name]} hand-ins have this name; each is graded apart"]
        if name in assigned:
            numbered = (f"{name} #{number}" for number in count(2))
            name = next(candidate for candidate in numbered if candidate not in reserved)
        assigned.add(name)
        reserved.add(name)
        distinct.append(_Files(name, paths, notes))
    return distinct


def _students_in(folder: Path, excluded: set[Path]) -> list[_Files]:
    entries = [
        entry
        for entry in sorted(folder.iterdir())
        if not SKIPPED.match(entry.name) and folder.resolve() / entry.name not in excluded
    ]
    notebooks = [entry for entry in entries if NOTEBOOK.search(entry.name) and not entry.is_dir()]
    course = set(course_names().values())
    course_notebooks = [path for path in notebooks if COPY.sub("", _stem(path)) in course]
    students = [
        _notebooks_below(entry) for entry in entries if entry.is_dir() and not entry.is_symlink()
    ]
    is_class = any(student.paths for student in students)
    if notebooks and course_notebooks == notebooks and not is_class:
        return [_notebooks_below(folder)]
    for path in notebooks:
        notes = []
        if is_class and path in course_notebooks:
            notes = [f"{path.name}, beside folders with notebooks, is graded as a hand-in itself"]
        students.append(_Files(_stem(path), [path], notes))
    for entry in entries:
        if entry.is_symlink() and entry not in notebooks:
            students.append(_Files(entry.name, [], [_link_note(entry.name)]))
    return students


def _notebooks_below(folder: Path) -> _Files:
    """Notebooks at any depth, with notes on what was not read."""
    paths, notes = [], []

    def note_unreadable(error: OSError) -> None:
        notes.append(f"{Path(error.filename).name} cannot be read: {error.strerror}")

    for place, folders, files in os.walk(folder, onerror=note_unreadable, followlinks=False):
        links = [name for name in folders if Path(place, name).is_symlink()]
        notes += map(_link_note, links)
        folders[:] = sorted(
            name for name in folders if name not in links and not SKIPPED.match(name)
        )
        names = [name for name in files if NOTEBOOK.search(name) and not SKIPPED.match(name)]
        paths += [Path(place, name) for name in sorted(names)]
    if len(paths) > MAX_NOTEBOOKS:
        notes.append(f"{len(paths)} notebooks, of which the first {MAX_NOTEBOOKS} were read")
    if not paths:
        notes.append("no notebook was handed in")
    return _Files(folder.resolve().name, paths[:MAX_NOTEBOOKS], notes)


def _read(name: str, paths: list[Path], notes: list[str]) -> HandIn:
    cells, digest, notes = [], hashlib.sha256(), list(notes)
    for path in paths:
        try:
            content = read_notebook(path)
            digest.update(hashlib.sha256(content).digest())
            # The cell before it separates the notebook from the one before.
            cells += [("file", path.name), *parse(content)]
        except NotANotebook as error:
            notes.append(f"{path.name}: {error}")
    submission = find_answers(cells)
    notes = tuple(map(_text, (*notes, *submission.notes)))
    return HandIn(name, submission, digest.hexdigest(), notes)


def _link_note(name: str) -> str:
    return f"{name} is a link to somewhere else, which is not followed"


def _stem(path: Path) -> str:
    return NOTEBOOK.sub("", path.name)


def _text(name: str) -> str:
    """A name that may be in no encoding, as text that can be written."""
    return name.encode("utf-8", "replace").decode()
