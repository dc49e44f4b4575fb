"""Latency by regression on measured whole subnets.

A lookup table needs every block once; a regression needs whole subnets, many of them, and no
block's own time. Each of its features belongs to one block, so what it has learned is a table too,
and every search takes either.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from labkit.latency.measured.latency_file import read, whole_subnets
from labkit.latency.measured.subnet_sample import measure_sample
from labkit.latency.measured.untrusted_json import TableError
from labkit.space import SearchSpace, network
from labkit.space.binding import file_stem
from labkit.storage.errors import MissingPackage
from labkit.storage.paths import cache_dir
from labkit.tables.costs import AdditiveTable, block_choices, block_table_shape, macs_table
from labkit.tables.separable import lowest

DEFAULT_SAMPLES = 200
MIN_SAMPLES = 10
# Of a board, whose users see no error: with 50, subnets of `fmnist` were predicted below 0 ms.
MIN_BOARD_SAMPLES = 100


def block_features(space: SearchSpace) -> np.ndarray:
    """(R, B, K, E, F): what the regression knows of each block, NaN for choices that it lacks.

    Features are 1 (the block is there), its width inside, the thousands of MACs of its pointwise
    and of its depthwise convolutions, and one flag for each kernel size after the first.
    """
    shape = block_table_shape(space)
    table = np.full((*shape, 4 + shape[2] - 1), np.nan)
    for index, choice in block_choices(space):
        operators = {o.name: o for o in network.block(*choice)}
        macs = {name: o.macs for name, o in operators.items()}
        pointwise = macs.get("expand", 0) + macs["project"]
        middle = operators["depthwise"].out_channels
        flags = [float(index[2] == i) for i in range(1, shape[2])]
        table[index] = [1.0, middle, pointwise / 1e3, macs["depthwise"] / 1e3, *flags]
    return table


def global_features(space: SearchSpace) -> np.ndarray:
    """(R, 1 or 2): the resolution of each global choice and, where there are several, its width."""
    return np.array(space.global_choices, dtype=float)[:, : 1 + (len(space.widths) > 1)]


def features(space: SearchSpace, genes: np.ndarray) -> np.ndarray:
    """(N, 1 or 2 + B * F): the features of the global choice, then those of each block, zero for
    one that is absent.
    """
    kernels = genes[:, space.kernel_columns]  # (N, B)
    expands = genes[:, space.kernel_columns + 1]
    present = space.gene_mask(genes)[:, space.kernel_columns]
    blocks = np.arange(len(space.blocks))
    values = block_features(space)[genes[:, :1], blocks, kernels, expands]  # (N, B, F)
    values = (values * present[:, :, None]).reshape(len(genes), -1)
    return np.concatenate([global_features(space)[genes[:, 0]], values], 1)


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
    # Beside their median, so that the penalty means the same on a fast board and a slow one.
    relative = measured_ms / np.median(measured_ms)
    ridge.fit((values - mean) / scale, measured_ms, sample_weight=relative**-2.0)
    weights = ridge.coef_ / scale
    choices, table = global_features(space), block_features(space)
    count = choices.shape[1]
    base = ridge.intercept_ - mean @ weights + (choices * weights[:count]).sum(1)
    block_weights = weights[count:].reshape(-1, table.shape[-1])  # (B, F)
    return AdditiveTable(space, base, np.einsum("rbkef,bf->rbke", table, block_weights))


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
    """The regression for this machine, on `samples` random subnets.

    They are measured at first use and kept. Raises MissingPackage without scikit-learn, before
    anything is measured.
    """
    _ridge()
    path = cache_dir() / "latency-regression" / f"{file_stem(space)}.json"
    sample = measure_sample(space, path, samples, progress=progress)
    return fit_regression(space, sample.genes, sample.milliseconds)


def board_regression(space: SearchSpace, path: Path) -> AdditiveTable:
    """The regression for a board, on the whole subnets in its latency file.

    Raises TableError where it holds fewer than 100, or where they make it predict less than no
    time, MissingPackage without scikit-learn.
    """
    value = read(path, space)
    count = len(value["subnets"])
    advice = (
        f"measure the board with a kit of more (`labkit lut pack --subnets {DEFAULT_SAMPLES}`), or"
        " use its table"
    )
    if count < MIN_BOARD_SAMPLES:
        raise TableError(
            f"{path} holds {count} whole subnets, a regression needs at least {MIN_BOARD_SAMPLES};"
            f" {advice}"
        )
    table = fit_regression(space, *whole_subnets(value, space))
    if (least := lowest(table)) <= 0:
        raise TableError(f"{path}: the regression predicts {least:.4g} ms for a subnet; {advice}")
    return table


def fit_macs(space: SearchSpace, genes: np.ndarray, measured_ms: np.ndarray) -> AdditiveTable:
    """Latency as a linear function of MACs alone, least relative squares: the baseline."""
    table = macs_table(space)
    columns = np.stack([table(genes), np.ones(len(genes))], 1) / measured_ms[:, None]
    (factor, intercept), *_ = np.linalg.lstsq(columns, np.ones(len(genes)), rcond=None)
    return table.scaled(factor, intercept)
