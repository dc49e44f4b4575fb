"""From what came back of a run to a mark: what could not be judged has none, and says why."""

import json

import pytest
from grading_for_tests import cells_of, solutions

from labkit.course.checking.marking import WRONG_FOR_HIDDEN, mark
from labkit.course.checking.submission import find_answers
from labkit.course.exercises.exercise import SEEDS
from labkit.course.exercises.plain_values import dumps
from labkit.course.judges.registry import get_exercise

ANSWERS = solutions(1)
SUBMISSION = find_answers(cells_of(ANSWERS))
MISSING = "ModuleNotFoundError: No module named 'pandas'"


def reply(role, error, inputs=None):
    cell = {"notebook": "1.3", "role": role, "inputs": inputs, "ok": False, "error": error}
    return {"cells": [{"notebook": "1.3", "role": "course", "ok": True}, cell], "returned": {}}


@pytest.mark.parametrize("role", ["answer", "other", "call"])
def test_a_package_that_is_not_installed_here_is_no_fault_of_the_student(role):
    graded = mark("1.3", SUBMISSION, reply(role, MISSING), 0)
    assert graded.points is None and not graded.passed
    assert "needs pandas, which is not installed" in graded.message
    assert graded.flag.startswith("1.3 not judged: it needs pandas")


def test_of_what_an_answer_misses_for_hidden_inputs_the_student_sees_nothing():
    told = "ModuleNotFoundError: No module named 'hidden_28_3_5'"
    graded = mark("1.3", SUBMISSION, reply("call", told, "1.3-hidden"), 0)
    assert graded.points == 0 and "28" not in graded.message + graded.flag


def test_what_is_wrong_for_visible_inputs_is_said_whatever_came_of_the_hidden_ones():
    outcome = {"error": "count_subnets raised KeyError: 7", "returned": "null"}
    for error in ("BrokenPipeError: [Errno 32] Broken pipe", None):
        result = reply("call", error, "1.3-hidden")
        result["returned"] = {"1.3-visible": json.dumps([outcome] * len(SEEDS))}
        graded = mark("1.3", SUBMISSION, result, 0)
        assert graded.points == 0 and graded.message == outcome["error"]


def test_what_is_right_for_visible_inputs_only_is_said_to_be():
    exercise, count = get_exercise("1.3"), ANSWERS["1.3"]
    exec(count, scope := {})
    outcomes = [
        {"error": None, "returned": dumps(scope["count_subnets"](**exercise.inputs(seed)))}
        for seed in SEEDS
    ]
    result = reply("call", "KeyError: 28", "1.3-hidden")
    result["returned"] = {"1.3-visible": json.dumps(outcomes)}
    assert mark("1.3", SUBMISSION, result, 0).message == WRONG_FOR_HIDDEN


def test_a_module_of_labkit_that_answers_do_not_have_is_missed_by_the_answer():
    told = "ModuleNotFoundError: No module named 'labkit.course.checking.check'"
    assert mark("1.3", SUBMISSION, reply("answer", told), 0).points == 0


def test_what_helpers_call_of_labkits_own_is_flagged():
    told = "RuntimeError: SearchSpace.size is labkit's own answer to exercise 1.3"
    graded = mark("1.3", SUBMISSION, reply("other", told), 0)
    assert graded.points == 0 and graded.flag == "1.3 calls labkit's own SearchSpace.size"


@pytest.mark.parametrize(
    "source, said",
    [
        ("def count_all(r, s):\n    return 1", "defines count_all; its name must be count_subnets"),
        ("count_all = lambda r, s: 1", "defines count_all; its name must be count_subnets"),
        ("def a(): pass\ndef b(): pass", "defines a, b; the name of the answer must be count_sub"),
        ("resolutions = 3", "defines no function; it should define count_subnets"),
    ],
)
def test_an_answer_of_another_name_is_told_its_name(source, said):
    submission = find_answers([("code", f"# Exercise 1.3\n{source}")])
    told = "NameError: count_subnets is not defined by the cell of exercise 1.3"
    graded = mark("1.3", submission, reply("call", told, "1.3-visible"), 0)
    assert graded.points == 0 and graded.message.startswith("the cell of exercise 1.3 " + said)
    assert "helper functions" not in graded.message
