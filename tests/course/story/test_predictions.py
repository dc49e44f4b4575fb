"""Results show once they are guessed, and guesses stand beside results at the end."""

import pytest

from labkit.course import beside, your_predictions
from labkit.course.story import predictions


@pytest.fixture(autouse=True)
def session(monkeypatch):
    monkeypatch.setattr(predictions, "_predictions", {})
    monkeypatch.delenv("PYTEST_VERSION")


def test_a_result_is_locked_until_it_is_guessed(capsys):
    assert not beside(None, 41.5, "ms", "the call takes")
    assert capsys.readouterr().out == predictions.LOCKED + "\n"
    assert beside(20, 41.5, "ms", "the call takes")
    assert capsys.readouterr().out == "you predicted 20 ms; the result is 41.5 ms\n"


@pytest.mark.parametrize("word", ["skip", " Skip "])
def test_a_guess_can_be_skipped(word, capsys):
    assert beside(word, "resolution")
    assert capsys.readouterr().out == "you made no prediction; the result is resolution\n"


def test_zero_and_a_word_are_guesses(capsys):
    assert beside(0, 1.5, "%") and beside("depth", "resolution")
    assert capsys.readouterr().out == (
        "you predicted 0 %; the result is 1.5 %\nyou predicted depth; the result is resolution\n"
    )


def test_nothing_is_locked_under_pytest(monkeypatch, capsys):
    monkeypatch.setenv("PYTEST_VERSION", "9")
    assert beside(None, 1.5, "%", "lost")
    assert capsys.readouterr().out == "you made no prediction; the result is 1.5 %\n"


def test_the_summary_has_the_last_guess_beside_each_result(capsys):
    beside(None, 1, "points", "never guessed")
    beside(7, 3, "points", "lost without transforms")
    beside(5, 3, "points", "lost without transforms")
    beside("skip", 81.25, "%", "borrowed statistics give")
    beside("many", 13500.0, "subnets", "it takes")
    capsys.readouterr()
    your_predictions()
    assert capsys.readouterr().out.splitlines() == [
        "                          your guess  result",
        "never guessed                 locked  locked",
        "lost without transforms     5 points  3 points",
        "borrowed statistics give           –  81.25 %",
        "it takes                        many  13,500 subnets",
    ]


def test_without_an_experiment_the_summary_says_so(capsys):
    your_predictions()
    assert "No experiment with a prediction ran" in capsys.readouterr().out
