"""Which student handed in what, and what lies there and is not graded."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from labkit.course.checking.submission import Submission, as_submission, find_answers
from labkit.course.checking.submitted_file import NotANotebook, parse
from labkit.course.execution.limited_child import LimitExceeded, in_limited_child
from labkit.course.exercises.exercise import notebook_number
from labkit.course.hand_ins.files import (
    LINK,
    NOTEBOOK,
    Entry,
    entries_below,
    file_entry,
    is_zip,
)
from labkit.course.hand_ins.gradescope_export import read_submitters
from labkit.course.hand_ins.layouts import Owner, course_name, layouts
from labkit.course.handout.free_text import FreeText, bounded, free_texts, written_tasks
from labkit.course.handout.pristine_course import course_names, pristine_cells
from labkit.course.judges.registry import TOPICS

MAX_NOTEBOOKS = 40  # of one student that are read
SHOWN = 5  # names of files in one note


@dataclass(frozen=True)
class HandIn:
    """What one student handed in."""

    student: str
    submission: Submission
    digest: str  # of all that was read, for resuming
    notes: tuple[str, ...] = ()
    id: str = ""  # the platform's, where it is in the names of files or in the class list
    late: bool = False  # as the platform says, without saying how late
    submitted: str = ""  # when, in ISO 8601, where the platform says so
    late_days: int | None = None  # days begun, where the platform says so
    texts: tuple[FreeText, ...] = ()


class NotGraded(NamedTuple):
    """A file that lies among the hand-ins and is not graded."""

    path: str
    reason: str


class Collection(NamedTuple):
    """All that was found below some paths."""

    hand_ins: list[HandIn]
    not_graded: list[NotGraded]


class _Files(NamedTuple):
    """The notebooks under one student's name, before they are read."""

    name: str
    notebooks: list[Entry]
    notes: list[str]
    id: str = ""
    late: bool = False
    submitted: str = ""
    late_days: int | None = None
    others: list[Entry] = []  # what is not graded of what the student handed in


def collect(
    paths: Iterable[Path],
    leave_out: Iterable[Path] = (),
    only_notebook: int | None = None,
    identify: Callable[[str, str], dict] = lambda name, id: {},
    one_student: str = "",
) -> Collection:
    """Hand-ins by student, in the order of their names, and what is not graded.

    A file is a student, named like it. In a folder, or in a zip, each sub-folder, each zip and each
    notebook is a student, unless their names are those that a platform gives (see `layouts`). A
    folder whose notebooks all have the course's names is one student itself, if there are no
    notebooks in its sub-folders, and no two versions of one notebook.

    With `one_student`, a name, all that lies there is that student's. `only_notebook` is the number
    of the one notebook that is graded. `identify` gives what a class list knows of a student, by
    name and id: HandIn's fields student, id, submitted and late_days. Raises ValueError for a path
    that does not exist.
    """
    excluded = {path.resolve() for path in leave_out}
    students: list[_Files] = []
    not_graded: list[NotGraded] = []
    for path in map(Path, paths):
        if path.is_symlink():
            students.append(_Files(_stem(path.name), [], [f"{path.name} is {LINK}"]))
        elif path.is_dir() or is_zip(path):
            if one_student:
                of_path, others = [_student(one_student, entries_below(path, excluded))], []
            else:
                of_path, others = _students_in(path, excluded)
            students += of_path
            not_graded += [_not_graded(path, entry) for entry in others]
            not_graded += [_not_graded(path, one) for student in of_path for one in student.others]
        elif path.exists():
            students.append(_Files(_stem(path.name), [file_entry(path)], []))
        else:
            raise ValueError(f"{path} is not there")
    students = [_identified(student, identify) for student in students]
    read_the_course()
    hand_ins = []
    for student in _with_distinct_names(students):
        hand_in, others = _read(student, only_notebook)
        hand_ins.append(hand_in)
        not_graded += others
    hand_ins.sort(key=lambda hand_in: hand_in.student)
    return Collection(hand_ins, list(dict.fromkeys(not_graded)))


