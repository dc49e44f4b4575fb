"""Try an answer: call it on the inputs of a seed, and judge what it returned."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from types import TracebackType

from labkit.course.exercises.exercise import SEEDS, Exercise, Outcome, Verdict, Wrong
from labkit.course.exercises.plain_values import plain
from labkit.course.exercises.witness import call_in

# What judges raise over values that no run returns.
UNJUDGEABLE = (KeyError, IndexError, TypeError, ValueError, OverflowError)


def attempt(exercise: Exercise, function: Callable, seed: int) -> Outcome:
    """Call the student's function on the inputs of `seed`. This runs in the student's process."""
    notes = call_in()
    try:
        return Outcome(plain(exercise.run(function, exercise.inputs(seed))), notes=notes)
    except Wrong as wrong:
        return Outcome(error=str(wrong))
    # Whatever the student's code raises is an answer, and a wrong one; sys.exit is no way out.
    except (Exception, SystemExit) as error:
        # One with a message is torch's, which raises it for a wrong dtype.
        if isinstance(error, NotImplementedError) and not str(error):
            return Outcome(error="not solved yet: the body still raises NotImplementedError")
        line = _line_of_the_cell(error.__traceback__, exercise.function)
        return Outcome(error=f"{exercise.function} raised {type(error).__name__}: {error}{line}")


def judge(exercise: Exercise, outcome: Outcome, seed: int) -> Verdict:
    """Judge the outcome of a call. It may hold values of any structure; only right ones pass."""
    if outcome.error is not None:
        return Verdict(False, outcome.error)
    try:
        notes = [outcome.notes] if exercise.witnessed else []
        exercise.judge(exercise.inputs(seed), outcome.returned, *notes)
    except Wrong as wrong:
        return Verdict(False, str(wrong), points=wrong.points)
    except UNJUDGEABLE as error:
        return Verdict(False, f"what came back cannot be judged ({type(error).__name__})")
    return Verdict(True)


def try_answer(exercise: Exercise, function: Callable, seeds: Iterable[int] = SEEDS) -> Verdict:
    """Call and judge the answer with each seed: the worst failure, or a pass."""

    def verdicts() -> Iterator[Verdict]:
        for seed in seeds:
            outcome = attempt(exercise, function, seed)
            yield replace(judge(exercise, outcome, seed), returned=outcome.returned, seed=seed)

    return worst(verdicts())


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """The first failure without points, else the failure with the fewest, else a pass.

    An answer has the points of the parts that are right for all inputs. None of `verdicts` is asked
    for after one that leaves no points.
    """
    worst_yet = Verdict(True)
    for verdict in verdicts:
        if not verdict.passed and (worst_yet.passed or verdict.points < worst_yet.points):
            worst_yet = verdict
            if not worst_yet.points:
                break
    return worst_yet


def _line_of_the_cell(trace: TracebackType | None, function: str) -> str:
    """Where in the student's function it happened, as the end of a message."""
    lines = [frame.lineno for frame in traceback.extract_tb(trace) if frame.name == function]
    return f" (line {lines[-1]} of the cell)" if lines else ""
