"""Limits are wall time, and a machine may be busy: what hardly had the processor runs once more."""

import time

import pytest
from grading_for_tests import cells_of, confined, solutions

from labkit.course.checking import answer_run
from labkit.course.checking.answer_run import RunPlan, make_plan, marks_of
from labkit.course.checking.submission import find_answers
from labkit.course.checking.time_limit import time_limit
from labkit.course.confinement import fork_server
from labkit.course.confinement.file_view import FileView
from labkit.course.confinement.limits import RunLimits
from labkit.course.judges.registry import get_exercise
from labkit.storage.errors import LabError

ANSWERS = solutions(1)
COURSE_CELL = {"notebook": "1.3", "role": "course", "ok": True}


def out_of_time(cpu_s, limit_s):
    cell = {"notebook": "1.3", "role": "call", "inputs": "1.3-visible", "ok": False}
    cells = [COURSE_CELL, cell | {"how": "timeout"}]
    return {"cells": cells, "cell_limit_s": limit_s, "cpu_s": cpu_s, "seconds": 92.0}


def marked(replies, tmp_path, monkeypatch):
    """The mark of an answer to 1.3 whose runs give `replies`, and the limits of these runs."""
    limits = []

    def run_job(address, job, run_limits, *_):
        limits.append(run_limits.cell_s)
        return replies.pop(0)

    monkeypatch.setattr(answer_run, "run_job", run_job)
    plan = RunPlan({"1.3": tmp_path}, FileView(()), 0, RunLimits())
    (mark,), _ = marks_of(find_answers(cells_of({"1.3": ANSWERS["1.3"]})), ["1.3"], plan, "")
    return mark, limits


def test_out_of_time_with_little_of_the_processor_is_run_again_with_more_time(
    tmp_path, monkeypatch
):
    replies = [out_of_time(0.6, 30.0), out_of_time(0.6, 90.0)]
    mark, limits = marked(replies, tmp_path, monkeypatch)
    assert limits == [30.0, 90.0] and mark.points == 0
    assert "did not come to an end within 90 s" in mark.message
    assert "out of time twice; it had the processor for 0.6 of 92 s" in mark.flag


def test_out_of_time_by_computing_is_out_of_time(tmp_path, monkeypatch):
    mark, limits = marked([out_of_time(28.0, 30.0)], tmp_path, monkeypatch)
    assert limits == [30.0] and mark.points == 0 and not mark.flag
    busy = [out_of_time(12.0, 30.0), out_of_time(33.0, 90.0)]  # on a third of a core
    mark, limits = marked(busy, tmp_path, monkeypatch)
    assert limits == [30.0, 90.0] and mark.points == 0 and "out of time twice" not in mark.flag


def test_what_ended_the_whole_run_counts_as_its_cells_do(tmp_path, monkeypatch):
    ended = {"ended": "the notebook did not come to an end within 300 s", "cpu_s": 2.0}
    _, limits = marked([ended | {"out_of_time": True}, dict(ended)], tmp_path, monkeypatch)
    assert limits == [30.0, 90.0]
    _, limits = marked([{"ended": "more was returned", "cpu_s": 2.0}], tmp_path, monkeypatch)
    assert limits == [30.0]


def test_an_answer_that_is_held_up_gets_its_points_and_one_that_sleeps_comes_to_an_end():
    """The answer to 1.3 is held up for 3 s, in which it does not compute; 1.4 is never done."""
    held_up = ANSWERS["1.3"].replace(
        "total = resolutions", "__import__('time').sleep(1)\n    total = resolutions"
    )
    name = get_exercise("1.4").function
    asleep = f"# Exercise 1.4\nimport time\ndef {name}(*inputs): time.sleep(10 ** 6)"
    submission = find_answers(cells_of({"1.3": held_up, "1.4": asleep}))
    with confined() as grader:
        limits = RunLimits(cell_s=2.5)
        plan = make_plan(grader.folder, [1], 7, limits)
        marks, _ = marks_of(submission, ["1.3", "1.4"], plan, grader.server.address)
    assert [mark.points for mark in marks] == [3, 0], marks
    assert marks[0].flag == "1.3 ran twice, since at first it was out of time"
    assert "1.4 out of time twice" in marks[1].flag


def test_a_verdicts_limit_is_time_that_it_computes():
    with time_limit(0.2):
        time.sleep(0.5)
    with pytest.raises(TimeoutError), time_limit(0.2):
        while True:
            pass


def test_a_server_that_ends_before_it_begins_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(fork_server, "ENVIRONMENT", {"PYTHONHOME": "/nowhere"})
    with fork_server.ForkServer() as server, pytest.raises(LabError, match="exit status 1"):
        server.wait()
