"""The subproblems that exact search divides a question into.

In a subproblem the global choice is settled, and so are the maxima: a budget on a maximum has
excluded configurations, and where a maximum is part of a sum (`MaxPlusSum`), each value that it can
take, its level, makes a subproblem of its own, in which it is a constant. What remains is to choose
one configuration per stage so that a sum of values is large while L sums of costs stay within their
limits.

Shapes in trailing comments: L additive budgets, S stages, C configurations of a stage, N partial
archs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from labkit.search.budgets import Budget
from labkit.search.stage_terms import StageTerms, assemble, is_cap, stage_terms
from labkit.space import SearchSpace
from labkit.tables.separable import MaxPlusSum, Separable

ROUNDING = 1e-11  # share of a value's range that counts as rounding, in bounds and sums
Key = tuple[int, tuple[float, ...]]  # a global choice, and levels of maxima


class Subproblem:
    """Choose one configuration per stage: values to maximize, and L costs to keep within limits.

    `picks` (S,) in its methods and elsewhere are indices into the stages' arrays here. `levels`
    (L,) are what the maxima of `MaxPlusSum` budgets use of their limits, and 0 for other budgets;
    `value_level` is subtracted from the value.
    """

    def __init__(
        self, terms: StageTerms, limits: np.ndarray, levels: np.ndarray, value_level: float
    ) -> None:
        self._terms, self._limits, self._levels = terms, limits, levels
        cost_rows = slice(1, 1 + len(limits))
        self.base, self._cost_base = terms.base[0] - value_level, terms.base[cost_rows]  # (), (L,)
        self.values = [stage[0] for stage in terms.stages]  # S of (C,)
        self.costs = [stage[cost_rows] for stage in terms.stages]  # S of (L, C)
        least = np.array([costs.min(1) for costs in self.costs])  # (S, L)
        largest = np.array([costs.max(1) for costs in self.costs])  # (S, L)
        # What the stages may spend (L,). A limit beyond all that they can spend is cut: it would
        # only make prices lose digits.
        self.room = np.minimum(limits - levels - self._cost_base, largest.sum(0))
        # What the stages after each one spend at least (S, L).
        self.least_after = least.sum(0) - np.cumsum(least, axis=0)
        self.span = sum(np.ptp(values) for values in self.values)
        self._value_magnitude = sum(np.abs(values).max() for values in self.values)
        # Sums of these magnitudes (L,) are rounded, even where costs of both signs cancel.
        self._magnitude = np.maximum(np.abs(least), np.abs(largest)).sum(0)
        self.tolerance = ROUNDING * (
            np.abs(self.room) + np.abs(levels) + np.abs(self._cost_base) + self._magnitude
        )
        self.possible = bool((least.sum(0) <= self.room + self.tolerance).all())
        top = self.base + sum(values.max() for values in self.values)
        self.rough_bound = top + self.slack(np.zeros(len(limits)))

    def slack(self, prices: np.ndarray) -> float:
        """How far rounding may move a sum of values and of costs at prices (L,)."""
        priced = prices @ (np.abs(self.room) + self._magnitude)
        return ROUNDING * (self._value_magnitude + abs(self.base) + priced)

    def spent(self, picks: np.ndarray) -> np.ndarray:  # (L,)
        return sum(costs[:, i] for costs, i in zip(self.costs, picks))

    def value(self, picks: np.ndarray) -> float:
        return sum(values[i] for values, i in zip(self.values, picks)) + self.base

    def meets(self, spent: np.ndarray) -> np.ndarray:
        """Whether stages that spend this, (L,) or (L, N), meet the budgets.

        Adds in the order in which the cost itself does, so that both round alike.
        """
        shape = (-1,) + (1,) * (spent.ndim - 1)
        base, levels, limits = (
            each.reshape(shape) for each in (self._cost_base, self._levels, self._limits)
        )
        return (spent + base + levels <= limits).all(0)

    def genes(self, space: SearchSpace, picks: np.ndarray) -> np.ndarray:  # (G,)
        configs = [configs[i] for configs, i in zip(self._terms.configs, picks)]
        return assemble(space, np.array([[self._terms.global_choice, *configs]]))[0]


class Subproblems:
    """All subproblems of maximizing `value` under budgets.

    With a table `value_maximum`, the value is `value` less that maximum over the stages.
    """

    def __init__(
        self,
        space: SearchSpace,
        value: Separable,
        limits: Sequence[Budget],
        value_maximum: Separable | None = None,
    ) -> None:
        # Of several budgets on one cost the smallest: each `MaxPlusSum` multiplies the subproblems.
        loosest_first = sorted(limits, key=lambda budget: -budget.limit)
        limits = list({id(budget.cost): budget for budget in loosest_first}.values())
        caps = [budget for budget in limits if is_cap(budget)]
        mixed = [budget for budget in limits if isinstance(budget.cost, MaxPlusSum)]
        sums = [budget for budget in limits if budget not in caps and budget not in mixed]
        tables = [value, *(b.cost for b in sums), *(b.cost.total for b in mixed)]
        maxima = [*(b.cost for b in caps), *(b.cost.maximum for b in mixed)]
        if value_maximum is not None:
            maxima.append(value_maximum)
        self._terms = _thinned_terms(space, (*tables, *maxima))
        self._caps = [budget.limit for budget in caps]
        self._limits = np.array([budget.limit for budget in [*sums, *mixed]], dtype=float)
        self._num_mixed = len(mixed)
        # The maxima that have a subproblem for each level.
        self._leveled = range(len(tables) + len(caps), len(tables) + len(maxima))

    def keys(self) -> Iterator[Key]:
        """The global choice and the levels of each subproblem."""
        for global_choice, terms in enumerate(self._terms):
            levels = (terms.levels(i) for i in self._leveled)
            yield from ((global_choice, each) for each in itertools.product(*levels))

    def get(self, key: Key) -> Subproblem | None:
        """The subproblem, or None if the budgets plainly exclude all its archs."""
        global_choice, levels = key
        terms = self._terms[global_choice].capped([*self._caps, *levels])
        if terms is None:
            return None
        mixed_levels = levels[: self._num_mixed]
        budget_levels = np.array([0.0] * (len(self._limits) - len(mixed_levels)) + [*mixed_levels])
        value_level = levels[-1] if len(levels) > self._num_mixed else 0.0
        subproblem = Subproblem(terms, self._limits, budget_levels, value_level)
        return subproblem if subproblem.possible else None


@lru_cache(maxsize=16)
def _thinned_terms(space: SearchSpace, tables: tuple[Separable, ...]) -> list[StageTerms]:
    """Cached because one of the next questions is often about the same tables with other limits,
    and they take longer than the rest of a search.
    """
    return [terms.thinned() for terms in stage_terms(space, tables)]
