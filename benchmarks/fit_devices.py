"""Fit the simulated devices to published latencies: `python benchmarks/fit_devices.py [--write]
[NAME ...]`

A device is fitted to its references with role 'fit', to the series of NAS-Bench-201 networks that
its file names, and note10-class to OFA's tables of blocks, without that of 224 pixels, at which the
authors' subnet of 30 ms is a sum of such blocks. Those are public files that do not come with
labkit: LABKIT_SHARED names the folder that has them; devices whose file is missing are left as
they are. Parameters without a prior are not fitted. With --write the parameters and the held-out
errors go into data/devices/*.json and benchmarks/DEVICES.md.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import page

from labkit.comparison.device_fit import Timings, fit
from labkit.comparison.published_latencies import check, fitted_references, held_out_errors
from labkit.comparison.timed_networks import public_file, read_series
from labkit.latency.devices import SimulatedDevice, load_simulated
from labkit.latency.measured.blocks import timed_blocks
from labkit.latency.simulated.device_file import roofline_of
from labkit.official.latency_tables import CHANNELS, layer_names, read_layers
from labkit.space import get_space
from labkit.storage.atomic_write import write_atomic
from labkit.storage.paths import data_dir

PAGE = page.FOLDER / "DEVICES.md"
BLOCK_TABLES, TIMED_SPACE = {"note10-class": "ofa/note10"}, "ofa-mbv3-w1.2"
JUDGING_TABLE = "224_lookup_table.yaml"  # not fitted to
SMALLEST_MS = 0.05  # shorter blocks are mostly the measurement's own noise


def measurements(device: SimulatedDevice) -> list[Timings] | None:
    """What `device` is fitted to, None where a public file is not at hand."""
    references = fitted_references(device)
    series = [references] if len(references.milliseconds) else []
    if device.series is not None:
        timings = read_series(device.series)
        if timings is None:
            return None
        series.append(timings)
    if device.name in BLOCK_TABLES:
        folder = public_file(BLOCK_TABLES[device.name])
        if folder is None:
            return None
        paths = sorted(folder.glob("*.yaml"))
        series.append(layer_timings([path for path in paths if path.name != JUDGING_TABLE]))
    return series


def layer_timings(paths: list[Path]) -> Timings:
    """The layers of OFA's latency tables, each as a network of its own.

    A layer that several tables have timed is there with each of its times.
    """
    space = get_space(TIMED_SPACE)
    layers = {}
    for block in timed_blocks(space).values():
        *single, last = layer_names(space, block, CHANNELS)
        operators = block.operators(space)  # of several layers all but the last are one operator
        layers |= zip(single, zip(operators))
        layers[last] = operators[len(single) :]
    entries = [
        (layers[name], milliseconds)
        for path in paths
        for name, milliseconds in read_layers(path).items()
        if milliseconds > SMALLEST_MS
    ]
    return Timings.of(*zip(*entries))


def as_text(value: dict) -> str:
    """JSON with a line for each parameter and reference."""

    def text(part: object, depth: int) -> str:
        pad, line = " " * (depth + 1), json.dumps(part, ensure_ascii=False)
        if depth == 2 or not isinstance(part, dict | list) or len(line) + depth < 80:
            return line
        items = [
            (f"{json.dumps(key)}: " if isinstance(part, dict) else "") + text(each, depth + 1)
            for key, each in (part.items() if isinstance(part, dict) else enumerate(part))
        ]
        opening, closing = "{}" if isinstance(part, dict) else "[]"
        return (
            opening + "\n" + ",\n".join(pad + item for item in items) + f"\n{' ' * depth}" + closing
        )

    return text(value, 0) + "\n"


def refit(path: Path) -> dict | None:
    """The content of a device's file with fitted parameters and its held-out errors.

    None where nothing is fitted, or its public file is not at hand.
    """
    device = load_simulated(path)
    series = measurements(device)
    if not series:
        return None
    values = fit(device.parameters, device.bytes_per_value, series)
    values = {name: float(f"{value:.3g}") for name, value in values.items()}
    content = json.loads(path.read_text(encoding="utf-8"))
    for name, parameter in content["parameters"].items():
        parameter["value"] = values[name]
    parameters = {
        name: parameter._replace(value=values[name])
        for name, parameter in device.parameters.items()
    }
    roofline = roofline_of(values, device.bytes_per_value)
    device = replace(device, parameters=parameters, roofline=roofline)
    errors = held_out_errors(device, check(device))
    if device.name in BLOCK_TABLES:
        errors = errors._replace(fitted=len(series[0].milliseconds))
    content["held_out"] = {
        key: round(each, 6) if isinstance(each, float) else each
        for key, each in errors._asdict().items()
    }
    return content


def figures(devices: list[SimulatedDevice]) -> str:
    """A table of what is known of the devices' errors."""
    rows = []
    for device in devices:
        errors = device.held_out
        shares = (
            (f"{100 * errors.median_error:.1f} %", f"{100 * errors.p90_error:.1f} %")
            if errors
            else "--"
        )
        counts = (errors.fitted, errors.count, errors.networks) if errors else (0, 0, "-")
        ranks = f"{errors.spearman:.3f}" if errors else "-"
        rows.append((device.name, device.title, *counts, *shares, ranks, device.label))
    head = "device|what it is|fitted to|judged on|which are|median|90 % within|Spearman|label"
    return page.table(head.split("|"), rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_args()
    paths = sorted((data_dir() / "devices").glob("*.json"))
    for path in paths:
        content = refit(path) if path.stem in (options.names or [path.stem]) else None
        if content is None:
            print(f"{path.stem}: left as it is")
            continue
        print(path.stem, {key: each["value"] for key, each in content["parameters"].items()})
        print("  ", content["held_out"])
        if options.write:
            text = as_text(content)
            write_atomic(path, lambda temporary, text=text: temporary.write_text(text, "utf-8"))
    if options.write:
        page.put(PAGE, "figures", figures([load_simulated(path) for path in paths]))


if __name__ == "__main__":
    main()
