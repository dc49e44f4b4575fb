"""A submitted notebook, read without trusting it: the cells that hold answers, and what is wrong
with the rest.

Only JSON is read here, nothing runs. An answer is the code cell with the comment `# Exercise 1.2
...`, wherever it was moved. What cannot be graded (missing, split, two different answers) is named
exercise by exercise.
"""

from __future__ import annotations

import ast
import json
import re
import textwrap
from dataclasses import dataclass, field
from pathlib import Path

from labkit.course.checking.safe_reading import read_regular
from labkit.course.exercises.exercise import Exercise
from labkit.course.judges.registry import TOPICS, exercises_of, get_exercise
from labkit.storage.errors import LabError

LARGEST = 64 * 2**20  # bytes; pictures in stored outputs make honest notebooks of a few MiB
LONGEST_ANSWER = 100_000  # characters; parsing takes up to a thousand times the memory
MOST_LINES = 1000  # of a cell that are looked at to see whether it goes on with an answer
MARKER = re.compile(
    r"^[^\S\n]*#+[^\S\n]*exercise[^\S\n]+([0-9]{1,3}\.[0-9]{1,3})\b", re.MULTILINE | re.IGNORECASE
)


class NotANotebook(LabError):
    """A file cannot be read as a notebook. The message says why, without the file's name."""


@dataclass(frozen=True)
class Submission:
    """What one notebook holds, by exercise: answers that can run, and problems in the student's
    terms.
    """

    answers: dict[str, str] = field(default_factory=dict)  # id -> source of the cell
    problems: dict[str, str] = field(default_factory=dict)  # id -> why there is no answer
    notes: tuple[str, ...] = ()  # for whoever grades; nothing depends on them
    elsewhere: tuple[
        str, ...
    ] = ()  # sources of the other code cells: an answer may need a helper or an import of one
    notebooks: tuple[int, ...] = ()  # numbers of the notebooks whose exercises are in it


def read_notebook(path: Path) -> bytes:
    """A notebook's bytes; links are not followed. Raises NotANotebook."""
    try:
        return read_regular(path, LARGEST)
    except OSError as error:
        raise NotANotebook(
            f"the file cannot be read: {error.strerror}; hand in the notebook itself"
        ) from None
    except ValueError as error:
        raise NotANotebook(f"{error}. Clear the outputs and save it again") from None


def parse(content: bytes) -> list[tuple[str, str]]:
    """A notebook's cells: (type, source with \\n line ends). Raises NotANotebook."""
    try:
        notebook = json.loads(content.decode("utf-8-sig"))
    except UnicodeDecodeError:
        raise NotANotebook("not a notebook: the file is not text in UTF-8") from None
    except (ValueError, RecursionError):
        raise NotANotebook(
            "not a notebook: the file is not valid JSON; save it again and hand that in"
        ) from None
    if not isinstance(notebook, dict) or not isinstance(
        notebook.get("cells", notebook.get("worksheets")), list
    ):
        raise NotANotebook("not a notebook: the file has no cells")
    version = notebook.get("nbformat")
    if version != 4 or isinstance(version, bool) or "cells" not in notebook:
        raise NotANotebook(
            f"a notebook of format {str(version)[:20]}; format 4 is read. Open it in JupyterLab, "
            "save it and hand that in"
        )
    return [cell for cell in map(_cell, notebook["cells"]) if cell]


def _cell(cell: object) -> tuple[str, str] | None:
    """A cell, or None for what is none: the rest of the notebook is still read."""
    if not isinstance(cell, dict):
        return None
    source = cell.get("source", "")
    if isinstance(source, list) and all(isinstance(line, str) for line in source):
        source = "".join(source)
    if not isinstance(source, str):
        return None
    return str(cell.get("cell_type")), source.replace("\r\n", "\n").replace(
        "\r", "\n"
    ).removeprefix("\ufeff")


