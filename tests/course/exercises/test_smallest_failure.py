"""Examples of what is wrong: small, what the text allows, and no smaller one fails."""

import numpy as np
import pytest
from answers_for_tests import RIGHT, WRONG

from labkit.course.exercises.exercise import Exercise, Size, Wrong
from labkit.course.exercises.smallest_failure import SECOND_SET, as_text, smallest_failure
from labkit.course.exercises.trial import try_answer
from labkit.course.judges.registry import TOPICS, exercises_of
from labkit.course.pictures.wrong_answers import PANELS, picture

EXERCISES = {id: one for number in TOPICS for id, one in exercises_of(number).items()}


def fails(*args, **kwargs):
    raise ValueError("whatever the inputs are")


def inputs_of(exercise, inputs):
    return exercise.__class__(**{**vars(exercise), "inputs": lambda _: inputs})


@pytest.mark.parametrize("id", [id for id in EXERCISES if EXERCISES[id].sizes])
def test_the_smallest_inputs_are_inputs_that_right_answers_are_right_for(id):
    exercise = EXERCISES[id]
    smallest = smallest_failure(exercise, fails).inputs
    assert len(str(smallest)) < len(str(exercise.inputs(SECOND_SET[0])))
    for answer in RIGHT[id]:
        verdict = try_answer(inputs_of(exercise, smallest), answer, [0])
        assert verdict.passed, verdict.message


@pytest.mark.parametrize("id", [id for id in EXERCISES if EXERCISES[id].sizes])
def test_wrong_answers_get_an_example_that_they_fail(id):
    exercise, answer = EXERCISES[id], WRONG[id][0]
    failure = smallest_failure(exercise, answer)
    verdict = try_answer(inputs_of(exercise, failure.inputs), answer, [0])
    assert not verdict.passed and len(failure.message) > 20 and as_text(failure.inputs)


@pytest.mark.parametrize("id", PANELS)
def test_an_example_is_drawn(id):
    failures = (smallest_failure(EXERCISES[id], answer) for answer in WRONG[id])
    assert any(picture(id, failure.inputs, failure.returned) for failure in failures)


def test_right_answers_get_none():
    assert smallest_failure(EXERCISES["1.3"], RIGHT["1.3"][0]) is None


def test_no_part_of_an_example_can_be_left_out():
    """An answer that is wrong where two even numbers meet: these two remain, and one case."""

    def inputs(seed):
        numbers = np.random.default_rng(seed).permutation(40)
        return {"cases": [{"numbers": numbers[:20]}, {"numbers": numbers[20:]}]}

    def run(function, inputs):
        return [function(case["numbers"]) for case in inputs["cases"]]

    def judge(inputs, returned):
        if any(returned):
            raise Wrong("there are even numbers that are called odd")

    sizes = (Size({"cases": 0}), Size({"cases/0/numbers": 0}, least=2))
    exercise = Exercise("0.1", 1, "odd", inputs, run, judge, sizes=sizes)
    failure = smallest_failure(exercise, lambda numbers: int((numbers % 2 == 0).sum()) >= 2)
    (case,) = failure.inputs["cases"]
    assert len(case["numbers"]) == 2 and not (case["numbers"] % 2).any()
    assert failure.message == "there are even numbers that are called odd"


def test_long_inputs_are_cut_short():
    assert as_text({"x": np.arange(3), "n": 2}) == "x = array([0, 1, 2])\nn = 2"
    assert len(as_text({"x": [list(range(500))]})) < 400
