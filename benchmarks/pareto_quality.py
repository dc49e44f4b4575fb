"""NSGA-II on gene matrices and pymoo's: hypervolume and time, in one process, one thread.

    OMP_NUM_THREADS=1 python benchmarks/pareto_quality.py [--seeds 10]

Both search accuracy against latency on the paper's space with 50,000 evaluations and the same
vectorized evaluation, each with its default population (ours 200, pymoo's 100). pymoo's variables
are the genes as integers, its operators those of its documentation for integers (SBX and polynomial
mutation, rounded). Hypervolume is relative to the exact front's, in units of its range; the
reference is its worst corner. pymoo's front is that of its last population and, beside it, that of
all archs it evaluated. Needs the extra `peers`; prints one JSON object last.
"""

from __future__ import annotations

import argparse
import json
import sys

import numpy as np
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.core.problem import Problem
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling
from pymoo.optimize import minimize
from search_problems import cpu_time, latency, record, require_one_thread

from labkit.search import front, hypervolume, nsga2
from labkit.space.presets import get_space
from labkit.tables.separable import Joint, Separable
from labkit.tables.synthetic_accuracy import synthetic_accuracy

EVALUATIONS = 50_000


class GeneProblem(Problem):
    """The same search for pymoo: one integer variable for each gene."""

    def __init__(self, accuracy: Separable, cost: Separable) -> None:
        super().__init__(
            n_var=accuracy.space.num_genes, n_obj=2, xl=0, xu=accuracy.space.choices - 1, vtype=int
        )
        self.evaluate_genes = Joint([accuracy, cost])
        self.evaluated: list[np.ndarray] = []

    def _evaluate(self, x, out, *args, **kwargs) -> None:
        values = self.evaluate_genes(x.astype(np.int8))
        out["F"] = np.column_stack([-values[0], values[1]])
        self.evaluated.append(out["F"])


def search_with_pymoo(problem: GeneProblem, seed: int) -> np.ndarray:
    algorithm = NSGA2(
        pop_size=100,
        sampling=IntegerRandomSampling(),
        eliminate_duplicates=True,
        crossover=SBX(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
        mutation=PM(prob=1.0, eta=3.0, vtype=float, repair=RoundingRepair()),
    )
    return minimize(problem, algorithm, ("n_eval", EVALUATIONS), seed=seed, verbose=False).F


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    args = parser.parse_args()
    require_one_thread()
    space = get_space("ofa-mbv3")
    table = latency(space)
    figures = {}
    for kind in ("rough", "concave"):
        accuracy = synthetic_accuracy(space, kind)
        exact_front = front(space, accuracy, table)
        exact = np.column_stack([-exact_front.accuracy, exact_front.cost])
        low, span = exact.min(0), np.ptp(exact, axis=0)
        volume_of_all = hypervolume((exact - low) / span, np.ones(2))

        def share(points: np.ndarray, low=low, span=span, volume_of_all=volume_of_all) -> float:
            return hypervolume((points - low) / span, np.ones(2)) / volume_of_all

        rows = []
        for seed in range(args.seeds):
            problem = GeneProblem(accuracy, table)
            their_seconds, last = cpu_time(search_with_pymoo, problem, seed)
            our_seconds, pareto_set = cpu_time(
                nsga2,
                space,
                accuracy,
                [table],
                rng=np.random.default_rng(seed),
                generations=EVALUATIONS // 200 - 1,
            )
            rows.append(
                {
                    "ours": share(pareto_set.objectives),
                    "pymoo": share(last),
                    "pymoo_all_evaluated": share(np.concatenate(problem.evaluated)),
                    "our_seconds": our_seconds,
                    "pymoo_seconds": their_seconds,
                    "our_evaluations": pareto_set.evaluations,
                    "pymoo_evaluations": sum(map(len, problem.evaluated)),
                }
            )
            print(kind, seed, json.dumps(rows[-1]), file=sys.stderr)
        figures[kind] = {name: float(np.median([row[name] for row in rows])) for name in rows[0]}
        figures[kind]["ratio"] = figures[kind]["pymoo_seconds"] / figures[kind]["our_seconds"]
    print(
        json.dumps(
            record(
                "NSGA-II: hypervolume at least pymoo's and 99.5 % of the exact front's, at least 20"
                " times faster",
                peer="pymoo",
                medians=figures,
                seeds=args.seeds,
            )
        )
    )


if __name__ == "__main__":
    main()
