"""What somebody who imports a table should know of it: how well it fits, and what may be wrong."""

from __future__ import annotations

import numpy as np

from labkit.latency.devices import SimulatedDevice, device_names, get_device
from labkit.latency.measured.lookup_table import LatencyTable
from labkit.latency.measured.plausibility import USUAL_CALIBRATION_ERROR
from labkit.runtime.cores import SAME_SPEED
from labkit.storage.json_fields import is_number

# Slope of the calibration where blocks and whole subnets are timed alike; 1.0 in the shipped table.
USUAL_FACTOR = (2 / 3, 3 / 2)
# By how much a machine may be faster or slower than the nearest device that labkit knows. A core
# of a server is ten times as fast as the fastest of them.
FASTER, SLOWER = 100.0, 2.0
# The simulated device that a table comes nearest to, and the milliseconds of the largest subnet on
# it and by the table.
Nearest = tuple[str, float, float]


def facts(table: LatencyTable, nearest: Nearest) -> list[str]:
    """The table's error on whole subnets, and which simulated device is about as fast."""
    lines = []
    if table.mean_error is not None:
        lines.append(
            f"on {len(table.errors)} whole subnets that were measured the calibrated table is off"
            f" by {100 * table.mean_error:.1f} %, at most {100 * table.errors.max():.1f} % (each"
            " predicted from the other ones)"
        )
    name, latency_ms, largest_ms = nearest
    lines.append(
        f"the largest subnet takes {largest_ms:.3g} ms; of the simulated devices {name!r} is"
        f" nearest, with {latency_ms:.3g} ms"
    )
    return lines


def warnings(table: LatencyTable, nearest: Nearest) -> list[str]:
    """What makes the table doubtful, each with the way out."""
    lines, made = [], table.provenance
    if not len(table.errors):
        lines.append(
            "it holds no whole subnets, so nothing says whether the sum of its blocks is what a"
            " network takes; `labkit lut keys` lists some to measure"
        )
    elif (table.mean_error or 0) > USUAL_CALIBRATION_ERROR:
        lines.append(
            f"that is more than the {100 * USUAL_CALIBRATION_ERROR:.0f} % of a board at rest;"
            " measure again with other programs stopped and the clock fixed"
        )
    factor = table.calibration.factor
    if not USUAL_FACTOR[0] <= factor <= USUAL_FACTOR[1]:
        lines.append(
            f"where its blocks take a millisecond longer, whole subnets take {factor:.2g} ms"
            " longer: were both timed in the same way, in the same unit?"
        )
    if made.get("mode") == "quick":
        lines.append(
            "it is a quick table (--quick: few repeats); for one to rely on, run the kit without"
            " that option"
        )
    ratio = made.get("core_speed_ratio")
    if is_number(ratio) and ratio > SAME_SPEED:
        lines.append(
            f"it was measured on slow and on fast cores ({made.get('cores_used')} of"
            f" {made.get('core_speeds')}); choose cores with taskset -c and measure again"
        )
    _, latency_ms, largest_ms = nearest
    if not 1 / FASTER <= largest_ms / latency_ms <= SLOWER:
        lines.append(
            f"that is {largest_ms / latency_ms:.2g} times what the nearest known device takes; are"
            " all times milliseconds?"
        )
    return lines


def nearest_device(table: LatencyTable) -> Nearest:
    """The simulated device on which the largest subnet takes about as long as by the table."""
    space = table.table.space
    genes = space.encode([space.largest()])
    largest_ms = float(table.table(genes)[0])
    latencies = {
        device.name: float(device.latency_table(space)(genes)[0])
        for device in map(get_device, device_names())
        if isinstance(device, SimulatedDevice)
    }
    name = min(latencies, key=lambda each: abs(np.log(latencies[each] / largest_ms)))
    return name, latencies[name], largest_ms
