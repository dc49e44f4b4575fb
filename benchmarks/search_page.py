"""The page SEARCH.md: `python benchmarks/search_page.py exact_front --budgets 50`

Runs one of the scripts below (what follows its name is passed on), keeps the JSON object that it prints last as
benchmarks/results/NAME.json, and writes its section of SEARCH.md. Without a name, all sections whose results are
there are written again, and nothing is run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable

import page

PAGE, TITLE = page.HERE / "SEARCH.md", "Search: speed, exactness, Pareto fronts, and what it is worth"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", choices=sorted(SECTIONS), help="the script to run")
    arguments, passed_on = parser.parse_known_args()
    if arguments.name:
        page.save(page.HERE / "results" / f"{arguments.name}.json", run(arguments.name, passed_on))
    for name in [arguments.name] if arguments.name else SECTIONS:
        path = page.HERE / "results" / f"{name}.json"
        if path.is_file():
            page.put(PAGE, name, section(name, json.loads(path.read_text())), TITLE)


def run(name: str, arguments: list[str]) -> dict:
    """What the script prints last, on one thread; its progress goes to the terminal."""
    done = subprocess.run([sys.executable, page.HERE / f"{name}.py", *arguments], stdout=subprocess.PIPE, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1"}, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def section(name: str, report: dict) -> str:
    """A script's section: its table, and where and when that was measured."""
    machine = report["machine"]
    cpu = machine.get("cpu") if isinstance(machine, dict) else machine
    return f"{SECTIONS[name](report)}\n\n{cpu or 'unknown processor'}, one thread, {report['date'][:10]}."


def search_speed(report: dict) -> str:
    rows = [(name, f"{ours['seconds']:.3f}", f"{ours['ratio']:.0f}",
             f"{ours['better_by']['median']:.3f} ({ours['better_by']['worst']:.3f})")
            for name, ours in report["ours"].items()]
    return (f"**Evolution against `ofa`** (`search_speed.py`; population 100, 500 generations, limit at the 20th "
            f"percentile, the space of OFA's tutorial; medians of {report['seeds']} seeds). `ofa` with its own MLP and "
            f"table: {report['ofa_seconds']:.1f} CPU s. The MLP's accuracies are in its own units.\n\n"
            + page.table(("our predictor", "CPU s", "ratio", "our result better by, median (worst), same predictor"),
                         rows))


def exact_front(report: dict) -> str:
    rows = [(name, f"{ours['front']['points']:,} archs, {ours['front']['seconds']:.2f} s",
             f"{ours['evolution_gap']['median']:.3f} / {ours['evolution_gap']['worst']:.3f}",
             f"{ours['random_search_gap']['median']:.2f}",
             f"{ours['pairs_of_budgets']['seconds']['median']:.2f} / "
             f"{ours['pairs_of_budgets']['seconds']['worst']:.2f} s") for name, ours in report["ours"].items()]
    return (f"**Exact search** (`exact_front.py`; {report['budgets']} random latency budgets, {2 * report['pairs']} "
            "random pairs of budgets; gaps in points, CPU seconds; latencies of the simulated Raspberry Pi 4)\n\n"
            + page.table(("space, predictor", "whole front", "evolution's gap, median / worst",
                          "random search's gap, median", "pair of budgets, median / worst"), rows))


def pareto_quality(report: dict) -> str:
    rows = [(name, f"{row['ours']:.4f}", f"{row['pymoo']:.4f}", f"{row['pymoo_all_evaluated']:.4f}",
             f"{row['our_seconds']:.3f} / {row['pymoo_seconds']:.2f}", f"{row['ratio']:.0f}")
            for name, row in report["medians"].items()]
    return (f"**NSGA-II against pymoo** (`pareto_quality.py`; as many evaluations each; medians of {report['seeds']} "
            "seeds). Hypervolume is the share of the exact front's. Ours is of the archive of all it evaluated, so "
            "pymoo's last column is its like.\n\n"
            + page.table(("predictor", "ours", "pymoo, last population", "pymoo, all it evaluated",
                          "CPU s, ours / pymoo", "ratio"), rows))


def predictor_quality(report: dict) -> str:
    sizes, scores = list(report["scores"]), report["scores"]
    rows = [(name, *(f"{scores[size][name]['rmse']:.3f}, {scores[size][name]['kendall_tau']:.3f}" for size in sizes))
            for name in scores[sizes[0]]]
    return (f"**Does separability cost accuracy?** (`predictor_quality.py`; {report['pairs']:,} measured pairs of the "
            f"shipped supernet, RMSE in points and Kendall tau on {report['judged']} pairs that were not fitted to, "
            f"mean of {report['splits']} splits)\n\n"
            + page.table(("predictor", *(f"{int(size):,} pairs" for size in sizes)), rows))


def measured_search(report: dict) -> str:
    found: dict[float, dict[str, dict]] = {}
    for row in report["rows"]:
        found.setdefault(row["budget_ms"], {})[row["method"]] = row
    methods = ("exact", "evolution", "random")
    rows = [(f"{limit:.4g}", *(f"{by[m]['predicted']:.2f}, {by[m]['measured']:.2f}" for m in methods))
            for limit, by in found.items()]
    mean = report["mean_measured"]
    return (f"**Measured, not only predicted** (`measured_search.py`; accuracy on val, which no search saw; latency of "
            f"`{report['device']}`; the predictor's RMSE is {report['predictor_rmse']:.2f} points)\n\n"
            + page.table(("budget, ms", "exact: predicted, measured", "evolution", "random search"),
                         [*rows, ("mean measured", *(f"{mean[m]:.2f}" for m in methods))]))


SECTIONS: dict[str, Callable[[dict], str]] = {
    "search_speed": search_speed, "exact_front": exact_front, "pareto_quality": pareto_quality,
    "predictor_quality": predictor_quality, "measured_search": measured_search}


if __name__ == "__main__":
    main()
