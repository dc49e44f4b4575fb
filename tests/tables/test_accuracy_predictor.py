import numpy as np
import pytest
from scipy import stats as scipy_stats
from sklearn.kernel_ridge import KernelRidge
from spaces_for_tests import WIDE

from labkit.space import SearchSpace, Stage
from labkit.space.presets import FMNIST
from labkit.tables.accuracy_predictor import Kernel, accuracy_of, fit_separable, log_error
from labkit.tables.predictor_quality import agreement, cross_validate, kendall_tau

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
    amplitude=np.array([0.3, 0.2]), length=np.array([1.5, 1.0, 2.0, 0.7]), noise=0.01, base=0.5
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


def kernel_written_out(a, b):
    """The kernel of two archs, block by block, from the text of the module."""
    total = KERNEL.base * (a[0] == b[0])
    for s, stage in enumerate(SMALL.stages):

        def block(row, i, s=s, stage=stage):
            column = SMALL.depth_columns[s]
            if i >= stage.depths[row[column]]:
                return np.zeros(2)
            return np.array(
                [
                    row[column + 1 + 2 * i] - (len(stage.kernels) - 1) / 2,
                    row[column + 2 + 2 * i] - (len(stage.expands) - 1) / 2,
                ]
            )

        depth = [stage.depths[row[SMALL.depth_columns[s]]] for row in (a, b)]
        squares = (depth[0] - depth[1]) ** 2 / 1.5**2 + (int(a[0]) - int(b[0])) ** 2 / 0.7**2
        for i in range(stage.max_depth):
            kernel, expand = block(a, i) - block(b, i)
            squares += kernel**2 / 1.0**2 + expand**2 / 2.0**2
        total += KERNEL.amplitude[s] * np.exp(-squares / 2)
    return total


def test_prediction_is_that_of_scikit_learns_kernel_ridge():
    genes, accuracy = synthetic_pairs(SMALL, 40)
    target = log_error(accuracy)

    def gram(left, right):
        return np.array([[kernel_written_out(a, b) for b in right] for a in left])

    reference = KernelRidge(alpha=KERNEL.noise, kernel="precomputed").fit(
        gram(genes, genes), target - target.mean()
    )
    predictor = fit_separable(SMALL, genes, accuracy, rng=np.random.default_rng(0), kernel=KERNEL)
    every_arch = SMALL.encode(list(SMALL.enumerate()))
    expected = accuracy_of(reference.predict(gram(every_arch, genes)) + target.mean())
    np.testing.assert_allclose(predictor(every_arch), expected, rtol=0, atol=1e-6)


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
        Kernel(np.ones(2), np.array([1.0, 1.0, 1.0, 2.0, length]), 1e-6, 1e-9)
        for length in (0.1, 100.0)
    )
    genes = WIDE.encode(list(WIDE.enumerate()))
    wide, narrow = genes[genes[:, 0] == 2][:50], genes[genes[:, 0] == 0][:50]
    accuracy = 60 + wide[:, 1:].sum(1)
    far, near = (
        fit_separable(WIDE, wide, accuracy, rng=np.random.default_rng(0), kernel=kernel)(narrow)
        for kernel in (short, long)
    )
    np.testing.assert_allclose(near, accuracy, atol=0.1)
    assert np.ptp(far) < 1e-6, "nothing carries over"


def test_same_seed_same_predictor():
    genes, accuracy = synthetic_pairs(SMALL, 60, noise=0.1)
    a, b = (
        fit_separable(SMALL, genes, accuracy, rng=np.random.default_rng(3))(genes) for _ in range(2)
    )
    assert (a == b).all()


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
