"""Exact search: time of whole fronts and of pairs of budgets, and evolution's gap, in the paper's
space and those of the supernets that ship.

    OMP_NUM_THREADS=1 python benchmarks/exact_front.py [--budgets 50] [--pairs 20]

Fronts are of accuracy against latency; pairs add a budget on parameters or MACs. The gap is that of
evolution's (and random search's) result to the exact optimum, at random latency budgets, with
random search looking at as many archs within budget as evolution does. Prints one JSON object last.
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
from search_problems import cpu_time, latency, record, require_one_thread

from labkit.search import Budget, InfeasibleBudget, best, evolve, front, random_search
from labkit.space.presets import get_space
from labkit.supernet.folder import load, shipped_supernets
from labkit.tables.costs import activation_table, macs_table, params_table
from labkit.tables.synthetic_accuracy import synthetic_accuracy


def problems():
    """Name, space and predictor: the synthetic ones on the paper's space, the fitted ones of
    the supernets that ship.
    """
    paper = get_space("ofa-mbv3")
    for kind in ("rough", "concave"):
        yield f"ofa-mbv3, synthetic {kind}", paper, synthetic_accuracy(paper, kind)
    for name in shipped_supernets():
        trained = load(name)
        yield f"{name}, {trained.predictor.label}", trained.space, trained.predictor.predict


def summary(values: list[float]) -> dict[str, float]:
    return {"median": float(np.median(values)), "worst": float(np.max(values))}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budgets", type=int, default=50)
    parser.add_argument("--pairs", type=int, default=20)
    args = parser.parse_args()
    require_one_thread()
    figures = {}
    for name, space, accuracy in problems():
        table = latency(space)
        sample = space.sample(np.random.default_rng(0), 20_000)
        seconds, exact_front = cpu_time(front, space, accuracy, table)
        memory = activation_table(space, 1)
        cap = Budget(memory, float(np.quantile(memory(sample), 0.3)), "memory", "bytes")
        capped_seconds, capped = cpu_time(front, space, accuracy, table, [cap])
        figures[name] = {
            "front": {"seconds": seconds, "points": len(exact_front)},
            "front_under_memory_limit": {"seconds": capped_seconds, "points": len(capped)},
            **gaps(space, accuracy, table, exact_front, table(sample), args.budgets),
            "pairs_of_budgets": pairs(space, accuracy, table, sample, args.pairs),
        }
        print(name, json.dumps(figures[name]), file=sys.stderr)
    print(
        json.dumps(
            record(
                "whole exact front under 1 s (concave 3 s), a pair of budgets under 10 s;"
                " evolution's gap at most 0.02 points (median), in the paper's space 0.1 (worst)",
                ours=figures,
                budgets=args.budgets,
                pairs=args.pairs,
            )
        )
    )


def gaps(space, accuracy, table, exact_front, latencies, n: int) -> dict:
    evolved, by_chance = [], []
    for i in range(n):
        rng = np.random.default_rng(i)
        limit = Budget(
            table, float(np.quantile(latencies, rng.uniform(0.01, 0.99))), "latency", "ms"
        )
        optimum = exact_front.accuracy[exact_front.best(limit.limit)]
        evolution = evolve(space, accuracy, [limit], rng=rng)
        evolved.append(float(optimum - evolution.accuracy))
        by_chance.append(
            float(
                optimum
                - random_search(
                    space, accuracy, [limit], rng=rng, evaluations=evolution.evaluations
                ).accuracy
            )
        )
    return {"evolution_gap": summary(evolved), "random_search_gap": summary(by_chance)}


def pairs(space, accuracy, table, sample, n: int) -> dict:
    seconds = []
    for i in range(n):
        rng = np.random.default_rng(i)
        for other, name in ((params_table(space), "parameters"), (macs_table(space), "MACs")):
            limits = [
                Budget(cost, float(np.quantile(cost(sample), rng.uniform(0.01, 0.9))), what)
                for cost, what in ((table, "latency"), (other, name))
            ]
            try:
                cpu_seconds, _ = cpu_time(best, space, accuracy, limits)
                seconds.append(cpu_seconds)
            except InfeasibleBudget as error:
                print(error, file=sys.stderr)
    return {"seconds": summary(seconds), "number": len(seconds)}


if __name__ == "__main__":
    main()
