"""The notebook that runs: for each exercise the setup that its answer needs, the answer, and a call
of it.

The setup comes from the pristine course, never from the submission, and is cut down to what the
answer's names need, so that training and measuring for demonstrations are left out. Other answers
of the same student are put in where this one uses what they define.
"""

from __future__ import annotations

import builtins
import json
from contextlib import suppress
from dataclasses import replace
from functools import cache
from pathlib import Path

from labkit.course.checking.code_slices import Piece, needed, piece, statements
from labkit.course.checking.submission import MARKER
from labkit.course.checking.time_limit import time_limit
from labkit.course.exercises.exercise import Exercise
from labkit.course.judges.registry import TOPICS
from labkit.course.release import student_copy as copies
from labkit.storage.atomic_write import write_atomic
from labkit.storage.errors import LabError
from labkit.storage.paths import data_dir

SCHEMA = "labkit-course-1"
PARSE_LIMIT_S = 10.0  # of one answer; thousands of magics take IPython that long
BUILTINS = frozenset(dir(builtins)) | {"get_ipython"}
FIRST = "import sys\nsys.path.insert(0, {path!r})"
CALL = (
    "from labkit.course.checking.answer_call import hand_over\nhand_over({id!r}, {inputs!r},"
    " globals().get({function!r}))"
)


def course_dir() -> Path:
    """Where the cells of the pristine course are, for checks on a student's machine."""
    return data_dir() / "course"


def write_course(name: str, notebook: dict) -> None:
    """Store the code cells of a student's copy, as it is handed out, for `pristine`."""
    cells = [copies.source(cell) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    text = (
        json.dumps(
            {
                "schema": SCHEMA,
                "made_by": "python -m labkit.course.release.student_notebooks",
                "cells": cells,
            },
            indent=1,
            ensure_ascii=False,
        )
        + "\n"
    )
    write_atomic(
        course_dir() / f"{name}.json", lambda path: path.write_text(text, encoding="utf-8")
    )


def course_names() -> dict[int, str]:
    """Notebook number -> the name of its file, without the suffix."""
    paths = sorted(copies.INSTRUCTOR.glob("[0-9][0-9]_*.ipynb")) or sorted(
        course_dir().glob("[0-9][0-9]_*.json")
    )
    return {int(path.stem[:2]): path.stem for path in paths}


@cache
def pristine(number: int) -> tuple[str, ...]:
    """The code cells of notebook `number` as it is handed out; raises LabError for one that is not
    there.
    """
    for path in sorted(copies.INSTRUCTOR.glob(f"{number:02}_*.ipynb")):
        cells = copies.student_copy(copies.read(path), path.name)["cells"]
        return tuple(copies.source(cell) for cell in cells if cell["cell_type"] == "code")
    for path in sorted(course_dir().glob(f"{number:02}_*.json")):
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["schema"] == SCHEMA:
                return tuple(map(str, content["cells"]))
        except (ValueError, KeyError, TypeError):
            pass
        raise LabError(f"{path} is not of schema {SCHEMA}; fetch the course again")
    raise LabError(
        f"notebook {number} ({TOPICS[number]}) is not in {copies.INSTRUCTOR} nor in {course_dir()}"
    )


def stubs(number: int) -> dict[str, str]:
    """The unsolved answer cells of a notebook, by exercise id."""
    return {id: source for source in pristine(number) for id in MARKER.findall(source)}


def assemble(
    exercise: Exercise,
    answers: dict[str, str],
    labkit_path: str,
    sets: tuple[str, ...],
    elsewhere: tuple[str, ...] = (),
) -> dict:
    """A notebook that calls the answer to `exercise` on the inputs of each of `sets`; needs
    `answers[exercise.id]`.

    Each of its cells says in its metadata what it is: setup, answer or call, and a call which
    inputs it needs. `labkit_path` is where the kernel finds labkit. Names that nothing else defines
    are looked for in `elsewhere`, other cells of the same student: of these only the statements
    that define what is missing are put in.
    """
    own = _answer(exercise.id, answers[exercise.id])
    around = _around(exercise.id, answers)
    chosen = needed(own.uses - own.binds, around)
    known = BUILTINS.union(own.binds, *(one.binds for one in around))
    if own.uses.union(*(one.uses for one in chosen)) - known:
        chosen = needed(
            own.uses - own.binds,
            [*around, *(replace(one, binds=one.binds - known) for one in _helpers(elsewhere))],
        )
    cells = [(FIRST.format(path=labkit_path), {"labkit": "setup"})]
    cells += [
        (one.source, {"labkit": "setup" if one.origin == "setup" else "answer"}) for one in chosen
    ]
    cells += [(own.source, {"labkit": "answer"})]
    cells += [
        (
            CALL.format(id=exercise.id, inputs=name, function=exercise.function),
            {"labkit": "call", "inputs": f"{exercise.id}-{name}"},
        )
        for name in sets
    ]
    return {
        "cells": [
            {
                "cell_type": "code",
                "id": f"{about['labkit']}-{i}",
                "metadata": about,
                "execution_count": None,
                "outputs": [],
                "source": source,
            }
            for i, (source, about) in enumerate(cells)
        ],
        "metadata": copies.METADATA,
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _around(id: str, answers: dict[str, str]) -> list[Piece]:
    """Where an answer may take names from, first choice first: setup above it, setup below it,
    other answers.
    """
    above, below, others = [], [], []
    part = above
    for source in pristine(int(id.partition(".")[0])):
        marked = MARKER.findall(source)
        if id in marked:
            part = below
        elif marked:
            others += [_answer(other, answers[other]) for other in marked if other in answers]
        else:
            part += statements(plain_python(source), "setup")
    pieces, given = [], frozenset()
    for group in (above, below, others):
        pieces += [replace(one, binds=one.binds - given) for one in group]
        given = given.union(*(one.binds for one in group))
    return pieces


def _helpers(sources: tuple[str, ...]) -> list[Piece]:
    """The statements of a student's other cells, as far as they are Python and can be read in time."""
    pieces = []
    with suppress(TimeoutError), time_limit(PARSE_LIMIT_S):
        for source in sources:
            with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                pieces += statements(plain_python(source), "helper")
    return pieces


def _answer(id: str, source: str) -> Piece:
    try:
        with time_limit(PARSE_LIMIT_S):
            return replace(piece(plain_python(source), id), source=source)
    except (
        Exception
    ):  # whatever Python or IPython make of it; it fails when it runs, with a message of its own
        return Piece(source, frozenset(), frozenset(), id)


def plain_python(source: str) -> str:
    """Source with IPython's magics as calls; of a cell magic (%%time), the code that it runs."""
    from IPython.core.inputtransformer2 import TransformerManager

    if source.lstrip().startswith("%%"):
        source = source.lstrip().partition("\n")[2]
    return TransformerManager().transform_cell(source)
