"""Evolutionary search under budgets (OFA, arXiv 1908.09791, section 3.4), on gene matrices.

The best of a population become parents; half of the children are mutated parents, the others take
each gene from either of two parents; children that break a budget are drawn again. As in OFA, the
genes of absent blocks live on unseen and vary with the others, until the arch that is returned is
made canonical.

Four things are added, because plain selection gets stuck far from the optimum: each score is kept
once (copies of one arch would crowd out the rest), the best of each resolution stays among the
parents, half of the crossings exchange whole stages, and a population that no longer improves makes
way for a fresh one, until the best of all of them meet at the end.

Shapes in trailing comments: P population, K parents, N children, G genes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from labkit.search.budgets import Budget, GenesFunction, Scorer, SearchResult
from labkit.search.feasible_start import FeasibleStart
from labkit.search.variation import Variation
from labkit.space import SearchSpace

MAX_DRAWS = 4  # times the population: children drawn in a generation before it goes on with fewer
PATIENCE = 40  # generations without improvement before a population makes way
FINALE = 60  # generations at the end in which the best of all populations meet
HALL = 5  # how many of each population do


def evolve(
    space: SearchSpace,
    accuracy: GenesFunction,
    limits: Sequence[Budget] = (),
    *,
    rng: np.random.Generator,
    population: int = 100,
    generations: int = 500,
    parent_ratio: float = 0.25,
    mutation_ratio: float = 0.5,
    mutation: float = 0.1,
    resolution_mutation: float = 0.5,
) -> SearchResult:
    """The most accurate arch that meets all `limits`, as far as `generations` of evolution find it.

    `accuracy` is any function of a (N, G) gene matrix, higher is better. `mutation` is the chance
    of each stage's depth and each block to be drawn again, `resolution_mutation` that of the
    resolution. Raises InfeasibleBudget when the budgets cannot be met.
    """
    if population < 2 or generations < 0:
        raise ValueError(
            f"population {population} and generations {generations}: want at least 2 and 0"
        )
    for name, ratio in (
        ("parent_ratio", parent_ratio),
        ("mutation_ratio", mutation_ratio),
        ("mutation", mutation),
        ("resolution_mutation", resolution_mutation),
    ):
        if not 0 <= ratio <= 1:
            raise ValueError(f"{name} {ratio} is not between 0 and 1")
    scorer = Scorer(space, accuracy, limits)
    start = FeasibleStart(scorer)
    vary = Variation(space, rng, mutation, resolution_mutation)
    num_parents = max(1, round(parent_ratio * population))
    num_mutants = round(mutation_ratio * population)

    genes = start.draw(rng, population)  # (P, G)
    scores = scorer(genes)
    evaluations, history, hall = len(genes), [], []
    best_here, stalled = -np.inf, 0
    for left in range(generations, 0, -1):
        if left == FINALE and hall:
            genes, scores = (np.concatenate(parts) for parts in zip((genes, scores), *hall))
        chosen = select(genes[:, 0], scores, num_parents, len(space.resolutions))
        parents, parent_scores = genes[chosen], scores[chosen]  # (K, G), (K,), best first
        stalled = stalled + 1 if parent_scores[0] <= best_here else 0
        best_here = max(best_here, parent_scores[0])
        history.append(max(best_here, history[-1] if history else -np.inf))
        if stalled >= PATIENCE and left > FINALE:
            hall.append((parents[:HALL], parent_scores[:HALL]))
            genes = start.draw(rng, population)
            scores = scorer(genes)
            best_here, stalled = -np.inf, 0
            evaluations += len(genes)
            continue
        children, child_scores = _children(
            scorer, vary, parents, num_mutants, population - num_mutants
        )
        genes, scores = (
            np.concatenate([parents, children]),
            np.concatenate([parent_scores, child_scores]),
        )
        evaluations += len(children)
    best = int(scores.argmax())
    history.append(scores[best])
    return scorer.result(genes[best], evaluations, history)


def select(resolutions: np.ndarray, scores: np.ndarray, n: int, num_resolutions: int) -> np.ndarray:
    """Indices of at most n parents, best first: distinct scores, the best of each resolution among
    them.
    """
    order = (-scores).argsort(kind="stable")
    ranked = scores[order]
    distinct = np.empty(len(order), dtype=bool)
    distinct[0] = True
    np.less(ranked[1:], ranked[:-1], out=distinct[1:])
    order = order[distinct]
    leaders = (resolutions[order] == np.arange(num_resolutions)[:, None]).argmax(
        1
    )  # 0, the best, where there is none
    kept = np.zeros(len(order), dtype=bool)
    kept[: max(1, n - num_resolutions)] = True
    kept[leaders] = True
    return order[kept][:n]


def _children(
    scorer: Scorer, vary: Variation, parents: np.ndarray, mutants: int, crossed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Genes (N, G) and scores (N,) of children that meet the budgets: as many as asked for, if they
    can be had.
    """
    wanted = np.array([mutants, crossed])
    pools, pool_scores = [], []
    left = MAX_DRAWS * (mutants + crossed)
    while wanted.any() and left > 0:
        counts = np.ceil(wanted / vary.accepted * 1.2).astype(int)
        left -= counts.sum()
        genes = np.concatenate([vary.mutants(parents, counts[0]), vary.crossed(parents, counts[1])])
        scores = scorer(genes)
        feasible = np.flatnonzero(scores > -np.inf)
        split = np.searchsorted(feasible, counts[0])
        found = feasible[:split][: wanted[0]], feasible[split:][: wanted[1]]
        kept = np.concatenate(found)
        pools.append(genes[kept])
        pool_scores.append(scores[kept])
        vary.note(counts, np.array([split, len(feasible) - split]))
        wanted = wanted - [len(part) for part in found]
    return np.concatenate(pools), np.concatenate(pool_scores)
