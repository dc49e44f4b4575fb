"""Exact search: the best arch under budgets, with proof that there is no better one.

A space holds 10^11 archs and more, and yet the best one can be had in a fraction of a second, with
nothing left to chance. This works for an accuracy and for costs that are *stage-separable*
(`labkit.tables.separable`): once the global choice is made (an input resolution and a width
multiplier), each of them is a sum or a maximum of one term per stage, whatever the other stages do.

The search takes these steps:

1. **Divide** (`subproblems.py`). Every global choice is a subproblem of its own: from now on an
   arch is one configuration per stage, and stages interact in nothing but the budgets.
2. **Thin the stages** (`stage_terms.py`). A configuration is dropped if another one of its stage is
   worth no less and costs no more under any budget. Of thousands, about a hundred remain.
3. **Bound** (`lagrangian.py`). Suppose that a budget's cost has a price: whatever the stages spend
   is paid for, whatever they leave of the limit is paid back. Now each stage can choose for itself,
   and what all stages are worth together is never less than the value of any arch within budget.
   This holds at any price; the ellipsoid method finds prices that make the bound low. Archs within
   budget that turn up on the way are remembered: the best of them is the best value so far.
4. **Enumerate what the bound leaves** (also `lagrangian.py`). Each configuration loses something
   against the best one of its stage. An arch that beats the best value so far must lose less, over
   all its stages, than the distance of that value from the bound. Few configurations lose so
   little, and all their combinations are looked at, stage after stage, with bounds on what can
   become of each beginning. Subproblems come in the order of their bounds; when no bound is above
   the best value so far, that value is the optimum.

A small example has one global choice, two stages, and a cost of at most 4:

    stage 1:   a  value 1, cost 1      stage 2:   d  value 1, cost 1
               b  value 3, cost 2                 e  value 4, cost 3
               c  value 4, cost 4                 f  value 3, cost 3

Thinning drops f, because e is worth more at the same cost. At a price of 1.5 the configurations are
worth (value less price times cost) a -0.5, b 0, c -2; d -0.5, e -0.5. The best of each stage and
the price of the whole budget bound every value: 0 - 0.5 + 1.5 * 4 = 5.5. On the way to that price,
b with d was met, which costs 3 and has value 4. An arch of more than 4 loses less than 5.5 - 4 =
1.5, so c, which loses 2 against b, is out. Of the combinations of a, b with d, e those within
budget have values 2, 5 and 4: the optimum is a with e, of value 5 and cost 4.

Budgets are of three types. Costs that are *sums* get prices. A *maximum* over stages stays below
its limit exactly when each term does, so it excludes configurations beforehand. A *maximum plus a
sum* (the memory arena of a microcontroller) makes a subproblem for each level that the maximum may
take: there the maximum is capped at the level, and the sum may spend the limit less the level.

Rounding is allowed for in every bound, so that no arch is lost to it, and whether an arch meets its
budgets is decided by the numbers that the costs themselves compute.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from functools import lru_cache
from itertools import count

import numpy as np

from labkit.search.budgets import Budget, InfeasibleBudget
from labkit.search.lagrangian import best_prices, enumerate_best
from labkit.search.scoring import SearchResult
from labkit.search.stage_terms import is_cap, require_exact
from labkit.search.subproblems import Subproblems
from labkit.space import SearchSpace
from labkit.tables.separable import MaxPlusSum, Separable, StageTable


def best(space: SearchSpace, accuracy: Separable, limits: Sequence[Budget] = ()) -> SearchResult:
    """The arch of highest `accuracy` under `limits` on sums, maxima and `MaxPlusSum`, exactly.

    Raises InfeasibleBudget where no arch meets them, TypeError for a function that has no such
    structure, and ValueError for a table of another space.

    The example of this module's docstring:

    >>> from labkit.space import Stage
    >>> stage = Stage(8, 1, depths=(1,), kernels=(3, 5, 7), expands=(2,))
    >>> space = SearchSpace(
    ...     "example", (16,), (stage, stage), in_channels=1, num_classes=2, stem_width=8
    ... )
    >>> value = StageTable(space, [0.0], [[[1.0, 3.0, 4.0]], [[1.0, 4.0, 3.0]]])
    >>> cost = StageTable(space, [0.0], [[[1.0, 2.0, 4.0]], [[1.0, 3.0, 3.0]]])
    >>> result = best(space, value, [Budget(cost, 4.0)])
    >>> result.accuracy, result.costs
    (5.0, {'cost': 4.0})
    """
    require_exact(space, accuracy, limits)
    check_feasible(space, limits)
    return SearchResult.of(space, _maximize(space, accuracy, limits), accuracy, limits)


def cheapest(
    space: SearchSpace, cost: Separable | MaxPlusSum, limits: Sequence[Budget] = ()
) -> np.ndarray | None:
    """Genes (G,) of the arch of smallest `cost` under `limits`, exactly, or None without any."""
    if isinstance(cost, MaxPlusSum):
        value, maximum = _scaled(cost.total, -1.0), cost.maximum
    elif cost.combine is np.maximum:
        value, maximum = _scaled(cost, 0.0), cost
    else:
        value, maximum = _scaled(cost, -1.0), None
    return _maximize(space, value, limits, maximum)


def check_feasible(space: SearchSpace, limits: Sequence[Budget]) -> np.ndarray | None:
    """Genes (G,) of an arch that meets all `limits`; None where there are no limits.

    Raises InfeasibleBudget with the smallest achievable value: for a budget that no arch meets even
    alone, else for one that no arch meets together with others.
    """
    smallest = space.encode([space.smallest()])
    if limits and all(budget.cost(smallest)[0] <= budget.limit for budget in limits):
        return smallest[0]  # the proof below would take longer
    arch = None
    for budget in limits:
        arch = _meet(space, budget, ())
    ordered = sorted(limits, key=lambda budget: not is_cap(budget))
    for i in range(1, len(ordered)):
        arch = _meet(space, ordered[i], ordered[:i])
    return arch


def _meet(space: SearchSpace, budget: Budget, others: Sequence[Budget]) -> np.ndarray:
    """Genes (G,) of an arch that meets `budget` and those in `others`, which can be met."""
    arch = cheapest(space, budget.cost, others)
    cost = float(budget.cost(arch[None])[0])
    if cost > budget.limit:
        raise InfeasibleBudget(budget, cost, others)
    return arch


@lru_cache(maxsize=16)
def _scaled(table: Separable, factor: float) -> StageTable:
    """Cached so that a table's multiple is the same object the next time, and its terms known."""
    stages = [factor * table.stage_values(s) for s in range(len(table.space.stages))]
    return StageTable(table.space, factor * table.base, stages)


