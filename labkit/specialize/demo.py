"""The main job, end to end: from the pretrained supernet to a subnet for each device and budget.

Writes the table (CSV and JSON) and a picture of the Pareto fronts.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from labkit.course.pictures.fronts import device_fronts
from labkit.course.pictures.style import save_figure
from labkit.data import datasets as data
from labkit.latency.devices import HOST, get_device
from labkit.latency.measured.measurement import measure_archs
from labkit.search import front
from labkit.space import Arch, SearchSpace
from labkit.specialize.device_search import AccuracyModel, Costs, accuracy_model, search
from labkit.storage.atomic_write import write_atomic
from labkit.supernet import weights_file as pretrained
from labkit.supernet.artifacts import supernet_path
from labkit.supernet.evaluation import Evaluator
from labkit.supernet.supernet import Supernet

DEVICES = (HOST, "pi4", "stm32h743", "mcu-64k")
PERCENTILES = (10, 50, 90)  # of the latency of random archs: a tight, a middling and a loose budget
RANDOM_ARCHS = 10_000


def choose(space: SearchSpace, model: AccuracyModel, costs: Costs, seed: int) -> list[dict]:
    """One row for each budget: the subnet that evolution finds, and what is predicted of it."""
    random_latency = costs.latency_ms(space.sample(np.random.default_rng(seed), RANDOM_ARCHS))
    rows = []
    for percentile in PERCENTILES:
        budget = float(np.percentile(random_latency, percentile))
        budgets = costs.budgets(latency_ms=budget)
        found = search(space, model.predict, budgets, seed=seed)
        optimum = search(space, model.predict, budgets, method="exact")
        rows.append(
            {
                "device": costs.device.name,
                "latency is": costs.device.label,
                "percentile": percentile,
                "budget_ms": budget,
                "arch": found.arch,
                "predicted_accuracy": found.accuracy,
                "gap_to_optimum": optimum.accuracy - found.accuracy,
                **costs.of(found.arch),
            }
        )
    return rows


def judge(rows: Sequence[dict], supernet: Supernet, dataset: data.DataSet) -> None:
    """Add measured accuracies: each subnet recalibrated once, then run on val and on test."""
    val, test = (Evaluator(supernet, dataset, split) for split in ("val", "test"))
    for row in tqdm(rows, desc="evaluating subnets", unit="subnet"):
        stats = val.recalibrate(row["arch"])
        row["val_accuracy"], row["test_accuracy"] = (
            val.accuracy(row["arch"], stats),
            test.accuracy(row["arch"], stats),
        )


def demo(
    space: SearchSpace, out: Path, devices: Sequence[str] = DEVICES, seed: int = 0
) -> list[dict]:
    """Run the demo, write `out`/demo.csv, demo.json and pareto.png, and return the table's rows."""
    chosen = [
        get_device(name) for name in devices
    ]  # what is wrong with names, folder or data shows before any work
    out.mkdir(parents=True, exist_ok=True)
    supernet, record = pretrained.load(supernet_path(space.name))
    dataset = data.load(pretrained.dataset_of(supernet_path(space.name), record))
    model = accuracy_model(space)
    all_costs = [Costs(space, device) for device in chosen]
    rows = [row for costs in all_costs for row in choose(space, model, costs, seed)]
    judge(rows, supernet, dataset)
    ours = [row for row in rows if row["device"] == HOST]
    for row, timing in zip(
        ours, measure_archs(space, [row["arch"] for row in ours]) if ours else ()
    ):
        row["measured_ms"] = timing.median_ms

    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, lineterminator="\n", restval="")
    writer.writeheader()
    writer.writerows(rows)
    as_json = [
        {name: value.to_json() if isinstance(value, Arch) else value for name, value in row.items()}
        for row in rows
    ]
    write_atomic(out / "demo.csv", lambda path: path.write_text(table.getvalue(), encoding="utf-8"))
    write_atomic(
        out / "demo.json", lambda path: path.write_text(json.dumps(as_json, indent=1) + "\n")
    )
    fronts = [
        front(space, model.predict, costs.latency_ms, costs.budgets(), progress=True)
        for costs in all_costs
    ]
    save_figure(device_fronts(all_costs, fronts, rows), out / "pareto.png")
    return rows


def as_text(rows: Sequence[dict]) -> str:
    """The table for a terminal."""
    lines = [
        f"{'device':<10} {'budget':>9} {'latency':>9} {'measured':>9} {'predicted':>9} {'val':>7}"
        f" {'test':>7} {'MACs':>6} {'params':>7} {'memory':>8}  subnet"
    ]
    for row in rows:
        by_table = row["latency is"].startswith("measured")  # a board's table was measured there
        how = "by table" if by_table else "simulated"
        measured = f"{row['measured_ms']:6.3f} ms" if "measured_ms" in row else how
        lines.append(
            f"{row['device']:<10} {row['budget_ms']:6.3g} ms {row['latency_ms']:6.3g} ms"
            f" {measured:>9} {row['predicted_accuracy']:7.2f} % {row['val_accuracy']:5.2f} %"
            f" {row['test_accuracy']:5.2f} % {row['macs'] / 1e6:5.2f}M {row['params'] / 1e3:6.0f}k"
            f" {row['peak_memory_bytes'] / 1024:5.0f} KiB  {row['arch']}"
        )
    return "\n".join(lines)
