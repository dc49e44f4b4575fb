"""The picture of a wrong tensor: where it differs, only where it helps, beside the message."""

import sys
import types

import numpy as np
import pytest
from answers_for_tests import RIGHT, WRONG

from labkit.course import check
from labkit.course.exercises.exercise import SEEDS
from labkit.course.exercises.trial import attempt, try_answer
from labkit.course.judges.registry import get_exercise
from labkit.course.pictures.wrong_answers import PANELS, picture
from labkit.course.pictures.wrong_tensors import Panel, compare, draw


def result(id, answer, seed=0):
    exercise = get_exercise(id)
    return exercise.inputs(seed), attempt(exercise, answer, seed).returned


def test_the_slice_with_the_largest_difference_is_shown_and_outlined():
    expected = np.arange(24.0).reshape(2, 3, 4)
    got = expected.copy()
    got[0, 0, 0] += 1
    got[1, 2, 3] -= 5
    input_panel, yours, difference = compare(
        "yours", got, expected, lambda at: [Panel(f"slice {at}", np.zeros((1, 1)))]
    )
    assert input_panel.title == "slice (1,)"
    assert np.array_equal(yours.values, got[1])
    assert np.array_equal(difference.values, [[0] * 4, [0] * 4, [0, 0, 0, -5]])
    assert np.array_equal(np.argwhere(difference.wrong), [[2, 3]]) and "2 of 24" in difference.title


def test_a_missing_number_is_wrong_and_a_blank_that_is_asked_for_is_not():
    expected = np.array([[1.0, np.nan]])
    assert compare("yours", expected, expected, lambda at: []) == []
    *_, difference = compare("yours", [[np.nan, np.nan]], expected, lambda at: [])
    assert difference.wrong.tolist() == [[True, False]]
    assert "NaN" in [text.get_text() for text in draw([difference]).axes[0].texts]


def test_another_shape_is_shown_without_a_difference():
    (panel,) = compare("yours", np.ones((2, 2, 2)), np.ones((2, 3)), lambda at: [])
    assert panel.values.shape == (2, 4) and "(2, 2, 2)" in panel.title and "(2, 3)" in panel.title


@pytest.mark.parametrize("id", PANELS)
def test_right_answers_have_no_picture(id):
    for answer in RIGHT[id]:
        for seed in SEEDS:
            assert picture(id, *result(id, answer, seed)) is None


@pytest.mark.parametrize("id", PANELS)
def test_most_wrong_answers_have_one(id):
    verdicts = [try_answer(get_exercise(id), answer) for answer in WRONG[id]]
    figures = [
        picture(id, get_exercise(id).inputs(verdict.seed), verdict.returned) for verdict in verdicts
    ]
    assert sum(figure is not None for figure in figures) > len(figures) / 3
    assert all(len(figure.axes) >= 2 for figure in figures if figure)


@pytest.mark.parametrize("id", PANELS)
@pytest.mark.parametrize(
    "nonsense",
    [
        None,
        "text",
        0,
        [],
        {},
        [None, None],
        {"output": "x", "student": 3},
        np.zeros(3),
        np.full((2, 2), np.nan),
        np.zeros((0, 3)),
    ],
    ids=str,
)
def test_whatever_comes_back_does_not_stop_a_check(id, nonsense):
    figure = picture(id, get_exercise(id).inputs(0), nonsense)
    assert figure is None or figure.axes


@pytest.fixture
def shown_figures(monkeypatch):
    """Figures that a check shows outside of pytest."""
    figures = []
    monkeypatch.delenv("PYTEST_VERSION")
    monkeypatch.setattr("labkit.course.pictures.display.show", figures.append)
    return figures


def shell(monkeypatch, **attributes):
    ipython = types.SimpleNamespace(
        get_ipython=lambda: types.SimpleNamespace(user_ns={}, **attributes),
        version_info=(9, 0),  # which matplotlib asks for when it makes its first canvas
    )
    monkeypatch.setitem(sys.modules, "IPython", ipython)


def test_check_draws_in_a_kernel_only_and_says_the_same(shown_figures, monkeypatch, capsys):
    wrong = WRONG["1.1"][0]
    shell(monkeypatch)  # a terminal
    check("1.1", wrong)
    in_a_terminal = capsys.readouterr().out
    assert not shown_figures
    shell(monkeypatch, kernel=object())
    check("1.1", wrong)
    assert len(shown_figures) == 1 and capsys.readouterr().out == in_a_terminal
    check("1.1", RIGHT["1.1"][0])
    check("1.3", WRONG["1.3"][0])  # a number: nothing to draw
    assert len(shown_figures) == 1


def test_what_answers_run_with_does_not_hold_what_pictures_compare_with(tmp_path):
    from labkit.course.checking.stripped_copy import write_base

    copy = write_base(tmp_path, 1) / "labkit" / "course"
    assert not list(copy.rglob("wrong_answers.py"))
    assert "expected_kernel" not in (copy / "judges" / "supernet.py").read_text(encoding="utf-8")
