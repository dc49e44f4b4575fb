"""What is shown in a notebook: a picture, and its words for readers who hear it."""

import base64
import re
from html import unescape

import numpy as np
import pytest
from matplotlib.figure import Figure

from labkit.course import pictures, show
from labkit.course.pictures.display import alternative_text, png
from labkit.space.presets import get_space


def drawn(figure):
    png(figure)  # texts of ticks are set when a figure is drawn
    return alternative_text(figure)


@pytest.fixture
def displayed(monkeypatch):
    bundles = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: bundles.append(bundle))
    return bundles


def test_a_shown_picture_has_an_alternative_text(displayed, tmp_path):
    figure = pictures.lines([1, 2], {'"a" < b': [3.0, 4.5]}, x_label="epoch", y_label="%")
    show(figure, tmp_path / "kept.png")
    (bundle,) = displayed
    alternative, source = re.fullmatch(
        r'<img alt="([^"]*)" src="data:image/png;base64,([^"]*)">', bundle["text/html"]
    ).groups()
    assert unescape(alternative) == bundle["text/plain"] == alternative_text(figure)
    assert base64.b64decode(source) == (tmp_path / "kept.png").read_bytes() == png(figure)


def test_series_are_read_out_with_their_axes_and_ends():
    series = {"yours": [30.0, 41.5, 52.25], "labkit's": [10.0, 20.0, 30.0]}
    assert drawn(pictures.lines([1, 2, 3], series, x_label="epoch", y_label="accuracy, %")) == (
        "horizontal axis: epoch, vertical axis: accuracy, %, yours: 30 to 52.25, labkit's: 10 to 30"
    )


def test_bars_are_read_out_with_their_numbers():
    figure = pictures.bars({"half": 50.0, "all": 100.0}, y_label="accuracy, %", errors=[0.5, 0])
    assert drawn(figure) == "horizontal axis: accuracy, %, half: 50.0 ± 0.5, all: 100.0 ± 0.0"


def test_bars_of_an_error_stand_on_the_points_of_their_series():
    figure = pictures.lines(
        [1, 2], {"a": [3.0, 4.0], "b": [1.0, 1.0]}, x_label="", y_label="", errors={"a": [0.5, 1.0]}
    )
    (bars,) = (each for each in figure.axes[0].collections)  # of "a" only
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [[2.5, 3.5], [3.0, 5.0]]
    assert "a: 3 to 4, b: 1 to 1" in drawn(figure)


def test_panels_and_what_is_written_into_them_are_read_out():
    space = get_space("fmnist")
    text = drawn(pictures.lit_supernet(space, {"largest": space.largest()}))
    assert text.startswith("largest: 28 px, 11 blocks") and text.count("7×7") == 1


def test_samples_are_read_out_with_their_names():
    samples = {"7": np.array([0.2, 0.4, 0.6]), "13\n(2 min)": np.array([0.4, 0.5, 0.5])}
    text = drawn(pictures.spreads(samples, 0.5, x_label="subnets", y_label="tau"))
    assert "median: 0.4 to 0.5" in text and text.endswith("7, 13 (2 min)")


def test_limits_dots_and_powers_of_ten_are_read_out_as_what_they_are():
    figure = Figure()
    panel = figure.subplots()
    panel.loglog([1, 10], [100, 1000], label="cost")
    panel.axvline(4.5, label="limit")
    panel.axhline(300, label="aim")
    panel.scatter([2, 3], [200, 250], label="measured")
    panel.errorbar([2, 3], [150, 175], [5, 5], linestyle="none", label="counted")
    text = drawn(figure)
    assert "limit: 4.5," in text and "aim: 300" in text
    assert "measured: 200 to 250" in text and "counted: 150 to 175" in text
    assert "$" not in text
