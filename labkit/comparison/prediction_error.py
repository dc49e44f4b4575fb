"""How well predicted latencies agree with measured ones: errors and rank correlation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from labkit.latency.measured.regression import fit_macs, fit_regression
from labkit.space import SearchSpace

SAMPLES = (50, 200, 800)
Predict = Callable[[np.ndarray], np.ndarray]  # genes (N, G) -> milliseconds (N,)


class PredictionError(NamedTuple):
    """How well one way to predict latency does on held-out subnets."""

    method: str
    samples: int  # measured subnets that it used
    mean_error: float  # mean of |predicted / measured - 1|
    max_error: float
    spearman: float


def prediction_error(
    method: str, samples: int, predict: Predict, genes: np.ndarray, measured_ms: np.ndarray
) -> PredictionError:
    """Errors and rank correlation of `predict` on measured subnets: genes (N, G), latency (N,)."""
    predicted = predict(genes)
    errors = np.abs(predicted / measured_ms - 1)
    rank = spearman(predicted, measured_ms)
    return PredictionError(method, samples, float(errors.mean()), float(errors.max()), rank)


def compare_predictors(
    space: SearchSpace,
    table: Predict,
    calibration_subnets: int,
    train: tuple[np.ndarray, np.ndarray],
    held_out: tuple[np.ndarray, np.ndarray],
    samples: Sequence[int] = SAMPLES,
) -> list[PredictionError]:
    """The calibrated lookup table, the regression and MACs alone on the same held-out subnets.

    `train` and `held_out` are genes (N, G) and measured milliseconds (N,); the regression and MACs
    use the first `samples` of `train`. Raises ValueError when `train` holds fewer.
    """
    genes, measured = train
    if max(samples) > len(genes):
        raise ValueError(f"{max(samples)} samples wanted, {len(genes)} subnets were measured")
    rows = [prediction_error("table", calibration_subnets, table, *held_out)]
    for n in samples:
        for method, fit in (("regression", fit_regression), ("MACs only", fit_macs)):
            predict = fit(space, genes[:n], measured[:n])
            rows.append(prediction_error(method, n, predict, *held_out))
    return rows


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation of two samples (N,); ties share their mean rank.

    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([10.0, 30.0, 20.0]))
    0.5
    """

    def ranks(values: np.ndarray) -> np.ndarray:
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        ends = np.cumsum(counts)
        return (ends - (counts - 1) / 2)[inverse]

    return float(np.corrcoef(ranks(np.asarray(a)), ranks(np.asarray(b)))[0, 1])