def _maximize(
    space: SearchSpace,
    value: Separable,
    limits: Sequence[Budget],
    value_maximum: Separable | None = None,
) -> np.ndarray | None:
    """Genes (G,) of the arch of highest `value` under `limits`; None if none meets them.

    With `value_maximum`, the value is `value` less that maximum.
    """
    subproblems = Subproblems(space, value, limits, value_maximum)
    order = count()  # breaks ties between bounds
    heap = []  # of (- upper bound, order, key, prices of the bound, None for the rough one)
    for key in subproblems.keys():
        subproblem = subproblems.get(key)
        if subproblem is not None:
            heapq.heappush(heap, (-subproblem.rough_bound, next(order), key, None))
    genes, best_value, guess = None, -np.inf, None
    while heap and -heap[0][0] > best_value:
        _, _, key, prices = heapq.heappop(heap)
        subproblem = subproblems.get(key)
        if prices is None:
            # Prices that suit one subproblem are a good guess for the next.
            bound, guess, picks = best_prices(subproblem, best_value, guess)
            heapq.heappush(heap, (-bound, next(order), key, guess))
        else:
            picks = enumerate_best(subproblem, prices, best_value)
        if picks is not None and subproblem.value(picks) > best_value:
            genes, best_value = subproblem.genes(space, picks), subproblem.value(picks)
    return genes
