"""labkit's functions that a story runs on do what exercises ask, and no graded answer has them."""

import inspect

import pytest

from labkit.course.checking.stripped_copy import write_base
from labkit.course.exercises.trial import try_answer
from labkit.course.judges.registry import TOPICS, exercises_of
from labkit.course.story import stand_ins

EXERCISES = {one.function: one for number in TOPICS for one in exercises_of(number).values()}
NAMES = [
    name
    for name, value in inspect.getmembers(stand_ins, inspect.isfunction)
    if value.__module__ == stand_ins.__name__ and not name.startswith("_")
]


@pytest.mark.parametrize("name", NAMES)
def test_each_is_a_right_answer(name):
    verdict = try_answer(EXERCISES[name], getattr(stand_ins, name), seeds=range(6))
    assert verdict.passed, verdict.message


def test_answers_are_graded_without_them(tmp_path):
    base = write_base(tmp_path, 4)
    assert (base / "labkit" / "course" / "story" / "yours.py").is_file()
    assert not list(base.rglob("stand_ins.py"))
