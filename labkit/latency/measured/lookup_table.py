"""Lookup tables: measured blocks, calibrated on whole subnets, as an `AdditiveTable` in ms.

Blocks are timed one by one, each with the cost of a call of the runtime; in a whole subnet that
cost is paid once, and neighbors warm each other's caches. So the sum of the blocks is calibrated on
a few whole subnets, measured end to end:

    latency = intercept + factor * (sum of the blocks) + per_block * (number of blocks)

fitted by least squares on relative errors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from labkit.latency.measured.blocks import block_counts, table_from_times
from labkit.latency.measured.latency_file import read, validate, whole_subnets
from labkit.space import SearchSpace
from labkit.storage.atomic_write import write_json
from labkit.tables.costs import AdditiveTable

MIN_CALIBRATION = 4  # subnets; with fewer, three numbers cannot be fitted


class Calibration(NamedTuple):
    """latency = intercept_ms + factor * sum + per_block_ms * blocks."""

    factor: float = 1.0
    intercept_ms: float = 0.0
    per_block_ms: float = 0.0


@dataclass(frozen=True, eq=False)
class LatencyTable:
    """A lookup table and where it comes from."""

    table: AdditiveTable  # calibrated, milliseconds
    uncalibrated: AdditiveTable
    calibration: Calibration
    # of each measured subnet, predicted by a table that was calibrated on the other ones
    errors: np.ndarray
    provenance: Mapping[str, object]  # machine, runtime, threads, date, ... as measured
    drifted: tuple[str, ...] = ()  # blocks that were measured while the machine changed speed

    @property
    def mean_error(self) -> float | None:
        """Mean of `errors`; None without measured subnets, or where too few determine a table."""
        error = float(self.errors.mean()) if len(self.errors) else np.inf
        return error if np.isfinite(error) else None


def calibrate(raw: AdditiveTable, genes: np.ndarray, measured_ms: np.ndarray) -> Calibration:
    """Fit `raw` to whole subnets: genes (N, G) and their latency (N,), N >= 4.

    >>> from labkit.latency.devices import get_device
    >>> from labkit.space.presets import FMNIST
    >>> raw = get_device("pi4").latency_table(FMNIST)
    >>> genes = FMNIST.sample(np.random.default_rng(0), 20)
    >>> measured_ms = 0.1 + 0.8 * raw(genes) + 0.01 * block_counts(FMNIST, genes)
    >>> [round(number, 6) for number in calibrate(raw, genes, measured_ms)]
    [0.8, 0.1, 0.01]
    """
    if len(genes) < MIN_CALIBRATION:
        raise ValueError(
            f"calibration needs at least {MIN_CALIBRATION} measured subnets, got {len(genes)}"
        )
    columns = _columns(raw, genes, measured_ms)
    solution, *_ = np.linalg.lstsq(columns, np.ones(len(genes)), rcond=None)
    return Calibration(*map(float, solution))


def held_out_errors(raw: AdditiveTable, genes: np.ndarray, measured_ms: np.ndarray) -> np.ndarray:
    """(N,) |predicted / measured - 1| of each subnet by what `calibrate` fits to the other ones.

    A residual r of all N becomes r / (1 - h) where its own row is left out, h being its leverage
    (Allen, Technometrics 16(1), 1974). Infinite for a subnet without which nothing is determined.
    """
    columns = _columns(raw, genes, measured_ms)
    inverse = np.linalg.pinv(columns)
    residuals = abs(columns @ inverse.sum(1) - 1)
    leverages = (columns * inverse.T).sum(1)
    determined = leverages < 1 - 1e-9
    return np.where(determined, residuals / np.where(determined, 1 - leverages, 1), np.inf)


def calibration_condition(raw: AdditiveTable, genes: np.ndarray, measured_ms: np.ndarray) -> float:
    """Condition number of what `calibrate` fits, its columns scaled to one length.

    It is infinite where the fit is not determined. Where all archs of the space have the same
    number of blocks, their time and the intercept need not be told apart.
    """
    columns = _columns(raw, genes, measured_ms)
    if all(len(stage.depths) == 1 for stage in raw.space.stages):
        columns = columns[:, :2]
    values = np.linalg.svd(columns / np.linalg.norm(columns, axis=0), compute_uv=False)
    determined = len(columns) >= columns.shape[1] and values[-1] > 0
    return float(values[0] / values[-1]) if determined else np.inf


def _columns(raw: AdditiveTable, genes: np.ndarray, measured_ms: np.ndarray) -> np.ndarray:
    """(N, 3): what factor, intercept and time per block are multiplied with.

    Each row is divided by the measured time, so that errors count relative to it.
    """
    columns = [raw(genes), np.ones(len(genes)), block_counts(raw.space, genes)]
    return np.stack(columns, 1) / measured_ms[:, None]


def build_table(value: dict, space: SearchSpace) -> LatencyTable:
    """The table of a validated latency file; uncalibrated where it holds too few whole subnets."""
    times_ms = {name: timing["median_ms"] for name, timing in value["pieces"].items()}
    raw, calibration = table_from_times(space, times_ms), Calibration()
    genes, measured_ms = whole_subnets(value, space)
    errors = abs(raw(genes) / measured_ms - 1)
    if len(genes) >= MIN_CALIBRATION:
        calibration = calibrate(raw, genes, measured_ms)
        errors = held_out_errors(raw, genes, measured_ms)
    table = raw.scaled(calibration.factor, calibration.intercept_ms, calibration.per_block_ms)
    drifted = tuple(value["drifted"])
    return LatencyTable(table, raw, calibration, errors, value["made"], drifted)


def load_table(path: Path, space: SearchSpace) -> LatencyTable:
    """Read a latency file for `space`; raises TableError that names the file and what is wrong."""
    return build_table(read(path, space), space)


def write_table(value: dict, path: Path, space: SearchSpace) -> LatencyTable:
    """Validate a latency file's content and put it in place in one step, as the table of the device
    that its folder is called after.
    """
    validate(value, path, space)
    write_json(path, {**value, "device": path.absolute().parent.name})
    return build_table(value, space)
