"""The whole exact Pareto front of a stage-separable accuracy against an additive cost.

Given the global choices, an arch on the front can only be made of stage configurations that are on
the front of their stage: swapping in a dominating one would dominate the arch. So the front of the
first s stages is the front of all sums of a point of the front of the first s - 1 stages and one of
the front of stage s, and the front over the space is that of all global choices together. Rounding
does not spoil the argument: floating-point addition is monotone, and terms are added in the order
in which tables add them.

Limits on a maximum exclude configurations beforehand. Limits on sums do not fall apart like that.
The front without them is a bound on the one within them; where it breaks one of them,
`labkit.search.exact` finds what the arch has to be replaced by, one arch after another.

Shapes in trailing comments: P points, S stages, C configurations of a stage, G genes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from tqdm.auto import tqdm

from labkit.search.budgets import Budget, InfeasibleBudget
from labkit.search.exact import best, check_feasible
from labkit.search.pareto import front_of_sums, pareto_front
from labkit.search.stage_terms import StageTerms, assemble, is_cap, require_exact, stage_terms
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
        """Index of the most accurate arch of cost at most `limit`.

        Raises ValueError if there is none.
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

    Limits on maxima take no extra time. Others take an exact search for each arch on the front that
    they move, some 40 ms in a space of the size of `fmnist`; `progress` shows a bar.

    Raises InfeasibleBudget when no arch meets the limits, TypeError for a function that is not
    separable, and ValueError for a cost that falls below 0 under limits of the slower kind, which
    cannot be budgeted.

    >>> from labkit.space.presets import get_space
    >>> from labkit.tables.costs import macs_table
    >>> from labkit.tables.synthetic_accuracy import synthetic_accuracy
    >>> space = get_space("fmnist")
    >>> whole = front(space, synthetic_accuracy(space), macs_table(space))
    >>> i = whole.best(3e6)
    >>> print(f"{len(whole)} archs; best below 3M MACs: {whole.accuracy[i]:.2f} % predicted")
    505 archs; best below 3M MACs: 75.54 % predicted
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
    archs, below = [], np.inf  # by descending cost, and the largest cost less than theirs
    remaining = len(bound)  # archs of the bound that cost at most `below`
    with tqdm(
        total=remaining, unit="arch", desc="front within limits", disable=not progress, delay=1
    ) as bar:
        while remaining:
            if allowed[remaining - 1]:
                genes = bound.genes[remaining - 1]
            else:
                cheaper = [Budget(cost, below, "cost")] if archs else []
                try:
                    genes = best(space, accuracy, [*limits, *cheaper]).genes
                except InfeasibleBudget:  # nothing that cheap is within the limits
                    break
            archs.append(genes)
            below = float(np.nextafter(cost(genes[None])[0], -np.inf))
            remaining = int(np.searchsorted(bound.cost, below, side="right"))
            bar.update(len(bound) - remaining - bar.n)
    genes = np.stack(archs)
    total, value = cost(genes), accuracy(genes)
    points = pareto_front(total, value)
    return Front(space, total[points], value[points], genes[points])


def front_bound(
    space: SearchSpace, accuracy: Separable, cost: Separable, limits: Sequence[Budget] = ()
) -> Front:
    """The front that `limits` allow to be computed at once: no arch within all of them lies above
    it.

    Limits on maxima hold on it, those on sums are left out. Of one on a maximum plus a sum, what no
    arch within it has is excluded. Raises as `front` does.
    """
    require_exact(space, accuracy, [Budget(cost, 0.0, "cost"), *limits])
    if getattr(cost, "combine", None) is not np.add:
        raise TypeError(
            "a front needs a cost that adds up over stages; give another one as a limit"
        )
    check_feasible(space, limits)
    caps = [cap for cap in map(_as_cap, limits) if cap is not None]
    parts = []
    for terms in stage_terms(space, [accuracy, cost, *(budget.cost for budget in caps)]):
        terms = terms.capped([budget.limit for budget in caps])
        if terms is not None:
            parts.append(_front_at(terms))
    total, value, choices = (np.concatenate(part) for part in zip(*parts))
    if accuracy.link is not None:
        value = accuracy.link(value)
    points = pareto_front(total, value)
    return Front(space, total[points], value[points], assemble(space, choices[points]))


def _as_cap(budget: Budget) -> Budget | None:
    """A budget on a maximum that no arch within `budget` breaks, if there is a useful one."""
    if is_cap(budget):
        return budget
    if isinstance(budget.cost, MaxPlusSum):
        # The floor adds in another order than the cost: what rounding makes of it must not exclude
        # an arch on the limit.
        return replace(budget, cost=budget.cost.floor(), limit=budget.limit * (1 + 1e-12))
    return None


def _front_at(terms: StageTerms) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cost (P,), value (P,) and choices (P, 1 + S) along the front of one global choice."""
    terms = terms.select([pareto_front(stage[1], stage[0]) for stage in terms.stages])
    value, cost = terms.stages[0][:2]
    choices = np.column_stack([np.full(len(cost), terms.global_choice), terms.configs[0]])
    for stage, configs in zip(terms.stages[1:], terms.configs[1:]):
        cost, value, i, j = front_of_sums(cost, value, stage[1], stage[0])
        choices = np.column_stack([choices[i], configs[j]])
    return cost + terms.base[1], value + terms.base[0], choices
