"""What the checks of a notebook refuse: an instructor's notebook shows it, so that a check that
accepts everything is noticed.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from unittest.mock import patch

from labkit.course.exercises.exercise import Wrong
from labkit.course.judges.registry import exercises_of
from labkit.course.notebook import check


def refused(number: int) -> str:
    """The exercises of notebook `number` whose check refuses a function that returns nothing, and
    one that returns its first argument.
    """
    functions = (lambda *_, **__: None, lambda first=None, *_, **__: first)
    ids = [id for id in exercises_of(number) if all(_refuses(id, one) for one in functions)]
    return ", ".join(ids)


def _refuses(id: str, function: Callable) -> bool:
    with patch.dict(os.environ, PYTEST_VERSION=os.environ.get("PYTEST_VERSION", "")):
        try:
            with redirect_stdout(StringIO()):
                check(id, function)
        except Wrong:  # what it does under pytest, where it draws no picture
            return True
    return False
