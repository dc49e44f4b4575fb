"""Pareto search for any predictor: NSGA-II (Deb et al., 2002, doi 10.1109/4235.996017) on gene
matrices.

Parents are the winners of binary tournaments (better front first, then the less crowded); half of
the children are mutants, half are crossed; parents and children together are sorted into fronts and
the best survive. The start meets the limits (`labkit.search.feasible_start`) and children that
break one are dropped, so every arch is allowed. Returned is the front of all archs that were looked
at, not of the last population.

Shapes in trailing comments: P population, N points, M objectives (all minimized), G genes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labkit.search.budgets import Budget, GenesFunction, Scorer
from labkit.search.dominance import nondominated
from labkit.search.feasible_start import FeasibleStart
from labkit.search.variation import Variation
from labkit.space import SearchSpace
from labkit.tables.separable import Joint, is_separable, require_own

ARCHIVE = 100_000  # points kept before they are thinned to their front


@dataclass(frozen=True, eq=False)
class ParetoSet:
    """Archs found, none of which dominates another, by descending accuracy."""

    space: SearchSpace
    genes: np.ndarray  # (P, G)
    accuracy: np.ndarray  # (P,)
    costs: np.ndarray  # (P, M - 1), in the order in which the costs were given
    evaluations: int

    @property
    def objectives(self) -> np.ndarray:
        """(P, M): minus accuracy, then the costs; all to be minimized, as `hypervolume` takes them."""
        return np.column_stack([-self.accuracy, self.costs])


def nsga2(
    space: SearchSpace,
    accuracy: GenesFunction,
    costs: Sequence[GenesFunction],
    limits: Sequence[Budget] = (),
    *,
    rng: np.random.Generator,
    population: int = 200,
    generations: int = 250,
    mutation: float = 0.05,
) -> ParetoSet:
    """Archs along the front of `accuracy` (maximized) against one or more `costs` (minimized).

    `mutation` is the chance of the resolution, each stage's depth and each block of a mutant to be
    drawn again. Raises InfeasibleBudget when the limits cannot be met.
    """
    if population < 2 or generations < 0 or not 0 <= mutation <= 1 or not costs:
        raise ValueError(
            f"population {population}, generations {generations}, mutation {mutation} and "
            f"{len(costs)} costs: want at least 2, at least 0, between 0 and 1, and at least 1"
        )
    evaluate = _evaluator(space, [accuracy, *costs])
    scorer = Scorer(space, lambda genes: np.zeros(len(genes)), limits)
    vary = Variation(space, rng, mutation, mutation)
    genes = FeasibleStart(scorer).draw(rng, population)  # (P, G)
    points = evaluate(genes)  # (P, M)
    archive, archived, evaluations = [(genes, points)], len(genes), len(genes)
    ranks, crowding = _rank(points, len(points))
    for _ in range(generations):
        parents = _tournament(rng, genes, ranks, crowding)
        children = np.concatenate(
            [
                vary.mutants(parents, population // 2),
                vary.crossed(parents, population - population // 2),
            ]
        )
        if limits:
            children = children[scorer(children) > -np.inf]
        child_points = evaluate(children)
        archive.append((children, child_points))
        evaluations += len(children)
        archived += len(children)
        if archived > ARCHIVE:
            archive = [_front_of(archive)]
            archived = len(archive[0][0])
        genes, points = np.concatenate([genes, children]), np.concatenate([points, child_points])
        ranks, crowding = _rank(points, population)
        kept = np.lexsort((-crowding, ranks))[:population]
        genes, points, ranks, crowding = genes[kept], points[kept], ranks[kept], crowding[kept]
    genes, points = _front_of(archive)
    order = np.argsort(points[:, 0], kind="stable")
    return ParetoSet(
        space, space.canonical(genes[order]), -points[order, 0], points[order, 1:], evaluations
    )


def _evaluator(space: SearchSpace, functions: Sequence[GenesFunction]):
    """Function of genes (N, G) -> (N, M): minus the first, then the others."""
    require_own(space, functions)
    if all(is_separable(function, space) for function in functions):
        joint = Joint(functions)
    else:

        def joint(genes: np.ndarray) -> np.ndarray:
            canonical = space.canonical(genes)
            return np.stack([function(canonical) for function in functions])

    signs = np.array([-1.0] + [1.0] * (len(functions) - 1))

    def evaluate(genes: np.ndarray) -> np.ndarray:
        points = joint(genes).T * signs
        if not np.isfinite(points).all():  # crowding distances are differences
            raise ValueError(
                "the accuracy or a cost is infinite or NaN for some archs; exclude them by a limit"
            )
        return points

    return evaluate


def _tournament(
    rng: np.random.Generator, genes: np.ndarray, ranks: np.ndarray, crowding: np.ndarray
) -> np.ndarray:  # (2P, G)
    first, second = (rng.random((2, 2 * len(genes))) * len(genes)).astype(np.intp)
    tie = ranks[first] == ranks[second]
    first_wins = np.where(tie, crowding[first] > crowding[second], ranks[first] < ranks[second])
    return genes[np.where(first_wins, first, second)]


def _front_of(archive: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    genes, points = (np.concatenate(parts) for parts in zip(*archive))
    front = nondominated(points)
    return genes[front], points[front]


def _rank(points: np.ndarray, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """Index of each point's front (N,), and its crowding distance in it (N,).

    Sorting stops when `wanted` points have a front; the others share one beyond. A copy of a point
    goes to a later front than the point, so that copies do not crowd out others.
    """
    ranks = np.full(len(points), len(points))
    left = np.arange(len(points))
    rank = 0
    while len(points) - len(left) < wanted and len(left):
        front = nondominated(points[left])
        ranks[left[front]] = rank
        left = np.delete(left, front)
        rank += 1
    return ranks, _crowding(points, ranks)


def _crowding(points: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """(N,) distance between each point's neighbors in its front, summed over the objectives."""
    distance = np.zeros(len(points))
    for column in points.T:
        order = np.lexsort((column, ranks))
        sorted_ranks, values = ranks[order], column[order]
        span = np.ptp(values) or 1.0
        inside = np.zeros(len(points), dtype=bool)
        inside[1:-1] = sorted_ranks[:-2] == sorted_ranks[2:]
        gap = np.full(len(points), np.inf)  # the ends of a front come first
        gap[1:-1][inside[1:-1]] = ((values[2:] - values[:-2]) / span)[inside[1:-1]]
        distance[order] += gap
    return distance
