"""How far a search's result is from the exact optimum. No torch here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.search import Budget, SearchResult
from labkit.space import Arch
from labkit.specialize.subnet_search import needed, search_subnet
from labkit.tables.separable import Separable


@dataclass(frozen=True)
class Certificate:
    """Predicted accuracy, in percent, of a result and of the exact optimum under the same budgets.

    `rmse`, in percentage points, is the predictor's own error on subnets it was not fitted to; it
    is None where there is no such figure.
    """

    accuracy: float
    optimum: float
    optimal_arch: Arch
    rmse: float | None = None

    @property
    def gap(self) -> float:
        """Points of predicted accuracy that the result lacks; 0 if it is the optimum."""
        return self.optimum - self.accuracy

    def __str__(self) -> str:
        if self.rmse is None:
            error = "the predictor's own error is not known"
        else:
            error = f"the predictor's own RMSE is {self.rmse:.2f} points"
        return (
            f"{self.gap:.3f} points below the exact optimum of {self.optimum:.3f} % predicted;"
            f" {error}"
        )


def certify(
    result: SearchResult,
    accuracy: Separable,
    budgets: Sequence[Budget] = (),
    *,
    rmse: float | None = None,
) -> Certificate:
    """Compare a search's result with the exact optimum under `budgets`.

    Raises ValueError for a result that breaks one, TypeError where exact search cannot work.

    >>> import numpy as np
    >>> from labkit.search import evolve
    >>> from labkit.space.presets import get_space
    >>> from labkit.tables.costs import macs_table
    >>> from labkit.tables.synthetic_accuracy import synthetic_accuracy
    >>> space = get_space("fmnist")
    >>> accuracy, budgets = synthetic_accuracy(space), [Budget(macs_table(space), 3e6, "MACs")]
    >>> rng = np.random.default_rng(0)
    >>> result = evolve(space, accuracy, budgets, rng=rng, generations=20)
    >>> print(f"{certify(result, accuracy, budgets).gap:.3f} points below the exact optimum")
    0.190 points below the exact optimum
    """
    for budget in budgets:
        cost = needed(budget, result.genes)
        if cost > budget.limit:
            raise ValueError(
                f"the result breaks its budget: {budget.name} is {budget.show(cost)}, limit "
                f"{budget.show(budget.limit)}"
            )
    optimum = search_subnet(result.space, accuracy, budgets, method="exact")
    accuracy_of_result = float(accuracy(result.genes[None])[0])
    return Certificate(accuracy_of_result, optimum.accuracy, optimum.arch, rmse)
