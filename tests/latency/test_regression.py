"""The latency regression, its baseline, and what they are judged by."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from latency_for_tests import TINY, made_up, save
from scipy.stats import spearmanr
from spaces_for_tests import ONE_WIDTH, WIDE

from labkit.comparison.prediction_error import compare_predictors, prediction_error, spearman
from labkit.latency.devices import DeviceError, get_device
from labkit.latency.kit import board_import
from labkit.latency.measured import plausibility, regression
from labkit.latency.measured.regression import features, fit_macs, fit_regression, host_regression
from labkit.latency.measured.subnet_sample import SubnetSample
from labkit.latency.measured.untrusted_json import TableError
from labkit.space import Arch, mid_channels
from labkit.space.binding import file_stem
from labkit.space.network import block_sides
from labkit.space.presets import FMNIST, spaces
from labkit.storage.errors import MissingPackage
from labkit.tables.costs import AdditiveTable, macs_table


@pytest.mark.parametrize("space", [ONE_WIDTH, FMNIST], ids=lambda space: space.name)
def test_features_of_one_arch_by_hand(space):
    arch = space.decode(space.sample(np.random.default_rng(4), 1))[0]
    row = features(space, space.encode([arch]))[0]
    expected = [arch.resolution, arch.width] if len(space.widths) > 1 else [arch.resolution]
    for shape, side in zip(space.at(arch.width).blocks, block_sides(space, arch.resolution)):
        if shape.index >= len(arch.stages[shape.stage]):
            expected += [0] * 6
            continue
        kernel, expand = arch.stages[shape.stage][shape.index]
        mid = mid_channels(shape.in_channels, expand, space.divisor)
        out = -(-side // shape.stride)
        pointwise = shape.in_channels * mid * side**2 + mid * shape.out_channels * out**2
        expected += [
            1,
            mid,
            pointwise / 1e3,
            mid * kernel**2 * out**2 / 1e3,
            kernel == 5,
            kernel == 7,
        ]
    np.testing.assert_allclose(row, expected)


def test_regression_learns_a_devices_latency():
    """On a simulated device the features reach every term but squeeze-excite's few layers.

    Those weigh most in the smallest subnets, whose latency is a tenth of the largest's.
    """
    table, rng = get_device("pi4").latency_table(FMNIST), np.random.default_rng(0)
    train, test = FMNIST.sample(rng, 300), FMNIST.sample(rng, 200)
    regression = prediction_error(
        "regression", 300, fit_regression(FMNIST, train, table(train)), test, table(test)
    )
    macs = prediction_error(
        "MACs only", 300, fit_macs(FMNIST, train, table(train)), test, table(test)
    )
    assert regression.mean_error < 0.02 and regression.spearman > 0.995
    assert macs.mean_error > 3 * regression.mean_error


def test_what_is_learned_is_linear_in_the_features():
    """The table that comes out is the ridge regression itself: affine in the features, for any
    arch.
    """
    rng = np.random.default_rng(2)
    genes, other = FMNIST.sample(rng, 60), FMNIST.sample(rng, 400)
    table = fit_regression(FMNIST, genes, rng.uniform(0.1, 0.5, 60))
    columns = np.concatenate([features(FMNIST, other), np.ones((400, 1))], 1)
    solution, *_ = np.linalg.lstsq(columns, table(other), rcond=None)
    np.testing.assert_allclose(columns @ solution, table(other), atol=1e-9)


def test_a_better_fit_in_relative_error_is_not_possible_without_penalty():
    """With many noise-free samples of a linear latency the regression finds it."""
    rng = np.random.default_rng(3)
    genes = FMNIST.sample(rng, 600)
    weights = rng.random(features(FMNIST, genes[:1]).shape[1]) * 1e-3
    measured = features(FMNIST, genes) @ weights + 0.2
    predicted = fit_regression(FMNIST, genes[:500], measured[:500])(genes[500:])
    np.testing.assert_allclose(predicted, measured[500:], rtol=1e-3)


def test_host_regression_learns_from_what_was_measured(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    table, asked = get_device("pi4").latency_table(FMNIST), []

    def fake(space, path, count, *, progress):
        asked.append((path, count))
        genes = FMNIST.sample(np.random.default_rng(0), count)
        return SubnetSample(genes, table(genes), {}, 0)

    monkeypatch.setattr(regression, "measure_sample", fake)
    genes = FMNIST.sample(np.random.default_rng(1), 50)
    assert spearman(host_regression(FMNIST, 60)(genes), table(genes)) > 0.95
    assert get_device("host").latency_regression(FMNIST).space == FMNIST
    assert asked == [
        (tmp_path / "latency-regression" / f"{file_stem(FMNIST)}.json", count)
        for count in (60, 200)
    ]


def test_without_scikit_learn_nothing_is_measured(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.linear_model", None)
    monkeypatch.setattr(regression, "measure_sample", None)
    with pytest.raises(MissingPackage, match=r"pip install -e '.\[fit\]'"):
        host_regression(FMNIST)


def test_a_boards_regression_comes_from_the_subnets_in_its_file(tmp_path, monkeypatch):
    """A linear latency, 100 subnets without noise: other subnets are predicted."""
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(spaces, "tiny", TINY)
    value = made_up(subnets=100)
    genes = TINY.encode([Arch.from_json(subnet["arch"]) for subnet in value["subnets"]])
    weights = 1e-4 * np.random.default_rng(0).random(features(TINY, genes).shape[1])
    for subnet, ms in zip(value["subnets"], features(TINY, genes) @ weights + 0.2):
        subnet.update(median_ms=ms, low_ms=ms, high_ms=ms)
    # These subnets have nothing to do with the blocks.
    monkeypatch.setattr(plausibility, "MAX_CALIBRATION_ERROR", 1e9)
    monkeypatch.setattr(plausibility, "MIN_FACTOR", -np.inf)
    monkeypatch.setattr(plausibility, "MAX_FACTOR", np.inf)
    board_import.import_table(save(value, tmp_path / "latency.json"), "my-board")
    other = TINY.sample(np.random.default_rng(3), 40)
    np.testing.assert_allclose(
        get_device("my-board").latency_regression(TINY)(other),
        features(TINY, other) @ weights + 0.2,
        rtol=5e-3,
    )


def test_a_board_with_few_subnets_has_no_regression(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(spaces, "tiny", TINY)
    board_import.import_table(save(made_up(subnets=20), tmp_path / "latency.json"), "my-board")
    with pytest.raises(
        TableError, match="holds 20 whole subnets.*at least 100.*lut pack --subnets 200"
    ):
        get_device("my-board").latency_regression(TINY)


def test_a_board_whose_subnets_would_take_less_than_no_time_has_no_regression(
    tmp_path, monkeypatch
):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(spaces, "tiny", TINY)
    board_import.import_table(save(made_up(subnets=100), tmp_path / "latency.json"), "my-board")
    zero = AdditiveTable.of_operators(TINY, lambda operators: 0)
    monkeypatch.setattr(regression, "fit_regression", lambda *_: zero.scaled(1, -2.0))
    with pytest.raises(TableError, match="the regression predicts -2 ms for a subnet; measure"):
        get_device("my-board").latency_regression(TINY)


@pytest.mark.parametrize("slowness", [0.01, 1000.0])
def test_a_board_that_is_so_many_times_slower_is_predicted_so_many_times_slower(slowness):
    rng = np.random.default_rng(0)
    genes, others = FMNIST.sample(rng, 100), FMNIST.sample(rng, 50)
    milliseconds = get_device("stm32f746").latency_table(FMNIST)(genes)
    milliseconds *= np.exp(0.01 * rng.standard_normal(100))
    usual = fit_regression(FMNIST, genes, milliseconds)(others)
    slow = fit_regression(FMNIST, genes, slowness * milliseconds)(others)
    np.testing.assert_allclose(slow, slowness * usual, rtol=1e-6)


def test_a_simulated_device_has_no_regression():
    with pytest.raises(
        DeviceError, match="'pi4' is simulated, so there are no measured subnets.*--latency table"
    ):
        get_device("pi4").latency_regression(FMNIST)


def test_macs_baseline_recovers_a_line():
    genes = FMNIST.sample(np.random.default_rng(0), 30)
    measured = 2e-7 * macs_table(FMNIST)(genes) + 0.3
    np.testing.assert_allclose(fit_macs(FMNIST, genes, measured)(genes), measured)


def test_compare_uses_the_first_samples_and_one_held_out_set():
    table, rng = get_device("pi4").latency_table(FMNIST), np.random.default_rng(0)
    train, test = FMNIST.sample(rng, 60), FMNIST.sample(rng, 40)
    rows = compare_predictors(
        FMNIST, table, 20, (train, table(train)), (test, table(test)), samples=(20, 60)
    )
    assert [(row.method, row.samples) for row in rows] == [
        ("table", 20),
        ("regression", 20),
        ("MACs only", 20),
        ("regression", 60),
        ("MACs only", 60),
    ]
    assert rows[0].mean_error == 0 and rows[0].spearman == pytest.approx(1)
    direct = fit_macs(FMNIST, train[:20], table(train[:20]))(test)
    assert rows[2].mean_error == pytest.approx(np.mean(np.abs(direct / table(test) - 1)))
    assert rows[2].max_error == pytest.approx(np.max(np.abs(direct / table(test) - 1)))
    with pytest.raises(ValueError, match="800 samples wanted, 60 subnets were measured"):
        compare_predictors(FMNIST, table, 20, (train, table(train)), (test, table(test)))


def test_regression_wants_enough_subnets():
    genes = FMNIST.sample(np.random.default_rng(0), 9)
    with pytest.raises(ValueError, match="at least 10"):
        fit_regression(FMNIST, genes, np.ones(9))


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=3, max_size=30))
def test_spearman_is_scipys(pairs):
    a, b = np.array(pairs, dtype=float).T
    if len(set(a)) > 1 and len(set(b)) > 1:
        assert spearman(a, b) == pytest.approx(spearmanr(a, b)[0], abs=1e-9)


def test_a_width_is_a_feature_where_there_are_several():
    table, rng = get_device("pi4").latency_table(WIDE), np.random.default_rng(0)
    genes, unseen = WIDE.sample(rng, 300), WIDE.sample(rng, 200)
    columns = features(WIDE, genes)
    archs = WIDE.decode(genes)
    assert columns[:, :2].tolist() == [[arch.resolution, arch.width] for arch in archs]
    fitted = fit_regression(WIDE, genes, table(genes))
    assert np.abs(fitted(unseen) / table(unseen) - 1).mean() < 0.02
