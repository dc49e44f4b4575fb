"""How good a predictor is: error and rank agreement on archs that it was not fitted to."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from labkit.space import SearchSpace
from labkit.tables.accuracy_link import accuracy_of, log_error
from labkit.tables.accuracy_predictor import IMAGES, fit_separable
from labkit.tables.costs import macs_table

Fit = Callable[[SearchSpace, np.ndarray, np.ndarray, int], Callable[[np.ndarray], np.ndarray]]


def kendall_tau(a: np.ndarray, b: np.ndarray) -> float:
    """Kendall's tau-b of two samples (N,): agreement of their rankings, ties accounted for.

    Computed from the signs of all N * N differences, which is quick enough for thousands of archs.
    0 if either sample is constant.

    >>> kendall_tau(np.array([1, 2, 3, 4]), np.array([10, 30, 20, 40]))  # 5 pairs agree, 1 does not
    0.6666666666666666
    """
    signs_a, signs_b = np.sign(a[:, None] - a), np.sign(b[:, None] - b)
    norm = np.sqrt((signs_a**2).sum() * (signs_b**2).sum())
    return float((signs_a * signs_b).sum() / norm) if norm else 0.0


def agreement(predicted: np.ndarray, measured: np.ndarray) -> dict[str, float]:
    """Root mean squared error, in the unit of the samples (N,), and Kendall's tau."""
    return {
        "rmse": float(np.sqrt(np.mean((predicted - measured) ** 2))),
        "kendall_tau": kendall_tau(predicted, measured),
    }


def separable(
    space: SearchSpace, genes: np.ndarray, accuracy: np.ndarray, seed: int, images: int = IMAGES
) -> Callable:
    """The predictor that ships: `fit_separable` of accuracies on that many `images`."""
    return fit_separable(space, genes, accuracy, rng=np.random.default_rng(seed), images=images)


def constant(space: SearchSpace, genes: np.ndarray, accuracy: np.ndarray, seed: int) -> Callable:
    """The mean of the pairs for every arch."""
    return lambda other: np.full(len(other), accuracy.mean())


def macs_only(space: SearchSpace, genes: np.ndarray, accuracy: np.ndarray, seed: int) -> Callable:
    """Log error as a quadratic in log MACs."""
    macs = macs_table(space)
    fit = np.polynomial.Polynomial.fit(np.log(macs(genes)), log_error(accuracy), 2)
    return lambda other: accuracy_of(fit(np.log(macs(other))))


MODELS: dict[str, Fit] = {"separable": separable, "macs-only": macs_only, "constant": constant}


def cross_validate(
    space: SearchSpace,
    genes: np.ndarray,
    accuracy: np.ndarray,
    folds: Sequence[tuple[np.ndarray, np.ndarray]],
    *,
    models: dict[str, Fit] = MODELS,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    """Scores of each model as `agreement` gives them, averaged over `folds`.

    A fold is a pair of index arrays into genes (N, G) and accuracy (N,): the archs to fit on, and
    those to predict.
    """
    report = {}
    for name, fit in models.items():
        scores = []
        for training, test in folds:
            predictor = fit(space, genes[training], accuracy[training], seed)
            scores.append(agreement(predictor(genes[test]), accuracy[test]))
        report[name] = {key: float(np.mean([score[key] for score in scores])) for key in scores[0]}
    return report
