"""What a student's notebooks hold: which cell answers which exercise, what of the notebook that
answer needs, and what is wrong with the rest.

Nothing runs here. An answer is the code cell that gives the exercise's function its value where the
notebook checks it, or else where the comment `# Exercise 1.2 ...` is, wherever it was moved. What
cannot be graded (missing, or two notebooks with different answers) is named exercise by exercise.
"""

from __future__ import annotations

import re
import traceback
import unicodedata
from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

from labkit.course.checking.time_limit import time_limit
from labkit.course.exercises.exercise import Exercise
from labkit.course.handout.pristine_course import pristine_cells, unsolved_cells
from labkit.course.handout.student_copy import CHECKED, exercise_ids
from labkit.course.judges.registry import TOPICS, exercises_of
from labkit.course.slicing.notebook_slice import Cell, NotebookSlice, statements_of

MAX_CELL = 100_000  # characters; parsing takes up to a thousand times the memory
PARSE_LIMIT_S = 10.0  # of one notebook
MARKER = re.compile(
    r"^[^\S\n]*#+[^\S\n]*exercise[^\S\n]+([0-9]{1,3}\.[0-9]{1,3})\b", re.MULTILINE | re.IGNORECASE
)
CHECK_CALL = re.compile(
    r"""^[^\S\n]*check\([^\S\n]*["']([0-9]{1,3}\.[0-9]{1,3})["']""", re.MULTILINE
)
FILE = "file"  # the kind of what stands between the cells of two notebooks


class ProgramCell(NamedTuple):
    """A cell of what runs for an answer: "course" for the course's own, "answer" for the one that
    defines the function, "other" for another of the student's.
    """

    role: str
    source: str


@dataclass(frozen=True)
class Submission:
    """What a student's notebooks hold, by exercise: answers that can run, and problems in the
    student's terms.
    """

    answers: dict[str, str] = field(default_factory=dict)  # id -> source of the cell
    problems: dict[str, str] = field(default_factory=dict)  # id -> why there is no answer
    notes: tuple[str, ...] = ()  # for whoever grades; nothing depends on them
    programs: dict[str, tuple[ProgramCell, ...]] = field(default_factory=dict)  # what answers run
    # What answers run that are not right so, where more of the notebook may make a difference.
    wider_programs: dict[str, tuple[ProgramCell, ...]] = field(default_factory=dict)
    notebooks: tuple[int, ...] = ()  # numbers of the notebooks whose exercises are in it
    # id -> traceback of what went wrong here when its answer was looked for; "" stands for all ids
    failures: dict[str, str] = field(default_factory=dict)

    def failure(self, id: str) -> str:
        """What went wrong here when the answer to an exercise was looked for; empty for nothing."""
        return self.failures.get(id) or self.failures.get("", "")


def find_answers(cells: list[tuple[str, str]]) -> Submission:
    """Sort the cells of a student's notebooks, (type, source) pairs, into answers and problems. A
    pair of type "file" stands between two notebooks.
    """
    notebooks = [_Notebook(part) for part in _parts(cells)]
    ids = list(dict.fromkeys(id for notebook in notebooks for id in notebook.ids))
    named_numbers = {id.partition(".")[0] for id in ids}
    numbers = tuple(number for number in TOPICS if str(number) in named_numbers)
    exercises = {id: one for number in numbers for id, one in exercises_of(number).items()}
    answers, problems, programs, wider_programs, failures = {}, {}, {}, {}, {}
    notes = [note for notebook in notebooks for note in notebook.notes]
    for id, exercise in exercises.items():
        try:
            answer = _only_answer(exercise, notebooks)
            answers[id], programs[id] = answer.source, answer.program
            if answer.wider:
                wider_programs[id] = answer.wider
        except _NoAnswer as reason:
            problems[id] = str(reason)
        except Exception:  # which costs nobody a point, and no other exercise
            problems[id], failures[id] = "could not be read", traceback.format_exc()
    unknown = [id for id in ids if id not in exercises]
    if unknown:
        notes.append(f"exercises that do not exist: {', '.join(unknown[:5])}")
    return Submission(answers, problems, tuple(notes), programs, wider_programs, numbers, failures)


def as_submission(fields: dict) -> Submission:
    """The submission whose fields went through JSON, which has lists for tuples."""
    sequences = {name: tuple(fields[name]) for name in ("notes", "notebooks")}
    programs = {
        name: {
            id: tuple(ProgramCell(*cell) for cell in cells) for id, cells in fields[name].items()
        }
        for name in ("programs", "wider_programs")
    }
    return Submission(**fields | sequences | programs)


class _NoAnswer(Exception):
    """There is no answer to run; the message says why, in the student's terms."""


class _Answer(NamedTuple):
    source: str  # of its cell
    program: tuple[ProgramCell, ...]  # what runs
    wider: tuple[ProgramCell, ...] = ()  # what runs if it is not right so; empty for nothing else


def _only_answer(exercise: Exercise, notebooks: list[_Notebook]) -> _Answer:
    """The one answer of all notebooks; raises _NoAnswer.

    Of several, those count that have the exercise: a variable of another one may be called like its
    function. And of these, those that check it: cells are copied where a later task builds on them.
    """
    comment = f"`# Exercise {exercise.id} ({exercise.points} points)`"
    about = [each for each in notebooks if exercise.id in each.ids] or notebooks
    about = [each for each in about if exercise.id in each.checked_ids] or about
    answers, reasons = {}, []
    for notebook in about:
        try:
            answer = notebook.answer(exercise, comment)
        except _NoAnswer as reason:
            reasons.append(str(reason))
        else:
            answers.setdefault(essence(answer.source), answer)
    if len(answers) > 1:  # an unsolved copy beside the answer does no harm
        answers.pop(essence(unsolved_cells(int(exercise.id.split(".")[0]))[exercise.id]), None)
    if len(answers) > 1:
        raise _NoAnswer(
            f"duplicated: {len(answers)} notebooks have different cells with the comment {comment};"
            " keep one"
        )
    if not answers:
        # What a notebook has to say is better than that another one has no such cell.
        raise _NoAnswer(min(reasons, key=lambda reason: reason.startswith("missing")))
    return next(iter(answers.values()))


