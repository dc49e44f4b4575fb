"""How exact is a lookup table on this machine? `python benchmarks/latency_error.py [--space
ofa-mbv3 --resolution 224]`

First the table is measured as `labkit lut measure` does, against the clock. Then its blocks, its 20
calibration subnets and 60 held-out subnets are measured in turns: all of them see the same machine,
so that what is left is the error of the table and not the drift between two measurements. Both
tables are judged on the held-out subnets, end to end. Run it on an idle machine: its state goes
into the report.

Writes benchmarks/results/latency_error-SPACE.json and its section of benchmarks/LATENCY.md; with
--page the page is written again from that file and nothing is measured.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import page
from tqdm import tqdm

from labkit.comparison.prediction_error import prediction_error
from labkit.latency.measured.lookup_table import build_table
from labkit.latency.measured.measurement import CALIBRATION_SUBNETS, measure
from labkit.latency.measured.runtimes import Runtime, get_runtime
from labkit.space import Arch, SearchSpace
from labkit.space.presets import get_space
from labkit.storage.provenance import code_revision

TITLE = "Latency: how accurate tables and predictors are"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", default="fmnist")
    parser.add_argument(
        "--resolution", type=int, help="only this resolution, such as 224 for ofa-mbv3"
    )
    parser.add_argument("--runtime", choices=("onnxruntime", "torch"), default="onnxruntime")
    parser.add_argument("--held-out", type=int, default=60, help="held-out subnets (default: 60)")
    parser.add_argument(
        "--thread-time",
        action="store_true",
        help=(
            "CPU time of the thread instead of wall time: on a busy machine, to see the model's"
            " error"
        ),
    )
    parser.add_argument("--page", action="store_true", help="only write the page again")
    arguments = parser.parse_args()
    space = get_space(arguments.space)
    if arguments.resolution:
        space = replace(space, resolutions=(arguments.resolution,))
    name = f"latency_error-{arguments.space}" + (
        "" if arguments.runtime == "onnxruntime" else "-torch"
    )
    path = page.FOLDER / "results" / f"{name}.json"
    if not arguments.page:
        clock = time.thread_time if arguments.thread_time else time.perf_counter
        page.save(path, run(space, get_runtime(arguments.runtime), arguments.held_out, clock))
    report = json.loads(path.read_text())
    page.put(page.FOLDER / "LATENCY.md", name, text(report), TITLE)
    print(text(report))


def run(space: SearchSpace, runtime: Runtime, held_out: int, clock: Callable[[], float]) -> dict:
    """Measure and judge."""
    alone = timed(space, runtime, CALIBRATION_SUBNETS, "table", clock)
    together = timed(
        space, runtime, CALIBRATION_SUBNETS + held_out, "table and held-out subnets", clock
    )
    subnets = together["subnets"]
    genes = space.encode(
        [Arch.from_json(subnet["arch"]) for subnet in subnets[CALIBRATION_SUBNETS:]]
    )
    milliseconds = np.array([subnet["median_ms"] for subnet in subnets[CALIBRATION_SUBNETS:]])
    table = build_table({**together, "subnets": subnets[:CALIBRATION_SUBNETS]}, space)
    before = build_table(alone, space)
    judged = [
        ("measured before, calibrated", before.table),
        ("measured before, uncalibrated", before.uncalibrated),
        ("in turns, calibrated", table.table),
        ("in turns, uncalibrated", table.uncalibrated),
    ]
    return {
        "space": space.name,
        "resolutions": space.resolutions,
        "revision": code_revision(),
        "made": alone["made"],
        "clock": clock.__name__,
        "blocks": len(alone["pieces"]),
        "seconds": alone["made"]["seconds"],
        "drifted": [len(value["drifted"]) for value in (alone, together)],
        "anchor_ms": [float(np.median(value["anchor_ms"])) for value in (alone, together)],
        "calibration": before.calibration._asdict(),
        "held_out": held_out,
        "held_out_ms": [float(milliseconds.min()), float(milliseconds.max())],
        "rows": [
            prediction_error(name, CALIBRATION_SUBNETS, table, genes, milliseconds)._asdict()
            for name, table in judged
        ],
    }


def timed(
    space: SearchSpace, runtime: Runtime, subnets: int, title: str, clock: Callable[[], float]
) -> dict:
    with tqdm(total=100, unit="%", desc=title) as bar:
        return measure(
            space,
            runtime,
            subnets=subnets,
            clock=clock,
            progress=lambda share: bar.update(round(100 * share) - bar.n),
        )


def text(report: dict) -> str:
    """The section of the page."""
    sides = ", ".join(map(str, report["resolutions"]))
    low, high = report["held_out_ms"]
    moved = report["anchor_ms"][1] / report["anchor_ms"][0] - 1
    rows = [
        (
            row["method"],
            f"{100 * row['mean_error']:.2f} %",
            f"{100 * row['max_error']:.2f} %",
            f"{row['spearman']:.4f}",
        )
        for row in report["rows"]
    ]
    return "\n".join(
        [
            f"## Lookup table of `{report['space']}` at {sides} px, {report['made']['runtime']}",
            "",
            (
                f"{report['blocks']} blocks and {CALIBRATION_SUBNETS} whole subnets measured in"
                f" {report['seconds']:.0f} s; judged on {report['held_out']} held-out subnets of"
                f" {low:.3g} to {high:.3g} ms, measured end to end (`latency_error.py`, revision"
                f" {report['revision']})."
            ),
            "",
            page.table(("table", "mean error", "largest error", "Spearman"), rows),
            "",
            f"{page.machine(report['made'])}. The anchor moved by {100 * moved:+.1f} % between the"
            f" two measurements; {report['drifted'][0]} and {report['drifted'][1]} models were"
            " timed while it moved"
            + (
                "."
                if report["clock"] == "perf_counter"
                else f". Clock: {report['clock']}, not wall time."
            ),
        ]
    )


if __name__ == "__main__":
    main()