def read_the_course() -> None:
    """Have all in memory that reading a hand-in takes: the judges, which import torch, and the
    course's own cells, parsed. Processes with little memory that are forked from here need it.
    """
    written_tasks()
    for number in course_names():
        find_answers([("code", source) for source in pristine_cells(number) if number in TOPICS])


def _identified(student: _Files, identify: Callable[[str, str], dict]) -> _Files:
    known = identify(text(student.name), student.id)
    return student._replace(
        name=text(known.get("student") or student.name),
        id=known.get("id") or student.id,
        submitted=known.get("submitted") or student.submitted,
        late_days=known.get("late_days"),
    )


def _not_graded(path: Path, entry: Entry) -> NotGraded:
    return NotGraded(text(str(PurePosixPath(path.name) / entry.path)), text(entry.reason))


def _with_distinct_names(students: list[_Files]) -> list[_Files]:
    """The same students, told apart by their ids or numbered where several have one name: `anna`,
    `anna #2`. Names that some file systems take for one, such as `Anna` and `anna`, are one name.
    """
    counts = Counter(student.name.casefold() for student in students)
    ids = Counter((student.name.casefold(), student.id) for student in students)
    reserved = set(counts)  # a numbered name must not be another student's real one
    assigned, distinct = set(), []
    for student in students:
        name, notes = student.name, student.notes
        if counts[name.casefold()] > 1:
            if student.id and ids[name.casefold(), student.id] == 1:
                name = f"{name} ({student.id})"
            else:
                several = counts[name.casefold()]
                notes = [*notes, f"{several} hand-ins have this name; each is graded apart"]
        if name.casefold() in assigned:
            numbered = (f"{name} #{number}" for number in count(2))
            name = next(one for one in numbered if one.casefold() not in reserved)
        assigned.add(name.casefold())
        reserved.add(name.casefold())
        distinct.append(student._replace(name=name, notes=notes))
    return distinct


# ---- whose the files are -------------------------------------------------------------------------


def _students_in(path: Path, excluded: set[Path]) -> tuple[list[_Files], list[Entry]]:
    """The students whose work lies below a folder or zip, and what belongs to none of them."""
    name = _stem(path.resolve().name)
    name, by_top = _without_wrapper(name, _by_top(entries_below(path, excluded)), is_zip(path))
    owners = _owners(by_top)
    submitters = read_submitters(path)
    students = _of_platform(by_top, owners, submitters)
    rest = {top: entries for top, entries in by_top.items() if top not in owners}
    others = [entry for entries in rest.values() for entry in entries if _is_loose(entry)]
    return students + _of_no_platform(name, rest), others


def _by_top(entries: list[Entry]) -> dict[str, list[Entry]]:
    """Entries by the file or folder beside the others in which they are."""
    by_top: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry.path.parts:
            by_top.setdefault(entry.path.parts[0], []).append(entry)
    return by_top


def _without_wrapper(
    name: str, by_top: dict[str, list[Entry]], packed: bool
) -> tuple[str, dict[str, list[Entry]]]:
    """The entries in the only folder of a download, which zips and platforms put around all."""
    folders = [top for top, entries in by_top.items() if _is_folder(entries)]
    notebooks = [top for top in by_top if top not in folders and by_top[top][0].read]
    if len(folders) == 1 and not notebooks and not _owners(by_top):
        inner = [
            entry._replace(path=entry.path.relative_to(folders[0])) for entry in by_top[folders[0]]
        ]
        by_inner = _by_top(inner)
        if packed or _owners(by_inner):
            return folders[0], by_inner
    return name, by_top


def _owners(by_top: dict[str, list[Entry]]) -> dict[str, Owner]:
    """Whose the files and folders are that a platform named."""
    tops = {_unmarked(top): top for top in by_top}
    owners: dict[str, Owner] = {}
    for layout in layouts():
        names = [name for name, top in tops.items() if top not in owners]
        owners |= {tops[name]: owner for name, owner in layout.owners(names).items()}
    return owners


