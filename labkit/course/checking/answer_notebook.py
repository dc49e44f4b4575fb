"""The notebook that runs an answer: what it needs from the student's notebook, and the calls."""

from __future__ import annotations

from labkit.course.checking.submission import ProgramCell
from labkit.course.exercises.exercise import Exercise
from labkit.course.handout.notebook_file import new_code_cell, new_notebook

# Neither of these binds a name or reads one that a student may have bound.
FIRST_CELL = "__import__('sys').path.insert(0, {path!r})"
CALL = """\
__import__("labkit.course.checking.answer_call", fromlist=["call_answer"]).call_answer(
    {id!r}, {inputs!r}
)"""


def answer_notebook(
    exercise: Exercise,
    program: tuple[ProgramCell, ...],
    labkit_path: str,
    input_sets: tuple[str, ...],
) -> dict:
    """A notebook that runs `program` and calls the answer on the inputs of each of `input_sets`.

    Each of its cells says in its metadata what it is: course, other, answer or call, and a call
    which inputs it needs. `labkit_path` is where the kernel finds labkit.
    """
    cells = [(FIRST_CELL.format(path=labkit_path), {"labkit": "course"})]
    cells += [(cell.source, {"labkit": cell.role}) for cell in program]
    for name in input_sets:
        call = CALL.format(id=exercise.id, inputs=name)
        cells.append((call, {"labkit": "call", "inputs": f"{exercise.id}-{name}"}))
    return new_notebook(
        [
            new_code_cell(f"{metadata['labkit']}-{i}", source, metadata)
            for i, (source, metadata) in enumerate(cells)
        ]
    )
