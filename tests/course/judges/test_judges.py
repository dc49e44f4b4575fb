"""Every exercise's check accepts several right answers and rejects plausible wrong ones."""

import sys
from pathlib import Path

import numpy as np
import pytest
from answers_for_tests import RIGHT, WRONG

import labkit
from labkit.course import check
from labkit.course.checking.emptied_functions import OWN_ANSWER, emptied, locate
from labkit.course.exercises.exercise import Outcome, Wrong
from labkit.course.exercises.plain_values import plain
from labkit.course.exercises.trial import attempt, judge, try_answer
from labkit.course.judges.registry import TOPICS, exercises_of, get_exercise

EXERCISES = {id: exercise for notebook in TOPICS for id, exercise in exercises_of(notebook).items()}


def pairs(table):
    return [
        pytest.param(id, answer, id=f"{id}-{answer.__name__}")
        for id in table
        for answer in table[id]
    ]


def unsolved(*args, **kwargs):
    raise NotImplementedError


@pytest.mark.parametrize("id, answer", pairs(RIGHT))
def test_right_answers_pass_whatever_the_seed(id, answer):
    verdict = try_answer(get_exercise(id), answer, seeds=(0, 1, 2, 17, 1234, 99999))
    assert verdict.passed, verdict.message


@pytest.mark.parametrize("id, answer", pairs(WRONG))
def test_wrong_answers_fail_with_a_reason(id, answer):
    verdict = try_answer(get_exercise(id), answer)
    assert not verdict.passed and len(verdict.message) > 20


@pytest.mark.parametrize("id", EXERCISES)
def test_every_exercise_has_answers_and_scores_nothing_as_shipped(id):
    assert len(RIGHT[id]) >= 3 and len(WRONG[id]) >= 8
    assert "not solved yet" in try_answer(get_exercise(id), unsolved).message


@pytest.mark.parametrize("id", EXERCISES)
@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        "text",
        0,
        1.5,
        [],
        {},
        np.zeros(3),
        [None, None],
        object(),
        np.array(["a"]),
        float("nan"),
        np.full((2, 2), np.nan),
    ],
    ids=lambda value: type(value).__name__,
)
def test_judges_survive_whatever_comes_back(id, nonsense):
    exercise = EXERCISES[id]
    assert not try_answer(get_exercise(id), lambda *args, **kwargs: nonsense).passed
    if type(nonsense) is not object:  # what has no plain form never reaches a judge
        assert not judge(exercise, Outcome(returned=nonsense), 0).passed


def _is_empty(value):
    return isinstance(value, list) and not value


def with_parts(value, part, at_most=3):
    """`value` with one of its parts as `part`, for each part that tells something alone; of lists,
    the first ones.
    """
    if isinstance(value, (dict, list)) and len(value) < 100:  # of 1,500 searches one tells nothing
        keys = list(value) if isinstance(value, dict) else range(min(len(value), at_most))
        for key in keys:
            for changed in with_parts(value[key], part):
                copy = value.copy()
                copy[key] = changed
                yield copy
    if value is not None and not isinstance(value, bool) and not _is_empty(value):
        yield part


@pytest.mark.parametrize("id", EXERCISES)
def test_a_right_answer_with_a_part_that_is_none_is_wrong(id):
    exercise = EXERCISES[id]
    outcome = attempt(exercise, RIGHT[id][0], 1)
    assert judge(exercise, outcome, 1).passed
    for part in (None, [], "1", float("nan"), np.full((2, 2), np.nan)):
        for returned in with_parts(outcome.returned, part):
            assert not judge(exercise, Outcome(returned, notes=outcome.notes), 1).passed
    if exercise.witnessed:
        assert not judge(exercise, Outcome(outcome.returned), 1).passed


def equal(a, b):
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    return a == b


@pytest.mark.parametrize("id", EXERCISES)
def test_inputs_are_plain_and_depend_on_the_seed_alone(id):
    inputs = EXERCISES[id].inputs
    assert equal(inputs(5), inputs(5)) and equal(plain(inputs(5)), plain(inputs(5)))
    assert not equal(inputs(3), inputs(7))


def test_exceptions_name_the_line_and_do_not_escape():
    def broken(weight, transform, size):
        return weight.no_such_method()

    exercise = get_exercise("1.1")
    message = attempt(exercise, lambda *a: broken(*a), 0).error
    assert "AttributeError" in message and "no_such_method" in message


def test_leaving_python_is_an_error_like_others(capsys, monkeypatch):
    monkeypatch.delenv("PYTEST_VERSION")
    check("1.3", lambda resolutions, stages: sys.exit(0))
    assert "count_subnets raised SystemExit: 0" in capsys.readouterr().out


def test_an_error_that_torch_calls_not_implemented_is_not_called_an_unsolved_body():
    def whole_numbers(weight, transform, size):
        return weight.long().flatten(1).softmax(1)

    message = try_answer(get_exercise("1.1"), whole_numbers).message
    assert "not solved yet" not in message and "not implemented for 'Long'" in message


@pytest.mark.parametrize(
    "id, returned, message_start",
    [
        ("2.1", None, "the loss is None; is a return statement missing?"),
        ("2.2", None, "sandwich should return an array, got a value of type NoneType"),
        ("4.7", None, "what evolve returns is None; is a return statement missing?"),
        ("4.7", np.zeros(12), "evolve should return two things"),
        ("4.7", (np.zeros(12), 1.0), "evolve should return two"),
    ],
)
def test_what_does_not_come_back_is_no_error_that_the_answer_raised(id, returned, message_start):
    assert try_answer(get_exercise(id), lambda *args: returned).message.startswith(message_start)


def test_check_prints_in_a_notebook_and_raises_under_pytest(capsys, monkeypatch):
    check("1.3", RIGHT["1.3"][0])
    assert capsys.readouterr().out == "Exercise 1.3: correct, 3 of 3 points\n"
    with pytest.raises(Wrong, match=r"Exercise 1\.3: not solved yet"):
        check("1.3", unsolved)
    monkeypatch.delenv("PYTEST_VERSION")
    check("1.3", unsolved)
    assert capsys.readouterr().out.startswith("Exercise 1.3: 0 of 3 points\n  not solved yet")


@pytest.mark.parametrize("id", EXERCISES)
def test_functions_that_are_no_answer_are_where_they_are_said_to_be(id):
    for name in EXERCISES[id].instead_of:
        for file, inside in locate(Path(labkit.__file__).parents[1], name):
            assert OWN_ANSWER in emptied(file.read_text(encoding="utf-8"), [inside], id)


@pytest.mark.parametrize("id", ["9.1", "1.99", "one", ""])
def test_unknown_exercises_are_named(id):
    with pytest.raises(ValueError, match="no exercise"):
        get_exercise(id)


def test_values_without_a_plain_form_are_refused():
    class Sly:
        def __eq__(self, other):
            return True

    for value in (Sly(), np.array([Sly()], dtype=object), [[Sly()]], lambda: 1):
        with pytest.raises(Wrong):
            plain(value)
