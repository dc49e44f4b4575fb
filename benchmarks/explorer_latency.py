"""How long the explorer takes in the kernel from a move of a control to the new picture and text.

    OMP_NUM_THREADS=1 python benchmarks/explorer_latency.py [--moves 200]

Moves go to random settings of the latency slider, the memory slider and the list of devices; the
aim is 150 ms. The last line printed is the report as one JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import date

import numpy as np
import page

from labkit.course.explorer.explorer import Explorer
from labkit.course.explorer.panel import panel
from labkit.runtime.machine import machine
from labkit.space.presets import get_space
from labkit.supernet.folder import TrainedSupernet


def moves(explorer: Explorer, count: int, seed: int = 0) -> dict[str, list[float]]:
    """Milliseconds of each move, by control; every third move is of each control."""
    rng = np.random.default_rng(seed)
    device, latency, memory, _, text = panel(explorer, explorer.first_recommendation()).children
    milliseconds: dict[str, list[float]] = {"device": [], "latency": [], "memory": []}
    while min(map(len, milliseconds.values())) < count:
        for name, control in (("device", device), ("latency", latency), ("memory", memory)):
            values = [value for _, value in control.options if value != control.value]
            value = values[rng.integers(len(values))]
            start = time.perf_counter()
            control.value = value
            milliseconds[name].append(1000 * (time.perf_counter() - start))
            assert text.value
    return milliseconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--moves", type=int, default=200, help="of each control")
    arguments = parser.parse_args()
    space = get_space("fmnist")
    milliseconds = moves(Explorer(space, TrainedSupernet(space).predictor), arguments.moves)
    rows = [
        {
            "control": name,
            "median_ms": float(np.median(ms)),
            "p95_ms": float(np.percentile(ms, 95)),
            "worst_ms": max(ms),
        }
        for name, ms in milliseconds.items()
    ]
    report = {
        "benchmark": "explorer_latency",
        "date": date.today().isoformat(),
        "machine": machine(),
        "supernet": "fmnist",
        "moves": arguments.moves,
        "aim_ms": 150,
        "rows": rows,
    }
    print(json.dumps(report))


def text(report: dict) -> str:
    rows = [
        (row["control"], *(f"{row[name]:.0f}" for name in ("median_ms", "p95_ms", "worst_ms")))
        for row in report["rows"]
    ]
    return (
        f"**From a move of the explorer's controls to the new picture** (`explorer_latency.py`; in"
        f" the kernel, `{report['supernet']}`, {report['moves']} moves of each control to random"
        f" settings, milliseconds; the aim is {report['aim_ms']})\n\n"
        + page.table(("control", "median", "95 % within", "slowest"), rows)
    )


if __name__ == "__main__":
    main()
