"""Work in a process with limits of time and memory."""

import resource
import time

import pytest

from labkit.course.execution.limited_child import LimitExceeded, in_limited_child


def test_what_the_work_returns_comes_back_as_json_has_it():
    assert in_limited_child(lambda: {"a": (1, "ä\ud800"), "b": None}) == {
        "a": [1, "ä\ud800"],
        "b": None,
    }


def test_an_error_comes_back_with_its_type():
    with pytest.raises(RuntimeError, match="ZeroDivisionError: division by zero"):
        in_limited_child(lambda: 1 / 0)


def grow():
    return len([bytes(2**20) for _ in range(10**5)])


def recurse():
    deep = []
    for _ in range(10**6):
        deep = [deep]
    return repr(deep)


def test_time_that_the_machine_takes_for_something_else_does_not_count():
    assert in_limited_child(lambda: time.sleep(1.5), seconds=1) is None


@pytest.mark.parametrize(
    "work", [grow, lambda: time.sleep(60), recurse], ids=["memory", "time", "deep"]
)
def test_too_much_ends_the_child_and_nothing_else(work):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises((LimitExceeded, RuntimeError)):
        in_limited_child(work, seconds=2, memory_mib=256)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 * 1024
