"""Is what a search finds better when it is measured, and than what?

    python benchmarks/measured_search.py [--supernet fmnist cifar10] [--device host stm32f746]
        [--budgets 8] [--seeds 3] [--random-archs 8]
        [--splits val test] [--add-to FILE]

Under budgets that are spread evenly over the exact front's range of log latency, the exact optimum
of the predictor stands against

    scaled by hand     one kernel, ratio and depth for all blocks, scaled in resolution and width
                       (`labkit.hand_scaled`); the member of most MACs that fits
    best of designs    such families of every kernel, ratio and depth; of their members, each the
                       one of most MACs that fits, the one that the predictor likes best
    random             random archs of 90 to 100 % of the budget's latency
    most MACs          of 1,000 random archs that fit, the one of most MACs
    random search      of 50,100 random archs that fit, the best by the predictor
    evolution          with the same predictor

All are judged on the images of --splits together, val and test if nothing else is said. That is
right here, because none of these archs was chosen on either: the predictor saw val-search alone.
(How the supernet was trained was decided on val; that moves all archs alike.) The networks compute
in float32 on every device.

Standard errors are of differences on the same images. Where several archs stand for a method, its
error takes in how much these differ. Accuracies are kept in --out, so that a killed run goes on.
With --add-to, an earlier report's studies of other supernets and devices are part of the report.
The last line printed is the report as one JSON object.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import date
from itertools import product
from pathlib import Path

import numpy as np
from answers import Gain, InheritedAnswers, mean_gain, show
from matplotlib.figure import Figure
from page import merged, table
from tqdm.auto import tqdm
from training_runs import one_thread

from labkit.comparison.hand_scaled import hand_scaled, largest_within
from labkit.course.pictures.style import BLUE, GRAY, ORANGE, log_axis
from labkit.latency.devices import get_device
from labkit.runtime.machine import machine
from labkit.search import front
from labkit.space import Arch, SearchSpace
from labkit.specialize.device_costs import DeviceCosts
from labkit.specialize.subnet_search import search_subnet
from labkit.specialize.targets import milliseconds
from labkit.storage.provenance import code_revision
from labkit.supernet.accuracy_files import UNSEARCHED
from labkit.supernet.folder import load

OPTIMUM = "exact optimum"
ALTERNATIVES = (
    "scaled by hand",
    "best of designs",
    "random",
    "most MACs",
    "random search",
    "evolution",
)
POOL = 200_000  # random archs of which those of a budget's latency are taken


class Study:
    """One supernet's archs on one device."""

    def __init__(self, name: str, device: str, options: argparse.Namespace) -> None:
        self.options, self.trained = options, load(name)
        self.space, self.predict = self.trained.space, self.trained.predictor.predict
        self.costs = DeviceCosts(self.space, get_device(device))
        self.answers = InheritedAnswers(self.trained, options.splits, options.out)
        self.family = self.fitting(hand_scaled(self.space))
        self.designs = [self.fitting(family) for family in designs(self.space)]
        self.pool = self.space.sample(np.random.default_rng(0), POOL)
        self.pool_ms = self.costs.latency_ms(self.pool)

    def fitting(self, archs: list[Arch]) -> list[Arch]:
        """Those that the device's memory holds."""
        return [arch for arch, fits in zip(archs, self.costs.fits(archs)) if fits]

    def limits_ms(self) -> np.ndarray:
        """The middles of equal parts of the front's range of log latency."""
        costs = self.costs
        latency = front(self.space, self.predict, costs.latency_ms, costs.budgets()).cost
        count = self.options.budgets
        return latency[0] * (latency[-1] / latency[0]) ** ((np.arange(count) + 0.5) / count)

    def neighbors(self, limit_ms: float) -> list[Arch]:
        """Some random archs that fit and take 90 to 100 % of a latency limit."""
        within = (self.pool_ms <= limit_ms) & (self.pool_ms >= 0.9 * limit_ms)
        return self.fitting(self.space.decode(self.pool[within][: 10 * self.options.random_archs]))

    def archs(self, limit_ms: float, neighbors: list[Arch]) -> dict[str, list[Arch]]:
        """The archs of each method under a latency limit; none where a method has none."""
        space, seeds = self.space, range(self.options.seeds)
        budgets = self.costs.budgets(latency_ms=limit_ms)

        def searched(accuracy, method: str, seed: int = 0, generations: int = 500) -> Arch:
            options = {"method": method, "seed": seed, "generations": generations}
            return search_subnet(space, accuracy, budgets, **options).arch

        def members(families: list[list[Arch]]) -> list[Arch]:
            chosen = (largest_within(space, family, budgets) for family in families if family)
            return [arch for arch in chosen if arch is not None]

        by_design = members(self.designs)
        return {
            OPTIMUM: [searched(self.predict, "exact")],
            "scaled by hand": members([self.family]),
            "best of designs": [self.likely_best(by_design)] if by_design else [],
            "random": neighbors[: self.options.random_archs],
            "most MACs": [searched(self.costs.macs, "random", seed, 9) for seed in seeds],
            "random search": [searched(self.predict, "random", seed) for seed in seeds],
            "evolution": [searched(self.predict, "evolution", seed) for seed in seeds],
        }

    def likely_best(self, archs: list[Arch]) -> Arch:
        return archs[int(self.predict(self.space.encode(archs)).argmax())]

    def report(self) -> dict:
        device = self.costs.device
        limits = self.limits_ms()
        rows, gains = [], {method: [] for method in ALTERNATIVES}
        for limit in tqdm(limits, desc=f"{self.trained.name} on {device.name}", unit="budget"):
            neighbors = self.neighbors(float(limit))
            archs = self.archs(float(limit), neighbors)
            right = {
                method: np.array([self.answers(arch) for arch in members])  # (archs, images)
                for method, members in archs.items()
                if members
            }
            optimum, methods = right[OPTIMUM][0], {}
            for method, correct in right.items():
                methods[method] = {
                    "accuracy": 100 * float(correct.mean()),
                    "archs": [arch.to_json() for arch in archs[method]],
                }
                if method != OPTIMUM:
                    gains[method].append(Gain.of(optimum, correct))
                    methods[method] |= mean_gain(gains[method][-1:])
            row = {"budget_ms": float(limit), "methods": methods}
            row["predicted"] = float(self.predict(self.space.encode(archs[OPTIMUM]))[0])
            if neighbors:
                row["spread"] = float(self.predict(self.space.encode(neighbors)).std())
            rows.append(row)
        return {
            "supernet": self.trained.name,
            "device": device.name,
            "latency_is": device.label,
            "weights_sha256": self.answers.weights_sha256,
            "splits": self.options.splits,
            "images": self.answers.images,
            "designs": len(self.designs),
            "seeds": self.options.seeds,
            "random_archs": self.options.random_archs,
            "rows": rows,
            "mean": {
                method: {**mean_gain(parts), "budgets": len(parts)}
                for method, parts in gains.items()
                if parts
            },
        }


