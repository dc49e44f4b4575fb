"""Totals: the grader's points, less lateness, with what was given by hand."""

from datetime import datetime

import pytest

from labkit.course.checking.submission import Submission
from labkit.course.gradebook import totals
from labkit.course.gradebook.by_hand import ByHand
from labkit.course.gradebook.deadline import Deadline
from labkit.course.gradebook.totals import settle
from labkit.course.hand_ins.collect import HandIn
from labkit.course.handout.free_text import FreeText, WrittenTask

DEADLINE = Deadline(datetime.fromisoformat("2026-11-20T12:00+00:00"), 10)
TWO_DAYS_LATE = "2026-11-21T13:00+00:00"


def hand_in(**fields):
    return HandIn("anna", Submission(), "digest", **fields)


@pytest.mark.parametrize(
    "fields, deadline, lines, total",
    [
        ({}, None, [], 15),
        ({"submitted": TWO_DAYS_LATE}, None, [], 15),
        ({"submitted": TWO_DAYS_LATE}, DEADLINE, [], 15 * 0.8),
        ({"submitted": TWO_DAYS_LATE, "late_days": 1}, DEADLINE, [], 15 * 0.9),
        ({"submitted": TWO_DAYS_LATE}, DEADLINE, [ByHand("anna", late_days=0)], 15),
        ({"submitted": TWO_DAYS_LATE}, DEADLINE, [ByHand("anna", points=3)], 15 * 0.8 + 3),
        ({"submitted": TWO_DAYS_LATE}, DEADLINE, [ByHand("anna", points=-40)], 0),
        ({"late": True}, DEADLINE, [], 15),
    ],
)
def test_totals(fields, deadline, lines, total):
    account, flags = settle(15, hand_in(**fields), deadline, lines)
    assert account["total"] == pytest.approx(total) and account["points"] == 15
    if fields.get("late"):
        assert account["late_days"] is None and "does not say" in flags[0]


def test_what_was_given_by_hand_is_listed_with_its_comment():
    lines = [ByHand("anna", "1.3", 1.0, "well explained"), ByHand("anna", late_days=0)]
    account, _ = settle(3, hand_in(), None, lines)
    assert account["extra"] == [{"exercise": "1.3", "points": 1, "comment": "well explained"}]
    assert account["total"] == 4


def test_written_tasks_wait_for_points_and_count_in_the_total(monkeypatch):
    tasks = [WrittenTask(f"8.{i}", f"Task {i}", 4) for i in range(1, 5)]
    monkeypatch.setattr(totals, "written_tasks", lambda: {task.id: task for task in tasks})
    texts = [FreeText("", text, id) for id, text in (("8.1", "x"), ("8.2", "y"), ("8.3", ""))]
    lines = [ByHand("anna", "8.1", 3.5, "short"), ByHand("anna", "", 1)]
    account, _ = settle(15, hand_in(texts=tuple(texts)), None, lines)
    assert [(one["id"], one["points"], one["of"], one["comment"]) for one in account["tasks"]] == [
        ("8.1", 3.5, 4, "short"),
        ("8.2", None, 4, "not marked yet"),
        ("8.3", 0, 4, "nothing was written"),
    ]
    assert account["total"] == 19.5 and [one["points"] for one in account["extra"]] == [1]
    account, flags = settle(15, hand_in(texts=tuple(texts)), None, lines, written=True)
    assert account["tasks"][3]["points"] == 0 and sum(one["of"] for one in account["tasks"]) == 16
    assert flags == ["8.4 missing"]
    # Points for a task of which nothing was handed in, such as a talk, are not lost.
    account, _ = settle(0, hand_in(), None, [ByHand("anna", "8.4", 2)])
    assert account["total"] == 2 and [one["id"] for one in account["tasks"]] == ["8.4"]
