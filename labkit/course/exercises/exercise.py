"""An exercise in three parts, so that a grader can keep them apart: inputs, a run, a judgment.

`inputs(seed)` makes plain values. `run(function, inputs)` calls what the student wrote and returns
plain values; it is all that happens in the student's process. `judge(inputs, returned)` raises
`Wrong` with a message in the student's terms; it trusts nothing but the returned values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from labkit.course.exercises.witness import Note

SEEDS = (0, 1, 2)  # of the checks in a notebook; a grader uses these and others

Plain = object  # None, bool, int, float, str, numpy array, list or dict of them


class Wrong(Exception):
    """An answer is wrong; the message says how, in the student's terms.

    Where an exercise has parts, `points` are those of the parts that are right.
    """

    def __init__(self, message: str, points: int = 0) -> None:
        super().__init__(message)
        self.points = points


class Size(NamedTuple):
    """A number that inputs can have less of, such as images or cases."""

    # Which inputs get shorter together, and along which axis: {"x": 0, "weight/0/bias": 1}
    axes: Mapping[str, int]
    least: int = 1


@dataclass(frozen=True)
class Exercise:
    """One exercise: what is asked, and how an answer to it is run and judged."""

    id: str  # "1.2": number of the notebook, number of the exercise in it
    points: int
    function: str  # the name that the student defines
    inputs: Callable[[int], dict[str, Plain]]  # seed -> inputs
    run: Callable[[Callable, dict[str, Plain]], Plain]  # student's function, inputs -> returned
    judge: Callable[..., None]  # inputs, returned; raises Wrong
    # Dotted names in labkit that do what is asked: calling them is no answer.
    instead_of: tuple[str, ...] = ()
    # Whether `run` asks the witness, whose notes are then a third argument of `judge`.
    witnessed: bool = False
    # By which inputs can be made smaller, and whether they are then still what the text says.
    sizes: tuple[Size, ...] = ()
    is_valid: Callable[[dict[str, Plain]], bool] = lambda inputs: True  # noqa: E731


@dataclass(frozen=True)
class Outcome:
    """What one call of an answer gave: plain values, or a message where the function raised."""

    returned: Plain = None
    error: str | None = None
    notes: Sequence[Note] = ()  # of the witness


@dataclass(frozen=True)
class Verdict:
    """Whether an answer is right, and if not, what it returned for the inputs of which seed, and
    what the parts are worth that are right.
    """

    passed: bool
    message: str = ""  # what is wrong, in the student's terms; empty when passed
    returned: Plain = None
    seed: int = 0
    points: int = 0


def notebook_number(id: str) -> int:
    """The number of the notebook that an exercise belongs to.

    >>> notebook_number("4.2")
    4
    """
    return int(id.partition(".")[0])
