"""What somebody who imports a table should know of it: how well it fits, and what may be wrong."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from labkit.latency.devices import SimulatedDevice, device_names, get_device
from labkit.latency.measured.lookup_table import LatencyTable
from labkit.latency.measured.plausibility import USUAL_CALIBRATION_ERROR
from labkit.runtime.cores import SAME_SPEED
from labkit.storage.json_fields import is_number
from labkit.tables.costs import activation_table, params_table

# Slope of the calibration where blocks and whole subnets are timed alike; 1.0 in the shipped table.
USUAL_FACTOR = (2 / 3, 3 / 2)
# By how much a machine may be faster or slower than the nearest device that labkit knows. A core
# of a server is ten times as fast as the fastest of them.
FASTER, SLOWER = 100.0, 2.0
ARCHS = 300  # random ones, by which the shapes of two tables are compared


class Nearest(NamedTuple):
    """The simulated device on which the largest subnet takes about as long as by a table.

    `spread` is the standard deviation of the logarithm of device over table, among random subnets:
    how much their times vary otherwise. It is 0.0 to 0.2 between microcontrollers, which take as
    long as a subnet has MACs, and 0.3 to 0.5 between those and processors.
    """

    name: str
    latency_ms: float
    largest_ms: float  # by the table
    spread: float

    @property
    def is_plausible(self) -> bool:
        return 1 / FASTER <= self.largest_ms / self.latency_ms <= SLOWER


def facts(table: LatencyTable, nearest: Nearest) -> list[str]:
    """The table's error on whole subnets, and which simulated device is about as fast."""
    lines = []
    if table.mean_error is not None:
        lines.append(
            f"on {len(table.errors)} whole subnets that were measured the calibrated table is off"
            f" by {100 * table.mean_error:.1f} %, at most {100 * table.errors.max():.1f} % (each"
            " predicted from the other ones)"
        )
    lines.append(
        f"the largest subnet takes {nearest.largest_ms:.3g} ms; of the simulated devices"
        f" {nearest.name!r} is nearest, with {nearest.latency_ms:.3g} ms"
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
    thousandth = nearest_device(table, 1e-3)
    if not nearest.is_plausible:
        lines.append(
            f"that is {nearest.largest_ms / nearest.latency_ms:.2g} times what the nearest known"
            " device takes; are all times milliseconds?"
        )
    elif thousandth.is_plausible and thousandth.spread < nearest.spread / 2:
        lines.append(
            f"from subnet to subnet its times differ like those of {thousandth.name!r}, which are a"
            " thousandth of them, and not like those of the nearest device; are they microseconds?"
        )
    return lines


def nearest_device(table: LatencyTable, factor: float = 1.0) -> Nearest:
    """The simulated device that a table comes nearest to, its times multiplied by `factor`, of
    those that have the memory for the smallest subnet.
    """
    space = table.table.space
    random = space.sample(np.random.default_rng(0), ARCHS)
    genes = np.concatenate([space.encode([space.largest()]), random])
    by_table = factor * table.table(genes)

    def compared(device: SimulatedDevice) -> Nearest:
        by_device = device.latency_table(space)(genes)
        spread = float(np.std(np.log(by_device / by_table)))
        return Nearest(device.name, float(by_device[0]), float(by_table[0]), spread)

    smallest = space.encode([space.smallest()])
    values, params = activation_table(space, 1)(smallest)[0], params_table(space)(smallest)[0]

    def holds(device: SimulatedDevice) -> bool:
        limits = ((device.sram_bytes, values), (device.flash_bytes, params))
        return all(limit is None or limit >= device.bytes_per_value * n for limit, n in limits)

    devices = map(get_device, device_names())
    simulated = [device for device in devices if isinstance(device, SimulatedDevice)]
    every = [compared(device) for device in simulated if holds(device)]
    return min(every, key=lambda each: abs(np.log(each.latency_ms / each.largest_ms)))
