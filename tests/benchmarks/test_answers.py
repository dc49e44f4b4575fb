"""Networks compared on the same images, against closed forms."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pytest
from spaces_for_tests import WIDE

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import answers  # noqa: E402
import measured_search  # noqa: E402
import publish  # noqa: E402
import stand_alone  # noqa: E402

from labkit.space.presets import FMNIST  # noqa: E402
from labkit.supernet.evaluation import Evaluator  # noqa: E402
from labkit.supernet.folder import load  # noqa: E402
from labkit.tables.costs import macs_table  # noqa: E402


def test_a_paired_difference_knows_what_two_accuracies_do_not():
    """Of 400 images 3 speak for the one, 1 for the other: (3 - 1) / 400, variance per image
    E[d^2] - E[d]^2 = 4/400 - (2/400)^2."""
    one, other = np.ones(400, bool), np.ones(400, bool)
    one[0] = other[1:4] = False
    difference = answers.paired(one, other)
    assert difference["points"] == pytest.approx(0.5)
    error = 100 * np.sqrt((4 / 400 - (2 / 400) ** 2) / 400)
    assert difference["standard_error"] == pytest.approx(error)
    assert answers.show({"points": -1.0, "standard_error": 0.25}) == "-1.00 ± 0.25"


def test_answers_are_kept_as_text():
    right = np.random.default_rng(0).random(1003) < 0.5
    assert (answers.unpacked(answers.packed(right), 1003) == right).all()


def test_inherited_answers_are_those_of_the_evaluator_and_are_computed_once(tmp_path, monkeypatch):
    trained, arch = load("fmnist"), FMNIST.smallest()
    monkeypatch.setattr(answers, "Evaluator", lambda *a: Evaluator(*a, images=300))
    inherited = answers.InheritedAnswers(trained, ["val", "test"], tmp_path)
    monkeypatch.setattr(type(inherited), "images", 600)
    right = inherited(arch)
    expected = [
        Evaluator(trained.supernet, trained.dataset, split, images=300).accuracy(arch)
        for split in ("val", "test")
    ]
    assert [right[:300].mean(), right[300:].mean()] == pytest.approx(np.array(expected) / 100)

    def computes(*arguments):
        raise AssertionError("computed again")

    monkeypatch.setattr(answers, "_right_answers", computes)
    assert (answers.InheritedAnswers(trained, ["val", "test"], tmp_path)(arch) == right).all()


def test_the_mean_over_budgets_counts_images_and_archs():
    rng = np.random.default_rng(0)
    gains = rng.normal(0.01, 0.2, (3, 50_000))
    parts = [answers.Gain(gain, variance) for gain, variance in zip(gains, (0.0, 0.09, 0.16))]
    difference = answers.mean_gain(parts)
    images = 100 * 0.2 / np.sqrt(3 * 50_000)  # three independent gains an image
    assert difference["points"] == pytest.approx(100 * gains.mean())
    assert difference["standard_error"] == pytest.approx(np.hypot(images, 0.5 / 3), rel=0.01)


def test_a_gain_knows_how_much_the_archs_of_a_side_differ():
    """Two archs with 50 % and 70 % of 1,000 images right, one with 80 %: gains of 30 and 10."""
    images = np.arange(1000)
    gain = answers.Gain.of(images < 800, np.array([images < 500, images < 700]))
    assert 100 * gain.of_images.mean() == pytest.approx(20)
    assert gain.variance_of_archs == pytest.approx(np.var([30, 10], ddof=1) / 2)
    assert answers.Gain.of(images < 800, images < 500).variance_of_archs == 0


def test_designs_are_all_uniform_networks_that_every_stage_can_be():
    families = list(measured_search.designs(WIDE))
    assert len(families) == 2 * 2 * 2 and all(len(family) == 6 for family in families)
    assert len({family[0] for family in families}) == 8


def test_a_study_measures_every_method_under_budgets_over_the_front(tmp_path, monkeypatch):
    """With accuracies that a formula gives instead of images."""
    macs = macs_table(FMNIST)

    def right(inherited, arch):
        share = 0.5 + 0.05 * np.log10(macs(FMNIST.encode([arch]))[0])
        return np.arange(1000) < 1000 * share

    monkeypatch.setattr(measured_search.InheritedAnswers, "__call__", right)
    options = argparse.Namespace(budgets=2, seeds=1, random_archs=4, splits=("val",), out=tmp_path)
    study = measured_search.Study("fmnist", "stm32f746", options)
    limits = study.limits_ms()
    costs = study.costs
    whole = measured_search.front(FMNIST, study.predict, costs.latency_ms, costs.budgets()).cost
    parts = np.geomspace(whole[0], whole[-1], 5)
    assert limits == pytest.approx(parts[[1, 3]])  # the middles of two equal parts
    for limit in limits:
        archs = study.archs(limit, study.neighbors(limit))
        for method, members in archs.items():
            assert study.costs.fits(members).all(), method
            latency = study.costs.latency_ms(FMNIST.encode(members)) if members else []
            assert (np.array(latency) <= limit).all(), method
        assert len(archs["random"]) == 4 and len(archs["evolution"]) == 1
        (optimum,) = archs["exact optimum"]
        predicted = {
            method: study.predict(FMNIST.encode(members)).max()
            for method, members in archs.items()
            if members
        }
        assert max(predicted.values()) == predicted["exact optimum"]
    report = study.report()
    gaps = [
        row["methods"]["exact optimum"]["accuracy"] - row["methods"]["random"]["accuracy"]
        for row in report["rows"]
    ]
    assert report["mean"]["random"]["points"] == pytest.approx(np.mean(gaps))
    assert report["mean"]["random"]["budgets"] == 2
    spreads = [study.predict(FMNIST.encode(study.neighbors(limit))).std() for limit in limits]
    assert [row["spread"] for row in report["rows"]] == pytest.approx(spreads)
    page = {"studies": [report], "machine": {"cpu": "made up"}, "date": "2020-02-03"}
    (tmp_path / "docs").mkdir()
    monkeypatch.setattr(publish.page, "FOLDER", tmp_path / "benchmarks")
    publish.write("measured_search", page)
    text = (tmp_path / "benchmarks" / "SEARCH.md").read_text()
    assert (
        "`fmnist` on `stm32f746` (simulated; 5,000 images of val; 4 random nets" in text
        and f"| {float(f'{limits[0]:.2g}'):g} |" in text
    )
    assert (tmp_path / "docs" / "measured_search.png").read_bytes().startswith(b"\x89PNG")


def test_archs_to_train_alone_reach_from_end_to_end():
    archs = stand_alone.draw_archs(FMNIST, 12, seed=7)
    assert archs == stand_alone.draw_archs(FMNIST, 12, seed=7)
    assert (archs[0], archs[-1]) == (FMNIST.smallest(), FMNIST.largest())
    log_macs = np.log(macs_table(FMNIST)(FMNIST.encode(archs)))
    steps = np.diff(log_macs)
    # Near both ends of today's range random archs are rare, so that these are off by more.
    assert (steps > 0).all() and np.abs(steps[3:-3] - steps.mean()).max() < 0.05 * steps.mean()
