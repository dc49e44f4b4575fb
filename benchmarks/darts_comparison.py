"""Gradient-based search against what it has to beat, at equal cost.

    python benchmarks/darts_comparison.py cells   # a derived cell, 10 random ones of its size
    python benchmarks/darts_comparison.py space   # three searches in the supernet
    python benchmarks/darts_comparison.py all

Each finished piece stays in the output folder, so an interrupted run goes on where it stopped.
Accuracies are of `val`, which no search has seen. Run it on a machine that does nothing else: equal
cost is equal CPU time, and only an idle machine makes that comparable.

The report of each part goes to benchmarks/results/darts_PART.json and into DARTS.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

import numpy as np
import page
import torch
from tqdm.auto import tqdm

from labkit.accounting.records import add_record, records
from labkit.course.experiments.full_width import full_width
from labkit.darts import (
    CELL_SEARCH_CONFIGS,
    DERIVED_TRAINING_CONFIGS,
    DartsConfig,
    DerivedNetwork,
    DerivedTrainingConfig,
    Genotype,
    accuracy,
    random_genotype,
    search_cell,
    train_derived,
)
from labkit.darts.config import stack_arguments
from labkit.darts.genotype import CELL_INPUTS, Edge
from labkit.darts.operations import PRIMITIVES
from labkit.darts.supernet_search import GradientConfig, gradient_search
from labkit.data import datasets as data
from labkit.latency.measured.lookup_table import load_table
from labkit.runtime.machine import machine
from labkit.search import Budget, evolve, random_search
from labkit.space import SearchSpace
from labkit.space.presets import get_space
from labkit.specialize.standard_error import standard_error
from labkit.storage.atomic_write import write_atomic
from labkit.storage.provenance import code_revision, sha256
from labkit.supernet.evaluation import Evaluator
from labkit.supernet.folder import load
from labkit.tables.costs import AdditiveTable, macs_table

RANDOM_CELLS = 10
SIZE_TOLERANCE = 0.1  # of the derived network's parameters
# random cells looked at to find ten of that size; cells of a strong operation are seldom small
DRAWS = 200_000
BUDGETS = 5
POPULATION = 20  # evolution that measures accuracies cannot afford OFA's hundred
CHUNK = 5  # archs measured between two looks at the clock
VAL_IMAGES = 5000


def once(path: Path, options: dict, make: Callable[[], dict]) -> dict:
    """What `make` returns, kept in `path` with the options it was made with; made only if it is not
    there.
    """
    if not path.exists():
        text = json.dumps({"options": options, "result": make()}, indent=1)
        write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
    saved = json.loads(path.read_text(encoding="utf-8"))
    if saved["options"] != json.loads(json.dumps(options)):
        raise SystemExit(f"{path} was made with other options; remove it, or choose another --out")
    return saved["result"]


# ---- a derived cell against random cells ---------------------------------------------------------


def parameters(genotype: Genotype, config: DerivedTrainingConfig) -> int:
    arguments = stack_arguments(config, data.load(config.dataset))
    with torch.device("meta"):
        network = DerivedNetwork(genotype, **arguments)
    return sum(p.numel() for p in network.parameters())


def size_of_cells(
    nodes: int, edges_per_node: int, config: DerivedTrainingConfig
) -> Callable[[Genotype], int]:
    """Parameters of the network of a genotype, as a function that is quick enough for many
    thousands.

    They add up over edges: what an edge needs depends on its operation, its cell, and whether it
    reads one of the cell's two inputs, which a reduction cell halves.
    """
    plain = tuple(
        tuple(Edge("max_pool_3x3", state) for state in range(edges_per_node)) for _ in range(nodes)
    )
    nothing = parameters(Genotype(plain, plain), config)

    def alone(kind: str, operation: str, state: int) -> int:
        last = (
            Edge(operation, state),
            *[edge for edge in plain[-1] if edge.state != state][: edges_per_node - 1],
        )
        cell = (*plain[:-1], tuple(sorted(last, key=lambda edge: edge.state)))
        return (
            parameters(Genotype(**{"normal": plain, "reduce": plain, kind: cell}), config) - nothing
        )

    inside = range(
        CELL_INPUTS - 1, CELL_INPUTS + (nodes > 1)
    )  # a state that is an input, and one that is none
    needs = {
        (kind, operation, state >= CELL_INPUTS): alone(kind, operation, state)
        for kind in ("normal", "reduce")
        for operation in PRIMITIVES[1:]
        for state in inside
    }
    return lambda genotype: (
        nothing
        + sum(
            needs[kind, edge.operation, edge.state >= CELL_INPUTS]
            for kind in ("normal", "reduce")
            for node in getattr(genotype, kind)
            for edge in node
        )
    )


def random_cells_like(
    genotype: Genotype, config: DerivedTrainingConfig, edges_per_node: int
) -> list[Genotype]:
    """Random genotypes with about as many parameters as `genotype`: a larger one would not be a
    fair rival.
    """
    rng, cells = np.random.default_rng(config.seed), []
    count = size_of_cells(genotype.nodes, edges_per_node, config)
    size = count(genotype)
    for _ in tqdm(range(DRAWS), desc="random cells of that size", leave=False):
        cell = random_genotype(rng, genotype.nodes, edges_per_node)
        if abs(count(cell) / size - 1) <= SIZE_TOLERANCE:
            cells.append(cell)
            if len(cells) == RANDOM_CELLS:
                return cells
    raise SystemExit(
        f"only {len(cells)} of {DRAWS} random cells are within {SIZE_TOLERANCE:.0%} of the derived"
        f" cell's {size} parameters: {genotype}"
    )


def compare_cells(
    out: Path, search_config: DartsConfig, train_config: DerivedTrainingConfig
) -> dict:
    def judge(name: str, genotype: Genotype) -> dict:
        def train() -> dict:
            result = train_derived(genotype, train_config, out / name, resume=True)
            return {
                "name": name,
                "genotype": genotype.to_json(),
                "parameters": parameters(genotype, train_config),
                "skip_connections": genotype.count("skip_connect"),
                "accuracy": accuracy(result.network, data.load(train_config.dataset), "val"),
                "cpu_seconds": result.cpu_seconds,
                "wall_seconds": result.wall_seconds,
            }

        options = {"genotype": genotype.to_json(), "config": asdict(train_config)}
        return once(out / name / "result.json", options, train)

    cell_search = search_cell(search_config, out / "search", resume=True)
    derived = judge("derived", cell_search.genotype)
    rivals = [
        judge(f"random-{i}", genotype)
        for i, genotype in enumerate(
            random_cells_like(cell_search.genotype, train_config, search_config.edges_per_node)
        )
    ]
    accuracies = [rival["accuracy"] for rival in rivals]
    return {
        "search": {
            "config": asdict(search_config),
            "cpu_seconds": cell_search.cpu_seconds,
            "wall_seconds": cell_search.wall_seconds,
            "history": cell_search.history,
        },
        "training": asdict(train_config),
        "derived": derived,
        "random": rivals,
        "random_mean": statistics.mean(accuracies),
        "random_sd": statistics.stdev(accuracies),
        "random_best": max(accuracies),
        "random_worst": min(accuracies),
        "rank_of_derived": 1 + sum(a > derived["accuracy"] for a in accuracies),
        "of": len(rivals) + 1,
    }


# ---- three searches in one supernet, at equal CPU time -------------------------------------------


class TimeUp(Exception):
    pass


class TimedAccuracy:
    """Accuracy measured on `val-search` as a function of genes, until the CPU time is spent;
    remembers the best.
    """

    def __init__(self, space: SearchSpace, evaluator: Evaluator, cpu_seconds: float) -> None:
        self.space, self.evaluator = space, evaluator
        self.accuracies: dict[bytes, float] = {}
        self.best: tuple[float, np.ndarray] | None = None
        self.end = time.process_time() + cpu_seconds

    def __call__(self, genes: np.ndarray) -> np.ndarray:
        genes = np.ascontiguousarray(self.space.canonical(genes), dtype=np.int8)
        new = list(
            {row.tobytes(): row for row in genes if row.tobytes() not in self.accuracies}.values()
        )
        for start in range(0, len(new), CHUNK):
            if self.best is not None and time.process_time() >= self.end:
                raise TimeUp
            chunk = np.stack(new[start : start + CHUNK])
            for row, value in zip(chunk, self.evaluator.accuracies(self.space.decode(chunk))):
                self.accuracies[row.tobytes()] = value
                if self.best is None or value > self.best[0]:
                    self.best = (value, row)
        return np.array([self.accuracies[row.tobytes()] for row in genes])


def search_for(
    seconds: float,
    space: SearchSpace,
    evaluator: Evaluator,
    search: Callable[[TimedAccuracy], object],
) -> tuple[np.ndarray, int, float]:
    """Genes of the best arch measured within the time, how many were measured, and the CPU seconds
    it took.
    """
    started, timed = time.process_time(), TimedAccuracy(space, evaluator, seconds)
    try:
        search(timed)
    except TimeUp:
        pass
    return timed.best[1], len(timed.accuracies), time.process_time() - started


def budgets(table: AdditiveTable, name: str, unit: str) -> list[Budget]:
    """Evenly spaced between the cheapest and the costliest arch, both left out."""
    space = table.space
    low, high = table(space.encode([space.smallest(), space.largest()]))
    return [
        Budget(table, float(low + (high - low) * i / (BUDGETS + 1)), name, unit)
        for i in range(1, BUDGETS + 1)
    ]


def compare_searches(
    out: Path,
    space: SearchSpace,
    table: AdditiveTable,
    unit: str,
    config: GradientConfig,
    seeds: int,
) -> dict:
    trained = load(space.name)
    (supernet, _), dataset = full_width(trained), trained.dataset
    options = {"supernet": sha256(trained.weights_path), "config": asdict(config)}
    val_search, val = (
        Evaluator(supernet, dataset, "val-search"),
        Evaluator(supernet, dataset, "val"),
    )

    def row(method: str, genes: np.ndarray, seconds: float, evaluations: int | None) -> dict:
        arch = space.decode(genes[None])[0]
        return {
            "method": method,
            "arch": arch.to_json(),
            "cost": float(table(genes[None])[0]),
            "accuracy": val.accuracy(arch),
            "cpu_seconds": seconds,
            "evaluations": evaluations,
        }

    def compare(budget: Budget, seed: int) -> dict:
        by_gradient = gradient_search(supernet, dataset, budget, replace(config, seed=seed))
        rows = [row("gradient", by_gradient.genes, by_gradient.cpu_seconds, None)]
        searches = {
            "evolution": lambda timed: evolve(
                space,
                timed,
                [budget],
                rng=np.random.default_rng(seed),
                population=POPULATION,
                generations=1_000_000,
            ),
            "random": lambda timed: random_search(
                space, timed, [budget], rng=np.random.default_rng(seed), evaluations=1_000_000
            ),
        }
        for method, search in searches.items():
            genes, evaluations, seconds = search_for(
                by_gradient.cpu_seconds, space, val_search, search
            )
            rows.append(row(method, genes, seconds, evaluations))
        return {"budget": budget.limit, "unit": unit, "seed": seed, "rows": rows}

    jobs = [(budget, seed) for budget in budgets(table, "cost", unit) for seed in range(seeds)]
    results = [
        once(
            out / f"{budget.limit:.6g}-{seed}.json",
            options,
            lambda budget=budget, seed=seed: compare(budget, seed),
        )
        for budget, seed in tqdm(jobs, desc="budgets")
    ]
    return {
        "space": space.name,
        "config": asdict(config),
        "results": results,
        "mean_accuracy": {
            method: statistics.mean(
                row["accuracy"]
                for result in results
                for row in result["rows"]
                if row["method"] == method
            )
            for method in ("gradient", "evolution", "random")
        },
    }


# ---- report -----------------------------------------------------------------------------


def cells_text(report: dict) -> str:
    derived, error = report["derived"], standard_error(report["derived"]["accuracy"], VAL_IMAGES)
    rows = [
        (
            name,
            f"{run['accuracy']:.2f} %",
            f"{run['parameters']:,}",
            run["skip_connections"],
            f"{run['cpu_seconds'] / 60:.1f}",
        )
        for name, run in [
            ("derived by DARTS", derived),
            *((f"random {i}", run) for i, run in enumerate(report["random"], start=1)),
        ]
    ]
    return (
        f"**A derived cell against {len(report['random'])} random cells** within"
        f" {SIZE_TOLERANCE:.0%} of its parameters, all trained for {report['training']['epochs']}"
        " epochs (`darts_comparison.py cells`). The search took"
        f" {report['search']['cpu_seconds'] / 60:.1f} CPU minutes. The derived cell has rank"
        f" {report['rank_of_derived']} of {report['of']}; random cells reach"
        f" {report['random_mean']:.2f} % on average (standard deviation {report['random_sd']:.2f},"
        f" best {report['random_best']:.2f} %). One standard error of an accuracy on the"
        f" {VAL_IMAGES:,} images is {error:.2f} points.\n\n"
        + page.table(
            ("cell", "val accuracy", "parameters", "skip connections", "training, CPU min"), rows
        )
    )


def space_text(report: dict) -> str:
    methods = list(report["mean_accuracy"])
    rows = []
    for result in report["results"]:
        by_method = {row["method"]: row for row in result["rows"]}
        rows.append(
            (
                f"{result['budget']:,.4g} {result['unit']}",
                *(f"{by_method[m]['accuracy']:.2f} %" for m in methods),
                *(
                    f"{by_method[m]['evaluations']:,}"
                    for m in methods
                    if by_method[m]["evaluations"]
                ),
                f"{by_method['gradient']['cpu_seconds']:.0f}",
            )
        )
    rows.append(("mean", *(f"{report['mean_accuracy'][m]:.2f} %" for m in methods), "", "", ""))
    return (
        "**Three searches in the supernet, at full width and equal CPU time**"
        " (`darts_comparison.py space`): gradient search decides the time, then evolution and"
        " random search measure as many archs on val-search as fit into it. One standard error of"
        " an accuracy on val is"
        f" {standard_error(report['mean_accuracy']['gradient'], VAL_IMAGES):.2f} points.\n\n"
        + page.table(
            ("budget", *methods, "measured by evolution", "by random search", "CPU s each"), rows
        )
    )


TEXTS = {"cells": cells_text, "space": space_text}


def publish(part: str, report: dict) -> None:
    """Keep the report of a part and write its section of the page."""
    page.save(page.FOLDER / "results" / f"darts_{part}.json", report)
    host = report["machine"]
    text = (
        f"{TEXTS[part](report[part])}\n\n{host['cpu']}, torch {host['torch']}, {host['threads']}"
        f" thread(s), {report['date']}, revision {report['revision']}."
    )
    page.put(
        page.FOLDER / "DARTS.md", part, text, "Gradient-based search against what it has to beat"
    )


def note(report: dict) -> None:
    """Add what this run cost to data/records.json, once: saved pieces are reported again."""
    space, seconds = "fmnist", {}  # cells are searched and trained on the data of that space
    if "cells" in report:
        seconds["darts-search"] = report["cells"]["search"]["cpu_seconds"]
        seconds["darts-training"] = report["cells"]["derived"]["cpu_seconds"]
    if "space" in report:
        space = report["space"]["space"]
        seconds["gradient-search"] = statistics.mean(
            row["cpu_seconds"]
            for result in report["space"]["results"]
            for row in result["rows"]
            if row["method"] == "gradient"
        )
    published = {(record["what"], record.get("cpu_hours")) for record in records(space)}
    for what, value in seconds.items():
        hours = round(value / 3600, 4)
        if (what, hours) not in published:
            add_record(
                {
                    "what": what,
                    "space": space,
                    "cpu_hours": hours,
                    "machine": report["machine"],
                    "date": report["date"],
                    "source": "benchmarks/darts_comparison.py",
                }
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("cells", "space", "all"))
    parser.add_argument(
        "--config",
        choices=("cpu", "smoke"),
        default="cpu",
        help="smoke: a few steps of everything, to see that it runs",
    )
    parser.add_argument("--space", default="fmnist")
    parser.add_argument("--table", type=Path, help="latency file of a device (default: MACs)")
    parser.add_argument("--seeds", type=int, default=1, help="searches for each budget")
    parser.add_argument("--threads", type=int, help="torch threads")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).resolve().parent.parent / "results" / "darts"
    )
    parser.add_argument(
        "--record", action="store_true", help="add the costs of this run to data/records.json"
    )
    arguments = parser.parse_args()
    if arguments.record and arguments.config == "smoke":
        parser.error("--record notes what the comparison costs; a smoke run is none")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    search_config, train_config, config = (
        CELL_SEARCH_CONFIGS["cpu"],
        DERIVED_TRAINING_CONFIGS["cpu"],
        GradientConfig(),
    )
    if arguments.config == "smoke":
        search_config = replace(search_config, epochs=1, steps_per_epoch=2)
        train_config = replace(train_config, epochs=1, steps_per_epoch=2)
        config = replace(config, steps=2, candidates=2)
    out = arguments.out / arguments.config

    shared = {"machine": machine(), "date": date.today().isoformat(), "revision": code_revision()}
    for part in ("cells", "space") if arguments.part == "all" else (arguments.part,):
        if part == "cells":
            report = {**shared, "cells": compare_cells(out / "cells", search_config, train_config)}
        else:
            space = get_space(arguments.space)
            space = space.at(space.widths[-1])  # a mixture has one width
            table, unit = (
                (load_table(arguments.table, space).table, "ms")
                if arguments.table
                else (macs_table(space), "MACs")
            )
            report = {
                **shared,
                "space": compare_searches(
                    out / f"space-{unit}", space, table, unit, config, arguments.seeds
                ),
            }
        if arguments.record:
            note(report)
        if arguments.config == "cpu":
            publish(part, report)
        print(TEXTS[part](report[part]))


if __name__ == "__main__":
    main()
