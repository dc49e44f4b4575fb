"""A subnet for each of several devices at several budgets, evaluated and measured: a table.

What is predicted for a subnet stands beside what was measured, on images that neither predictor
nor search has seen.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from labkit.latency.devices import HOST
from labkit.latency.measured.measurement import measure_archs
from labkit.space import Arch
from labkit.specialize.choices import choose_subnet
from labkit.specialize.standard_error import standard_error
from labkit.specialize.targets import Request, Target, milliseconds, targets
from labkit.storage.atomic_write import write_atomic, write_json
from labkit.supernet.accuracy_files import AccuracyModel
from labkit.supernet.folder import TrainedSupernet

PERCENTILES = (10, 50, 90)  # of the latency of random archs: a tight, a middling and a loose budget


@dataclass(frozen=True)
class SubnetTable:
    """A row for each target: its subnet, what is predicted for it, and what was measured."""

    targets: Sequence[Target]
    rows: Sequence[dict]

    def to_json(self) -> list[dict]:
        return [
            {
                name: value.to_json() if isinstance(value, Arch) else value
                for name, value in row.items()
            }
            for row in self.rows
        ]

    def to_csv(self) -> str:
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        text = io.StringIO()
        writer = csv.DictWriter(text, columns, lineterminator="\n", restval="")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()

    def write(self, out: Path) -> None:
        """Write demo.csv and demo.json to the folder `out`."""
        content = self.to_csv()
        write_atomic(out / "demo.csv", lambda path: path.write_text(content, encoding="utf-8"))
        write_json(out / "demo.json", self.to_json())

    def text(self) -> str:
        """The table for a terminal."""
        lines = [
            f"{'device':<10} {'budget':>9} {'latency':>9} {'measured':>9} {'predicted':>9}"
            f" {'val':>7} {'test':>7} {'MACs':>6} {'params':>7} {'memory':>8}  subnet"
        ]
        for row in self.rows:
            # A board's table was measured there, though not this whole subnet.
            source = "by table" if row["latency is"].startswith("measured") else "simulated"
            measured = f"{row['measured_ms']:6.3f} ms" if "measured_ms" in row else source
            lines.append(
                f"{row['device']:<10} {row['budget_ms']:6.3g} ms"
                f" {milliseconds(row['latency_ms'], source):>6} ms"
                f" {measured:>9} {row['predicted_accuracy']:7.2f} % {row['val_accuracy']:5.2f} %"
                f" {row['test_accuracy']:5.2f} % {row['macs'] / 1e6:5.2f}M"
                f" {row['params'] / 1e3:6.0f}k {row['peak_memory_bytes'] / 1024:5.0f} KiB"
                f"  {row['arch']}"
            )
        val, test = (max(row[f"{split}_error"] for row in self.rows) for split in ("val", "test"))
        errors = f"up to {val:.2f} points on val and {test:.2f} on test"
        lines.append(f"One standard error of a measured accuracy is {errors}.")
        return "\n".join([*lines, *self._luck()])

    def _luck(self) -> list[str]:
        """How far different subnets lie below what was predicted for val when measured there."""
        by_arch = {
            row["arch"]: row["predicted_accuracy"] - row["val_accuracy"] for row in self.rows
        }
        points = np.array(list(by_arch.values()))
        if len(points) < 2:
            return []
        error = points.std(ddof=1) / np.sqrt(len(points))
        return [
            "",
            f"Measured on val they are {points.mean():.2f} points below what was predicted for it"
            f" (standard error {error:.2f}): the best of many predictions is one that is too high.",
        ]


def subnet_table(
    trained: TrainedSupernet, requests: Sequence[Request], *, seed: int = 0
) -> SubnetTable:
    """Choose a subnet for each request by evolution, and evaluate and measure it.

    Raises CheckpointError or DataError, before anything is measured, where there are no weights or
    images; InfeasibleBudget for a budget that no subnet meets.
    """
    supernet, dataset = trained.supernet, trained.dataset
    model = trained.predictor.on("val")
    table_targets = targets(model.space, requests, seed)
    rows = [predicted_row(target, model, seed) for target in table_targets]
    _add_accuracies(rows, supernet, dataset)
    _add_latencies(rows, trained)
    return SubnetTable(table_targets, rows)


def predicted_row(target: Target, model: AccuracyModel, seed: int) -> dict:
    """The subnet that evolution chooses for `target`, and what is predicted for it."""
    choice = choose_subnet(target, model, method="evolution", seed=seed)
    optimum = choose_subnet(target, model, method="exact")
    return {
        "device": target.name,
        "latency is": target.costs.device.label,
        "percentile": target.percentile,
        "budget_ms": target.budget_ms,
        "arch": choice.arch,
        "predicted_accuracy": choice.predicted_accuracy,
        "gap_to_optimum": optimum.predicted_accuracy - choice.predicted_accuracy,
        **target.costs.of(choice.arch),
    }


def _add_accuracies(rows: Sequence[dict], supernet, dataset) -> None:
    """Accuracies with their standard errors; a subnet is recalibrated once, for val and test."""
    from labkit.supernet.evaluation import Evaluator

    val, test = (Evaluator(supernet, dataset, split) for split in ("val", "test"))
    for row in tqdm(rows, desc="evaluating subnets", unit="subnet"):
        arch, stats = row["arch"], val.recalibrate(row["arch"])
        for evaluator, split in ((val, "val"), (test, "test")):
            accuracy = evaluator.accuracy(arch, stats)
            row[f"{split}_accuracy"] = accuracy
            row[f"{split}_error"] = standard_error(accuracy, len(evaluator.labels))


def _add_latencies(rows: Sequence[dict], trained: TrainedSupernet) -> None:
    """On this machine whole subnets are measured; elsewhere the table's sum is all there is."""
    host_rows = [row for row in rows if row["device"] == HOST]
    if host_rows:
        timings = measure_archs(trained.space, [row["arch"] for row in host_rows])
        for row, timing in zip(host_rows, timings):
            row["measured_ms"] = timing.median_ms
