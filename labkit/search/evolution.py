"""Evolutionary search under budgets (OFA, arXiv 1908.09791, section 3.4), on gene matrices.

The best of a population become parents; half of the children are mutated parents, the others take each
gene from either of two parents; children that break a budget are drawn again. As in OFA, the genes of
absent blocks live on unseen and vary with the others, until the arch that is returned is made canonical.

Shapes in trailing comments: P population, K parents, N children, G genes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from labkit.search.feasible import draw_feasible
from labkit.search.problem import Budget, GenesFunction, Scorer, SearchResult
from labkit.space import SearchSpace

MAX_DRAWS = 4  # times the population: children drawn in a generation before it goes on with fewer


def evolve(space: SearchSpace, accuracy: GenesFunction, limits: Sequence[Budget] = (), *, rng: np.random.Generator,
           population: int = 100, generations: int = 500, parent_ratio: float = 0.25, mutation_ratio: float = 0.5,
           mutation: float = 0.1, resolution_mutation: float = 0.5) -> SearchResult:
    """The most accurate arch that meets all `limits`, as far as `generations` of evolution find it.

    `accuracy` is any function of a (N, G) gene matrix, higher is better. `mutation` is the chance of each
    stage's depth and each block to be drawn again, `resolution_mutation` that of the resolution.
    Raises InfeasibleBudget when the budgets cannot be met.
    """
    if population < 2 or generations < 0:
        raise ValueError(f"population {population} and generations {generations}: want at least 2 and 0")
    for name, ratio in (("parent_ratio", parent_ratio), ("mutation_ratio", mutation_ratio), ("mutation", mutation),
                        ("resolution_mutation", resolution_mutation)):
        if not 0 <= ratio <= 1:
            raise ValueError(f"{name} {ratio} is not between 0 and 1")
    scorer = Scorer(space, accuracy, limits)
    num_parents = max(1, round(parent_ratio * population))
    num_mutants = round(mutation_ratio * population)
    quotas = (num_mutants, population - num_mutants)
    rates = _mutation_rates(space, mutation, resolution_mutation)

    genes = draw_feasible(scorer, rng, population)  # (P, G)
    scores = scorer(genes)
    evaluations = len(genes)
    history = []
    accepted = [1.0, 1.0]  # share of drawn mutants and crossed children that met the budgets
    for _ in range(generations):
        best = _distinct_best(scores, num_parents)
        parents, parent_scores = genes[best], scores[best]  # (K, G), (K,)
        history.append(parent_scores[0])
        pools, pool_scores = [parents], [parent_scores]
        wanted, drawn = list(quotas), 0
        while any(wanted) and drawn < MAX_DRAWS * population:
            counts = [int(np.ceil(1.1 * w / max(a, 0.1))) for w, a in zip(wanted, accepted)]
            drawn += sum(counts)
            children = np.concatenate([_mutants(space, rng, parents, counts[0], rates),
                                       _crossed(rng, parents, counts[1])])  # (N, G)
            child_scores = scorer(children)
            feasible = np.flatnonzero(child_scores > -np.inf)
            split = np.searchsorted(feasible, counts[0])
            parts = (feasible[:split], feasible[split:])
            keep = np.concatenate([part[:w] for part, w in zip(parts, wanted)])
            pools.append(children[keep])
            pool_scores.append(child_scores[keep])
            for i, part in enumerate(parts):
                if counts[i]:
                    accepted[i] = len(part) / counts[i]
                wanted[i] -= min(wanted[i], len(part))
        genes, scores = np.concatenate(pools), np.concatenate(pool_scores)
        evaluations += len(genes) - len(parents)
    best = int(np.argmax(scores))
    history.append(scores[best])
    return scorer.result(genes[best], evaluations, history)


def _distinct_best(scores: np.ndarray, n: int) -> np.ndarray:
    """Indices of the n best scores, best first, each score once: copies of one arch must not crowd out the rest."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    first = np.append(True, ranked[1:] < ranked[:-1])
    return order[first][:n]


def _mutation_rates(space: SearchSpace, mutation: float, resolution_mutation: float) -> np.ndarray:
    """(G,) float32: chance of each gene to be drawn again."""
    rates = np.full(space.num_genes, mutation, dtype=np.float32)
    rates[0] = resolution_mutation
    return rates


def _mutants(space: SearchSpace, rng: np.random.Generator, parents: np.ndarray, n: int,
             rates: np.ndarray) -> np.ndarray:  # (n, G)
    """Random parents with each depth and each block (kernel and expand ratio together) redrawn by chance."""
    redraw = rng.random((n, space.num_genes), dtype=np.float32) < rates
    redraw[:, space.kernel_columns + 1] = redraw[:, space.kernel_columns]
    chosen = parents.take(rng.integers(len(parents), size=n), axis=0)
    return np.where(redraw, space.draw(rng, n), chosen)


def _crossed(rng: np.random.Generator, parents: np.ndarray, n: int) -> np.ndarray:  # (n, G)
    """Each gene from either of two random parents."""
    mothers, fathers = parents.take(rng.integers(len(parents), size=(2, n)), axis=0)
    from_mother = rng.random(mothers.shape, dtype=np.float32) < 0.5
    return np.where(from_mother, mothers, fathers)
