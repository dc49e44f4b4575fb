"""Devices side by side.

What the same subnets take on each, whether they rank them alike, and how each was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from labkit.comparison.prediction_error import spearman
from labkit.latency.devices import Device, DeviceError, get_device
from labkit.latency.measured.lookup_table import build_table
from labkit.latency.measured.table_files import HOST, has_host_table, table_files
from labkit.latency.measured.untrusted_json import TableError, read_json
from labkit.space import Arch, SearchSpace
from labkit.space.binding import space_of
from labkit.tables.costs import macs_table

RANKED_ARCHS = 2000  # rank correlation is taken over
# Of MACs: which random subnets are shown beside the smallest and the largest.
QUANTILES = (0.1, 0.5, 0.9)
# What is shown of the state of a machine.
STATE = (
    *("cpu", "runtime", "runtime_version", "threads", "batch"),
    *("governor", "load", "celsius", "date", "seconds"),
)


def representative_archs(space: SearchSpace, seed: int = 0) -> dict[str, Arch]:
    """The smallest subnet, the largest, and random ones of small, middling and large size, by name.

    >>> from labkit.space.presets import FMNIST
    >>> list(representative_archs(FMNIST))
    ['smallest', '10 % by MACs', '50 % by MACs', '90 % by MACs', 'largest']
    """
    genes = space.sample(np.random.default_rng(seed), RANKED_ARCHS)
    order = np.argsort(macs_table(space)(genes), kind="stable")
    rows = [order[int(quantile * (len(order) - 1))] for quantile in QUANTILES]
    names = [f"{100 * quantile:.0f} % by MACs" for quantile in QUANTILES]
    between = dict(zip(names, space.decode(genes[rows])))
    return {"smallest": space.smallest(), **between, "largest": space.largest()}


def measured_names(space: SearchSpace) -> list[str]:
    """Devices that have a measured table for `space`, or for some of its resolutions; this machine
    once it was measured.
    """
    names = [name for name in sorted(table_files()) if _measured_part(get_device(name), space)]
    return [HOST, *names] if has_host_table(space) else names


def comparable_names(space: SearchSpace, names: Sequence[str]) -> list[str]:
    """Those of `names`, in their order, that have a table for a resolution that all before have."""
    comparable = []
    for name in names:
        part = _measured_part(get_device(name), space)
        if part is not None:
            space = part
            comparable.append(name)
    return comparable


def side_by_side(space: SearchSpace, devices: Sequence[Device], seed: int = 0) -> dict:
    """Latency of the same subnets on each device, and its ratio to the first device's.

    For a measured device also the machine's state, the calibration, its mean error on whole subnets
    that were measured there (each predicted from the other ones), and how many blocks were measured
    while the machine changed speed.
    """
    for device in devices:
        space = device.known_part(space)
    archs = representative_archs(space, seed)
    genes = space.encode(list(archs.values()))
    random_genes = space.sample(np.random.default_rng(seed), RANKED_ARCHS)
    tables = [device.latency_table(space) for device in devices]
    latencies = [table(genes) for table in tables]
    random_latencies = [table(random_genes) for table in tables]
    rows = []
    for device, latency, ranked in zip(devices, latencies, random_latencies):
        row = {
            "name": device.name,
            "title": device.title,
            "latency_is": device.label,
            "precision": device.precision,
            "latency_ms": dict(zip(archs, latency.tolist())),
            "spearman": spearman(ranked, random_latencies[0]),
            "ratio": dict(zip(archs, (latency / latencies[0]).tolist())),
        }
        path = device.latency_file(space)
        rows.append(row if path is None else {**row, **_measurement(path)})
    shapes = {name: arch.to_json() for name, arch in archs.items()}
    return {
        "space": space.name,
        "resolutions": list(space.resolutions),
        "archs": shapes,
        "devices": rows,
    }


def _measured_part(device: Device, space: SearchSpace) -> SearchSpace | None:
    """`space` at the resolutions that `device` has a measured table for, None without any."""
    part = device.known_part(space)
    try:
        return part if device.latency_file(part) else None
    except DeviceError:
        return None


def _measurement(path: Path) -> dict:
    value = read_json(path)
    lut = build_table(value, space_of(value, path, TableError, "measure again"))
    return {
        "state": {key: value["made"].get(key) for key in STATE},
        "calibration": lut.calibration._asdict(),
        "subnets": len(lut.errors),
        "calibration_error": lut.mean_error,
        "drifted": len(value["drifted"]),
        "blocks": len(value["pieces"]),
    }
