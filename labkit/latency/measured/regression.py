"""Latency by regression on measured whole subnets, and how it compares with a lookup table.

A lookup table needs every block once; a regression needs whole subnets, many of them, and nothing
of how they are built: it also works where blocks cannot be timed alone. Its features belong to one
block each, so what it has learned is a table too, and every search takes either.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from labkit.latency.measured.latency_file import TableError, read
from labkit.space import Arch, SearchSpace, mid_channels
from labkit.storage.errors import MissingPackage
from labkit.storage.paths import cache_dir
from labkit.tables.costs import AdditiveTable, block_sides, block_table_shape, macs_table, out_side

SAMPLES = (50, 200, 800)
DEFAULT_SAMPLES = 200
MIN_SAMPLES = 10


def block_features(space: SearchSpace) -> np.ndarray:
    """(R, B, K, E, F): what the regression knows of each block.

    That it is there, its width inside, the MACs of its pointwise and of its depthwise convolution
    in thousands, and one flag for each kernel size after the first.
    """
    shape = block_table_shape(space)
    found = np.full((*shape, 4 + shape[2] - 1), np.nan)
    for r, resolution in enumerate(space.resolutions):
        for b, (block, side) in enumerate(zip(space.blocks, block_sides(space, resolution))):
            stage, out = space.stages[block.stage], out_side(side, block.stride)
            for k, kernel in enumerate(stage.kernels):
                for e, expand in enumerate(stage.expands):
                    mid = mid_channels(block.in_channels, expand)
                    pointwise = (
                        mid * (block.in_channels * side**2 + block.out_channels * out**2) / 1e3
                    )
                    flags = [float(k == i) for i in range(1, shape[2])]
                    found[r, b, k, e] = [
                        1.0,
                        mid,
                        pointwise,
                        mid * (kernel * out) ** 2 / 1e3,
                        *flags,
                    ]
    return found


def features(space: SearchSpace, genes: np.ndarray) -> np.ndarray:
    """(N, 1 + B * F): the resolution, then the features of each block, all zero for one that is not
    there.
    """
    kernels = genes[:, space.kernel_columns]  # (N, B)
    expands = genes[:, space.kernel_columns + 1]
    present = space.gene_mask(genes)[:, space.kernel_columns]
    found = block_features(space)[
        genes[:, :1], np.arange(len(space.blocks)), kernels, expands
    ]  # (N, B, F)
    resolution = np.array(space.resolutions, dtype=float)[genes[:, :1]]
    return np.concatenate([resolution, (found * present[:, :, None]).reshape(len(genes), -1)], 1)


def fit_regression(space: SearchSpace, genes: np.ndarray, measured_ms: np.ndarray) -> AdditiveTable:
    """Ridge regression on measured subnets, genes (N, G) and their latency (N,); N at least 10.

    Errors count relative to the latency, and the strength of the penalty comes from
    cross-validation. Raises MissingPackage with the command that installs scikit-learn where it is
    missing.
    """
    if len(genes) < MIN_SAMPLES:
        raise ValueError(
            f"a latency regression needs at least {MIN_SAMPLES} measured subnets, got {len(genes)}"
        )
    ridge, values = _ridge(), features(space, genes)
    mean, scale = values.mean(0), values.std(0)
    scale[scale == 0] = 1.0
    ridge.fit((values - mean) / scale, measured_ms, sample_weight=measured_ms**-2.0)
    weights = ridge.coef_ / scale
    base = ridge.intercept_ - mean @ weights + weights[0] * np.array(space.resolutions)
    found = block_features(space)
    return AdditiveTable(
        space, base, np.einsum("rbkef,bf->rbke", found, weights[1:].reshape(-1, found.shape[-1]))
    )


def _ridge():
    try:
        from sklearn.linear_model import RidgeCV
    except ImportError as error:
        raise MissingPackage(
            "the latency regression needs scikit-learn: pip install -e '.[fit]' in the checkout (or"
            " pip install scikit-learn)"
        ) from error
    return RidgeCV(alphas=np.logspace(-4, 3, 22))


def host_regression(
    space: SearchSpace,
    samples: int = DEFAULT_SAMPLES,
    *,
    progress: Callable[[float], None] | None = None,
) -> AdditiveTable:
    """The regression for this machine, from `samples` random subnets that are measured at first use
    and kept.

    Raises MissingPackage without scikit-learn, before anything is measured.
    """
    from labkit.latency.measured.subnet_times import measured_subnets

    _ridge()
    path = cache_dir() / "latency-regression" / f"{space.name}.json"
    measured = measured_subnets(space, path, samples, progress=progress)
    return fit_regression(space, measured.genes, measured.milliseconds)


def board_regression(space: SearchSpace, path: Path) -> AdditiveTable:
    """The regression for a board, from the whole subnets in its latency file.

    Raises TableError where it holds fewer than 10, MissingPackage without scikit-learn.
    """
    value = read(path, space)
    subnets = value["subnets"]
    if len(subnets) < MIN_SAMPLES:
        raise TableError(
            f"{path} holds {len(subnets)} whole subnets, a regression needs at least {MIN_SAMPLES};"
            " measure the board with a kit of more (`labkit lut pack --subnets"
            f" {DEFAULT_SAMPLES}`), or use its table"
        )
    return fit_regression(
        space,
        space.encode([Arch.from_json(subnet["arch"]) for subnet in subnets]),
        np.array([subnet["median_ms"] for subnet in subnets]),
    )


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


def compare(
    space: SearchSpace,
    table: Callable[[np.ndarray], np.ndarray],
    calibration_subnets: int,
    train: tuple[np.ndarray, np.ndarray],
    held_out: tuple[np.ndarray, np.ndarray],
    samples: Sequence[int] = SAMPLES,
) -> list[Comparison]:
    """The calibrated lookup table, the regression and MACs alone on the same held-out subnets.

    `train` and `held_out` are genes (N, G) and measured milliseconds (N,); the regression and MACs
    use the first `samples` of `train`. Raises ValueError when `train` holds fewer.
    """
    genes, measured = train
    if max(samples) > len(genes):
        raise ValueError(f"{max(samples)} samples wanted, {len(genes)} subnets were measured")
    rows = [judge("table", calibration_subnets, table, *held_out)]
    for n in samples:
        rows.append(
            judge("regression", n, fit_regression(space, genes[:n], measured[:n]), *held_out)
        )
        rows.append(judge("MACs only", n, fit_macs(space, genes[:n], measured[:n]), *held_out))
    return rows


def judge(
    method: str,
    samples: int,
    predict: Callable[[np.ndarray], np.ndarray],
    genes: np.ndarray,
    measured_ms: np.ndarray,
) -> Comparison:
    """Errors and rank correlation of `predict` on measured subnets."""
    predicted = predict(genes)
    errors = np.abs(predicted / measured_ms - 1)
    return Comparison(
        method, samples, float(errors.mean()), float(errors.max()), spearman(predicted, measured_ms)
    )


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation; ties share their mean rank."""

    def ranks(values: np.ndarray) -> np.ndarray:
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        ends = np.cumsum(counts)
        return (ends - (counts - 1) / 2)[inverse]

    return float(np.corrcoef(ranks(np.asarray(a)), ranks(np.asarray(b)))[0, 1])
