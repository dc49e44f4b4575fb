"""A smallest example of what an answer gets wrong that is right for the inputs of the notebook's
check: inputs of a second set, made smaller as long as the answer is wrong for them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

import numpy as np

from labkit.course.exercises.exercise import Exercise, Plain, Verdict
from labkit.course.exercises.trial import attempt, judge

SECOND_SET = range(6, 36)  # seeds that neither the notebook's check takes nor a grader
MAX_TRIALS = 400  # of smaller inputs
MAX_CHARACTERS = 300  # of one input as text


class Failure(NamedTuple):
    """Inputs, what an answer returned for them, and what is wrong with that."""

    inputs: dict[str, Plain]
    returned: Plain
    message: str


def smallest_failure(exercise: Exercise, function: object) -> Failure | None:
    """What `function` gets wrong among the second set of inputs, as small as it can be made by
    leaving out parts one at a time; None where it is right for all of them.
    """
    failures = (_failure(exercise, function, exercise.inputs(seed)) for seed in SECOND_SET)
    failure = next(filter(None, failures), None)
    trials = MAX_TRIALS
    while failure is not None:
        smaller = islice(_smaller_inputs(exercise, failure.inputs), trials)
        for inputs in smaller:
            trials -= 1
            smaller_failure = _failure(exercise, function, inputs)
            if smaller_failure is not None:
                failure = smaller_failure
                break
        else:
            break
    return failure


def _failure(exercise: Exercise, function: object, inputs: dict[str, Plain]) -> Failure | None:
    exercise = replace(exercise, inputs=lambda _: inputs)
    outcome = attempt(exercise, function, 0)
    verdict: Verdict = judge(exercise, outcome, 0)
    return None if verdict.passed else Failure(inputs, outcome.returned, verdict.message)


def _smaller_inputs(exercise: Exercise, inputs: dict[str, Plain]) -> Iterator[dict[str, Plain]]:
    """Inputs that lack a part of one size: a half of it first, at last a single entry."""
    for size in exercise.sizes:
        count = _count(inputs, size.axes)
        length = count // 2
        while length:
            for start in range(0, count, length):
                rest = [i for i in range(count) if not start <= i < start + length]
                if len(rest) >= size.least:
                    smaller = inputs
                    for path, axis in size.axes.items():
                        smaller = _with_rest(smaller, path.split("/"), axis, rest)
                    if exercise.is_valid(smaller):
                        yield smaller
            length //= 2


def _count(inputs: Plain, axes: Mapping[str, int]) -> int:
    path, axis = next(iter(axes.items()))
    for key in path.split("/"):
        inputs = inputs[key if isinstance(inputs, dict) else int(key)]
    return len(inputs) if isinstance(inputs, list) else inputs.shape[axis]


def _with_rest(value: Plain, path: list[str], axis: int, rest: list[int]) -> Plain:
    """`value`, of which the part at `path` holds only the entries `rest` along an axis."""
    if not path:
        return [value[i] for i in rest] if isinstance(value, list) else value.take(rest, axis)
    key = path[0] if isinstance(value, dict) else int(path[0])
    copy = value.copy()
    copy[key] = _with_rest(value[key], path[1:], axis, rest)
    return copy


def as_text(inputs: dict[str, Plain]) -> str:
    """Inputs as a student would write them down, one a line; long ones are cut short."""
    return "\n".join(f"{name} = {_short(value)}" for name, value in inputs.items())


def _short(value: Plain) -> str:
    with np.printoptions(precision=4, threshold=40, suppress=True):
        text = " ".join(repr(value).split())
    return text if len(text) <= MAX_CHARACTERS else text[:MAX_CHARACTERS] + " …"
