"""Latency by regression on measured whole subnets, and how it compares with a lookup table.

A lookup table needs every block once; a regression needs whole subnets, many of them, and nothing of
how they are built: it also works where blocks cannot be timed alone. Both are functions of genes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from labkit.cost import AdditiveTable, macs_table
from labkit.errors import LabError
from labkit.space import SearchSpace, mid_channels

SAMPLES = (50, 200, 800)


def features(space: SearchSpace, genes: np.ndarray) -> np.ndarray:
    """(N, F) features of archs, all zero for a block that is not there.

    For each block: that it is there, its width inside, the MACs of its pointwise and of its depthwise
    convolutions (at the arch's resolution, in thousands), and one column for each kernel size.
    """
    present = space.gene_mask(genes)
    resolution = np.array(space.resolutions)[genes[:, 0]]
    side = out_sides(resolution, space.stem_stride)
    columns = [resolution.astype(float)]
    for shape, column in zip(space.blocks, space.kernel_columns):
        stage, there = space.stages[shape.stage], present[:, column]
        kernel = np.array(stage.kernels)[genes[:, column]]
        mid = np.array([mid_channels(shape.in_channels, e) for e in stage.expands])[genes[:, column + 1]]
        out = out_sides(side, shape.stride)
        pointwise = (shape.in_channels * side ** 2 + shape.out_channels * out ** 2) * mid / 1e3
        block = [np.ones(len(genes)), mid, pointwise, mid * (kernel * out) ** 2 / 1e3]
        block += [kernel == k for k in stage.kernels[1:]]
        columns += [there * column_ for column_ in block]
        side = out  # a stride is in the first block of a stage, which is always there
    return np.stack(columns, 1)


def out_sides(side: np.ndarray, stride: int) -> np.ndarray:
    return -(-side // stride)


@dataclass(frozen=True, eq=False)
class LatencyRegression:
    """Milliseconds of archs, predicted from their features. Call it on a (N, G) gene matrix."""

    space: SearchSpace
    mean: np.ndarray  # (F,) of the features
    scale: np.ndarray  # (F,)
    weights: np.ndarray  # (F,)
    offset: float

    def __call__(self, genes: np.ndarray) -> np.ndarray:  # (N,)
        return (features(self.space, genes) - self.mean) / self.scale @ self.weights + self.offset


def fit_regression(space: SearchSpace, genes: np.ndarray, measured_ms: np.ndarray) -> LatencyRegression:
    """Ridge regression on measured subnets, genes (N, G) and their latency (N,); N at least 10.

    Errors count relative to the latency, and the strength of the penalty comes from cross-validation.
    Raises LabError with the command that installs scikit-learn where it is missing.
    """
    if len(genes) < 10:
        raise ValueError(f"a latency regression needs at least 10 measured subnets, got {len(genes)}")
    try:
        from sklearn.linear_model import RidgeCV
    except ImportError as error:
        raise LabError("the latency regression needs scikit-learn: pip install 'ofa-labkit[fit]'") from error
    values = features(space, genes)
    mean, scale = values.mean(0), values.std(0)
    scale[scale == 0] = 1.0
    ridge = RidgeCV(alphas=np.logspace(-4, 3, 22)).fit((values - mean) / scale, measured_ms,
                                                        sample_weight=measured_ms ** -2.0)
    return LatencyRegression(space, mean, scale, ridge.coef_, float(ridge.intercept_))


def fit_macs(space: SearchSpace, genes: np.ndarray, measured_ms: np.ndarray) -> AdditiveTable:
    """Latency as a linear function of MACs alone, least relative squares: the baseline."""
    table = macs_table(space)
    columns = np.stack([table(genes), np.ones(len(genes))], 1) / measured_ms[:, None]
    (factor, intercept), *_ = np.linalg.lstsq(columns, np.ones(len(genes)), rcond=None)
    return table.scaled(factor, intercept)


class Comparison(NamedTuple):
    """How well one way to predict latency does on held-out subnets."""

    method: str
    samples: int  # measured subnets that it used
    mean_error: float  # mean of |predicted / measured - 1|
    max_error: float
    spearman: float


def compare(space: SearchSpace, table: Callable[[np.ndarray], np.ndarray], calibration_subnets: int,
            train: tuple[np.ndarray, np.ndarray], held_out: tuple[np.ndarray, np.ndarray],
            samples: Sequence[int] = SAMPLES) -> list[Comparison]:
    """The calibrated lookup table, the regression and MACs alone on the same held-out subnets.

    `train` and `held_out` are genes (N, G) and measured milliseconds (N,); the regression and MACs use the
    first `samples` of `train`. Raises ValueError when `train` holds fewer.
    """
    genes, measured = train
    if max(samples) > len(genes):
        raise ValueError(f"{max(samples)} samples wanted, {len(genes)} subnets were measured")
    rows = [judge("table", calibration_subnets, table, *held_out)]
    for n in samples:
        rows.append(judge("regression", n, fit_regression(space, genes[:n], measured[:n]), *held_out))
        rows.append(judge("MACs only", n, fit_macs(space, genes[:n], measured[:n]), *held_out))
    return rows


def judge(method: str, samples: int, predict: Callable[[np.ndarray], np.ndarray], genes: np.ndarray,
          measured_ms: np.ndarray) -> Comparison:
    """Errors and rank correlation of `predict` on measured subnets."""
    predicted = predict(genes)
    errors = np.abs(predicted / measured_ms - 1)
    return Comparison(method, samples, float(errors.mean()), float(errors.max()), spearman(predicted, measured_ms))


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation; ties share their mean rank."""
    def ranks(values: np.ndarray) -> np.ndarray:
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        ends = np.cumsum(counts)
        return (ends - (counts - 1) / 2)[inverse]

    return float(np.corrcoef(ranks(np.asarray(a)), ranks(np.asarray(b)))[0, 1])
