"""Evolutionary search under budgets (OFA, arXiv 1908.09791, section 3.4), on gene matrices.

The best of a population become parents; half of the children are mutated parents, the others take
each gene from either of two parents; children that break a budget are drawn again.

Four things are added, because plain selection gets stuck far from the optimum: each score is kept
once (copies of one arch would crowd out the rest), the best arch of each global choice (resolution
and width) stays among the parents, half of the crossings exchange whole stages, and a population
that no longer improves is replaced by a new one, until the champions of all populations meet at the
end.

As in OFA, the genes of absent blocks stay in the matrices unseen and vary with the others;
`SearchSpace.canonical` resets them when an arch leaves the search.

Shapes in trailing comments: P population, K parents, N children, G genes, S stages.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from labkit.search.budgets import Budget, GenesFunction
from labkit.search.random import FeasibleStart
from labkit.search.scoring import Scorer, SearchResult
from labkit.space import SearchSpace

MAX_DRAWS = 4  # times the population: children drawn in a generation before it goes on with fewer
PATIENCE = 40  # generations without improvement before a population is replaced
FINALE = 60  # generations at the end in which the champions of all populations meet
CHAMPIONS = 5  # archs of each replaced population that wait for the finale


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
    resolution and that of the width. Raises InfeasibleBudget when no arch meets the limits, and
    ValueError for parameters out of range.

    >>> from labkit.space.presets import get_space
    >>> from labkit.tables.costs import macs_table
    >>> from labkit.tables.synthetic_accuracy import synthetic_accuracy
    >>> space = get_space("fmnist")
    >>> accuracy, limits = synthetic_accuracy(space), [Budget(macs_table(space), 3e6, "MACs")]
    >>> rng = np.random.default_rng(0)
    >>> result = evolve(space, accuracy, limits, rng=rng, generations=20)
    >>> print(f"{result.accuracy:.2f} % predicted, {result.costs['MACs']:.0f} MACs")
    75.35 % predicted, 2694536 MACs
    """
    if population < 2 or generations < 0:
        raise ValueError(
            f"population {population} and generations {generations}: want at least 2 and 0"
        )
    ratios = {
        "parent_ratio": parent_ratio,
        "mutation_ratio": mutation_ratio,
        "mutation": mutation,
        "resolution_mutation": resolution_mutation,
    }
    for name, ratio in ratios.items():
        if not 0 <= ratio <= 1:
            raise ValueError(f"{name} {ratio} is not between 0 and 1")
    scorer = Scorer(space, accuracy, limits)
    start = FeasibleStart(scorer)
    variation = Variation(space, rng, mutation, resolution_mutation)
    num_parents = max(1, round(parent_ratio * population))
    num_mutants = round(mutation_ratio * population)

    genes = start.draw(rng, population)  # (P, G)
    scores = scorer(genes)  # (P,)
    evaluations, history, champions = len(genes), [], []
    best_score, stalled = -np.inf, 0  # of this population
    for remaining in range(generations, 0, -1):
        if remaining == FINALE and champions:
            genes, scores = _concatenate([(genes, scores), *champions])
        parents = select(genes[:, 0], scores, num_parents, len(space.global_choices))
        genes, scores = genes[parents], scores[parents]  # (K, G), (K,), best first
        stalled = stalled + 1 if scores[0] <= best_score else 0
        best_score = max(best_score, scores[0])
        history.append(max(best_score, history[-1] if history else -np.inf))
        if stalled >= PATIENCE and remaining > FINALE:
            champions.append((genes[:CHAMPIONS], scores[:CHAMPIONS]))
            genes = start.draw(rng, population)
            scores = scorer(genes)
            best_score, stalled = -np.inf, 0
            evaluations += len(genes)
        else:
            children = _children(scorer, variation, genes, num_mutants, population - num_mutants)
            genes, scores = _concatenate([(genes, scores), children])
            evaluations += len(children[0])
    best = int(scores.argmax())
    history.append(scores[best])
    return SearchResult.of(space, genes[best], scorer.accuracy, limits, evaluations, history)


def select(choices: np.ndarray, scores: np.ndarray, n: int, num_choices: int) -> np.ndarray:
    """Indices of at most n parents, best first: of distinct scores, and the best arch of each
    global choice among them.

    >>> select(np.array([0, 0, 0, 1]), np.array([70.0, 73.0, 73.0, 68.0]), n=2, num_choices=2)
    array([1, 3])
    """
    order = (-scores).argsort(kind="stable")
    ranked = scores[order]
    distinct = np.empty(len(order), dtype=bool)
    distinct[0] = True
    np.less(ranked[1:], ranked[:-1], out=distinct[1:])
    order = order[distinct]
    # A global choice that no arch has gets 0, the best arch of all.
    leaders = (choices[order] == np.arange(num_choices)[:, None]).argmax(1)
    selected = np.zeros(len(order), dtype=bool)
    selected[: max(1, n - num_choices)] = True
    selected[leaders] = True
    return order[selected][:n]


