import math

import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn.gaussian_process import GaussianProcessRegressor, kernels
from spaces_for_tests import BROAD, WIDE

from labkit.space import SearchSpace, Stage
from labkit.space.presets import FMNIST
from labkit.supernet.folder import load
from labkit.tables.accuracy_link import Shift, accuracy_of, log_error
from labkit.tables.accuracy_predictor import AccuracyPosterior, fit_posterior, fit_separable
from labkit.tables.additive_process import Kernel, coordinates, covariance
from labkit.tables.costs import macs_table
from labkit.tables.predictor_quality import agreement, cross_validate, kendall_tau
from labkit.tables.synthetic_accuracy import synthetic_accuracy

SMALL = SearchSpace(
    "small",
    (16, 20),
    (
        Stage(8, 1, (1, 2), kernels=(3, 5), expands=(2, 3)),
        Stage(8, 2, (1, 2), kernels=(3, 5, 7), expands=(2,)),
    ),
    1,
    2,
    8,
)
KERNEL = Kernel(
    amplitude=np.array([0.5, 0.3, 0.2]),
    length=np.array([0.7, 1.0, 1.5, 1.0, 2.0]),
    noise=0.6,
    level=-2.0,
)


def synthetic_pairs(space, n, seed=0, noise=0.0):
    """Accuracies that are separable under the link, plus noise."""
    rng = np.random.default_rng(seed)
    genes = space.sample(rng, n)
    link = -2.0 + 0.2 * genes[:, 0]
    for s, column in enumerate(space.depth_columns):
        end = column + 1 + 2 * space.stages[s].max_depth
        link = link + 0.3 * np.sin(0.15 * genes[:, column:end].sum(1) * (s + 1))
    return genes, accuracy_of(link) + noise * rng.normal(size=n)


class OfTheProcess(kernels.Kernel):
    """The process' covariance as a kernel of scikit-learn."""

    def __init__(self):
        pass

    def __call__(self, X, Y=None, eval_gradient=False):  # noqa: N803 (scikit-learn's names)
        a = coordinates(SMALL, X)
        return covariance(KERNEL, a, a if Y is None else coordinates(SMALL, Y))

    def diag(self, X):  # noqa: N803
        return np.full(len(X), KERNEL.amplitude.sum())

    def is_stationary(self):
        return False


def reference(genes, accuracy, images):
    """Scikit-learn's process, conditioned on the same pairs."""
    noise = KERNEL.noise * accuracy / (100 - accuracy) / images
    process = GaussianProcessRegressor(OfTheProcess(), alpha=noise, optimizer=None)
    return process.fit(genes, log_error(accuracy) - KERNEL.level)


