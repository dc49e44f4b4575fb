"""Days late and what they cost."""

from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labkit.course.gradebook.deadline import Deadline

NOON = datetime.fromisoformat("2026-11-20T12:00:00+01:00")


@pytest.mark.parametrize(
    "submitted, days",
    [
        ("2026-11-20T12:00:00+01:00", 0),
        ("2026-11-20T11:00:00Z", 0),
        ("2026-11-20T11:00:01Z", 1),
        ("2026-11-21T12:00:00+01:00", 1),
        ("2026-11-21T12:00:01", 2),  # without an offset: the deadline's
        ("2025-01-01T00:00:00Z", 0),
    ],
)
def test_days_are_counted_from_the_deadline_as_soon_as_they_begin(submitted, days):
    assert Deadline(NOON).days_late(submitted) == days


def test_a_deadline_without_an_offset_is_this_machines_time():
    local = datetime(2026, 11, 20, 12)
    assert Deadline(local).days_late(local.astimezone().isoformat()) == 0
    assert Deadline(local).days_late((local.astimezone() + timedelta(minutes=1)).isoformat()) == 1


@given(st.floats(0, 100), st.floats(0, 100), st.integers(0, 400))
def test_a_penalty_is_a_share_of_the_points_and_never_more_than_they(points, percent, days):
    penalty = Deadline(NOON, percent).penalty(points, days)
    assert 0 <= penalty <= points + 0.005
    assert penalty == pytest.approx(min(points, points * percent * days / 100), abs=0.006)
