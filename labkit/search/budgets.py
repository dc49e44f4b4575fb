"""What a search is asked and what it answers: budgets, scores, results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Context
from math import isfinite
from numbers import Real

import numpy as np

from labkit.space import Arch, SearchSpace
from labkit.tables.separable import Joint, is_separable, require_own

GenesFunction = Callable[[np.ndarray], np.ndarray]  # (N, G) canonical genes -> (N,) floats
MEMO = 500_000  # archs whose accuracy is remembered


@dataclass(frozen=True)
class Budget:
    """An upper limit for a cost: `cost(genes) <= limit`, in `unit`."""

    cost: GenesFunction = field(repr=False)
    limit: float
    name: str = "cost"
    unit: str = ""

    def __post_init__(self) -> None:
        try:
            finite = (
                not isinstance(self.limit, bool)
                and isinstance(self.limit, Real)
                and isfinite(self.limit)
            )
        except OverflowError:  # a whole number beyond all floats
            finite = False
        if not finite:
            raise ValueError(f"{self.name} budget {self.limit!r} is not a finite number")
        if self.limit < 0:
            raise ValueError(f"{self.name} budget {self.show(self.limit)} is negative")

    def show(self, value: float) -> str:
        return f"{value:.6g} {self.unit}".strip()

    def __str__(self) -> str:
        return f"{self.name} <= {self.show(self.limit)}"


def _rounded_up(value: float) -> float:
    """To the six digits that `Budget.show` prints, never down: what is printed can be met as a
    budget.
    """
    return float(Context(prec=6, rounding=ROUND_CEILING).create_decimal_from_float(value))


class InfeasibleBudget(ValueError):
    """No arch meets `budget`, given the budgets in `others`; `smallest` is what can be reached.

    `proven` says whether `smallest` is exact or only the smallest value seen.
    """

    def __init__(
        self, budget: Budget, smallest: float, others: Sequence[Budget] = (), *, proven: bool = True
    ) -> None:
        self.budget, self.smallest, self.others, self.proven = (
            budget,
            float(smallest),
            tuple(others),
            proven,
        )
        given = f" with {' and '.join(map(str, self.others))}" if others else ""
        what = "smallest achievable value" if proven else "smallest value found"
        super().__init__(
            f"{budget.name} budget {budget.show(budget.limit)} cannot be met{given}; "
            f"the {what} is {budget.show(self.achievable)}"
        )

    @property
    def achievable(self) -> float:
        """`smallest` in six digits, rounded up: a limit that can be met."""
        return _rounded_up(self.smallest)


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The best arch that a search found.

    `history` is the best predicted accuracy so far: after each generation of evolution and at its
    start, after each batch of random search, one number for exact search. `evaluations` is how many
    archs within every budget the search chose from, copies counted (0 for exact search, which looks
    at none).
    """

    space: SearchSpace
    genes: np.ndarray  # (G,)
    accuracy: float
    costs: dict[str, float]  # by the budget's name
    evaluations: int
    history: np.ndarray

    @property
    def arch(self) -> Arch:
        return self.space.decode(self.genes[None])[0]


class Memo:
    """An accuracy function that is asked about each arch once: populations come back to the same
    archs.
    """

    def __init__(self, accuracy: GenesFunction) -> None:
        self._accuracy, self._known = accuracy, {}

    def __call__(self, genes: np.ndarray) -> np.ndarray:  # (N,)
        rows = np.ascontiguousarray(genes, dtype=np.int8)
        keys = rows.view(f"V{rows.shape[1]}").ravel().tolist()
        new = {key: i for i, key in enumerate(keys) if key not in self._known}
        if new:
            if len(self._known) > MEMO:
                self._known.clear()
                new = {key: i for i, key in enumerate(keys)}
            values = np.asarray(self._accuracy(rows[list(new.values())]))
            if values.shape != (len(new),) or np.isnan(values).any():
                raise ValueError(
                    f"the accuracy function returned {values.shape} values, some of them NaN or"
                    f" missing; want ({len(new)},) numbers"
                )
            self._known.update(zip(new, values.tolist()))
        return np.array([self._known[key] for key in keys])


class Scorer:
    """Score of archs: predicted accuracy, or -inf where a budget is broken.

    Separable functions share one lookup; another accuracy predictor is asked only about archs that
    meet the budgets, and about each of them once. Genes need not be canonical.
    """

    def __init__(
        self, space: SearchSpace, accuracy: GenesFunction, limits: Sequence[Budget]
    ) -> None:
        require_own(space, [accuracy, *(budget.cost for budget in limits)])
        self.space, self.limits = space, tuple(limits)
        for budget in limits:
            if any(other.name == budget.name and other.cost is not budget.cost for other in limits):
                raise ValueError(
                    f"two budgets on different costs are called {budget.name!r}; name them apart"
                )
        self.accuracy = accuracy if is_separable(accuracy, space) else Memo(accuracy)
        self._tabled = [budget for budget in limits if is_separable(budget.cost, space)]
        self._called = [budget for budget in limits if not is_separable(budget.cost, space)]
        self._separable = is_separable(accuracy, space)
        tables = [budget.cost for budget in self._tabled] + [accuracy] * self._separable
        self._joint = Joint(tables) if tables else None

    def __call__(self, genes: np.ndarray) -> np.ndarray:  # (N,)
        values = self._joint(genes) if self._joint else ()
        feasible = np.ones(len(genes), dtype=bool)
        for budget, cost in zip(self._tabled, values):
            feasible &= cost <= budget.limit
        if self._separable and not self._called:
            return np.where(feasible, values[-1], -np.inf)
        scores = np.full(len(genes), -np.inf)
        rows = np.flatnonzero(feasible)
        canonical = self.space.canonical(genes[rows])
        for budget in self._called:
            if not len(rows):
                break
            kept = budget.cost(canonical) <= budget.limit
            rows, canonical = rows[kept], canonical[kept]
        if len(rows):
            scores[rows] = values[-1][rows] if self._separable else self.accuracy(canonical)
        return scores

    def result(self, genes: np.ndarray, evaluations: int, history: Sequence[float]) -> SearchResult:
        """The result for one arch (G,)."""
        row = self.space.canonical(genes[None])
        return SearchResult(
            self.space,
            row[0],
            float(self.accuracy(row)[0]),
            {budget.name: float(budget.cost(row)[0]) for budget in self.limits},
            evaluations,
            np.array(history),
        )
