"""Which students handed in what: notebooks found in folders and files, without following a link
anywhere.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from labkit.course.checking.submission import Submission, find_answers
from labkit.course.checking.submitted_file import NotANotebook, parse, read_notebook
from labkit.course.handout.pristine_course import course_names

SKIPPED = re.compile(r"^(\.|__MACOSX$|__pycache__$)")
NOTEBOOK = re.compile(
    r"\.ipynb(\.txt|\.json)?$", re.IGNORECASE
)  # some browsers put another suffix behind it
COPY = re.compile(
    r"[ _-]*(\(\d+\)|copy *\d*)", re.IGNORECASE
)  # what browsers and Jupyter add to a name
MOST = 40  # notebooks of one student that are read


@dataclass(frozen=True)
class HandIn:
    """What one student handed in."""

    student: str
    submission: Submission
    digest: str  # of all that was read, for resuming
    notes: tuple[str, ...] = ()


def collect(paths: Iterable[Path], leave_out: Iterable[Path] = ()) -> list[HandIn]:
    """Hand-ins by student, in the order of their names.

    A file is a student, named like it. In a folder each sub-folder and each notebook is a student;
    a folder whose notebooks all have the course's names is one student itself, unless there are
    notebooks in its sub-folders. Raises ValueError for a path that is not there.
    """
    left_out = {path.resolve() for path in leave_out}
    found: list[tuple[str, list[Path], list[str]]] = []
    for path in map(Path, paths):
        if path.is_symlink():
            found.append(
                (
                    _stem(path),
                    [],
                    [f"{path.name} is a link to somewhere else, which is not followed"],
                )
            )
        elif path.is_dir():
            found += _students_in(path, left_out)
        elif path.exists():
            found.append((_stem(path), [path], []))
        else:
            raise ValueError(f"{path} is not there")
    found = [(_text(name), files, notes) for name, files, notes in found]
    often = Counter(name for name, _, _ in found)
    taken, seen, hand_ins = (
        set(often),
        set(),
        [],
    )  # a made-up name must not be another student's real one
    for name, files, notes in found:
        if often[name] > 1:
            notes = [*notes, f"{often[name]} hand-ins have this name; each is graded apart"]
        own = (
            name
            if name not in seen
            else next(made for number in count(2) if (made := f"{name} #{number}") not in taken)
        )
        seen.add(name)
        taken.add(own)
        hand_ins.append(_read(own, files, notes))
    return sorted(hand_ins, key=lambda one: one.student)


def _students_in(folder: Path, left_out: set[Path]) -> list[tuple[str, list[Path], list[str]]]:
    entries = [
        entry
        for entry in sorted(folder.iterdir())
        if not SKIPPED.match(entry.name) and folder.resolve() / entry.name not in left_out
    ]
    notebooks = [entry for entry in entries if NOTEBOOK.search(entry.name) and not entry.is_dir()]
    folders = [entry for entry in entries if entry.is_dir() and not entry.is_symlink()]
    names = set(course_names().values())
    of_course = [notebook for notebook in notebooks if COPY.sub("", _stem(notebook)) in names]
    below = {entry: _notebooks_below(entry) for entry in folders}
    a_class = any(files for files, _ in below.values())
    if notebooks and of_course == notebooks and not a_class:
        return [(folder.resolve().name, *_notebooks_below(folder))]
    students = [(entry.name, *below[entry]) for entry in folders]
    students += [
        (
            _stem(entry),
            [entry],
            (
                [f"{entry.name}, beside folders with notebooks, is graded as a hand-in itself"]
                if a_class and entry in of_course
                else []
            ),
        )
        for entry in notebooks
    ]
    return students + [
        (entry.name, [], [f"{entry.name} is a link to somewhere else, which is not followed"])
        for entry in entries
        if entry.is_symlink() and entry not in notebooks
    ]


def _notebooks_below(folder: Path) -> tuple[list[Path], list[str]]:
    """Notebooks at any depth, and what is to be said about what was not read."""
    files, notes = [], []

    def unreadable(error: OSError) -> None:
        notes.append(f"{Path(error.filename).name} cannot be read: {error.strerror}")

    for place, folders, names in os.walk(folder, onerror=unreadable, followlinks=False):
        here = Path(place)
        links = [name for name in folders if (here / name).is_symlink()]
        notes += [f"{name} is a link to somewhere else, which is not followed" for name in links]
        folders[:] = sorted(
            name for name in folders if name not in links and not SKIPPED.match(name)
        )
        files += [
            here / name
            for name in sorted(names)
            if NOTEBOOK.search(name) and not SKIPPED.match(name)
        ]
    if len(files) > MOST:
        notes.append(f"{len(files)} notebooks, of which the first {MOST} were read")
    return files[:MOST], notes if files else [*notes, "no notebook was handed in"]


def _read(name: str, files: list[Path], notes: list[str]) -> HandIn:
    cells, digest, notes = [], hashlib.sha256(), list(notes)
    for path in files:
        try:
            content = read_notebook(path)
            digest.update(hashlib.sha256(content).digest())
            cells += [("file", path.name), *parse(content)]
        except NotANotebook as error:
            notes.append(f"{path.name}: {error}")
    submission = find_answers(cells)
    return HandIn(
        name, submission, digest.hexdigest(), tuple(map(_text, (*notes, *submission.notes)))
    )


def _stem(path: Path) -> str:
    return NOTEBOOK.sub("", path.name)


def _text(name: str) -> str:
    """A name that may be in no encoding, as text that can be written."""
    return name.encode("utf-8", "replace").decode()
