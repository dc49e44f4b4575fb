"""Plain values as text: what comes back, and what is refused before it fills memory."""

import base64
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from labkit.course.checking.marking import _verdict
from labkit.course.exercises import plain_values
from labkit.course.exercises.exercise import Wrong
from labkit.course.exercises.judging import as_number
from labkit.course.judges.registry import get_exercise

NUMBERS = arrays.arrays(
    st.sampled_from(["<f8", "<f4", "<i8", "u1", "?"]),
    arrays.array_shapes(min_dims=0, min_side=0, max_side=4),
)
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | NUMBERS,
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


def same(a, b):
    if isinstance(a, np.ndarray):
        return (
            isinstance(b, np.ndarray)
            and a.dtype == b.dtype
            and a.shape == b.shape
            and a.tobytes() == b.tobytes()
        )
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or a != a and b != b)


@settings(deadline=None)
@given(PLAIN)
def test_values_come_back_as_they_were(value):
    assert same(plain_values.loads(plain_values.dumps(value)), value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[" * 10**5,
        "[" * 50 + "]" * 50,
        "9" * 5000,
        '{"a": 1}',
        '{"dict": 3}',
        " " * (plain_values.MAX_CHARACTERS + 1),
        '{"array": "", "dtype": "O", "shape": [0]}',
        '{"array": "AA==", "dtype": "u1", "shape": [1000000000000]}',
        '{"array": "AA==", "dtype": "u1", "shape": [-1]}',
        '{"array": "AA==", "dtype": "u1", "shape": [true]}',
        '{"array": "AA==", "dtype": "V1", "shape": [1]}',
        '{"array": 3, "dtype": "u1", "shape": [1]}',
        '{"array": "%%", "dtype": "u1", "shape": [1]}',
        '{"array": "AA==", "dtype": {}, "shape": [1]}',
        '{"array": "AA==", "dtype": "u1,u1", "shape": [1]}',
        '{"array": "", "dtype": "u1", "shape": null}',
    ],
    ids=range(18),
)
def test_other_texts_are_refused(text):
    with pytest.raises(plain_values.BadValue):
        plain_values.loads(text)


def zeros(*shape):
    return json.dumps(
        {"array": base64.b64encode(bytes(math.prod(shape))).decode(), "dtype": "u1", "shape": shape}
    )


@pytest.mark.parametrize(
    "shape",
    [(2**39, 0), (2**23, 0), (0, 2**10, 2**10), (0, 2**39, 2**39), (2**19, 1), (2**10, 2**10, 2)],
)
def test_no_array_has_millions_of_rows(shape):
    with pytest.raises(plain_values.BadValue, match="262,144 rows"):
        plain_values.loads(zeros(*shape))
    for good in ((0, 3, 1000), (3, 0), (2**18, 2), (2**20,), ()):
        assert plain_values.loads(zeros(*good)).shape == good


@pytest.mark.parametrize(
    "text",
    [
        "[" + ",".join(["[]"] * 10**6) + "]",
        "[" + ",".join(["[[[{}]]]"] * 10**5) + "]",
        "[" + ",".join([zeros(1000, 0)] * 2 * 10**5) + "]",
    ],
    ids=range(3),
)
def test_a_text_that_would_fill_memory_with_small_values_is_refused_before_it_is_read(
    text, monkeypatch
):
    monkeypatch.setattr(plain_values.json, "loads", lambda _: pytest.fail("read"))
    for form in (text, text.encode()):
        with pytest.raises(plain_values.BadValue, match="lists, dicts and arrays"):
            plain_values.loads(form)
    verdict = _verdict(get_exercise("1.3"), text, (0, 1, 2))
    assert not verdict.passed and "lists, dicts and arrays" in verdict.message


def test_only_what_a_student_may_have_written_is_bounded():
    text = json.dumps("a" * plain_values.MAX_CHARACTERS)
    assert len(plain_values.loads(text, of_a_student=False)) == plain_values.MAX_CHARACTERS
    with pytest.raises(plain_values.BadValue, match="returned values of 16 MiB"):
        plain_values.loads(text)


def test_numbers_of_every_dtype_are_numbers_and_what_is_none_is_wrong():
    for kind in (np.longdouble, np.float16, np.int8, np.bool_):
        value = plain_values.plain(kind(1))
        assert type(value) in (float, int, bool) and value == 1
        assert plain_values.loads(plain_values.dumps(value)) == 1
        assert as_number(np.array([1.5 * kind(1)])) == 1.5
    for none in (np.complex128(1j), np.datetime64("2026-01-01")):
        with pytest.raises(Wrong, match="expected a number, got one of"):
            plain_values.plain(none)
