"""Budgets: upper limits for what an arch may cost, and the error where none meets them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Context
from math import isfinite
from numbers import Real

import numpy as np

GenesFunction = Callable[[np.ndarray], np.ndarray]  # (N, G) canonical genes -> (N,) floats


@dataclass(frozen=True)
class Budget:
    """An upper limit for a cost: `cost(genes) <= limit`, in `unit`.

    `cost` is any function of a (N, G) gene matrix that returns (N,) numbers. Raises ValueError for
    a limit that is negative or not a finite number.

    >>> print(Budget(lambda genes: genes.sum(1), 20, "latency", "ms"))
    latency <= 20 ms
    """

    cost: GenesFunction = field(repr=False)
    limit: float
    name: str = "cost"
    unit: str = ""

    def __post_init__(self) -> None:
        try:
            finite = isinstance(self.limit, Real) and isfinite(self.limit)
        except OverflowError:  # a whole number beyond all floats
            finite = False
        if not finite or isinstance(self.limit, bool):
            raise ValueError(f"{self.name} budget {self.limit!r} is not a finite number")
        if self.limit < 0:
            raise ValueError(f"{self.name} budget {self.show(self.limit)} is negative")

    def show(self, value: float) -> str:
        return f"{value:.6g} {self.unit}".strip()

    def __str__(self) -> str:
        return f"{self.name} <= {self.show(self.limit)}"


class InfeasibleBudget(ValueError):
    """No arch meets `budget` among those that meet the budgets in `others`.

    `smallest` is the smallest value of its cost that such an arch has. `proven` says whether that
    is exact, or only the smallest value that was seen.
    """

    def __init__(
        self, budget: Budget, smallest: float, others: Sequence[Budget] = (), *, proven: bool = True
    ) -> None:
        self.budget, self.smallest = budget, float(smallest)
        self.others, self.proven = tuple(others), proven
        conditions = f" with {' and '.join(map(str, self.others))}" if others else ""
        what = "smallest achievable value" if proven else "smallest value found"
        super().__init__(
            f"{budget.name} budget {budget.show(budget.limit)} cannot be met{conditions}; "
            f"the {what} is {budget.show(self.achievable)}"
        )

    @property
    def achievable(self) -> float:
        """`smallest` in the six digits that `Budget.show` prints, rounded up so that it can be met
        as a limit.
        """
        six_digits = Context(prec=6, rounding=ROUND_CEILING)
        return float(six_digits.create_decimal_from_float(self.smallest))
