"""The exercises by their ids. The judges of a notebook are imported when it is asked for."""

from __future__ import annotations

from importlib import import_module

from labkit.course.exercises.exercise import Exercise

# Number of a notebook -> its topic, which its module of judges is called after.
TOPICS = {
    1: "supernet",
    2: "shrinking",
    3: "latency",
    4: "evolution",
    5: "deployment",
    6: "darts",
    7: "cost",
}


def exercises_of(number: int) -> dict[str, Exercise]:
    """The exercises of notebook `number`, by id, in order."""
    module = import_module(f"labkit.course.judges.{TOPICS[number]}")
    return {exercise.id: exercise for exercise in module.EXERCISES}


def get_exercise(id: str) -> Exercise:
    """The exercise called `id`, such as "1.2"; raises ValueError for one that does not exist."""
    number = id.partition(".")[0]
    if number.isdecimal() and int(number) in TOPICS:
        exercises = exercises_of(int(number))
        if id in exercises:
            return exercises[id]
    raise ValueError(f"there is no exercise {id!r}")
