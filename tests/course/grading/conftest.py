"""Grading on systems that have not all of the walls: what a class gets is the same there."""

import pytest

from labkit.course.grading import grade as grading


@pytest.fixture(autouse=True, scope="module")
def accept_missing_walls(request):
    """As with --without-walls, except where the tests are about the walls themselves."""
    if request.module.__name__.endswith("test_walls_hold"):
        yield
        return
    raise_walls = grading.raise_walls
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(
            grading, "raise_walls", lambda server, progress, _: raise_walls(server, progress, True)
        )
        yield
