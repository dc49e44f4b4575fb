"""The best arch under budgets, by any of the search methods, and so that it fits where a
microcontroller's planner decides. No torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from labkit.firmware.best_linked import best_linked
from labkit.firmware.memory import FirmwareFlash
from labkit.search import Budget, InfeasibleBudget, SearchResult, best, evolve, random_search
from labkit.space import Arch, SearchSpace
from labkit.specialize.best_passing import ByKernel, Check, TooManyFailures, best_passing
from labkit.specialize.device_costs import DeviceCosts
from labkit.supernet.accuracy_files import AccuracyModel
from labkit.tables.arena import ArenaTable
from labkit.tables.separable import Separable

METHODS = ("evolution", "exact", "random")
Method = Literal["evolution", "exact", "random"]


def search_subnet(
    space: SearchSpace,
    accuracy: Separable,
    budgets: Sequence[Budget],
    *,
    method: Method = "evolution",
    seed: int = 0,
    population: int = 100,
    generations: int = 500,
) -> SearchResult:
    """The best arch under `budgets` by `method`.

    Random search looks at as many archs as evolution would. A budget on a microcontroller's arena
    holds for what its engine's planner needs, so that the result fits. Exact search returns
    the best arch that does, unless more than ten kinds of better ones do not. Then, and with the
    other methods, the limit on the predicted arena is lowered below that of each result until one
    fits; archs between may be missed.

    A budget on the flash of firmware holds for the code that is linked in exact search; with the
    other methods for the code of all functions. One on its SRAM holds for the stack of the arch in
    exact search, with the other methods for the largest of all archs. Where the other methods find
    no arch within that, the exact answer is returned.

    Raises InfeasibleBudget with the smallest achievable value where no arch meets the budgets; with
    the smallest value found where some do by prediction, and none of those found by the planner.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}, known: {', '.join(METHODS)}")
    if method == "exact":
        result = exact_subnet(space, accuracy, budgets)
        return result or _until_planned(_loosened(budgets), budgets, _linked(space, accuracy))

    def run(budgets: Sequence[Budget]) -> SearchResult:
        rng = np.random.default_rng(seed)
        if method == "random":
            evaluations = population * (generations + 1)
            return random_search(space, accuracy, budgets, rng=rng, evaluations=evaluations)
        return evolve(
            space, accuracy, budgets, rng=rng, population=population, generations=generations
        )

    try:
        return _until_planned(budgets, budgets, run)
    except InfeasibleBudget as refusal:
        if not isinstance(refusal.budget.cost, FirmwareFlash | ArenaTable):
            raise
    return search_subnet(space, accuracy, budgets, method="exact")


def exact_subnet(
    space: SearchSpace,
    accuracy: Separable,
    budgets: Sequence[Budget],
    *,
    failures: int = 10,
    excluded: Sequence[np.ndarray] = (),
) -> SearchResult | None:
    """The arch of highest `accuracy` under `budgets` that is none of `excluded`, canonical genes
    (G,), exactly; of firmware's flash it takes what is linked, of an arena what is planned.

    None where no arch is left, and where more than `failures` kinds of better ones do not fit an
    arena. Raises InfeasibleBudget where no arch meets the budgets.
    """
    passes = _fits_as_planned(budgets)

    def search(budgets: Sequence[Budget]) -> SearchResult | None:
        return best_passing(space, accuracy, budgets, passes, failures=failures, excluded=excluded)

    try:
        return best_linked(space, accuracy, _loosened(budgets), search)
    except TooManyFailures:
        return None
    except InfeasibleBudget as refusal:
        arena = next((a for a in _arenas(budgets) if a.cost is refusal.budget.cost), None)
        if arena is None:
            raise
        # What the planner needs for the arch with the smallest predicted arena can be met.
        smallest = replace(arena, limit=refusal.smallest)
        others = [budget for budget in budgets if budget.cost is not arena.cost]
        least = _linked(space, accuracy)([*_loosened(others), smallest])
        planned = arena.cost.planned(least.genes)
        proven = planned <= refusal.smallest - arena.cost.excess
        proven = proven and _fits_as_planned(others)(least.genes)
        raise InfeasibleBudget(arena, planned, refusal.others, proven=proven) from None


