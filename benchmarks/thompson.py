"""What does measuring bring a search? Thompson sampling against searches that measure as often.

    python benchmarks/thompson.py [--runs 20] [--supernet fmnist --budgets 3]
        [--measurements 30] [--device host] [--methods ...] [--out runs/thompson]
        [--add-to FILE]

Where the truth is known: in a space of 63,504 archs, a range of 220 in MACs, whose accuracies are
tabulated functions, 200 random archs have been measured, each with the binomial error of 5,000
images of its own. Within a limit on MACs, every method may measure 30 archs more; what it reports
is the one that measured best, of these and of the 200. Its regret is how far the true accuracy of
that arch lies below the best of all archs within the limit, which brute force finds. The truths:

    adds up                    over the stages, as the predictor takes it to
    saturates                  with log MACs, which does not add up, and has a rough part that does
    saturates and scatters     the same, and 0.015 of log error that every arch has for itself

The methods: Thompson sampling; exact search with the predictor alone (it measures nothing); random
archs; evolution on measured accuracies, with a population of 10, from random archs.

With --supernet, the same methods measure subnets on val-search at latency budgets spread over the
front's range, and what they report is compared on the images of val and test together, which chose
nothing. Known to all are the predictor's pairs within the budget. They are hundreds, so that no
further random archs are measured: that method reports the best of them.
With --add-to, an earlier report's supernets that are not measured now are part of the report. The
last line printed is the report as one JSON object.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
from answers import InheritedAnswers, paired, show
from matplotlib.figure import Figure
from page import merged, table
from tqdm.auto import tqdm

from labkit.course.pictures.style import BLUE, GRAY, GREEN, ORANGE
from labkit.latency.devices import get_device
from labkit.runtime.machine import machine
from labkit.search import Budget, best, evolve, front, random_search
from labkit.space import SearchSpace, Stage
from labkit.specialize.device_costs import DeviceCosts
from labkit.specialize.subnet_search import search_subnet
from labkit.specialize.thompson import Measure, MeasuredAccuracies, thompson_search
from labkit.storage.provenance import code_revision
from labkit.supernet.folder import load
from labkit.tables.accuracy_link import accuracy_of
from labkit.tables.accuracy_predictor import AccuracyPosterior, fit_posterior
from labkit.tables.costs import macs_table
from labkit.tables.synthetic_accuracy import synthetic_accuracy

SPACE = SearchSpace(
    name="tabulated",
    resolutions=(12, 20, 28),
    widths=(0.25, 0.5, 1.0),
    divisor=4,
    in_channels=1,
    num_classes=10,
    stem_width=8,
    stages=tuple(Stage(width, 2, (1, 2, 3), kernels=(3, 5), expands=(2, 4)) for width in (16, 32)),
)
PAIRS, IMAGES, QUANTILE, POPULATION = 200, 5000, 0.3, 10
TRUTHS = ("adds up", "saturates", "saturates and scatters")
THOMPSON, EXACT, RANDOM, EVOLUTION = METHODS = (
    "Thompson sampling",
    "predictor alone",
    "random archs",
    "evolution",
)


class Spent(Exception):
    """A search asked for more measurements than it may make."""


class Tally:
    """An accuracy function that measures each arch once, and no more than `most` archs."""

    def __init__(self, measure: Measure, most: int) -> None:
        self._measure, self._most, self._values = measure, most, {}

    def __call__(self, genes: np.ndarray) -> np.ndarray:  # (N, G) -> (N,)
        return np.array([self._once(row) for row in genes])

    def _once(self, row: np.ndarray) -> float:
        key = row.astype(np.int8).tobytes()
        if key not in self._values:
            if len(self._values) == self._most:
                raise Spent
            self._values[key] = self._measure(np.frombuffer(key, np.int8))
        return self._values[key]

    @property
    def measured(self) -> np.ndarray:  # (N, G)
        """The archs in the order in which they were measured."""
        return np.array([np.frombuffer(key, np.int8) for key in self._values])


def searched(
    method: str,
    prior: AccuracyPosterior,
    measure: Measure,
    budgets: Sequence[Budget],
    measurements: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """(N, G) the archs that a method that measures has measured."""
    space, tally = prior.space, Tally(measure, measurements)
    try:
        if method == THOMPSON:
            options = {"measurements": measurements, "rng": rng}
            thompson_search(prior, lambda genes: tally(genes[None])[0], budgets, **options)
        elif method == RANDOM:
            random_search(space, tally, budgets, rng=rng, evaluations=measurements)
        else:
            evolve(space, tally, budgets, rng=rng, population=POPULATION, generations=measurements)
    except Spent:
        pass
    return tally.measured


def truth(kind: str, seed: int, genes: np.ndarray) -> np.ndarray:
    """(N,) true accuracies of all archs, in percent."""
    rough = synthetic_accuracy(SPACE, "rough", seed)(genes)
    rough = (rough - rough.mean()) / rough.std()
    if kind == "adds up":
        return accuracy_of(-2.3 + 0.25 * rough)
    size = np.log(macs_table(SPACE)(genes))
    size = (size - size.min()) / np.ptp(size)
    link = -2.6 + 1.1 * size * (1 - 0.25 * size) + 0.08 * rough
    if kind == "saturates and scatters":
        link += 0.015 * np.random.default_rng(seed).standard_normal(len(genes))
    return accuracy_of(link)


def regrets(kind: str, runs: int, measurements: int) -> dict[str, list]:
    """For each method (runs, measurements): points of true accuracy below the best, of the arch
    that measured best among the first so many.
    """
    genes = SPACE.encode(list(SPACE.enumerate()))
    index = {row.tobytes(): i for i, row in enumerate(genes)}
    macs = macs_table(SPACE)
    budget = Budget(macs, float(np.quantile(macs(genes), QUANTILE)), "MACs")
    within = macs(genes) <= budget.limit
    rows = {method: [] for method in METHODS}
    for seed in tqdm(range(runs), desc=kind, unit="run"):
        values, rng = truth(kind, seed, genes), np.random.default_rng(seed)
        counted = 100 * rng.binomial(IMAGES, values / 100) / IMAGES
        pairs = rng.choice(len(genes), PAIRS, replace=False)
        prior = fit_posterior(SPACE, genes[pairs], counted[pairs], rng=rng, images=IMAGES)
        optimum = values[within].max()

        known = pairs[within[pairs]]
        best_known = known[np.argmax(counted[known])]

        def measure(row: np.ndarray, counted=counted) -> float:
            return counted[index[row.tobytes()]]

        for method in METHODS:
            if method == EXACT:
                archs = np.repeat(best(SPACE, prior.mean, [budget]).genes[None], measurements, 0)
            else:
                archs = searched(method, prior, measure, [budget], measurements, rng)
            order = [index[row.tobytes()] for row in archs]
            if method != EXACT:
                order = [best_known, *order]
            leaders = [order[int(np.argmax(counted[order[: n + 1]]))] for n in range(len(order))]
            leaders = leaders[len(order) - len(archs) :]  # after each measurement
            leaders += leaders[-1:] * (measurements - len(leaders))
            rows[method].append((optimum - values[leaders]).tolist())
    return rows


def known_truths(runs: int, measurements: int) -> list[dict]:
    """Mean regret after each measurement and its standard error at the end, for each truth."""
    studies = []
    for kind in TRUTHS:
        curves = {name: np.array(rows) for name, rows in regrets(kind, runs, measurements).items()}
        methods = {
            method: {
                "regret": values.mean(0).tolist(),
                "standard_error": float(values[:, -1].std(ddof=1) / np.sqrt(runs)),
            }
            for method, values in curves.items()
        }
        ratio = curves[THOMPSON][:, -1].mean() / curves[RANDOM][:, -1].mean()
        studies.append({"truth": kind, "methods": methods, "ratio_to_random": float(ratio)})
    return studies


def known_within(genes: np.ndarray, budgets: Sequence[Budget]) -> np.ndarray:
    """(M, G) those of the archs (N, G) that meet all budgets."""
    return genes[np.all([budget.cost(genes) <= budget.limit for budget in budgets], axis=0)]


def on_supernet(name: str, options: argparse.Namespace) -> dict:
    """What each method reports at some budgets, on the images of val and test."""
    trained, device = load(name), get_device(options.device)
    space, prior = trained.space, trained.posterior
    costs, answers = DeviceCosts(space, device), InheritedAnswers(trained, SPLITS, options.out)
    predict, measured = trained.predictor.predict, MeasuredAccuracies(trained)
    genes, accuracy, _, _ = trained.pairs
    in_pairs = {row.tobytes(): value for row, value in zip(genes, accuracy)}
    latency = front(space, predict, costs.latency_ms, costs.budgets()).cost
    shares = (np.arange(options.budgets) + 0.5) / options.budgets
    rows, right = [], {method: [] for method in options.methods}

    def measure(row: np.ndarray) -> float:
        known = in_pairs.get(row.tobytes())
        return measured(row) if known is None else known

    for limit in tqdm(latency[0] * (latency[-1] / latency[0]) ** shares, desc=name, unit="budget"):
        budgets, methods = costs.budgets(latency_ms=float(limit)), {}
        known = known_within(trained.pairs.genes, budgets)
        for method in options.methods:
            if method == EXACT:
                genes = search_subnet(space, predict, budgets, method="exact").genes
                on_search = measure(genes)
            else:
                archs = known
                if method != RANDOM:
                    rng = np.random.default_rng(0)
                    more = searched(method, prior, measure, budgets, options.measurements, rng)
                    archs = np.concatenate([known, more])
                # Measured once more, because a search reports archs and this one their accuracy.
                accuracies = [measure(row) for row in archs]
                genes, on_search = archs[np.argmax(accuracies)], max(accuracies)
            arch = space.decode(genes[None])[0]
            correct = answers(arch)
            right[method].append(correct)
            methods[method] = {
                "arch": arch.to_json(),
                "val_search": on_search,
                "accuracy": 100 * float(correct.mean()),
            }
        rows.append({"budget_ms": float(limit), "known": len(known), "methods": methods})
    means = {method: np.mean(values, axis=0) for method, values in right.items()}
    return {
        "supernet": name,
        "device": device.name,
        "weights_sha256": answers.weights_sha256,
        "measurements": options.measurements,
        "images": answers.images,
        "rows": rows,
        "mean": {method: 100 * float(values.mean()) for method, values in means.items()},
        "thompson_over": {
            method: paired(means[THOMPSON], means[method])
            for method in options.methods
            if method != THOMPSON
        },
    }


SPLITS = ("val", "test")


def text(report: dict) -> str:
    last = report["measurements"]
    counts = [n for n in (1, 3, 10, 30, 100) if n < last] + [last]
    rows = [
        (
            study["truth"],
            method,
            *(f"{values['regret'][n - 1]:.2f}" for n in counts[:-1]),
            f"{values['regret'][last - 1]:.2f} ± {values['standard_error']:.2f}",
        )
        for study in report["known"]
        for method, values in study["methods"].items()
    ]
    ratios = ", ".join(f"{study['ratio_to_random']:.2f}" for study in report["known"])
    paragraphs = [
        "**A search that measures** (`thompson.py`; regret in points of true accuracy, the mean of"
        f" {report['runs']} runs, ± one standard error, after that many measurements on 5,000"
        f" images; brute force over the {SPACE.size():,} archs of a space of"
        f" {len(SPACE.global_choices)} resolutions and widths; {PAIRS} random archs are known"
        " beforehand, and a search that measures reports the best of them and of its own)\n\n"
        + table(("truth", "method", *(f"after {n}" for n in counts)), rows),
        f"After {last} measurements, Thompson sampling's regret is {ratios} times that of measuring"
        f" {last} more random archs.",
    ]
    for study in report["supernets"]:
        methods = list(study["mean"])
        rows = [
            (
                f"{row['budget_ms']:.3g}",
                row["known"],
                *(
                    f"{row['methods'][m]['val_search']:.2f}, {row['methods'][m]['accuracy']:.2f}"
                    for m in methods
                ),
            )
            for row in study["rows"]
        ]
        gains = ["", "", *(show(study["thompson_over"][method]) for method in methods[1:])]
        means = [f"{study['mean'][method]:.2f}" for method in methods]
        rows += [("mean", "", *means), ("Thompson over", *gains)]
        titles = ["best of the known" if method == RANDOM else method for method in methods]
        paragraphs.append(
            f"`{study['supernet']}` on `{study['device']}`, {study['measurements']} measurements:"
            " accuracy on val-search, where it was chosen, and on the"
            f" {study['images']:,} images of val and test; differences there, ± one standard error"
            " on the same images\n\n" + table(("budget, ms", "archs known", *titles), rows)
        )
    return "\n\n".join(paragraphs)


def figure(report: dict) -> Figure:
    """Regret over the number of measurements, a panel for each truth."""
    drawing = Figure(figsize=(10.5, 3.4), layout="constrained")
    panels = drawing.subplots(1, len(report["known"]), sharey=True)
    for panel, study in zip(panels, report["known"]):
        for (method, values), color in zip(study["methods"].items(), (BLUE, GRAY, ORANGE, GREEN)):
            measured = 1 + np.arange(len(values["regret"]))
            style = "--" if method == EXACT else "-"
            panel.plot(measured, values["regret"], style, color=color, label=method)
        panel.set(title=f"accuracy {study['truth']}", xlabel="archs measured", xscale="log")
        panel.set_xticks((1, 3, 10, 30), ("1", "3", "10", "30"))
        panel.minorticks_off()
        panel.grid(alpha=0.25)
        panel.set_ylim(bottom=0)
    panels[0].set_ylabel("regret, points")
    panels[0].legend(fontsize=8)
    return drawing


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=20, help="on each truth")
    parser.add_argument("--measurements", type=int, default=30)
    parser.add_argument("--supernet", nargs="*", default=[])
    parser.add_argument("--device", default="host")
    parser.add_argument("--budgets", type=int, default=3)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--out", type=Path, default=Path("runs/thompson"))
    parser.add_argument("--add-to", type=Path, metavar="FILE", help="an earlier report")
    options = parser.parse_args()
    measured = [on_supernet(name, options) for name in options.supernet]
    report = {
        "benchmark": "thompson",
        "date": date.today().isoformat(),
        "revision": code_revision(),
        "machine": machine(),
        "runs": options.runs,
        "measurements": options.measurements,
        "known": known_truths(options.runs, options.measurements),
        "supernets": merged(options.add_to, "supernets", measured, "supernet", "device"),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