def _parts(cells: list[tuple[str, str]]) -> list[list[tuple[str, str]]]:
    parts = [[]]
    for kind, source in cells:
        if kind == FILE:
            parts.append([])
        else:
            parts[-1].append((kind, source))
    return [part for part in parts if part] or [[]]


class _Notebook:
    """The cells of one notebook, read within a limit of time."""

    def __init__(self, cells: list[tuple[str, str]]) -> None:
        self.cells, self.notes = cells, []
        self.code = [source for kind, source in cells if kind == "code"]
        self.ids_by_cell = [MARKER.findall(source) for source in self.code]
        marked = [id for _, source in cells for id in MARKER.findall(source)]
        self.checked_ids = {id for source in self.code for id in CHECK_CALL.findall(source)}
        self.ids = [*marked, *self.checked_ids]
        self.readable = self._readable()

    def _readable(self) -> set[str]:
        """The sources that are Python, and short enough; answers are read before other cells."""
        readable, unread = set(), dict.fromkeys(sorted(self.code, key=_has_no_marker))
        try:
            with time_limit(PARSE_LIMIT_S):
                for source in list(unread):
                    if len(source) <= MAX_CELL and statements_of(source):
                        readable.add(source)
                    del unread[source]
        except TimeoutError:
            self.notes.append(
                f"{len(unread)} cells were not read: the notebook takes more than"
                f" {PARSE_LIMIT_S:g} s to read"
            )
        return readable

    def answer(self, exercise: Exercise, comment: str) -> _Answer:
        """The answer to an exercise; raises _NoAnswer."""
        number = int(exercise.id.partition(".")[0])
        defining = self._defining(exercise.function)
        unsolved = essence(unsolved_cells(number)[exercise.id])
        stubs = {i for i in defining if essence(self.code[i]) == unsolved}
        if set(defining) - stubs:
            defining = [i for i in defining if i not in stubs]
        else:
            stubs = set()
        marked = [i for i, ids in enumerate(self.ids_by_cell) if exercise.id in ids]
        if not defining:
            return self._without_function(exercise, marked, comment)
        last = self._last(exercise, defining, marked)
        pristine = pristine_code(number)
        cells = [
            Cell(
                "" if i in stubs or source not in self.readable else source,
                essence(source) in pristine,
            )
            for i, source in enumerate(self.code)
        ]
        sliced = NotebookSlice(exercise.function, cells, last, pristine.values())
        place = sliced.defining_cell()
        if place is None:  # only a function that nothing calls would define it
            return self._without_function(exercise, marked, comment)
        roles = {i: "course" if cell.is_course else "other" for i, cell in enumerate(cells)}
        roles[place] = "answer"
        program, wider = (
            tuple(ProgramCell(roles.get(cell.place, "course"), cell.source) for cell in part)
            for part in (sliced.sliced_cells(), sliced.wider_cells())
        )
        return _Answer(self.code[place], program, wider)

    def _defining(self, function: str) -> list[int]:
        """The numbers of the code cells that may give the function its value."""
        return [
            i
            for i, source in enumerate(self.code)
            if source in self.readable
            and function in unicodedata.normalize("NFKC", source)  # as Python reads names
            and any(
                function in statement.binds | statement.later_binds
                for statement in statements_of(source)
            )
        ]

    def _last(self, exercise: Exercise, defining: list[int], marked: list[int]) -> int:
        """The number of the cell as far as which the notebook has run when the answer is called:
        that of its last check, or else the one with the answer.
        """
        checks = [i for i, code in enumerate(self.code) if exercise.id in CHECK_CALL.findall(code)]
        if checks and checks[-1] >= defining[0]:
            return checks[-1]
        return ([i for i in defining if i in marked] or defining)[-1]

    def _without_function(self, exercise: Exercise, marked: list[int], comment: str) -> _Answer:
        """What runs of a cell that does not define the function, for the error that it raises."""
        if marked:
            source = self.code[marked[-1]]
            if len(source) > MAX_CELL:
                raise _NoAnswer(
                    f"the cell with the comment {comment} has {len(source):,} characters; at most"
                    f" {MAX_CELL:,} are read"
                )
            return _Answer(source, (ProgramCell("answer", source),))
        for kind, source in self.cells:
            if exercise.id in MARKER.findall(source):
                where = f"the cell with the comment {comment}"
                raise _NoAnswer(f"{where} is a {kind[:10]} cell; make it a code cell")
        raise _NoAnswer(
            f"missing: no cell has the comment {comment} or defines {exercise.function}"
        )


@cache
def pristine_code(number: int) -> dict[str, str]:
    """The cells of the course's notebook that hold no answers: essence -> source."""
    cells = pristine_cells(number)
    return {essence(source): source for source in cells if not exercise_ids(source)}


def essence(source: str) -> str:
    """Source without what does not matter when two cells are compared."""
    source = source.removeprefix(CHECKED)
    return "\n".join(line.rstrip() for line in source.strip().split("\n") if line.strip())


def _has_no_marker(source: str) -> bool:
    return not MARKER.search(source)
