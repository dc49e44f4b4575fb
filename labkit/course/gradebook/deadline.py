"""How late a hand-in is, and what that costs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime

DAY_S = 86_400


@dataclass(frozen=True)
class Deadline:
    """When hand-ins are due, and the share of its points that a late one loses for each day begun.

    A time without an offset is this machine's.
    """

    time: datetime
    percent_per_day: float = 0.0

    def days_late(self, submitted: str) -> int:
        """Days begun between the deadline and a time in ISO 8601; 0 for one that is in time.

        >>> noon = datetime.fromisoformat("2026-11-20T12:00+00:00")
        >>> Deadline(noon).days_late("2026-11-21T12:01Z")
        2
        """
        time = datetime.fromisoformat(submitted)
        # A platform's time without an offset is where the deadline is.
        time = time if time.tzinfo else time.replace(tzinfo=self.time.tzinfo)
        late_s = (_zoned(time) - _zoned(self.time)).total_seconds()
        return max(0, math.ceil(late_s / DAY_S))

    def penalty(self, points: float, days: int) -> float:
        """Points that are lost, at most all of them."""
        return round(points * min(1.0, days * self.percent_per_day / 100), 2)


def _zoned(time: datetime) -> datetime:
    return time if time.tzinfo else time.astimezone()