def _children(
    scorer: Scorer, variation: Variation, parents: np.ndarray, mutants: int, crossed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Genes (N, G) and scores (N,) of children that meet the budgets: as many as asked for, unless
    too few of those drawn do.
    """
    missing = np.array([mutants, crossed])
    pools = []
    draws = MAX_DRAWS * (mutants + crossed)
    while missing.any() and draws > 0:
        counts = np.ceil(missing / variation.acceptance * 1.2).astype(int)
        draws -= counts.sum()
        genes = np.concatenate(
            [variation.mutants(parents, counts[0]), variation.crossed(parents, counts[1])]
        )
        scores = scorer(genes)
        feasible = np.flatnonzero(scores > -np.inf)
        num_mutants = np.searchsorted(feasible, counts[0])  # the first rows are the mutants
        accepted = np.array([num_mutants, len(feasible) - num_mutants])
        variation.record_acceptance(counts, accepted)
        mutant_rows = feasible[:num_mutants][: missing[0]]
        crossed_rows = feasible[num_mutants:][: missing[1]]
        rows = np.concatenate([mutant_rows, crossed_rows])
        pools.append((genes[rows], scores[rows]))
        missing = missing - [len(mutant_rows), len(crossed_rows)]
    return _concatenate(pools)


def _concatenate(pools: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """One matrix of genes and one vector of scores from several of each."""
    genes, scores = zip(*pools)
    return np.concatenate(genes), np.concatenate(scores)


class Variation:
    """Mutation and crossover of parents (K, G).

    `mutation` is the chance of each depth and each block to be drawn again, `resolution_mutation`
    that of the resolution and of the width. `acceptance` (2,) is the share of mutants and of
    crossed children that met the budgets lately, as far as `record_acceptance` was told.
    """

    def __init__(
        self,
        space: SearchSpace,
        rng: np.random.Generator,
        mutation: float,
        resolution_mutation: float,
    ) -> None:
        self.space, self.rng, self.acceptance = space, rng, np.ones(2)
        self._rates = np.full(space.num_genes, mutation, dtype=np.float32)
        self._rates[0] = resolution_mutation
        # A block is redrawn as a whole: its expand gene goes by the roll of its kernel gene.
        expand_columns = space.kernel_columns + 1
        self._roll_column = np.arange(space.num_genes)
        self._roll_column[expand_columns] = space.kernel_columns
        # A roll below the rate is uniform below it, so the same number tells what to redraw to.
        scale = space.choices / np.maximum(self._rates, np.float32(1e-6))
        scale[expand_columns] = space.choices[expand_columns]
        # A hair less, so that no product rounds up to a choice that does not exist.
        self._scale = (scale * (1 - 2.0**-21)).astype(np.float32)
        columns = np.arange(space.num_genes)
        # (G,) 0 for the global choice, then 1 to S
        self._stage_of = np.searchsorted(space.depth_columns, columns, side="right")
        self._num_stages = len(space.stages)

    def mutants(self, parents: np.ndarray, n: int) -> np.ndarray:  # (N, G)
        """Random parents with resolution, width, each depth and each block redrawn by chance."""
        roll = self.rng.random((n, len(self._rates)), dtype=np.float32)
        redraw = (roll < self._rates).take(self._roll_column, axis=1)
        picked = self._pick(parents, n)
        mutants = np.where(redraw, (roll * self._scale).astype(np.int8), picked)
        if len(self.space.widths) > 1:
            mutants[:, 0] = self.space.redraw_global(self.rng, picked[:, 0], self._rates[0])
        return mutants

    def crossed(self, parents: np.ndarray, n: int) -> np.ndarray:  # (N, G)
        """Two random parents each, mixed gene by gene or, every other child, stage by stage."""
        from_mother = np.empty((n, len(self._rates)), dtype=bool)
        from_mother[::2] = self.rng.random((n - n // 2, len(self._rates)), dtype=np.float32) < 0.5
        by_stage = self.rng.random((n // 2, 1 + self._num_stages), dtype=np.float32) < 0.5
        from_mother[1::2] = by_stage.take(self._stage_of, axis=1)
        return np.where(from_mother, self._pick(parents, n), self._pick(parents, n))

    def _pick(self, parents: np.ndarray, n: int) -> np.ndarray:
        return parents.take((self.rng.random(n) * len(parents)).astype(np.intp), axis=0)

    def record_acceptance(self, children: np.ndarray, feasible: np.ndarray) -> None:
        """Note how many mutants and crossed children (2,) there were, and how many met the budgets.

        The share counts as at least a tenth, which limits how many children are drawn at a time.
        """
        share = np.maximum(feasible / np.maximum(children, 1), 0.1)
        self.acceptance = np.where(children > 0, share, self.acceptance)
