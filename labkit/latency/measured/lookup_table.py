"""Lookup tables: measured blocks, calibrated on whole subnets, as an `AdditiveTable` in
milliseconds.

Blocks are timed one by one, each with the cost of a call of the runtime; in a whole subnet that
cost is paid once, and neighbors warm each other's caches. So the sum of the blocks is calibrated
on a few whole subnets, measured end to end:

    latency = intercept + factor * (sum of the blocks) + per_block * (number of blocks)

fitted by least squares on relative errors. Where a latency file lies:

    data/latency/<device>/<space>.json         tables that ship
    <cache>/latency/<device>/<space>.json      this machine ('host') and imported boards
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from labkit.latency.measured.blocks import block_counts, space_digest, table_from_times
from labkit.latency.measured.latency_file import (
    TableError,
    check_steady,
    parse,
    read,
    read_bytes,
    validate,
)
from labkit.runtime.timing import machine_state
from labkit.space import Arch, SearchSpace
from labkit.space.presets import get_space
from labkit.storage.atomic_write import write_atomic
from labkit.storage.paths import cache_dir, data_dir
from labkit.tables.costs import AdditiveTable

HOST = "host"
MIN_CALIBRATION = 4  # subnets; with fewer, three numbers cannot be fitted
BOARD_SUBNETS = (
    8  # that a board's kit holds at least: with fewer, some draws of them hardly determine the fit
)


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
    provenance: Mapping[str, object]  # machine, runtime, threads, date, ... as measured
    drifted: tuple[str, ...] = ()  # blocks that were measured while the machine changed speed


def calibrate(raw: AdditiveTable, genes: np.ndarray, measured_ms: np.ndarray) -> Calibration:
    """Fit `raw` to whole subnets: genes (N, G) and their latency (N,), N >= 4."""
    if len(genes) < MIN_CALIBRATION:
        raise ValueError(
            f"calibration needs at least {MIN_CALIBRATION} measured subnets, got {len(genes)}"
        )
    solution, *_ = np.linalg.lstsq(
        _columns(raw, genes, measured_ms), np.ones(len(genes)), rcond=None
    )
    return Calibration(*map(float, solution))


def calibration_condition(raw: AdditiveTable, genes: np.ndarray, measured_ms: np.ndarray) -> float:
    """Condition number of what `calibrate` fits, its columns scaled to one length; infinite where
    it is not determined.

    Where all archs of the space have as many blocks, their time and the intercept need not be told
    apart.
    """
    columns = _columns(raw, genes, measured_ms)
    if all(len(stage.depths) == 1 for stage in raw.space.stages):
        columns = columns[:, :2]
    values = np.linalg.svd(columns / np.linalg.norm(columns, axis=0), compute_uv=False)
    return (
        float(values[0] / values[-1])
        if len(columns) >= columns.shape[1] and values[-1] > 0
        else np.inf
    )


def _columns(
    raw: AdditiveTable, genes: np.ndarray, measured_ms: np.ndarray
) -> np.ndarray:  # (N, 3)
    """What factor, intercept and time per block are multiplied with, each row relative to the
    measured time.
    """
    return (
        np.stack([raw(genes), np.ones(len(genes)), block_counts(raw.space, genes)], 1)
        / measured_ms[:, None]
    )


def build_table(value: dict, space: SearchSpace) -> LatencyTable:
    """The table of a validated latency file; uncalibrated where it holds too few whole subnets."""
    raw = table_from_times(
        space, {name: timing["median_ms"] for name, timing in value["pieces"].items()}
    )
    calibration = Calibration()
    if len(value["subnets"]) >= MIN_CALIBRATION:
        genes = space.encode([Arch.from_json(subnet["arch"]) for subnet in value["subnets"]])
        calibration = calibrate(
            raw, genes, np.array([subnet["median_ms"] for subnet in value["subnets"]])
        )
    table = raw.scaled(calibration.factor, calibration.intercept_ms, calibration.per_block_ms)
    return LatencyTable(table, raw, calibration, value["made"], tuple(value["drifted"]))


def load_table(path: Path, space: SearchSpace) -> LatencyTable:
    """Read a latency file for `space`; raises TableError that names the file and what is wrong."""
    return build_table(read(path, space), space)


def write_table(value: dict, path: Path, space: SearchSpace) -> LatencyTable:
    """Validate a latency file's content and put it in place in one step."""
    validate(value, path, space)
    write_atomic(path, lambda temporary: temporary.write_text(json.dumps(value, indent=1) + "\n"))
    return build_table(value, space)


def table_path(device: str, space: SearchSpace) -> Path:
    """Where the latency file of an imported board, or of this machine, is kept."""
    return cache_dir() / "latency" / device / f"{space.name}.json"


def table_files() -> dict[str, dict[str, Path]]:
    """Device name -> space name -> latency file, of all devices that have one except this machine."""
    found: dict[str, dict[str, Path]] = {}
    for root in (data_dir() / "latency", cache_dir() / "latency"):
        for path in sorted(root.glob("*/*.json")):
            if path.parent.name != HOST and not path.name.startswith(
                "."
            ):  # what a killed write leaves behind
                found.setdefault(path.parent.name, {}).setdefault(path.stem, path)
    return found


def host_table(
    space: SearchSpace, *, remeasure: bool = False, progress: Callable[[float], None] | None = None
) -> LatencyTable:
    """This machine's table for `space`: measured at first use, then kept in the user's cache
    folder.

    A kept file that does not fit (another version of the space, another machine that shares the
    home folder, another runtime, damaged) is measured again. One that was measured on a busy
    machine is used, and the device's label says so: `labkit lut measure` measures again.
    """
    from labkit.latency.measured.measurement import measure

    path = table_path(HOST, space)
    value = None if remeasure else _kept(path, space)
    if value is None:
        value = measure(space, progress=progress)
        write_table(value, path, space)
    return build_table(value, space)


def _kept(path: Path, space: SearchSpace | None = None) -> dict | None:
    """The latency file of this machine in `path` (for `space`, if given), None where it is to be
    measured again.
    """
    try:
        value = read(path, space)
    except TableError:
        return None
    return value if _is_of_here(value["made"]) else None


def unsteady_spaces() -> list[str]:
    """Spaces whose table of this machine is kept, but was measured while the machine changed speed,
    or contradicts itself."""
    paths = sorted((cache_dir() / "latency" / HOST).glob("[!.]*.json"))
    return [
        value["space"] for value in map(_kept, paths) if value is not None and not _is_sound(value)
    ]


def _is_sound(value: dict) -> bool:
    """Whether a valid latency file would do for an import: a board's table would not be taken
    otherwise.
    """
    from labkit.latency.kit.packing import check_consistent

    try:
        check_steady(value, Path())
        check_consistent(value, Path(), get_space(value["space"]))
    except TableError:
        return False
    return True


def has_host_table(space: SearchSpace) -> bool:
    """Whether `host_table` answers at once, without measuring."""
    path = table_path(HOST, space)
    try:
        value = parse(read_bytes(path), path) if path.is_file() else {}
    except TableError:
        return False
    return value.get("space_sha256") == space_digest(space) and _is_of_here(value.get("made"))


def _is_of_here(made: object) -> bool:
    """Whether a table says that this machine made it, with the runtime that would measure it now."""
    from labkit.latency.measured.measurement import default_runtime

    here = {"cpu": machine_state()["cpu"], "runtime": default_runtime()}
    return isinstance(made, Mapping) and all(
        made.get(field) == value for field, value in here.items()
    )
