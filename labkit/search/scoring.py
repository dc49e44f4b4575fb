"""What searches compare archs by, and what they return: scores under budgets, and results."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labkit.search.budgets import Budget, GenesFunction
from labkit.space import Arch, SearchSpace
from labkit.tables.separable import Joint, check_tables, is_separable

REMEMBERED_ARCHS = 500_000  # after this many, a `CachedAccuracy` starts anew


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The best arch that a search found.

    `history` is the best predicted accuracy so far: after each generation of evolution and at its
    start, after each batch of random search, one number for exact search. `evaluations` is how many
    archs within every budget the search chose from, copies counted; it is 0 for exact search, which
    looks at none.
    """

    space: SearchSpace
    genes: np.ndarray  # (G,)
    accuracy: float
    costs: dict[str, float]  # by the budget's name
    evaluations: int
    history: np.ndarray

    @classmethod
    def of(
        cls,
        space: SearchSpace,
        genes: np.ndarray,
        accuracy: GenesFunction,
        limits: Sequence[Budget],
        evaluations: int = 0,
        history: Sequence[float] | None = None,
    ) -> SearchResult:
        """The result for one arch (G,); without `history`, its accuracy is the only entry."""
        row = space.canonical(genes[None])
        value = float(accuracy(row)[0])
        costs = {budget.name: float(budget.cost(row)[0]) for budget in limits}
        history = np.array([value] if history is None else history)
        return cls(space, row[0], value, costs, evaluations, history)

    @property
    def arch(self) -> Arch:
        return self.space.decode(self.genes[None])[0]


class CachedAccuracy:
    """An accuracy function that is called once for each arch, because populations come back to the
    same archs.
    """

    def __init__(self, accuracy: GenesFunction) -> None:
        self._accuracy, self._values = accuracy, {}

    def __call__(self, genes: np.ndarray) -> np.ndarray:  # (N,)
        rows = np.ascontiguousarray(genes, dtype=np.int8)
        keys = rows.view(f"V{rows.shape[1]}").ravel().tolist()
        if len(self._values) > REMEMBERED_ARCHS:
            self._values.clear()
        new = {key: i for i, key in enumerate(keys) if key not in self._values}
        if new:
            values = np.asarray(self._accuracy(rows[list(new.values())]))
            if values.shape != (len(new),) or np.isnan(values).any():
                raise ValueError(
                    f"the accuracy function returned {values.shape} values, some of them NaN or"
                    f" missing; want ({len(new)},) numbers"
                )
            self._values.update(zip(new, values.tolist()))
        return np.array([self._values[key] for key in keys])


class Scorer:
    """The score of archs: predicted accuracy, or -inf where a budget is broken.

    All separable functions share one table lookup. Other costs are computed only for archs that
    meet the separable budgets, and another accuracy only for archs that meet all budgets, once for
    each. Genes need not be canonical: those functions get canonical ones.

    Raises ValueError for a table of another space, and for two budgets of one name on different
    costs.
    """

    def __init__(
        self, space: SearchSpace, accuracy: GenesFunction, limits: Sequence[Budget]
    ) -> None:
        check_tables(space, [accuracy, *(budget.cost for budget in limits)])
        self.space, self.limits = space, tuple(limits)
        for budget in limits:
            if any(other.name == budget.name and other.cost is not budget.cost for other in limits):
                raise ValueError(
                    f"two budgets on different costs are called {budget.name!r}; name them apart"
                )
        self._accuracy_is_table = is_separable(accuracy, space)
        self.accuracy = accuracy if self._accuracy_is_table else CachedAccuracy(accuracy)
        self._table_budgets = [budget for budget in limits if is_separable(budget.cost, space)]
        self._other_budgets = [budget for budget in limits if not is_separable(budget.cost, space)]
        tables = [budget.cost for budget in self._table_budgets]
        tables += [accuracy] * self._accuracy_is_table
        self._joint = Joint(tables) if tables else None

    def __call__(self, genes: np.ndarray) -> np.ndarray:  # (N,)
        values = self._joint(genes) if self._joint else ()
        feasible = np.ones(len(genes), dtype=bool)
        for budget, cost in zip(self._table_budgets, values):
            feasible &= cost <= budget.limit
        if self._accuracy_is_table and not self._other_budgets:
            return np.where(feasible, values[-1], -np.inf)
        scores = np.full(len(genes), -np.inf)
        rows = np.flatnonzero(feasible)
        canonical = self.space.canonical(genes[rows])
        for budget in self._other_budgets:
            if len(rows):
                within = budget.cost(canonical) <= budget.limit
                rows, canonical = rows[within], canonical[within]
        if len(rows):
            accuracy = values[-1][rows] if self._accuracy_is_table else self.accuracy(canonical)
            scores[rows] = accuracy
        return scores
