"""Devices side by side: what the same subnets take on each, whether they rank them alike, and how
each was measured.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from labkit.latency.devices import HOST, Device, MeasuredDevice, device_names, get_device
from labkit.latency.measured.latency_file import TableError, check_steady, parse, read, read_bytes
from labkit.latency.measured.lookup_table import build_table, has_host_table, table_path
from labkit.latency.measured.regression import judge, spearman
from labkit.space import Arch, SearchSpace
from labkit.storage.atomic_write import write_atomic
from labkit.tables.costs import macs_table

RANDOM_ARCHS = 2000  # rank correlation is taken over
QUANTILES = (
    0.1,
    0.5,
    0.9,
)  # of MACs: which random subnets are shown beside the smallest and the largest
STATE = (
    "cpu",
    "runtime",
    "runtime_version",
    "threads",
    "batch",
    "governor",
    "load",
    "celsius",
    "date",
    "seconds",
)


def shown_archs(space: SearchSpace, seed: int = 0) -> dict[str, Arch]:
    """The smallest subnet, the largest, and random ones of small, middling and large size, by name."""
    genes = space.sample(np.random.default_rng(seed), RANDOM_ARCHS)
    order = np.argsort(macs_table(space)(genes), kind="stable")
    picked = space.decode(genes[[order[int(q * (len(order) - 1))] for q in QUANTILES]])
    return {
        "smallest": space.smallest(),
        **{f"{100 * q:.0f} % by MACs": arch for q, arch in zip(QUANTILES, picked)},
        "largest": space.largest(),
    }


def measured_names(space: SearchSpace) -> list[str]:
    """Devices whose measured table for `space` is here; this machine is among them once it was
    measured.
    """
    devices = [get_device(name) for name in device_names() if name != HOST]
    boards = [
        device.name
        for device in devices
        if isinstance(device, MeasuredDevice) and space.name in device.files
    ]
    return [HOST] * has_host_table(space) + boards


def latency_path(space: SearchSpace, device: Device) -> Path | None:
    """Where the device's latency file for `space` is, or this machine's will be; None for a
    simulated device.

    Raises DeviceError for a board that was not measured for `space`.
    """
    if device.name == HOST:
        return table_path(HOST, space)
    return device.file(space) if isinstance(device, MeasuredDevice) else None


def side_by_side(space: SearchSpace, devices: Sequence[Device], seed: int = 0) -> dict:
    """Latency of the same subnets on each device, its ratio to the first device's, and each
    device's state.

    For a measured device also the calibration, the error that is left on the whole subnets it was
    made from, and how many blocks were measured while it changed speed.
    """
    archs = shown_archs(space, seed)
    genes, many = (
        space.encode(list(archs.values())),
        space.sample(np.random.default_rng(seed), RANDOM_ARCHS),
    )
    rows, first = [], None
    for device in devices:
        table = device.latency_table(space)
        latency, ranked = table(genes), table(many)
        first = (latency, ranked) if first is None else first
        row = {
            "name": device.name,
            "title": device.title,
            "latency_is": device.label,
            "precision": device.precision,
            "latency_ms": dict(zip(archs, latency.tolist())),
            "spearman": spearman(ranked, first[1]),
            "ratio": dict(zip(archs, (latency / first[0]).tolist())),
        }
        path = latency_path(space, device)
        rows.append(row if path is None else {**row, **_measurement(space, path)})
    return {
        "space": space.name,
        "archs": {name: arch.to_json() for name, arch in archs.items()},
        "devices": rows,
    }


def _measurement(space: SearchSpace, path: Path) -> dict:
    value = parse(read_bytes(path), path)
    found, subnets = build_table(value, space), value["subnets"]
    error = None
    if subnets:
        genes = space.encode([Arch.from_json(subnet["arch"]) for subnet in subnets])
        error = judge(
            "table", len(subnets), found.table, genes, np.array([s["median_ms"] for s in subnets])
        ).mean_error
    return {
        "state": {key: value["made"].get(key) for key in STATE},
        "calibration": found.calibration._asdict(),
        "subnets": len(subnets),
        "calibration_error": error,
        "drifted": len(value["drifted"]),
        "blocks": len(value["pieces"]),
    }


def as_text(compared: dict) -> str:
    """A column for each device, in blocks of lines: latencies, ratios, state."""
    devices = compared["devices"]
    width = max(22, *(len(d["name"]) + 2 for d in devices))

    def line(title: str, cells: Sequence[object]) -> str:
        texts = ["-" if cell is None else str(cell) for cell in cells]
        return f"{title:<22}" + "".join(
            f"{text if len(text) < width else text[: width - 2] + '…':>{width}}" for text in texts
        )

    def of(key: str, show) -> list:
        return [show(d[key]) if d.get(key) is not None else None for d in devices]

    lines = [
        line(f"space {compared['space']}", [d["name"] for d in devices]),
        line(
            "latency is",
            [
                d["latency_is"].replace("simulated, order of magnitude", "order of magnitude")
                for d in devices
            ],
        ),
    ]
    for name in compared["archs"]:
        lines.append(
            line(
                name,
                [f"{d['latency_ms'][name]:.4g} ms {_times(d['ratio'][name]):>6}" for d in devices],
            )
        )
    lines += [line("rank correlation", [f"{d['spearman']:.4f}" for d in devices]), ""]
    lines += [
        line(key.replace("_", " "), [d.get("state", {}).get(key) for d in devices]) for key in STATE
    ]
    lines += [
        line("precision", [d["precision"] for d in devices]),
        line(
            "blocks, drifted",
            [f"{d['blocks']}, {d['drifted']}" if "blocks" in d else None for d in devices],
        ),
        line("factor on the sum", of("calibration", lambda c: f"{c['factor']:.3f}")),
        line("intercept", of("calibration", lambda c: f"{c['intercept_ms']:.4f} ms")),
        line("for each block", of("calibration", lambda c: f"{c['per_block_ms']:.4f} ms")),
        line("error of calibration", of("calibration_error", lambda e: f"{100 * e:.2f} %")),
    ]
    return "\n".join(lines)


def _times(ratio: float) -> str:
    return f"{ratio:.0f}x" if ratio >= 100 else f"{ratio:.3g}x"


def export_table(space: SearchSpace, device: Device, path: Path) -> Path:
    """Copy a measured device's latency file to `path`, for `labkit lut import` on another machine.

    Raises ValueError for a simulated device and for a path that is no .json file.
    """
    source = latency_path(space, device)
    advice = (
        "measure it again with `labkit lut measure`" if device.name == HOST else "import it again"
    )
    if source is None:
        raise ValueError(
            f"device {device.name!r} is {device.kind}; only measured devices have a latency file to"
            " share"
        )
    if path.suffix != ".json" or path.is_dir():
        raise ValueError(
            f"a latency file is a .json file, got {str(path)!r}; name it like {device.name}.json"
        )
    if device.name == HOST and not has_host_table(space):
        raise ValueError("this machine has not been measured yet; run `labkit lut measure` first")
    try:
        value = read(source, space)
        check_steady(value, source)
    except TableError as error:
        raise TableError(f"{error}. Nobody could import it: {advice}") from None
    write_atomic(path, lambda temporary: temporary.write_text(json.dumps(value, indent=1) + "\n"))
    return path
