import numpy as np
import pytest

from labkit.tables.accuracy_link import (
    Shift,
    accuracy_of,
    binomial_variance,
    fit_shift,
    log_error,
)


def test_the_link_and_its_scatter_are_those_of_counted_images():
    rng = np.random.default_rng(0)
    for percent, images in ((86.0, 5000), (95.0, 5000), (94.0, 10_000)):
        counted = 100 * rng.binomial(images, percent / 100, 20_000) / images
        np.testing.assert_allclose(accuracy_of(log_error(counted)), counted)
        assert log_error(counted).var() == pytest.approx(
            binomial_variance(np.array(percent), images), rel=0.04
        )
    assert np.isfinite(binomial_variance(np.array([0.0, 100.0]), 500)).all()


def other_images(rng, predicted, shift):
    """What would be measured on the images of a shift."""
    link = shift.link(log_error(predicted))
    return accuracy_of(link + np.sqrt(shift.variance(link)) * rng.standard_normal(len(link)))


@pytest.mark.parametrize("slope", [0.93, 1.06])
def test_a_shift_is_found_at_both_ends_of_a_wide_range(slope):
    rng = np.random.default_rng(1)
    truth = Shift(intercept=-0.1, slope=slope, noise=0.3, images=5000)
    predicted = rng.uniform(85, 95.5, 200)
    shift = fit_shift(predicted, other_images(rng, predicted, truth), 5000)
    ends = log_error(np.array([85.0, 95.5]))
    differences = accuracy_of(shift.link(ends)) - accuracy_of(truth.link(ends))
    assert np.abs(differences).max() < 0.12
    assert 0.7 * truth.noise < shift.noise < 1.4 * truth.noise


def test_what_nobody_chose_is_predicted_without_bias():
    """The mean residual of 40 archs is within two standard errors of 0 as often as 200 archs that
    the shift is fitted to allow: the deviation of the mean is sqrt(1 + 40 / 200) of its error, so
    93 times of 100.
    """
    rng = np.random.default_rng(3)
    truth, within = Shift(-0.1, 0.95, 0.3, 5000), []
    for _ in range(300):
        predicted, others = rng.uniform(85, 95.5, 200), rng.uniform(85, 95.5, 40)
        shift = fit_shift(predicted, other_images(rng, predicted, truth), 5000)
        residual = other_images(rng, others, truth) - accuracy_of(shift.link(log_error(others)))
        within.append(abs(residual.mean()) < 2 * residual.std(ddof=1) / np.sqrt(40))
    assert 0.89 < np.mean(within) < 0.97


def test_few_archs_move_the_level_and_hardly_the_slope():
    rng = np.random.default_rng(2)
    truth = Shift(-0.1, 1.0, 0.3, 5000)
    slopes = []
    for _ in range(200):
        predicted = rng.uniform(93.5, 94.5, 5)
        slopes.append(fit_shift(predicted, other_images(rng, predicted, truth), 5000).slope)
    assert np.abs(np.array(slopes) - 1).max() < 0.3 and np.min(slopes) > 0
    # Two sets on which every arch is equally good differ by nothing; no slope can be seen.
    same = fit_shift(np.full(5, 90.0), np.full(5, 90.0), 5000)
    assert (same.slope, same.noise) == (1.0, 0.0) and same.link(log_error(90.0)) == log_error(90.0)
    with pytest.raises(ValueError, match="at least 3 archs, got 2"):
        fit_shift(np.full(2, 90.0), np.full(2, 90.0), 5000)
