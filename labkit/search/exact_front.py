"""The whole exact Pareto front of a stage-separable predictor against an additive cost.

At one resolution, an arch on the front can only be made of stage configurations that are on the
front of their stage: swapping in a dominating one would dominate the arch. So the front of the
first s stages is the front of the sums of the front of the first s - 1 and that of stage s, and the
front over the space is that of all resolutions together. Rounding does not spoil the argument:
floating-point addition is monotone, and terms are added in the order in which tables add them.

Budgets of another kind cut configurations away before: a maximum stays below its limit exactly when
all its terms do. Budgets on sums do not fall apart like that. The front without them bounds the one
within them; where it breaks one, `labkit.search.exact` finds what it has to be replaced by, arch
after arch.

Shapes in trailing comments: P points, R resolutions, S stages, C configurations of a stage, G
genes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from tqdm.auto import tqdm

from labkit.search.budgets import Budget, InfeasibleBudget
from labkit.search.dominance import merge, pareto
from labkit.search.exact import best, check_feasible
from labkit.search.stage_terms import StageTerms, Terms, assemble, is_cap, require_exact
from labkit.space import SearchSpace
from labkit.tables.separable import MaxPlusSum, Separable


@dataclass(frozen=True, eq=False)
class Front:
    """Archs none of which another arch of the space dominates, by ascending cost and accuracy."""

    space: SearchSpace
    cost: np.ndarray  # (P,)
    accuracy: np.ndarray  # (P,)
    genes: np.ndarray  # (P, G)

    def __len__(self) -> int:
        return len(self.cost)

    def best(self, limit: float) -> int:
        """Index of the most accurate arch of cost at most `limit`; raises ValueError if there is
        none.
        """
        i = int(np.searchsorted(self.cost, limit, side="right")) - 1
        if i < 0 or np.isnan(limit):
            raise ValueError(
                f"no arch on the front costs {limit:.6g} or less; the smallest cost is"
                f" {self.cost[0]:.6g}"
            )
        return i


def front(
    space: SearchSpace,
    accuracy: Separable,
    cost: Separable,
    limits: Sequence[Budget] = (),
    *,
    progress: bool = False,
) -> Front:
    """The whole front of `accuracy` against the additive `cost`, of the archs within `limits`,
    exactly.

    Limits on maxima cost nothing. Others take an exact search for each arch on the front that they
    move, some 40 ms in a space of the size of `fmnist`; `progress` shows a bar.

    Raises InfeasibleBudget when no arch meets the limits, TypeError for a function that is not
    separable, and ValueError for a cost that falls below 0 under limits of the slower kind, which
    cannot be budgeted.
    """
    bound = front_bound(space, accuracy, cost, limits)
    if all(is_cap(budget) for budget in limits):
        return bound
    if bound.cost[0] < 0:
        raise ValueError(
            "under limits on sums the cost has to be at least 0, here it falls to"
            f" {bound.cost[0]:.6g}"
        )
    allowed = np.all([budget.cost(bound.genes) <= budget.limit for budget in limits], axis=0)
    found, left = [], len(bound)  # of the bound, what costs less than all that was found
    with tqdm(
        total=left, unit="arch", desc="front within limits", disable=not progress, delay=1
    ) as bar:
        cheaper = np.inf
        while left:
            if allowed[left - 1]:
                genes = bound.genes[left - 1]
            else:
                try:
                    within = [Budget(cost, cheaper, "cost")] if np.isfinite(cheaper) else []
                    genes = best(space, accuracy, [*limits, *within]).genes
                except InfeasibleBudget:  # nothing that cheap is within the limits
                    break
            found.append(genes)
            cheaper = float(np.nextafter(cost(genes[None])[0], -np.inf))
            bar.update(left - (left := int(np.searchsorted(bound.cost, cheaper, side="right"))))
    genes = np.stack(found)
    total, value = cost(genes), accuracy(genes)
    kept = pareto(total, value)
    return Front(space, total[kept], value[kept], genes[kept])


def front_bound(
    space: SearchSpace, accuracy: Separable, cost: Separable, limits: Sequence[Budget] = ()
) -> Front:
    """The front that `limits` allow to be computed at once: no arch within all of them lies above
    it.

    Limits on maxima hold on it, those on sums are left out. Of one on a maximum plus a sum, what no
    arch within it has is taken out. Raises as `front` does.
    """
    require_exact(space, accuracy, [Budget(cost, 0.0, "cost"), *limits])
    if getattr(cost, "combine", None) is not np.add:
        raise TypeError(
            "a front needs a cost that adds up over stages; give another one as a limit"
        )
    check_feasible(space, limits)
    # The floor adds in another order than the cost: what rounding makes of it must not take out an
    # arch on the limit.
    limits = [
        (
            replace(b, cost=b.cost.floor(), limit=b.limit * (1 + 1e-12))
            if isinstance(b.cost, MaxPlusSum)
            else b
        )
        for b in limits
    ]
    limits = [budget for budget in limits if is_cap(budget)]
    stages = StageTerms(space, (accuracy, cost), [budget.cost for budget in limits])
    parts = []
    for r in range(len(space.resolutions)):
        terms = stages.at(r, [budget.limit for budget in limits])
        if terms is not None:
            value, total, choices = _front_at(terms)
            parts.append(
                (np.full(len(value), r), total + terms.base[1], value + terms.base[0], choices)
            )
    r, total, value = (np.concatenate([part[i] for part in parts]) for i in range(3))
    choices = [np.concatenate([part[3][s] for part in parts]) for s in range(len(space.stages))]
    if accuracy.link is not None:
        value = accuracy.link(value)
    kept = pareto(total, value)
    return Front(
        space, total[kept], value[kept], assemble(space, r[kept], [c[kept] for c in choices])
    )


def _front_at(terms: Terms) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Value, cost and, for each stage, index of its configuration, along the front of one
    resolution.
    """
    choices: list[np.ndarray] = []
    value = cost = None
    for (stage_value, stage_cost), kept in zip(terms.stages, terms.kept):
        own = pareto(stage_cost, stage_value)
        if value is None:
            value, cost, choices = stage_value[own], stage_cost[own], [kept[own]]
        else:
            cost, value, i, j = merge(cost, value, stage_cost[own], stage_value[own])
            choices = [choice[i] for choice in choices] + [kept[own][j]]
    return value, cost, choices
