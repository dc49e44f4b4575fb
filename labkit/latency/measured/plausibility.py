"""Whether the numbers in a valid latency file fit together: what a board's file must pass.

A file may be valid in every part and still be wrong: measured while the board throttled, in other
units, or with times of other subnets. Each check below says what contradicts what.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from labkit.latency.measured.latency_file import whole_subnets
from labkit.latency.measured.lookup_table import (
    LatencyTable,
    build_table,
    calibration_condition,
    held_out_errors,
)
from labkit.latency.measured.measurement import anchor_block
from labkit.latency.measured.untrusted_json import TableError
from labkit.search.exact import cheapest
from labkit.space import SearchSpace
from labkit.storage.json_fields import is_number
from labkit.tables.costs import macs_table

MAX_ANCHOR_RANGE = 1.25  # slowest over fastest timing of the anchor, a tenth at either end left out
# With fewer whole subnets some draws of them hardly determine the calibration.
MIN_SUBNETS = 8
# A block timed alone carries a call of the runtime, so it may exceed a small subnet a little.
BLOCK_OVER_SUBNET = 3.0
# Mean relative error on whole subnets of a table that the other ones calibrate: 0.8 % of the table
# that ships, 3 to 4 % where single times are off by 3 to 5 %.
MAX_CALIBRATION_ERROR, USUAL_CALIBRATION_ERROR = 0.25, 0.04
# Beyond the usual error, by how much it may exceed that of MACs in place of the blocks' times. Both
# err alike where all times are off by 10 %, the blocks 2.3 to 9 times as much where keys are
# rotated or every second block has twice its time.
MAX_OVER_MACS = 1.5
# Slope of the calibration. Where calls cost more than blocks it is small; times in two units are a
# thousand apart.
MIN_FACTOR, MAX_FACTOR = 0.02, 50.0
# Two distinct subnets for each number of the calibration. Twenty random ones have a condition
# number of 10 to 30, eight of 10 to 60; where a number is not determined it is beyond 1e15.
MIN_DISTINCT, MAX_CONDITION = 6, 200.0
# The anchor's block may take this many times more or less than the anchor, which is the same model.
ANCHOR_RATIO = 1.5
# All repeats of all calls over the time that measuring took: 0.16 to 0.2 on a server, the rest is
# warm-up, loading and rounds that were timed again.
MIN_SHARE, MAX_SHARE = 0.002, 1.1

RUN_AGAIN = "run the kit again, on an idle board"
MORE_SUBNETS = (
    "measure more of them (`labkit lut pack` and `labkit lut keys` take --subnets); a table of"
    " another program may also be without any"
)


def check_plausible(value: dict, path: Path, space: SearchSpace) -> None:
    """Raise TableError unless the machine kept its speed and blocks and whole subnets agree."""
    check_steady(value, path)
    _check_anchor(value, path, space)
    _check_subnets(value, path, space)
    table = build_table(value, space)
    _check_calibration(value, path, space, table)
    _check_predictions(path, space, table)
    _check_seconds(value, path)


def check_steady(value: dict, path: Path) -> None:
    """Raise TableError where the machine changed speed while it was measured, as a board that
    throttles does.
    """
    if value["drifted"]:
        raise TableError(
            f"{path}: {len(value['drifted'])} blocks were measured while the board changed speed,"
            f" such as {value['drifted'][0]!r}: it throttles, or was busy. Cool it, fix its clock"
            " frequency (governor 'performance') and run the kit again, it measures those once"
            " more"
        )
    anchors = sorted(value["anchor_ms"])
    # At either end: single disturbances. What they touched was timed again.
    outliers = len(anchors) // 10
    fastest, slowest = anchors[outliers], anchors[-1 - outliers]
    if slowest > MAX_ANCHOR_RANGE * fastest:
        raise TableError(
            f"{path}: the same block took {fastest:.4g} ms at one time and {slowest:.4g} ms at"
            " another: the board throttles, or was busy. Cool it, fix its clock frequency (governor"
            " 'performance'), delete latency.json and latency.json.partial and run the kit again"
        )


def _check_anchor(value: dict, path: Path, space: SearchSpace) -> None:
    key = anchor_block(space).key
    anchor_ms = sorted(value["anchor_ms"])[len(value["anchor_ms"]) // 2]
    block_ms = value["pieces"][key]["median_ms"]
    if not 1 / ANCHOR_RATIO <= block_ms / anchor_ms <= ANCHOR_RATIO:
        raise TableError(
            f"{path}: block {key!r} took {block_ms:.4g} ms, and {anchor_ms:.4g} ms as the anchor,"
            f" which is the same model; are all times milliseconds? If so, {RUN_AGAIN}"
        )


def _check_subnets(value: dict, path: Path, space: SearchSpace) -> None:
    """Enough whole subnets, distinct ones, and none quicker than a block of its own."""
    count = len(value["subnets"])
    if count < MIN_SUBNETS:
        raise TableError(
            f"{path}: holds {count} whole subnets, a board's table is calibrated on at least"
            f" {MIN_SUBNETS}; {MORE_SUBNETS}"
        )
    genes, measured_ms = whole_subnets(value, space)
    distinct = len(np.unique(genes, axis=0))
    if distinct < MIN_DISTINCT:
        raise TableError(
            f"{path}: of {count} whole subnets {distinct} are distinct, a calibration takes at"
            f" least {MIN_DISTINCT}; {MORE_SUBNETS}"
        )
    condition = calibration_condition(build_table(value, space).uncalibrated, genes, measured_ms)
    if not condition <= MAX_CONDITION:
        raise TableError(
            f"{path}: the whole subnets are too much alike to calibrate a table on (condition"
            f" number {condition:.3g}, at most {MAX_CONDITION:g}); {MORE_SUBNETS}"
        )
    slowest = max(value["pieces"], key=lambda name: value["pieces"][name]["median_ms"])
    slowest_ms = value["pieces"][slowest]["median_ms"]
    if slowest_ms > BLOCK_OVER_SUBNET * max(measured_ms):
        raise TableError(
            f"{path}: block {slowest!r} alone took {slowest_ms:.4g} ms, no whole subnet more than"
            f" {max(measured_ms):.4g} ms; {RUN_AGAIN}"
        )


def _check_calibration(value: dict, path: Path, space: SearchSpace, table: LatencyTable) -> None:
    error = table.errors.mean()
    by_macs = held_out_errors(macs_table(space), *whole_subnets(value, space)).mean()
    if error > MAX_CALIBRATION_ERROR or (
        error > USUAL_CALIBRATION_ERROR and error > MAX_OVER_MACS * by_macs
    ):
        raise TableError(
            f"{path}: blocks and whole subnets contradict each other: the calibrated table is off"
            f" by {100 * error:.0f} % on the measured subnets, by {100 * by_macs:.0f} % with MACs"
            " in place of the blocks' times. Has each block its own time? If so, " + RUN_AGAIN
        )
    factor = table.calibration.factor
    if not MIN_FACTOR <= factor <= MAX_FACTOR:
        raise TableError(
            f"{path}: where blocks take a millisecond longer, whole subnets take {factor:.3g} ms"
            f" longer; are all times milliseconds, and each subnet's its own? If so, {RUN_AGAIN}"
        )


def _check_predictions(path: Path, space: SearchSpace, table: LatencyTable) -> None:
    """No subnet and no block takes less than no time."""
    fastest = cheapest(space, table.table)[None]  # (1, G)
    subnet_ms, block_ms = float(table.table(fastest)[0]), float(np.nanmin(table.table.blocks))
    if subnet_ms <= 0:
        raise TableError(
            f"{path}: the table predicts {subnet_ms:.4g} ms for a whole subnet, "
            f"{space.decode(fastest)[0]}; {RUN_AGAIN}"
        )
    # Where all subnets have as many blocks, a block's time and the intercept are not told apart.
    deeper = any(len(stage.depths) > 1 for stage in space.stages)
    if block_ms < 0 and deeper:
        raise TableError(
            f"{path}: the table predicts {block_ms:.4g} ms for a block, so that a deeper subnet"
            f" would be quicker; {RUN_AGAIN}, or {MORE_SUBNETS}"
        )


def _check_seconds(value: dict, path: Path) -> None:
    """Times in another unit contradict how long the measuring took."""
    timings = [*value["pieces"].values(), *value["subnets"]]
    repeats_s = sum(timing["repeats"] * timing["median_ms"] for timing in timings) / 1e3
    seconds = value["made"].get("seconds")
    if is_number(seconds) and not MIN_SHARE * seconds <= repeats_s <= MAX_SHARE * seconds:
        raise TableError(
            f"{path}: all repeats at these times are {repeats_s:.3g} s, but measuring took"
            f" {seconds:.3g} s; are all times milliseconds? If so, {RUN_AGAIN}"
        )
