"""What a student's cells hold: which cell is the answer to which exercise, and what is wrong with
the rest.

Nothing runs here. An answer is the code cell with the comment `# Exercise 1.2 ...`, wherever it was
moved. What cannot be graded (missing, split, two different answers) is named exercise by exercise.
"""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass, field

from labkit.course.exercises.exercise import Exercise
from labkit.course.handout.pristine_course import unsolved_cells
from labkit.course.judges.registry import TOPICS, exercises_of, get_exercise

MAX_ANSWER = 100_000  # characters; parsing takes up to a thousand times the memory
MAX_LINES = 1000  # of a cell that are looked at to see whether it goes on with an answer
MARKER = re.compile(
    r"^[^\S\n]*#+[^\S\n]*exercise[^\S\n]+([0-9]{1,3}\.[0-9]{1,3})\b", re.MULTILINE | re.IGNORECASE
)
UNPARSABLE = (SyntaxError, ValueError, RecursionError, MemoryError)  # what parsing a cell raises


@dataclass(frozen=True)
class Submission:
    """What one notebook holds, by exercise: answers that can run, and problems in the student's
    terms.
    """

    answers: dict[str, str] = field(default_factory=dict)  # id -> source of the cell
    problems: dict[str, str] = field(default_factory=dict)  # id -> why there is no answer
    notes: tuple[str, ...] = ()  # for whoever grades; nothing depends on them
    other_cells: tuple[str, ...] = ()  # sources of code cells that may define what an answer needs
    notebooks: tuple[int, ...] = ()  # numbers of the notebooks whose exercises are in it


def find_answers(cells: list[tuple[str, str]]) -> Submission:
    """Sort the cells of a notebook, (type, source) pairs, into answers, problems and the rest."""
    marked: dict[str, list[tuple[int, str, str]]] = {}
    for place, (kind, source) in enumerate(cells):
        for id in dict.fromkeys(MARKER.findall(source)):
            marked.setdefault(id, []).append((place, kind, source))
    named_numbers = {id.partition(".")[0] for id in marked}
    numbers = tuple(number for number in TOPICS if str(number) in named_numbers)
    exercises, unsolved = {}, {}
    for number in numbers:
        exercises |= exercises_of(number)
        unsolved |= unsolved_cells(number)
    answers, problems, notes = {}, {}, []
    for id, exercise in exercises.items():
        try:
            answers[id] = _answer(exercise, marked.get(id, []), cells, unsolved.get(id, ""))
        except _NoAnswer as reason:
            problems[id] = str(reason)
    unknown = [id for id in marked if id not in exercises]
    if unknown:
        notes.append(f"exercises that do not exist: {', '.join(unknown[:5])}")
    other_cells = tuple(
        source
        for kind, source in cells
        if kind == "code" and len(source) <= MAX_ANSWER and not MARKER.search(source)
    )
    return Submission(answers, problems, tuple(notes), other_cells, numbers)


def is_answer(id: str, source: str) -> bool:
    """Whether a cell that names an exercise answers it, and does not only call the answer."""
    try:
        return _defines(source, get_exercise(id).function)
    except ValueError:  # no such exercise, and so no answer that the cell could call
        return True


class _NoAnswer(Exception):
    """There is no answer to run; the message says why, in the student's terms."""


def _answer(
    exercise: Exercise,
    marked: list[tuple[int, str, str]],
    cells: list[tuple[str, str]],
    unsolved: str,
) -> str:
    """The source of the answer, among the (place, type, source) of the cells `marked` with its
    comment; raises _NoAnswer.
    """
    comment = f"`# Exercise {exercise.id} ({exercise.points} points)`"
    code = [(place, source) for place, kind, source in marked if kind == "code"]
    if marked and not code:
        kind = marked[0][1][:10]
        raise _NoAnswer(
            f"the cell with the comment {comment} is a {kind} cell; make it a code cell"
        )
    if not code:
        advice = ""
        if any(kind == "code" and _defines(text, exercise.function) for kind, text in cells):
            advice = f", though one defines {exercise.function}; put the comment back"
        raise _NoAnswer(f"missing: no cell has the comment {comment}{advice}")
    place, source = _only_answer(exercise, code, comment, unsolved)
    if len(source) > MAX_ANSWER:
        raise _NoAnswer(
            f"the cell with the comment {comment} has {len(source):,} characters; at most "
            f"{MAX_ANSWER:,} are read"
        )
    kind, following = cells[place + 1] if place + 1 < len(cells) else ("", "")
    if kind == "code" and _continues(source, following, exercise.function):
        raise _NoAnswer(
            f"split: the answer goes on in the cell after the one with the comment {comment}; "
            "put all of it into one cell"
        )
    return source


def _only_answer(
    exercise: Exercise, code: list[tuple[int, str]], comment: str, unsolved: str
) -> tuple[int, str]:
    """The one (place, source) of the cells with an exercise's comment that answers it."""
    different = {_essence(source): (place, source) for place, source in code}
    if len(different) > 1:
        different.pop(_essence(unsolved), None)  # an unsolved copy beside the answer does no harm
    if len(different) > 1:  # nor does a cell that names the exercise only to call the answer
        answers = {
            essence: (place, source)
            for essence, (place, source) in different.items()
            if _defines(source, exercise.function) or _goes_on(source)
        }
        different = answers or different
    if len(different) > 1:
        raise _NoAnswer(
            f"duplicated: {len(different)} different cells have the comment {comment}; keep one"
        )
    return next(iter(different.values()))


def _essence(source: str) -> str:
    """Source without what does not matter when two cells are compared."""
    return "\n".join(line.rstrip() for line in source.strip().split("\n") if line.strip())


def _continues(source: str, following: str, function: str) -> bool:
    """Whether the cell `following` holds the rest of the answer in `source`."""
    if MARKER.search(following):
        return False
    if _goes_on(following):
        return True
    return not _defines(source, function) and _defines(following, function)


def _goes_on(source: str) -> bool:
    """Whether a cell begins inside a function, and cannot stand alone, as lines that were copied
    out of one can.
    """
    lines = [
        line for line in source.split("\n") if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines or lines[0][0] not in " \t":
        return False
    try:
        compile(textwrap.dedent("\n".join(lines[:MAX_LINES])), "cell", "exec", dont_inherit=True)
    except UNPARSABLE:
        return True
    return False


def _defines(source: str, function: str) -> bool:
    """Whether a name gets a value in a cell; told by its text where the cell is not valid Python,
    or very long.
    """
    if function not in source:
        return False
    try:
        if len(source) > MAX_ANSWER:
            raise ValueError
        return any(_binds(node, function) for node in ast.walk(ast.parse(source)))
    except UNPARSABLE:
        definition = rf"^(async )?(def|class) +{function}\b|^{function} *="
        return re.search(definition, source, re.MULTILINE) is not None


def _binds(node: ast.AST, name: str) -> bool:
    """Whether a node of a syntax tree gives `name` a value."""
    if isinstance(node, ast.Name):
        return node.id == name and isinstance(node.ctx, ast.Store)
    if isinstance(node, ast.alias):
        return name in (node.name, node.asname)
    return getattr(node, "name", None) == name
