"""Random search, and random archs that meet the budgets, however tight these are.

Every search starts from such archs. Where too few random archs meet the budgets, the others are
repaired: an arch takes genes, in random order and as few as it needs, from an anchor, an arch that
is known to meet the budgets (an exact search finds it where the costs allow that). Repaired archs
spread along the border of what is allowed.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from labkit.search.budgets import Budget, GenesFunction, InfeasibleBudget
from labkit.search.exact import check_feasible
from labkit.search.scoring import Scorer, SearchResult
from labkit.search.stage_terms import can_bound
from labkit.space import SearchSpace

ARCHS_AT_ONCE = 1000  # archs that are drawn and scored at a time
RANDOM_ROUNDS = 10  # of as many random archs as are asked for, before archs are repaired
REPAIR_STEPS = 6  # halvings of the share of genes taken over
BLIND_BATCHES = 100  # of random archs before giving up on costs that cannot be minimized


def random_search(
    space: SearchSpace,
    accuracy: GenesFunction,
    limits: Sequence[Budget] = (),
    *,
    rng: np.random.Generator,
    evaluations: int = 50_100,
) -> SearchResult:
    """The most accurate of `evaluations` random archs that meet all `limits`.

    The default is as many as `evolve` looks at. `history` has one entry for each batch of 1,000.
    Raises InfeasibleBudget as `evolve` does.
    """
    if evaluations < 1:
        raise ValueError(f"evaluations {evaluations}: want at least 1")
    scorer = Scorer(space, accuracy, limits)
    start = FeasibleStart(scorer)
    best_genes, best_score, history = None, -np.inf, []
    for first in range(0, evaluations, ARCHS_AT_ONCE):
        genes = start.draw(rng, min(ARCHS_AT_ONCE, evaluations - first))
        scores = scorer(genes)
        i = int(scores.argmax())
        if scores[i] > best_score:
            best_genes, best_score = genes[i], scores[i]
        history.append(best_score)
    return SearchResult.of(space, best_genes, scorer.accuracy, limits, evaluations, history)


class FeasibleStart:
    """Source of archs that meet a scorer's budgets; genes of absent blocks are arbitrary.

    Raises InfeasibleBudget when no arch meets them: at once and with the exact minimum where all
    costs are ones that exact search can take, else after many random archs.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        exact = [budget for budget in scorer.limits if can_bound(budget.cost, scorer.space)]
        self._anchor = check_feasible(scorer.space, exact)

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:  # (n, G)
        scorer, space = self._scorer, self._scorer.space
        pools, missing = [], n
        for _ in range(RANDOM_ROUNDS):
            genes = space.draw(rng, n)
            pools.append(genes[scorer(genes) > -np.inf][:missing])
            missing -= len(pools[-1])
            if not missing:
                return np.concatenate(pools)
        if self._anchor is None or scorer(self._anchor[None])[0] == -np.inf:
            self._anchor = _search_blindly(scorer, rng)
        pools.append(_repair(scorer, rng, space.draw(rng, missing), self._anchor))
        return np.concatenate(pools)


def _repair(
    scorer: Scorer, rng: np.random.Generator, genes: np.ndarray, anchor: np.ndarray
) -> np.ndarray:
    """Replace as few genes of each row by those of `anchor` as bisection finds enough."""
    order = rng.random(genes.shape, dtype=np.float32)
    kernels = scorer.space.kernel_columns
    order[:, kernels + 1] = order[:, kernels]  # a block's two genes are replaced together
    low = np.zeros((len(genes), 1))
    high = np.ones((len(genes), 1))  # at a share of 1 an arch is the anchor, which is feasible
    for _ in range(REPAIR_STEPS):
        share = (low + high) / 2
        enough = (scorer(np.where(order < share, anchor, genes)) > -np.inf)[:, None]
        low, high = np.where(enough, low, share), np.where(enough, share, high)
    return np.where(order < high, anchor, genes)


def _search_blindly(scorer: Scorer, rng: np.random.Generator) -> np.ndarray:
    """One arch within budgets of which some cannot be minimized exactly, from many random ones."""
    batches = []
    for _ in range(BLIND_BATCHES):
        genes = scorer.space.sample(rng, ARCHS_AT_ONCE)
        feasible = np.flatnonzero(scorer(genes) > -np.inf)
        if len(feasible):
            return genes[feasible[0]]
        batches.append([budget.cost(genes) for budget in scorer.limits])
    costs = [np.concatenate(batch) for batch in zip(*batches)]  # (N,) of each budget
    for budget, cost in zip(scorer.limits, costs):
        if not (cost <= budget.limit).any():  # no arch meets this one, even alone
            raise InfeasibleBudget(budget, cost.min(), proven=False)
    within = np.ones(BLIND_BATCHES * ARCHS_AT_ONCE, dtype=bool)
    for i, (budget, cost) in enumerate(zip(scorer.limits, costs)):
        if not (cost[within] <= budget.limit).any():
            raise InfeasibleBudget(budget, cost[within].min(), scorer.limits[:i], proven=False)
        within &= cost <= budget.limit
    raise ValueError(
        f"the accuracy function gave none of {len(within)} random archs a number above minus"
        " infinity"
    )
