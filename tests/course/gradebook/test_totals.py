"""Totals: the grader's points, less lateness, with what was given by hand."""

from datetime import datetime

import pytest

from labkit.course.checking.submission import Submission
from labkit.course.gradebook.by_hand import ByHand
from labkit.course.gradebook.deadline import Deadline
from labkit.course.gradebook.totals import settle
from labkit.course.hand_ins.collect import HandIn

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
