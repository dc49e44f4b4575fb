"""An exercise in three parts, so that a grader can keep them apart: inputs, a run, a judgment.

`inputs(seed)` makes plain values. `run(function, inputs)` calls what the student wrote and returns
plain values; it is all that happens in the student's process. `judge(inputs, returned)` raises
`Wrong` with a message in the student's terms; it trusts nothing but the returned values. `check`
composes the three in a notebook, for a few seeds.

Plain values are None, bool, int, float, str, numpy arrays of numbers, and lists and dicts of them:
what JSON and npz hold.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from importlib import import_module
from types import TracebackType

import numpy as np

SEEDS = (0, 1, 2)  # of the checks in a notebook; a grader takes others
NOTEBOOKS = {
    1: "supernet",
    2: "shrinking",
    3: "latency",
    4: "evolution",
    5: "deployment",
    6: "darts",
    7: "cost",
}

# What judges raise over values that no run makes.
UNREADABLE = (KeyError, IndexError, TypeError, ValueError, OverflowError)

Plain = object  # None, bool, int, float, str, numpy array, list or dict of them


class Wrong(Exception):
    """An answer is wrong; the message says how, in the student's terms."""


@dataclass(frozen=True)
class Exercise:
    """One exercise. `function` is the name that the student defines."""

    id: str  # "1.2": notebook, number
    points: int
    function: str
    inputs: Callable[[int], dict[str, Plain]]  # seed -> inputs
    run: Callable[
        [Callable, dict[str, Plain]], Plain
    ]  # student's function, inputs -> what it returned
    judge: Callable[[dict[str, Plain], Plain], None]  # inputs, returned; raises Wrong
    instead_of: tuple[
        str, ...
    ] = ()  # dotted names in labkit that do what is asked: calling them is no answer


@dataclass(frozen=True)
class Outcome:
    """What one run left: plain values, or a message where the function raised."""

    returned: Plain = None
    error: str | None = None


@dataclass(frozen=True)
class Verdict:
    passed: bool
    message: str  # empty when passed


def get_exercise(id: str) -> Exercise:
    """The exercise called `id`; raises ValueError for one that does not exist."""
    return exercises(_notebook_of(id)).get(id) or _unknown(id)


def _notebook_of(id: str) -> int:
    chapter = id.partition(".")[0]
    return int(chapter) if chapter.isdecimal() and int(chapter) in NOTEBOOKS else _unknown(id)


def _unknown(id: str):
    raise ValueError(f"there is no exercise {id!r}")


def exercises(notebook: int) -> dict[str, Exercise]:
    """The exercises of a notebook, by id, in order; none for a notebook that has none yet."""
    try:
        module = import_module(f"labkit.course.judges.{NOTEBOOKS[notebook]}")
    except ModuleNotFoundError as error:
        if error.name != f"labkit.course.judges.{NOTEBOOKS[notebook]}":
            raise
        return {}
    return {exercise.id: exercise for exercise in module.EXERCISES}


def attempt(exercise: Exercise, function: Callable, seed: int) -> Outcome:
    """Call the student's function on the inputs of `seed`. This part runs in the student's process."""
    try:
        return Outcome(plain(exercise.run(function, exercise.inputs(seed))))
    except Wrong as wrong:
        return Outcome(error=str(wrong))
    except Exception as error:  # whatever the student's code raises is an answer, and a wrong one
        if isinstance(error, NotImplementedError) and not str(
            error
        ):  # torch's, for a wrong dtype, has a message
            return Outcome(error="not solved yet: the body still raises NotImplementedError")
        return Outcome(
            error=(
                f"{exercise.function} raised {type(error).__name__}: {error}"
                f"{_where(error.__traceback__, exercise.function)}"
            )
        )


def judge(exercise: Exercise, outcome: Outcome, seed: int) -> Verdict:
    """Judge what a run left. Values of any structure may come in; only right ones pass."""
    if outcome.error is not None:
        return Verdict(False, outcome.error)
    try:
        exercise.judge(exercise.inputs(seed), outcome.returned)
    except Wrong as wrong:
        return Verdict(False, str(wrong))
    except UNREADABLE as error:
        return Verdict(False, f"what came back cannot be judged ({type(error).__name__})")
    return Verdict(True, "")


def verdict(id: str, function: Callable, seeds: tuple[int, ...] = SEEDS) -> Verdict:
    """Run and judge with each seed; the first failure, or a pass."""
    return _tried(get_exercise(id), function, seeds)[0]


def _tried(
    exercise: Exercise, function: Callable, seeds: tuple[int, ...]
) -> tuple[Verdict, Plain, int]:
    """The first failure among the seeds, with what the function returned for which seed; or a pass."""
    for seed in seeds:
        outcome = attempt(exercise, function, seed)
        result = judge(exercise, outcome, seed)
        if not result.passed:
            return result, outcome.returned, seed
    return Verdict(True, ""), None, 0


def check(id: str, function: Callable) -> None:
    """Say whether an answer is right, and if not, what is wrong with it.

    A notebook goes on after a wrong answer, with a picture of the wrong tensor under the message
    where that helps; under pytest (nbval) a wrong answer raises, so that its cell fails.
    """
    exercise = get_exercise(id)
    result, returned, seed = _tried(exercise, function, SEEDS)
    if not result.passed and "PYTEST_VERSION" in os.environ:
        raise Wrong(f"Exercise {id}: {result.message}")
    print(
        f"Exercise {id}: correct, {exercise.points} of {exercise.points} points"
        if result.passed
        else f"Exercise {id}: 0 of {exercise.points} points\n  {result.message}"
    )
    if returned is not None and not result.passed and _in_a_notebook():
        from labkit.course.pictures.wrong_tensors import (
            picture,  # with matplotlib; only where somebody sees it
        )

        figure = picture(id, exercise.inputs(seed), returned)
        if figure is not None:
            from labkit.course.notebook import show

            show(figure)


def _in_a_notebook() -> bool:
    """Whether a front end shows pictures: a kernel runs this, no terminal and no script."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None) is not None


def plain(value: object, depth: int = 0) -> Plain:
    """`value` as plain values, copied; raises Wrong for what has no such form."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if hasattr(value, "detach"):  # a torch tensor, without importing torch
        value = value.detach().cpu().numpy()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (Fraction, Decimal)):
        near = float(value)
        return (
            int(value) if near.is_integer() and int(value) == value else near
        )  # whole numbers stay exact
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf":
            raise Wrong(f"expected an array of numbers, got one of {value.dtype}")
        return value.copy()
    if depth < 6 and isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    if depth < 6 and isinstance(value, Mapping):
        return {str(key): plain(item, depth + 1) for key, item in value.items()}
    raise Wrong(f"expected numbers or arrays, got a value of type {type(value).__name__}")


def _where(trace: TracebackType | None, function: str) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(trace) if frame.name == function]
    return f" (line {lines[-1]} of the cell)" if lines else ""
