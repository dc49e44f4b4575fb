"""What judges share: rows of an array are counted before they are objects."""

import numpy as np
import pytest

from labkit.course.exercises.exercise import Wrong
from labkit.course.exercises.judging import as_array, as_items


def test_rows_of_an_array_are_counted_before_they_are_taken_apart():
    class Rows(np.ndarray):
        def __iter__(self):
            pytest.fail("taken apart")

    with pytest.raises(Wrong, match=r"should be 2 values, got an array of shape \(3, 1\)"):
        as_items(np.zeros((3, 1)).view(Rows), 2)
    assert [row.tolist() for row in as_items(np.eye(2), 2)] == [[1, 0], [0, 1]]
    with pytest.raises(TypeError):
        as_items(np.array(2.0), 2)


def test_none_is_not_read_as_a_number_that_is_none():
    with pytest.raises(Wrong, match=r"^the rows is None at \(1, 0\)$"):
        as_array([[1.0, 2.0], [None, 3.0]], (2, 2), "the rows")
    with pytest.raises(Wrong, match=r"has NaN at \(1,\)"):
        as_array([1.0, float("nan")], (2,))
