"""What training on brings to a subnet that a search found.

    python benchmarks/fine_tuning.py [--supernet fmnist] [--epochs 1 5 20] [--out runs/fine-tuning]

Three subnets, the predictor's exact optima of a small, a middle and a large number of MACs, begin
with the weights that they have in the supernet and train alone (`labkit train --recipe alone
--initial SUPERNET --arch A`), with the supernet's images, augmentation and averaging. Each number
of epochs is a run with a schedule of its own. The peak learning rate is chosen for each subnet by
val-search on the runs of the middle number of epochs; the accuracies are those on test.

It may be killed at any moment and goes on when started again with the same options. Runs on one
thread. The last line printed is the report as one JSON object.
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path

import numpy as np
import page
from answers import InheritedAnswers, paired, right_answers, show
from training_runs import alone, finished, one_thread

from labkit.accounting.search_cost import ONCE_FOR_ALL, published
from labkit.runtime.machine import machine
from labkit.search import Budget, best
from labkit.space import Arch
from labkit.storage.provenance import code_revision
from labkit.supernet.folder import TrainedSupernet, load
from labkit.tables.costs import macs_table
from labkit.train import TrainConfig

SIZES = ("small", "middle", "large")


def searched_archs(trained: TrainedSupernet) -> dict[str, Arch]:
    """The exact optima under the MACs in the middle of three equal parts of their log range."""
    space, predict = trained.space, trained.predictor.predict
    macs = macs_table(space)
    low, high = macs(space.encode([space.smallest(), space.largest()]))
    limits = low * (high / low) ** (np.array([1, 3, 5]) / 6)
    optima = (best(space, predict, [Budget(macs, float(limit), "MACs")]) for limit in limits)
    return {size: optimum.arch for size, optimum in zip(SIZES, optima)}


class Study:
    """The three subnets and their runs."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.out = options, options.out
        self.trained = load(options.supernet)
        self.archs = searched_archs(self.trained)
        self.inherited = InheritedAnswers(self.trained, ["test"], self.out / "inherited")

    def config(self, size: str, epochs: int, rate: float) -> TrainConfig:
        options = ("seed", "precision", "steps_per_epoch")
        return alone(
            self.trained,
            self.archs[size],
            initial=str(self.trained.weights_path),
            epochs=epochs,
            learning_rate=rate,
            **{name: getattr(self.options, name) for name in options},
        )

    def answers(self, size: str, epochs: int, rate: float, split: str) -> tuple[np.ndarray, float]:
        """Which images of the split are named rightly after a run, and its core-hours."""
        folder = self.out / f"{self.trained.name}-{size}-{epochs}-{rate:g}"
        net, record = finished(self.config(size, epochs, rate), folder)
        right = right_answers(net, self.archs[size], self.trained.dataset, split)
        return right, record["cpu_hours"]

    def rate(self, size: str) -> float:
        """The learning rate that ends best on val-search."""
        rates, epochs = self.options.rates, sorted(self.options.epochs)
        if len(rates) == 1:
            return rates[0]
        pilot = epochs[len(epochs) // 2]
        return max(rates, key=lambda rate: self.answers(size, pilot, rate, "val-search")[0].mean())

    def row(self, size: str) -> dict:
        arch, rate = self.archs[size], self.rate(size)
        inherited, runs = self.inherited(arch), {}
        for epochs in sorted(self.options.epochs):
            right, hours = self.answers(size, epochs, rate, "test")
            runs[str(epochs)] = {
                "accuracy": 100 * float(right.mean()),
                "gain": paired(right, inherited),
                "cpu_hours": hours,
            }
        return {
            "size": size,
            "arch": arch.to_json(),
            "macs": int(macs_table(self.trained.space)(self.trained.space.encode([arch]))[0]),
            "learning_rate": rate,
            "inherited": 100 * float(inherited.mean()),
            "runs": runs,
        }


def text(report: dict) -> str:
    epochs = list(report["rows"][0]["runs"])
    rows = [
        (
            f"{row['macs'] / 1e6:.2f}M",
            f"{row['inherited']:.2f}",
            *(show(run["gain"]) for run in row["runs"].values()),
            f"{row['learning_rate']:g}",
            f"{row['runs'][epochs[-1]]['cpu_hours']:.2f}",
        )
        for row in report["rows"]
    ]
    top1 = {method.name: method.top1_percent for method in published()}
    plain, tuned = top1[ONCE_FOR_ALL], [top1[f"OFA, fine-tuned {n} epochs"] for n in (25, 75)]
    return (
        f"**What fine-tuning brings** (`fine_tuning.py`; three subnets of `{report['supernet']}`"
        " that exact search found, trained on alone from the weights that they have in the"
        " supernet, a schedule for each number of epochs; test accuracy, ± is one standard error of"
        " the difference on the same images)\n\n"
        + page.table(
            (
                "MACs",
                "cut out of the supernet, %",
                *(f"points after {n} epoch{'s' * (n != '1')}" for n in epochs),
                "learning rate",
                f"core-hours of {epochs[-1]} epochs",
            ),
            rows,
        )
        + f"\n\nOFA's subnet of 230M MACs gained {tuned[0] - plain:.1f} points on ImageNet in 25"
        f" epochs and {tuned[1] - plain:.1f} in 75 ({plain}, {tuned[0]} and {tuned[1]} %;"
        " arXiv 1908.09791, table 1)."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--supernet", default="fmnist", help="name or folder")
    parser.add_argument("--epochs", type=int, nargs="+", default=[1, 5, 20])
    parser.add_argument("--rates", type=float, nargs="+", default=[0.01, 0.03, 0.1])
    parser.add_argument("--steps-per-epoch", type=int, help="shorten epochs: to see that it runs")
    parser.add_argument("--precision", default="float32", help="of the arithmetic of training")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("runs/fine-tuning"))
    options = parser.parse_args()
    one_thread()
    study = Study(options)
    rows = []
    for size in SIZES:
        rows.append(study.row(size))
        gains = (f"{n} epochs {show(run['gain'])}" for n, run in rows[-1]["runs"].items())
        print(f"{rows[-1]['macs']:,} MACs: {', '.join(gains)}", flush=True)
    print(
        json.dumps(
            {
                "benchmark": "fine_tuning",
                "date": date.today().isoformat(),
                "revision": code_revision(),
                "machine": machine(),
                "supernet": study.trained.name,
                "weights_sha256": study.inherited.weights_sha256,
                "rows": rows,
            }
        )
    )


if __name__ == "__main__":
    main()