def designs(space: SearchSpace) -> Iterator[list[Arch]]:
    """The family of every kernel size, expand ratio and depth that all stages can have."""

    def common(field: str) -> list[int]:
        choices = (set(getattr(stage, field)) for stage in space.stages)
        return sorted(set.intersection(*choices))

    for kernel, expand, depth in product(*map(common, ("kernels", "expands", "depths"))):
        yield hand_scaled(space, kernel, expand, depth)


def text(report: dict) -> str:
    paragraphs = [
        "**Measured, not only predicted** (`measured_search.py`; the predictor's exact optimum"
        " against the alternatives, on images that played no part in choosing any of these archs;"
        " budgets spread evenly over the front's range of log latency; differences in points, ± one"
        " standard error of the difference on the same images, which includes the choice of random"
        " archs)\n\n"
        "Scaled by hand is one design (kernel 3, middle ratio and depth) at the resolution and"
        " width with the most MACs that fit; best of designs lets the predictor choose among such"
        " families, one for each kernel, ratio and depth. Random is a typical random net with 90 to"
        " 100 % of the latency; most MACs is the largest of 1,000 random nets that fit. The spread"
        " is the standard deviation of what is predicted for random nets of that latency: where"
        " they hardly differ, at the smallest budgets of a microcontroller and at the largest ones,"
        " a search can gain little over them."
    ]
    for study in report["studies"]:
        rows = [
            (
                milliseconds(row["budget_ms"], study["latency_is"]),
                f"{row['methods'][OPTIMUM]['accuracy']:.2f}",
                *(
                    show(row["methods"][method]) if method in row["methods"] else "none fits"
                    for method in ALTERNATIVES
                ),
                f"{row['spread']:.2f}" if "spread" in row else "",
            )
            for row in study["rows"]
        ]
        optimum = np.mean([row["methods"][OPTIMUM]["accuracy"] for row in study["rows"]])
        mean = [study["mean"].get(method) for method in ALTERNATIVES]
        spread = np.mean([row["spread"] for row in study["rows"] if "spread" in row])
        rows.append(
            ("mean", f"{optimum:.2f}", *(show(m) if m else "" for m in mean), f"{spread:.2f}")
        )
        head = ("budget, ms", "exact optimum, %", *(f"over {name}" for name in ALTERNATIVES))
        head += ("spread of nets",)
        title = (
            f"`{study['supernet']}` on `{study['device']}` ({study['latency_is']};"
            f" {study['images']:,} images of {' and '.join(study['splits'])};"
            f" {study['random_archs']} random nets for each budget, {study['seeds']} seeds of what"
            " searches at random)"
        )
        paragraphs.append(f"{title}:\n\n{table(head, rows)}")
    return "\n\n".join(paragraphs)