def _unmarked(top: str) -> str:
    return unicodedata.normalize("NFC", top)


def _of_platform(
    by_top: dict[str, list[Entry]], owners: dict[str, Owner], submitters: dict[str, list[dict]]
) -> list[_Files]:
    """A student for each id, or name where there is none; of a file's versions only the last."""
    course = set(course_names().values())
    groups: dict[str, list[str]] = {}
    for top, owner in owners.items():
        groups.setdefault(owner.id or owner.name.casefold(), []).append(top)
    students = []
    for tops in groups.values():
        latest: dict[str, str] = {}
        for top in sorted(tops, key=lambda top: owners[top].version):
            name = course_name(owners[top].file)
            # work-1 and work-2 may be two notebooks; of the course's, the number is the version's
            latest[name if owners[top].version and name in course else top] = top
        older = [top for top in tops if top not in latest.values()]
        entries = [entry for top in sorted(latest.values()) for entry in by_top[top]]
        entries += [
            entry._replace(read=None, reason="an earlier version of what was handed in")
            for top in older
            for entry in by_top[top]
        ]
        first = owners[tops[0]]
        late = any(owners[top].late for top in tops)
        for known in submitters.get(tops[0]) or [{}]:
            name, id = known.get("student") or first.name, known.get("id") or first.id
            student = _student(name, entries)
            submitted = known.get("submitted", "")
            students.append(student._replace(id=id, late=late, submitted=submitted))
    return students


def _of_no_platform(name: str, by_top: dict[str, list[Entry]]) -> list[_Files]:
    """A student for each folder, zip and notebook; or one for all of them."""
    course = set(course_names().values())
    folders = {top: entries for top, entries in by_top.items() if _is_folder(entries)}
    files = {top: entries[0] for top, entries in by_top.items() if top not in folders}
    notebooks = {top: entry for top, entry in files.items() if entry.read}
    of_course = [top for top in notebooks if course_name(top) in course]
    is_class = any(entry.read for entries in folders.values() for entry in entries)
    students = [_student(top, entries) for top, entries in folders.items()]
    if notebooks and len(of_course) == len(notebooks) and not is_class:
        versions = _differing(notebooks)
        if not versions:
            return [_student(name, [entry for entries in by_top.values() for entry in entries])]
        notes = [f"in one folder with other versions of {', '.join(versions)}, graded apart"]
        return students + [_Files(_stem(top), [one], notes) for top, one in notebooks.items()]
    for top, entry in notebooks.items():
        notes = []
        if is_class and top in of_course:
            notes = [f"{top}, beside folders with notebooks, is graded as a hand-in itself"]
        students.append(_Files(_stem(top), [entry], notes))
    links = [top for top, entry in files.items() if entry.reason == LINK]
    return students + [_Files(_stem(top), [], [f"{top} is {LINK}"]) for top in links]


def _differing(notebooks: dict[str, Entry]) -> list[str]:
    """The course's notebooks that are there more than once, with different content."""
    contents: dict[str, set[bytes]] = {}
    for top, entry in notebooks.items():
        try:
            digest = hashlib.sha256(entry.read()).digest()
        except NotANotebook:
            digest = top.encode("utf-8", "replace")
        contents.setdefault(course_name(top), set()).add(digest)
    return [name for name, digests in contents.items() if len(digests) > 1]


def _is_folder(entries: list[Entry]) -> bool:
    """Whether entries with one top are of a folder or zip. Some zips name no folder, only files."""
    return any(len(one.path.parts) > 1 or not (one.read or one.reason) for one in entries)


def _is_loose(entry: Entry) -> bool:
    """Whether something beside the students is no student's and not graded."""
    return len(entry.path.parts) == 1 and bool(entry.reason) and entry.reason != LINK


