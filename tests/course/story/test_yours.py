"""Stories run on the functions that passed their checks, and on labkit's otherwise."""

import numpy as np
import pytest

from labkit.course import check, yours
from labkit.course.exercises.exercise import Wrong
from labkit.course.judges.registry import exercises_of
from labkit.course.story import stand_ins
from labkit.course.story import yours as module


@pytest.fixture(autouse=True)
def session(monkeypatch):
    monkeypatch.setattr(module, "_passed", {})


def id_of(name):
    return next(id for id, one in exercises_of(4).items() if one.function == name)


def cross_stages(mothers, fathers, stage_of, rng):
    coins = rng.random((len(mothers), stage_of.max() + 1)) < 0.5
    return np.where(coins[:, stage_of], mothers, fathers)


def raises(*_):
    raise ZeroDivisionError("by zero")


def test_what_passed_its_check_runs_and_nothing_else(capsys):
    check(id_of("cross_stages"), cross_stages)
    with pytest.raises(Wrong):
        check(id_of("mutate"), cross_stages)
    capsys.readouterr()
    mutate, cross = yours("mutate", "cross_stages")
    assert mutate is stand_ins.mutate and cross.__wrapped__ is stand_ins.cross_stages
    assert capsys.readouterr().out == "This runs on your cross_stages and on labkit's mutate.\n"
    mothers, stage_of = np.zeros((5, 4), int), np.array([0, 0, 1, 1])
    arguments = mothers, mothers + 1, stage_of
    mine = cross_stages(*arguments, np.random.default_rng(0))
    assert np.array_equal(cross(*arguments, np.random.default_rng(0)), mine)


def test_a_check_that_fails_later_takes_a_function_back():
    check(id_of("cross_stages"), cross_stages)
    with pytest.raises(Wrong):
        check(id_of("cross_stages"), raises)
    assert yours("cross_stages") is stand_ins.cross_stages


def test_where_a_function_raises_labkits_goes_on_and_it_is_said_once(capsys):
    module.remember("on_front", raises)
    on_front = yours("on_front")
    costs, accuracy = np.array([[1.0], [2.0]]), np.array([80.0, 70.0])
    for _ in range(2):
        assert on_front(costs, accuracy).tolist() == [True, False]
    assert capsys.readouterr().out == (
        "This runs on your on_front.\n"
        "Your on_front raised ZeroDivisionError: by zero; labkit's goes on instead.\n"
    )


def test_an_exercise_that_no_story_runs_on_is_refused():
    with pytest.raises(ValueError, match="no story runs on a function 'my_own'"):
        yours("my_own")