def find_answers(cells: list[tuple[str, str]], stubs: dict[str, str]) -> Submission:
    """Sort the cells of a notebook out. `stubs` are the unsolved answer cells of the course, by
    exercise id.
    """
    marked: dict[str, list[tuple[int, str, str]]] = {}
    for place, (kind, source) in enumerate(cells):
        for id in dict.fromkeys(MARKER.findall(source)):
            marked.setdefault(id, []).append((place, kind, source))
    numbers = tuple(
        number for number in TOPICS if any(id.partition(".")[0] == str(number) for id in marked)
    )
    known = {id: exercise for number in numbers for id, exercise in exercises_of(number).items()}
    answers, problems, notes = {}, {}, []
    for id, exercise in known.items():
        try:
            answers[id] = _answer(exercise, marked.get(id, []), cells, stubs.get(id, ""))
        except _NoAnswer as reason:
            problems[id] = str(reason)
    unknown = [id for id in marked if id not in known]
    if unknown:
        notes.append(f"exercises that do not exist: {', '.join(unknown[:5])}")
    elsewhere = tuple(
        source
        for kind, source in cells
        if kind == "code" and len(source) <= LONGEST_ANSWER and not MARKER.search(source)
    )
    return Submission(answers, problems, tuple(notes), elsewhere, numbers)


def is_answer(id: str, source: str) -> bool:
    """Whether a cell that names an exercise answers it, and does not only try the answer out."""
    try:
        return _defines(source, get_exercise(id).function)
    except ValueError:  # no such exercise: nothing that it could be tried out against
        return True


class _NoAnswer(Exception):
    """There is no answer to run; the message says why, in the student's terms."""


def _answer(exercise: Exercise, marked: list[tuple[int, str, str]], cells: list, stub: str) -> str:
    comment = f"`# Exercise {exercise.id} ({exercise.points} points)`"
    code = [(place, source) for place, kind, source in marked if kind == "code"]
    if not code:
        if marked:
            raise _NoAnswer(
                f"the cell with the comment {comment} is a {marked[0][1][:10]} cell; make it a code"
                " cell"
            )
        elsewhere = any(
            kind == "code" and _defines(source, exercise.function) for kind, source in cells
        )
        raise _NoAnswer(
            f"missing: no cell has the comment {comment}"
            + (
                f", though one defines {exercise.function}; put the comment back"
                if elsewhere
                else ""
            )
        )
    different = {_essence(source): (place, source) for place, source in code}
    if len(different) > 1:
        different.pop(_essence(stub), None)  # an unsolved copy beside the answer does no harm
    if (
        len(different) > 1
    ):  # of cells that only name the exercise, to try the answer out, none is another answer
        different = {
            essence: (place, source)
            for essence, (place, source) in different.items()
            if _defines(source, exercise.function) or _goes_on(source)
        } or different
    if len(different) > 1:
        raise _NoAnswer(
            f"duplicated: {len(different)} different cells have the comment {comment}; keep one"
        )
    place, source = next(iter(different.values()))
    if len(source) > LONGEST_ANSWER:
        raise _NoAnswer(
            f"the cell with the comment {comment} has {len(source):,} characters; at most "
            f"{LONGEST_ANSWER:,} are read"
        )
    following = cells[place + 1] if place + 1 < len(cells) else ("", "")
    if following[0] == "code" and _continues(source, following[1], exercise.function):
        raise _NoAnswer(
            f"split: the answer goes on in the cell after the one with the comment {comment}; "
            "put all of it into one cell"
        )
    return source


def _essence(source: str) -> str:
    """Source without what does not matter when two cells are compared."""
    return "\n".join(line.rstrip() for line in source.strip().split("\n") if line.strip())


def _continues(source: str, following: str, function: str) -> bool:
    """Whether the cell `following` holds the rest of an answer."""
    if MARKER.search(following):
        return False
    return _goes_on(following) or not _defines(source, function) and _defines(following, function)


def _goes_on(source: str) -> bool:
    """Whether a cell begins inside of a function, and cannot stand alone, as lines that were copied
    out of one can.
    """
    lines = [
        line for line in source.split("\n") if line.strip() and not line.lstrip().startswith("#")
    ]
    if not lines or lines[0][0] not in " \t":
        return False
    try:
        compile(textwrap.dedent("\n".join(lines[:MOST_LINES])), "cell", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return True
    return False


def _defines(source: str, function: str) -> bool:
    """Whether a name gets a value in a cell; told by its text where the cell is no valid Python, or
    very long.
    """
    if function not in source:
        return False
    try:
        if len(source) > LONGEST_ANSWER:
            raise ValueError
        body = ast.walk(ast.parse(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return (
            re.search(rf"^(async )?(def|class) +{function}\b|^{function} *=", source, re.MULTILINE)
            is not None
        )
    return any(
        getattr(node, "name", None) == function
        or isinstance(node, ast.Name)
        and node.id == function
        and isinstance(node.ctx, ast.Store)
        or isinstance(node, ast.alias)
        and function in (node.name, node.asname)
        for node in body
    )