def _student(top: str, entries: list[Entry]) -> _Files:
    """A student with all that is in a folder or zip, with notes on what is not read."""
    notebooks = [entry for entry in entries if entry.read]
    others = [entry for entry in entries if entry.reason]
    notes = [f"{entry.path.name} is {LINK}" for entry in others if entry.reason == LINK]
    notes += [
        f"{entry.path.name}: {entry.reason}"
        for entry in others
        if entry.reason not in (LINK, "hidden", "not a notebook")
    ]
    if len(notebooks) > MAX_NOTEBOOKS:
        notes.append(f"{len(notebooks)} notebooks, of which the first {MAX_NOTEBOOKS} were read")
        others += [
            entry._replace(read=None, reason="one notebook too many")
            for entry in notebooks[MAX_NOTEBOOKS:]
        ]
    if not notebooks:
        names = [entry.path.name for entry in others if entry.reason != "hidden"]
        shown = f" ({', '.join(names[:SHOWN])})" if names else ""
        notes.append(f"no notebook was handed in{shown}")
    return _Files(_stem(top), notebooks[:MAX_NOTEBOOKS], notes, others=others)


# ---- reading them --------------------------------------------------------------------------------


def _read(student: _Files, only_notebook: int | None) -> tuple[HandIn, list[NotGraded]]:
    """What a student handed in, parsed in a process that only so much can happen to."""
    try:
        reply = in_limited_child(partial(_parsed, student, only_notebook))
    except (LimitExceeded, RuntimeError) as error:
        is_ours = isinstance(error, RuntimeError)
        reason = "this is a failure in the grader" if is_ours else error
        reply = {
            "submission": asdict(Submission(failures={"": str(error)} if is_ours else {})),
            "digest": "unreadable",
            "notes": [*student.notes, f"what was handed in cannot be read: {reason}"],
            "texts": [],
            "not_graded": [
                [text(f"{student.name}: {one.path}"), "unreadable"] for one in student.notebooks
            ],
        }
    hand_in = HandIn(
        student.name,
        as_submission(reply["submission"]),
        reply["digest"],
        tuple(map(text, reply["notes"])),
        student.id,
        student.late,
        student.submitted,
        student.late_days,
        tuple(FreeText(*one) for one in reply["texts"]),
    )
    return hand_in, [NotGraded(*one) for one in reply["not_graded"]]


def _parsed(student: _Files, only_notebook: int | None) -> dict:
    """What is in the notebooks of a student, as far as JSON can hold it."""
    cells, digest, notes, not_graded = [], hashlib.sha256(), list(student.notes), []
    for entry in student.notebooks:
        place = f"{student.name}: {entry.path}"
        try:
            content = entry.read()
            of_file = parse(content)
        except NotANotebook as error:
            notes.append(f"{entry.path.name}: {error}")
            not_graded.append(NotGraded(text(place), text(str(error))))
            continue
        tasks = [one.task for one in free_texts(of_file) if one.task]
        numbers = {*find_answers(of_file).notebooks, *map(notebook_number, tasks)}
        if only_notebook is not None and only_notebook not in numbers:
            not_graded.append(NotGraded(text(place), f"without exercises of {only_notebook}"))
            continue
        digest.update(hashlib.sha256(content).digest())
        # The cell before it separates the notebook from the one before.
        cells += [("file", entry.path.name), *of_file]
        if not numbers:
            not_graded.append(NotGraded(text(place), "a notebook without an exercise's comment"))
    submission = find_answers(cells)
    return {
        "submission": asdict(submission),
        "digest": digest.hexdigest(),
        "notes": [*notes, *submission.notes],
        "texts": bounded(free_texts(cells)),
        "not_graded": not_graded,
    }


def _stem(name: str) -> str:
    stem = NOTEBOOK.sub("", name)
    return stem[: -len(".zip")] if stem.lower().endswith(".zip") else stem


def text(name: str) -> str:
    """A name that may be in no encoding, composed or decomposed, as text that can be written."""
    return unicodedata.normalize("NFC", name.encode("utf-8", "replace").decode())
