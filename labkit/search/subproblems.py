"""The cases that exact search under budgets goes through, and what each of them offers.

A case is a resolution. Budgets on a maximum only take configurations out of it; where a maximum is
part of a sum (`MaxPlusSum`), each level of the maximum is a case of its own, in which it is a
constant.

Shapes in trailing comments: L additive budgets, S stages, C configurations of a stage, N partial
archs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from labkit.search.budgets import Budget
from labkit.search.stage_terms import StageTerms, Terms, is_cap
from labkit.space import SearchSpace
from labkit.tables.separable import MaxPlusSum, Separable

ROUNDING = 1e-11  # share of a value's range that counts as rounding, in bounds and sums


class Weighted(Separable):
    """A multiple of an additive table; 0 times any table is nothing."""

    def __init__(self, table: Separable, weight: float) -> None:
        self.space, self.base, self._table, self._weight = (
            table.space,
            weight * table.base,
            table,
            weight,
        )

    def stage_values(self, s: int) -> np.ndarray:
        return self._weight * self._table.stage_values(s)


class Case:
    """Values to maximize and, for each budget, costs to keep below a limit, at one resolution.

    `levels` (L,) are what the maxima of the budgets on a `MaxPlusSum` use up of their limits, else
    0.
    """

    def __init__(self, terms: Terms, limits: np.ndarray, levels: np.ndarray, less: float) -> None:
        self.r, self.kept, self._limits, self._levels = terms.r, terms.kept, limits, levels
        self.base, self.cost_base = terms.base[0] - less, terms.base[1:]  # (), (L,)
        self.values = [stage[0] for stage in terms.stages]  # S of (C,)
        self.costs = [stage[1:] for stage in terms.stages]  # S of (L, C)
        least, most = (
            np.array([end(costs, axis=1) for costs in self.costs]) for end in (np.min, np.max)
        )  # (S, L)
        # (L,) what the stages may spend; a limit beyond all that they can spend would only make
        # prices lose digits
        self.room = np.minimum(limits - levels - self.cost_base, most.sum(0))
        self.least_after = least.sum(0) - np.cumsum(
            least, axis=0
        )  # (S, L) what later stages spend at least
        self.span = sum(np.ptp(values) for values in self.values)
        self._terms = np.maximum(np.abs(least), np.abs(most)).sum(
            0
        )  # (L,) costs of both signs may cancel in a sum
        self.rough_bound = (
            self.base
            + sum(values.max() for values in self.values)
            + self.slack(np.zeros(len(limits)))
        )
        self.tolerance = ROUNDING * (
            np.abs(self.room) + np.abs(levels) + np.abs(self.cost_base) + self._terms
        )
        self.possible = bool((least.sum(0) <= self.room + self.tolerance).all())

    def slack(self, prices: np.ndarray) -> float:
        """What a sum of values and of costs at these prices (L,) may be off by rounding."""
        return ROUNDING * (self.span + abs(self.base) + prices @ (np.abs(self.room) + self._terms))

    def priced(self, prices: np.ndarray) -> tuple[float, np.ndarray, list[np.ndarray]]:
        """Bound on the value at these prices (L,), the stages' best choices (S,), and S of (C,)
        priced values.

        The bound has room for rounding.
        """
        scores = [values - prices @ costs for values, costs in zip(self.values, self.costs)]
        picks = np.array([score.argmax() for score in scores])
        bound = self.base + prices @ self.room + sum(score[i] for score, i in zip(scores, picks))
        return bound + self.slack(prices), picks, scores

    def spent(self, picks: np.ndarray) -> np.ndarray:  # (L,)
        return sum(costs[:, i] for costs, i in zip(self.costs, picks))

    def meets(self, spent: np.ndarray) -> np.ndarray:
        """Whether stages that spend this, (L,) or (L, N), meet the budgets: the sum that the cost
        itself computes.
        """
        base, levels, limits = (
            np.expand_dims(v, tuple(range(1, spent.ndim)))
            for v in (self.cost_base, self._levels, self._limits)
        )
        return (spent + base + levels <= limits).all(0)

    def value(self, picks: np.ndarray) -> float:
        return sum(values[i] for values, i in zip(self.values, picks)) + self.base


@lru_cache(maxsize=2)
def _thin_terms(
    space: SearchSpace, tables: tuple[Separable, ...], capped: tuple[Separable, ...]
) -> StageTerms:
    """Kept for the next question, which is often about the same tables and another limit."""
    return StageTerms(space, tables, capped, thin=True)


def _tightest(limits: Sequence[Budget]) -> list[Budget]:
    """Of several budgets on one cost the smallest: each `MaxPlusSum` multiplies the number of
    cases.
    """
    kept: dict[int, Budget] = {}
    for budget in sorted(limits, key=lambda budget: -budget.limit):
        kept[id(budget.cost)] = budget
    return list(kept.values())


class Cases:
    """All cases of maximizing `value`, less the level of the maximum `less`, under budgets."""

    def __init__(
        self, space: SearchSpace, value: Separable, limits: Sequence[Budget], less: Separable | None
    ) -> None:
        self.space = space
        limits = _tightest(limits)
        caps = [budget for budget in limits if is_cap(budget)]
        mixed = [budget for budget in limits if isinstance(budget.cost, MaxPlusSum)]
        sums = [budget for budget in limits if budget not in caps and budget not in mixed]
        self._terms = _thin_terms(
            space,
            (value, *(budget.cost for budget in sums), *(budget.cost.total for budget in mixed)),
            (
                *(budget.cost for budget in caps),
                *(budget.cost.maximum for budget in mixed),
                *([less] if less else []),
            ),
        )
        self._caps = [budget.limit for budget in caps]
        self._sums, self._mixed = (
            np.array([b.limit for b in group], dtype=float) for group in (sums, mixed)
        )
        self._less = less is not None

    def __iter__(self) -> Iterator[tuple[int, tuple[float, ...]]]:
        """Resolution and levels of the maxima that are part of sums, case by case."""
        for r in range(len(self.space.resolutions)):
            first = len(self._caps)
            sliding = range(first, first + len(self._mixed) + self._less)
            yield from (
                (r, levels)
                for levels in itertools.product(*(self._terms.levels(i, r) for i in sliding))
            )

    def make(self, r: int, levels: tuple[float, ...]) -> Case | None:
        """The case, or None if the budgets plainly exclude all its archs."""
        terms = self._terms.at(r, [*self._caps, *levels])
        if terms is None:
            return None
        limits = np.concatenate([self._sums, self._mixed])
        used = np.concatenate([np.zeros(len(self._sums)), levels[: len(self._mixed)]])
        case = Case(terms, limits, used, levels[-1] if self._less else 0.0)
        return case if case.possible else None