def figure(report: dict) -> Figure:
    """Accuracy over the latency budget: searched, scaled by hand, and random, a panel a study."""
    columns = min(2, len(report["studies"]))
    rows = -(-len(report["studies"]) // columns)
    drawing = Figure(figsize=(4.8 * columns, 3.8 * rows), layout="constrained")
    panels = drawing.subplots(rows, columns, squeeze=False).ravel()
    styles = (
        (OPTIMUM, "searched", BLUE, "o"),
        ("scaled by hand", "scaled by hand", ORANGE, "D"),
        ("random", "a random net", GRAY, "s"),
    )
    for panel, study in zip(panels, report["studies"]):
        for method, name, color, marker in styles:
            rows = [row for row in study["rows"] if method in row["methods"]]
            values = [row["methods"][method] for row in rows]
            panel.errorbar(
                [row["budget_ms"] for row in rows],
                [value["accuracy"] for value in values],
                [2 * value.get("standard_error", 0) for value in values],
                color=color,
                marker=marker,
                lw=3 if method == OPTIMUM else 1.8,
                capsize=2,
                label=name,
            )
        limits = [row["budget_ms"] for row in study["rows"]]
        log_axis(panel, min(limits), max(limits))
        by_hand = study["mean"].get("scaled by hand")
        gain = f"{by_hand['points']:+.1f} points over scaling by hand" if by_hand else ""
        panel.set(
            title=f"{study['supernet']} on {study['device']}: {gain}",
            xlabel=f"latency budget, ms ({study['latency_is']})",
            ylabel="measured accuracy, %",
        )
        panel.title.set_fontsize(10)
    for panel in panels[len(report["studies"]) :]:
        panel.remove()
    panels[0].legend(
        loc="lower right",
        title="bars: two standard errors\nof the difference to searched",
        title_fontsize=8,
    )
    return drawing


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--supernet", nargs="+", default=["fmnist"])
    parser.add_argument("--device", nargs="+", default=["host", "stm32f746"])
    parser.add_argument("--budgets", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3, help="of the methods that draw at random")
    parser.add_argument("--random-archs", type=int, default=8, help="typical ones, for each budget")
    parser.add_argument("--splits", nargs="+", choices=UNSEARCHED, default=UNSEARCHED)
    parser.add_argument("--out", type=Path, default=Path("runs/measured-search"))
    parser.add_argument("--add-to", type=Path, metavar="FILE", help="an earlier report")
    options = parser.parse_args()
    one_thread()
    studies = []
    for name, device in product(options.supernet, options.device):
        studies.append(Study(name, device, options).report())
        for method, mean in studies[-1]["mean"].items():
            print(f"{name} on {device}: {show(mean)} points over {method}", flush=True)
    report = {
        "benchmark": "measured_search",
        "date": date.today().isoformat(),
        "revision": code_revision(),
        "machine": machine(),
        "studies": merged(options.add_to, "studies", studies, "supernet", "device"),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
