"""The best arch under budgets, by any of the search methods, and so that it fits where a
microcontroller's planner decides. No torch here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from labkit.firmware.best_linked import best_linked, flash_budgets
from labkit.search import Budget, InfeasibleBudget, SearchResult, best, evolve, random_search
from labkit.space import SearchSpace
from labkit.specialize.best_passing import ByKernel, Check, best_passing
from labkit.specialize.device_costs import DeviceCosts
from labkit.supernet.accuracy_files import AccuracyModel
from labkit.tables.arena import ArenaTable
from labkit.tables.separable import Separable

METHODS = ("evolution", "exact", "random")
Method = Literal["evolution", "exact", "random"]


def search_subnet(
    space: SearchSpace,
    accuracy: Separable,
    budgets: list[Budget],
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
    exact search, with the other methods for the largest of all archs. Where no arch is within that,
    the exact answer is returned.

    Raises InfeasibleBudget with the smallest achievable value where no arch meets the budgets; with
    the smallest value found where some do by prediction, and none of those found by the planner.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}, known: {', '.join(METHODS)}")

    def exact(budgets: list[Budget]) -> SearchResult:
        return best_linked(space, accuracy, budgets, lambda each: best(space, accuracy, each))

    def run(budgets: list[Budget]) -> SearchResult:
        if method == "exact":
            return exact(budgets)
        rng = np.random.default_rng(seed)
        try:
            if method == "random":
                evaluations = population * (generations + 1)
                return random_search(space, accuracy, budgets, rng=rng, evaluations=evaluations)
            return evolve(
                space, accuracy, budgets, rng=rng, population=population, generations=generations
            )
        except InfeasibleBudget as refusal:
            if refusal.budget not in flash_budgets(budgets):
                raise
            return exact(budgets)

    arena = _arena(budgets)
    if arena is None:
        return run(budgets)
    others = [budget for budget in budgets if budget is not arena]
    try:
        result = None
        if method == "exact":
            passes = fits_as_planned(budgets)
            loosened = [*others, replace(arena, limit=arena.limit + arena.cost.excess)]
            result = best_linked(
                space, accuracy, loosened, lambda each: best_passing(space, accuracy, each, passes)
            )
        result = result or run(budgets)
    except InfeasibleBudget as refusal:
        if refusal.budget.cost is not arena.cost:
            raise
        if method != "exact" and arena.cost.excess:  # the plan may need less than is predicted
            return search_subnet(space, accuracy, budgets, method="exact")
        # What the planner needs for the arch with the smallest predicted arena can be met.
        least = run([*others, replace(arena, limit=refusal.smallest)])
        needed = arena.cost.planned(least.genes)
        proven = needed <= refusal.smallest - arena.cost.excess
        raise InfeasibleBudget(arena, needed, refusal.others, proven=proven) from None
    planned_bytes = [arena.cost.planned(result.genes)]
    while planned_bytes[-1] > arena.limit:
        predicted_bytes = float(arena.cost(result.genes[None])[0])
        try:
            result = run([*budgets, replace(arena, limit=predicted_bytes - 1)])  # bytes are whole
        except InfeasibleBudget:
            smallest = min(planned_bytes)
            raise InfeasibleBudget(arena, smallest, others, proven=False) from None
        planned_bytes.append(arena.cost.planned(result.genes))
    return result


def fits_as_planned(budgets: Sequence[Budget]) -> Check:
    """Whether an arch meets a budget on a microcontroller's arena as its planner places tensors; so
    does every arch where there is no such budget.
    """
    arena = _arena(budgets)
    if arena is None:
        return lambda genes: True

    def passes(genes: np.ndarray) -> bool:
        return arena.cost.planned(genes) <= arena.limit

    return ByKernel(passes) if arena.cost.by_kernel else passes


def _arena(budgets: Sequence[Budget]) -> Budget | None:
    """The tightest budget on an arena, if there is one."""
    arenas = [budget for budget in budgets if isinstance(budget.cost, ArenaTable)]
    return min(arenas, key=lambda budget: budget.limit, default=None)


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
