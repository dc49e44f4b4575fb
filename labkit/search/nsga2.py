"""NSGA-II: Pareto search for any accuracy and costs (Deb et al., 2002, doi 10.1109/4235.996017).

Parents are the winners of binary tournaments (the better front first, then the less crowded arch);
half of the children are mutants, half are crossed; parents and children together are sorted into
fronts and the best survive. The first population meets the limits and children that break one are
dropped, so every arch is allowed. What is returned is the front of all archs that were looked at,
not of the last population.

Shapes in trailing comments: P population, N points, M objectives (all minimized), G genes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from labkit.search.budgets import Budget, GenesFunction
from labkit.search.evolution import Variation
from labkit.search.pareto import nondominated
from labkit.search.random import FeasibleStart
from labkit.search.scoring import Scorer
from labkit.space import SearchSpace
from labkit.tables.separable import Joint, check_tables, is_separable

ARCHIVE = 100_000  # archs in the archive before it is reduced to its front
Population = tuple[np.ndarray, np.ndarray]  # genes (N, G) and points (N, M)


@dataclass(frozen=True, eq=False)
class ParetoSet:
    """Archs of which none dominates another, by descending accuracy."""

    space: SearchSpace
    genes: np.ndarray  # (P, G)
    accuracy: np.ndarray  # (P,)
    costs: np.ndarray  # (P, M - 1), in the order of the costs of `nsga2`
    evaluations: int

    @property
    def objectives(self) -> np.ndarray:
        """(P, M): minus accuracy, then the costs, all minimized, as `hypervolume` takes them."""
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

    `mutation` is the chance of the resolution, the width, each stage's depth and each block of a
    mutant to be drawn again. Raises InfeasibleBudget when no arch meets the limits, and ValueError
    for parameters out of range and for an accuracy or a cost that is not finite.

    >>> from labkit.space.presets import get_space
    >>> from labkit.tables.costs import macs_table
    >>> from labkit.tables.synthetic_accuracy import synthetic_accuracy
    >>> space = get_space("fmnist")
    >>> costs, rng = [macs_table(space)], np.random.default_rng(0)
    >>> front = nsga2(space, synthetic_accuracy(space), costs, rng=rng, generations=5)
    >>> bool((np.diff(front.accuracy) < 0).all() and (np.diff(front.costs[:, 0]) < 0).all())
    True
    """
    if population < 2 or generations < 0 or not 0 <= mutation <= 1 or not costs:
        raise ValueError(
            f"population {population}, generations {generations}, mutation {mutation} and "
            f"{len(costs)} costs: want at least 2, at least 0, between 0 and 1, and at least 1"
        )
    evaluate = _evaluator(space, [accuracy, *costs])
    scorer = Scorer(space, lambda genes: np.zeros(len(genes)), limits)
    variation = Variation(space, rng, mutation, mutation)
    genes = FeasibleStart(scorer).draw(rng, population)  # (P, G)
    points = evaluate(genes)  # (P, M)
    archive, archive_size, evaluations = [(genes, points)], len(genes), len(genes)
    ranks, crowding = _rank(points, len(points))
    for _ in range(generations):
        parents = _tournament(rng, genes, ranks, crowding)
        mutants = variation.mutants(parents, population // 2)
        crossed = variation.crossed(parents, population - population // 2)
        children = np.concatenate([mutants, crossed])
        if limits:
            children = children[scorer(children) > -np.inf]
        child_points = evaluate(children)
        archive.append((children, child_points))
        evaluations += len(children)
        archive_size += len(children)
        if archive_size > ARCHIVE:
            archive = [_front_of(archive)]
            archive_size = len(archive[0][0])
        genes, points = np.concatenate([genes, children]), np.concatenate([points, child_points])
        ranks, crowding = _rank(points, population)
        survivors = np.lexsort((-crowding, ranks))[:population]
        genes, points = genes[survivors], points[survivors]
        ranks, crowding = ranks[survivors], crowding[survivors]
    genes, points = _front_of(archive)
    order = np.argsort(points[:, 0], kind="stable")
    genes, points = space.canonical(genes[order]), points[order]
    return ParetoSet(space, genes, -points[:, 0], points[:, 1:], evaluations)


def _evaluator(
    space: SearchSpace, functions: Sequence[GenesFunction]
) -> Callable[[np.ndarray], np.ndarray]:
    """Function of genes (N, G) -> (N, M): minus the first of `functions`, then the others."""
    check_tables(space, functions)
    joint = Joint(functions) if all(is_separable(f, space) for f in functions) else None
    signs = np.array([-1.0] + [1.0] * (len(functions) - 1))

    def evaluate(genes: np.ndarray) -> np.ndarray:
        if joint:
            values = joint(genes)
        else:
            canonical = space.canonical(genes)
            values = np.stack([function(canonical) for function in functions])
        points = values.T * signs
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


def _front_of(archive: Sequence[Population]) -> Population:
    genes, points = (np.concatenate(parts) for parts in zip(*archive))
    front = nondominated(points)
    return genes[front], points[front]


def _rank(points: np.ndarray, enough: int) -> tuple[np.ndarray, np.ndarray]:
    """Index of each point's front (N,), and its crowding distance in it (N,).

    Sorting stops when `enough` points have a front; the others share one beyond. A copy of a point
    goes to a later front than the point, so that copies do not crowd out others.
    """
    ranks = np.full(len(points), len(points))
    unranked = np.arange(len(points))
    rank = 0
    while len(points) - len(unranked) < enough and len(unranked):
        front = nondominated(points[unranked])
        ranks[unranked[front]] = rank
        unranked = np.delete(unranked, front)
        rank += 1
    return ranks, _crowding(points, ranks)


def _crowding(points: np.ndarray, ranks: np.ndarray) -> np.ndarray:
    """(N,) distance between each point's neighbors in its front, summed over the objectives."""
    distance = np.zeros(len(points))
    for column in points.T:
        order = np.lexsort((column, ranks))
        sorted_ranks, values = ranks[order], column[order]
        span = np.ptp(values) or 1.0
        inside = sorted_ranks[:-2] == sorted_ranks[2:]  # (N - 2,) not at an end of a front
        gap = np.full(len(points), np.inf)
        gap[1:-1] = np.where(inside, (values[2:] - values[:-2]) / span, np.inf)
        distance[order] += gap
    return distance