def needed(budget: Budget, genes: np.ndarray) -> float:
    """What the arch (G,) needs of a budget once it is deployed: linked flash, a planned arena."""
    if isinstance(budget.cost, ArenaTable):
        return budget.cost.planned(genes)
    cost = budget.cost.linked if isinstance(budget.cost, FirmwareFlash) else budget.cost
    return float(cost(genes[None])[0])


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
    # Where many kinds of better archs miss a planned arena, exact search may miss the best, too.
    if accuracy_of_result > optimum.accuracy:
        return Certificate(accuracy_of_result, accuracy_of_result, result.arch, rmse)
    return Certificate(accuracy_of_result, optimum.accuracy, optimum.arch, rmse)


def _fits_as_planned(budgets: Sequence[Budget]) -> Check:
    """Whether an arch meets budgets on microcontrollers' arenas as their planners place tensors; so
    does every arch where there is no such budget.
    """
    arenas = _arenas(budgets)

    def passes(genes: np.ndarray) -> bool:
        return all(arena.cost.planned(genes) <= arena.limit for arena in arenas)

    return ByKernel(passes) if any(arena.cost.by_kernel for arena in arenas) else passes


def _linked(space: SearchSpace, accuracy: Separable) -> Callable[[Sequence[Budget]], SearchResult]:
    """Exact search by predicted arenas, with flash as it is linked."""
    return lambda budgets: best_linked(
        space, accuracy, budgets, lambda each: best(space, accuracy, each)
    )


def _until_planned(
    loose: Sequence[Budget],
    budgets: Sequence[Budget],
    search: Callable[[Sequence[Budget]], SearchResult],
) -> SearchResult:
    """The result of `search` under `loose` budgets; while it does not fit an arena in `budgets` as
    it is planned, that under a limit below what is predicted for it.
    """
    result, arenas = search(loose), _arenas(budgets)
    searched, found = _arenas(loose), [np.inf] * len(arenas)
    while True:
        planned = [arena.cost.planned(result.genes) for arena in arenas]
        found = np.minimum(found, planned)
        broken = [i for i, arena in enumerate(arenas) if planned[i] > arena.limit]
        if not broken:
            return result
        i = broken[0]
        predicted = float(arenas[i].cost(result.genes[None])[0])
        searched[i] = replace(arenas[i], limit=predicted - 1)  # bytes are whole
        try:
            result = search([*_others(budgets), *searched])
        except InfeasibleBudget:
            others = [budget for budget in budgets if budget.cost is not arenas[i].cost]
            raise InfeasibleBudget(arenas[i], found[i], others, proven=False) from None


def _arenas(budgets: Sequence[Budget]) -> list[Budget]:
    """The tightest budget on each arena. A looser one, such as the device's own, says nothing."""
    tightest: dict[ArenaTable, Budget] = {}
    for budget in budgets:
        if isinstance(budget.cost, ArenaTable):
            known = tightest.setdefault(budget.cost, budget)
            tightest[budget.cost] = min(known, budget, key=lambda each: each.limit)
    return [*tightest.values()]


def _others(budgets: Sequence[Budget]) -> list[Budget]:
    return [budget for budget in budgets if not isinstance(budget.cost, ArenaTable)]


def _loosened(budgets: Sequence[Budget]) -> list[Budget]:
    """Limits on arenas raised by as much as is predicted too much at most."""
    arenas = _arenas(budgets)
    raised = (replace(arena, limit=arena.limit + arena.cost.excess) for arena in arenas)
    return [*_others(budgets), *raised]


def searches_at_limits(
    costs: DeviceCosts, model: AccuracyModel, limits_ms: Sequence[float], seed: int
) -> dict[str, list[SearchResult]]:
    """The results of evolution and of random search under each latency limit, by method."""
    methods: tuple[Method, ...] = ("evolution", "random")
    return {
        method: [
            search_subnet(
                costs.space,
                model.predict,
                costs.budgets(latency_ms=limit),
                method=method,
                seed=seed,
            )
            for limit in limits_ms
        ]
        for method in methods
    }
