"""How far from the best a search's answer is: proven, and beside it what the proof is worth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labkit.search.budgets import Budget, SearchResult
from labkit.search.exact import best
from labkit.space import Arch
from labkit.tables.separable import Separable


@dataclass(frozen=True)
class Certificate:
    """Predicted accuracy of a result and of the exact optimum under the same budgets, in percentage
    points.

    `rmse` is the predictor's own error on subnets it was not fitted to, None where there is no such
    figure.
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
        error = (
            "the predictor's own error is not known"
            if self.rmse is None
            else f"the predictor's own RMSE is {self.rmse:.2f} points"
        )
        return (
            f"{self.gap:.3f} points below the exact optimum of {self.optimum:.3f} % predicted;"
            f" {error}"
        )


def certify(
    result: SearchResult,
    accuracy: Separable,
    limits: Sequence[Budget] = (),
    *,
    rmse: float | None = None,
) -> Certificate:
    """Hold a search's result against the exact optimum under `limits`.

    Raises ValueError for a result that breaks a limit, TypeError where exact search cannot work.
    """
    row = result.genes[None]
    for budget in limits:
        cost = float(budget.cost(row)[0])
        if cost > budget.limit:
            raise ValueError(
                f"the result breaks its budget: {budget.name} is {budget.show(cost)}, limit "
                f"{budget.show(budget.limit)}"
            )
    optimum = best(result.space, accuracy, limits)
    return Certificate(
        float(accuracy(row)[0]), optimum.value, result.space.decode(optimum.genes[None])[0], rmse
    )
