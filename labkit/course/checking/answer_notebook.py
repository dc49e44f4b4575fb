"""The notebook that runs an answer: the setup that it needs, the answer, and calls of it.

The setup comes from the pristine course, never from the submission, and is cut down to what the
answer's names need, so that training and measuring for demonstrations are left out. Other answers
of the same student are put in where this one uses what they define.
"""

from __future__ import annotations

import builtins
from contextlib import suppress
from dataclasses import replace

from labkit.course.checking.program_slice import CodeUnit, code_unit, slice_for, statement_units
from labkit.course.checking.time_limit import time_limit
from labkit.course.exercises.exercise import Exercise, notebook_number
from labkit.course.handout.notebook_file import new_code_cell, new_notebook
from labkit.course.handout.pristine_course import pristine_cells
from labkit.course.handout.student_copy import exercise_ids

PARSE_LIMIT_S = 10.0  # of one answer; thousands of magics take IPython that long
BUILTINS = frozenset(dir(builtins)) | {"get_ipython"}
FIRST_CELL = "import sys\nsys.path.insert(0, {path!r})"
CALL = """\
from labkit.course.checking.answer_call import call_answer
call_answer({id!r}, {inputs!r}, globals().get({function!r}))"""


def answer_notebook(
    exercise: Exercise,
    answers: dict[str, str],
    labkit_path: str,
    input_sets: tuple[str, ...],
    other_cells: tuple[str, ...] = (),
) -> dict:
    """A notebook that calls `answers[exercise.id]` on the inputs of each of `input_sets`.

    Each of its cells says in its metadata what it is: setup, answer or call, and a call which
    inputs it needs. `labkit_path` is where the kernel finds labkit. Names that neither the course
    nor an answer defines are looked for in `other_cells` of the same student: of these only the
    statements that define what is missing are put in.
    """
    answer = _answer_unit(answers[exercise.id])
    course = _surroundings(exercise.id, answers)
    units = slice_for(answer.uses - answer.binds, course)
    defined = BUILTINS.union(answer.binds, *(unit.binds for unit in course))
    if answer.uses.union(*(unit.uses for unit in units)) - defined:
        helpers = [replace(unit, binds=unit.binds - defined) for unit in _helper_units(other_cells)]
        units = slice_for(answer.uses - answer.binds, [*course, *helpers])
    cells = [(FIRST_CELL.format(path=labkit_path), {"labkit": "setup"})]
    cells += [(unit.source, {"labkit": unit.role}) for unit in [*units, answer]]
    for name in input_sets:
        call = CALL.format(id=exercise.id, inputs=name, function=exercise.function)
        cells.append((call, {"labkit": "call", "inputs": f"{exercise.id}-{name}"}))
    return new_notebook(
        [
            new_code_cell(f"{metadata['labkit']}-{i}", source, metadata)
            for i, (source, metadata) in enumerate(cells)
        ]
    )


def _surroundings(id: str, answers: dict[str, str]) -> list[CodeUnit]:
    """Where an answer may take names from: a name is bound by the first that binds it among the
    setup above the answer, the setup below it, and other answers.
    """
    above, below, others = [], [], []
    setup = above
    for source in pristine_cells(notebook_number(id)):
        ids = exercise_ids(source)
        if id in ids:
            setup = below
        elif ids:
            others += [_answer_unit(answers[other]) for other in ids if other in answers]
        else:
            setup += statement_units(plain_python(source), "setup")
    units, bound = [], frozenset()
    for group in (above, below, others):
        units += [replace(unit, binds=unit.binds - bound) for unit in group]
        bound = bound.union(*(unit.binds for unit in group))
    return units


def _helper_units(sources: tuple[str, ...]) -> list[CodeUnit]:
    """The statements of a student's other cells, as far as they are Python and are read in time."""
    units = []
    with suppress(TimeoutError), time_limit(PARSE_LIMIT_S):
        for source in sources:
            with suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                units += statement_units(plain_python(source), "answer")
    return units


def _answer_unit(source: str) -> CodeUnit:
    try:
        with time_limit(PARSE_LIMIT_S):
            return replace(code_unit(plain_python(source), "answer"), source=source)
    except Exception:  # whatever it is, it fails again when it runs, with a message of its own
        return CodeUnit(source, role="answer")


def plain_python(source: str) -> str:
    """Source with IPython's magics as calls; of a cell magic (%%time), the code that it runs."""
    from IPython.core.inputtransformer2 import TransformerManager

    if source.lstrip().startswith("%%"):
        source = source.lstrip().partition("\n")[2]
    return TransformerManager().transform_cell(source)