def test_the_posterior_is_that_of_scikit_learn():
    genes, accuracy = synthetic_pairs(SMALL, 40, noise=0.3)
    process = reference(genes, accuracy, 2000)
    every_arch = SMALL.encode(list(SMALL.enumerate()))
    mean, deviation = process.predict(every_arch, return_std=True)
    posterior = fit_posterior(
        SMALL, genes, accuracy, rng=np.random.default_rng(0), kernel=KERNEL, images=2000
    )
    expected = accuracy_of(mean + KERNEL.level)
    np.testing.assert_allclose(posterior.mean(every_arch), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.sqrt(posterior.variance(every_arch)), deviation, atol=1e-6)
    # Measuring one after another comes to the same.
    first = AccuracyPosterior(SMALL, KERNEL, genes[:25], accuracy[:25], 2000)
    for i in range(25, 40, 5):
        first = first.condition(genes[i : i + 5], accuracy[i : i + 5])
    np.testing.assert_allclose(first.mean(every_arch), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(np.sqrt(first.variance(every_arch)), deviation, atol=1e-6)
    # The interval of this share reaches one deviation of prediction and noise to either side.
    share = math.erf(0.5**0.5)
    low, high = posterior.interval(every_arch, share)
    noise = KERNEL.noise * expected / (100 - expected) / 2000
    reach = np.sqrt(deviation**2 + noise)
    np.testing.assert_allclose(low, accuracy_of(log_error(expected) - reach), atol=1e-6)
    np.testing.assert_allclose(high, accuracy_of(log_error(expected) + reach), atol=1e-6)
    # On other images it is shifted, and has their noise.
    shift = Shift(-0.2, 1.1, 0.5, 10_000)
    low, high = posterior.interval(every_arch, share, shift)
    link = -0.2 + 1.1 * log_error(expected)
    np.testing.assert_allclose(
        posterior.mean.shifted(shift)(every_arch), accuracy_of(link), atol=1e-6
    )
    noise = 0.5 * accuracy_of(link) / np.exp(-link) / 10_000
    reach = np.sqrt(1.1**2 * deviation**2 + noise)
    widths = accuracy_of(link + reach) - accuracy_of(link - reach)
    np.testing.assert_allclose(high - low, widths, atol=1e-6)


def test_functions_drawn_are_those_of_the_posterior():
    genes, accuracy = synthetic_pairs(SMALL, 30, noise=0.3)
    posterior = AccuracyPosterior(SMALL, KERNEL, genes, accuracy, 2000)
    others, rng = SMALL.sample(np.random.default_rng(5), 5), np.random.default_rng(1)
    draws = np.stack([log_error(posterior.sample(rng)(others)) for _ in range(2000)])
    mean, expected = reference(genes, accuracy, 2000).predict(others, return_cov=True)
    deviation = np.sqrt(np.diag(expected))
    assert np.abs((draws.mean(0) - KERNEL.level - mean) / deviation).max() < 4 / np.sqrt(2000)
    scale = np.outer(deviation, deviation)
    np.testing.assert_allclose(np.cov(draws.T) / scale, expected / scale, atol=0.15)


def test_intervals_hold_the_share_that_they_say_in_a_space_of_many_widths():
    """Accuracies from 82 to 94 % that do not add up over stages, each counted on 5,000 images."""
    rng = np.random.default_rng(0)
    genes, macs = BROAD.sample(rng, 1300), macs_table(BROAD)
    size = np.log(macs(genes) / 4e3)
    truth = accuracy_of(
        -2.9 + 0.3 * size - 0.011 * size**2 + 0.05 * (synthetic_accuracy(BROAD)(genes) - 74)
    )
    assert np.ptp(truth) > 10
    accuracy = rng.binomial(5000, truth / 100) / 50
    posterior = fit_posterior(BROAD, genes[:500], accuracy[:500], rng=rng)
    assert 0.8 < posterior.kernel.noise < 1.6, "each arch has images of its own, and a bit more"
    low, high = posterior.interval(genes[500:])
    inside = (low <= accuracy[500:]) & (accuracy[500:] <= high)
    assert 0.85 <= inside.mean() <= 0.95
    for third in np.array_split(np.argsort(truth[500:]), 3):
        assert 0.8 < inside[third].mean() < 0.98, "small archs and large ones"
    error = posterior.mean(genes[500:]) - truth[500:]
    assert np.sqrt(np.mean(error**2)) < 0.15 * truth.std()


def test_intervals_hold_measured_accuracies_of_the_shipped_supernet():
    genes, accuracy, *_ = load("fmnist").pairs
    order = np.random.default_rng(7).permutation(len(genes))
    fitted, held_out = order[:600], order[600:]
    posterior = fit_posterior(FMNIST, genes[fitted], accuracy[fitted], rng=np.random.default_rng(0))
    for share in (0.5, 0.9):
        low, high = posterior.interval(genes[held_out], share)
        inside = (low <= accuracy[held_out]) & (accuracy[held_out] <= high)
        error = np.sqrt(share * (1 - share) / len(held_out))
        assert abs(inside.mean() - share) < 3 * error


def test_it_learns_what_is_separable():
    genes, accuracy = synthetic_pairs(FMNIST, 500, noise=0.02)
    report = cross_validate(FMNIST, genes, accuracy, [(np.arange(400), np.arange(400, 500))])
    assert report["separable"]["rmse"] < 0.6 * report["macs-only"]["rmse"]
    assert report["separable"]["kendall_tau"] > 0.5


def test_it_learns_what_a_width_does():
    """A function of resolution and width that no sum of the two is."""
    rng = np.random.default_rng(0)
    genes, unseen = WIDE.sample(rng, 250), WIDE.sample(rng, 200)

    def accuracy(genes):
        resolution, width = np.divmod(genes[:, 0], 3)
        link = -3 + 0.4 * resolution + 0.3 * width + 0.1 * resolution * width
        for s, column in enumerate(WIDE.depth_columns):
            code = genes[:, column : column + 5] @ np.array([3, 1, 2, 1, 2])
            link = link + (0.1 + 0.05 * width) * np.sin(0.3 * code + s)
        return accuracy_of(link)

    predictor = fit_separable(WIDE, genes, accuracy(genes), rng=rng)
    errors = predictor(unseen) - accuracy(unseen)
    assert np.sqrt(np.mean(errors**2)) < 0.02 * accuracy(unseen).std()


def test_the_kernel_tells_widths_apart_by_their_own_length():
    short, long = (
        Kernel(np.array([1e-9, 1.0, 1.0]), np.array([2.0, length, 1.0, 1.0, 1.0]), 1e-4, -3.0)
        for length in (0.1, 100.0)
    )
    genes = WIDE.encode(list(WIDE.enumerate()))
    wide, narrow = genes[genes[:, 0] == 2][:50], genes[genes[:, 0] == 0][:50]
    accuracy = 60.0 + wide[:, 1:].sum(1)
    far, near = (
        AccuracyPosterior(WIDE, kernel, wide, accuracy).mean(narrow) for kernel in (short, long)
    )
    np.testing.assert_allclose(near, accuracy, atol=0.1)
    assert np.ptp(far) < 1e-6, "nothing carries over"


def test_same_seed_same_predictor():
    genes, accuracy = synthetic_pairs(SMALL, 60, noise=0.1)
    a, b = (
        fit_separable(SMALL, genes, accuracy, rng=np.random.default_rng(3))(genes) for _ in range(2)
    )
    assert (a == b).all()


def test_an_arch_without_an_error_is_not_taken_for_perfect():
    """60 images, of which most archs name all rightly: its chance of an error is not 0."""
    genes, accuracy = synthetic_pairs(SMALL, 40)
    accuracy[:] = 100.0
    accuracy[::10] = 100 * (1 - 1 / 60)
    posterior = fit_posterior(SMALL, genes, accuracy, rng=np.random.default_rng(0), images=60)
    unseen = SMALL.sample(np.random.default_rng(1), 100)
    low, high = posterior.interval(unseen)
    assert (high - low > 0.2).all() and (posterior.mean(unseen) < 99.5).all()
    more = posterior.condition(unseen[:5], np.full(5, 100.0))
    assert (more.mean(unseen) < 99.6).all()


def test_few_percent_of_many_classes_are_percentages():
    """0.4 % is four times what guessing among 1,000 classes brings."""
    genes, _ = synthetic_pairs(SMALL, 30)
    counts = np.random.default_rng(0).integers(10, 30, 30)
    predictor = fit_separable(SMALL, genes, counts / 50, rng=np.random.default_rng(0))
    assert 0.1 < predictor(genes).mean() < 0.7


def test_what_cannot_be_fitted():
    genes, accuracy = synthetic_pairs(SMALL, 30)
    with pytest.raises(ValueError, match="at least 10 pairs, got 5"):
        fit_separable(SMALL, genes[:5], accuracy[:5], rng=np.random.default_rng(0))
    for other in (accuracy[:-1], accuracy[:, None]):
        with pytest.raises(
            ValueError, match=r"one accuracy for each of 30 archs, got shape \((29,|30, 1)\)"
        ):
            fit_separable(SMALL, genes, other, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="genes"):
        fit_separable(SMALL, np.zeros((30, 99), np.int8), accuracy, rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="want percentages, not shares"):
        fit_separable(SMALL, genes, accuracy / 100, rng=np.random.default_rng(0))
    fit_separable(SMALL, genes, accuracy.tolist(), rng=np.random.default_rng(0))
    accuracy[3] = np.nan
    with pytest.raises(ValueError, match="percentages"):
        fit_separable(SMALL, genes, accuracy, rng=np.random.default_rng(0))


def test_kendall_tau_equals_scipys():
    rng = np.random.default_rng(0)
    for ties in (2, 5, 1000):
        a, b = rng.integers(0, ties, 80), rng.integers(0, ties, 80)
        assert kendall_tau(a, b) == pytest.approx(scipy_stats.kendalltau(a, b).statistic)
    assert kendall_tau(np.ones(5), np.arange(5)) == 0
    assert agreement(np.array([1.0, 2.0]), np.array([1.0, 4.0]))["rmse"] == pytest.approx(2**0.5)
