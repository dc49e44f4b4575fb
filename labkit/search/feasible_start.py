"""Archs that meet the budgets, however tight: where every search starts.

Random archs come first. Where too few of them meet the budgets, the others are repaired: an arch
takes genes, in random order and as few as it needs, from an arch known to meet the budgets (the
cheapest one, found exactly for separable costs). The repaired archs spread along the border of what
is allowed.
"""

from __future__ import annotations

import numpy as np

from labkit.search.budgets import InfeasibleBudget, Scorer
from labkit.search.exact import check_feasible
from labkit.search.stage_terms import can_bound

RANDOM_ROUNDS = 10  # of as many random archs as are wanted
REPAIR_STEPS = 6  # halvings of the share of genes taken over
BLIND_DRAWS = 100_000  # random archs drawn before giving up on costs that cannot be minimized


class FeasibleStart:
    """Source of archs that meet a scorer's budgets, with whatever genes for absent blocks.

    Raises InfeasibleBudget when none meets them: at once and with the exact minimum for separable
    costs.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        known = [budget for budget in scorer.limits if can_bound(budget.cost, scorer.space)]
        self._anchor = check_feasible(scorer.space, known)

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:  # (n, G)
        scorer, space = self._scorer, self._scorer.space
        pools, found = [], 0
        for _ in range(RANDOM_ROUNDS):
            genes = space.draw(rng, n)
            pools.append(genes[scorer(genes) > -np.inf][: n - found])
            found += len(pools[-1])
            if found == n:
                return np.concatenate(pools)
        if self._anchor is None or scorer(self._anchor[None])[0] == -np.inf:
            self._anchor = _search_blindly(scorer, rng)
        pools.append(_repair(scorer, rng, space.draw(rng, n - found), self._anchor))
        return np.concatenate(pools)


def _repair(
    scorer: Scorer, rng: np.random.Generator, genes: np.ndarray, anchor: np.ndarray
) -> np.ndarray:
    """Replace in each row as few genes, in random order, by those of `anchor` as bisection finds
    enough.
    """
    order = rng.random(genes.shape, dtype=np.float32)
    order[:, scorer.space.kernel_columns + 1] = order[
        :, scorer.space.kernel_columns
    ]  # blocks as a whole
    low, high = (
        np.zeros((len(genes), 1)),
        np.ones((len(genes), 1)),
    )  # the anchor itself, at share 1, is feasible
    for _ in range(REPAIR_STEPS):
        share = (low + high) / 2
        enough = (scorer(np.where(order < share, anchor, genes)) > -np.inf)[:, None]
        low, high = np.where(enough, low, share), np.where(enough, share, high)
    return np.where(order < high, anchor, genes)


def _search_blindly(scorer: Scorer, rng: np.random.Generator) -> np.ndarray:
    """One arch within budgets of which some cannot be minimized exactly, from many random ones."""
    seen = []
    for _ in range(BLIND_DRAWS // 1000):
        genes = scorer.space.sample(rng, 1000)
        feasible = np.flatnonzero(scorer(genes) > -np.inf)
        if len(feasible):
            return genes[feasible[0]]
        seen.append([budget.cost(genes) for budget in scorer.limits])
    costs = [np.concatenate(parts) for parts in zip(*seen)]  # (N,) of each budget
    for budget, cost in zip(scorer.limits, costs):
        if not (cost <= budget.limit).any():  # nothing meets it even alone
            raise InfeasibleBudget(budget, cost.min(), proven=False)
    meets = np.ones(BLIND_DRAWS, dtype=bool)
    for i, (budget, cost) in enumerate(zip(scorer.limits, costs)):
        if not (cost[meets] <= budget.limit).any():
            raise InfeasibleBudget(budget, cost[meets].min(), scorer.limits[:i], proven=False)
        meets &= cost <= budget.limit
    raise ValueError(
        f"the accuracy function gave none of {BLIND_DRAWS} random archs a number above minus"
        " infinity"
    )
