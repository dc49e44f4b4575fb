"""The best arch within a limit on firmware's flash, where code is linked only if it is called.

Stages share the code of the engine's functions, so the cost is not a sum over stages. A lower bound
is: constants, and a part of a function's code for each stage that calls it. The best arch under the
bound is the answer if what it links is within the limit. If not, the archs fall apart into two
parts: those that do without its largest function, and all others, for which that function's code is
counted in full. Each part has a best arch under its own bound, and the better of them is the next
to be looked at. So the first that fits is the best that does.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count

import numpy as np

from labkit.firmware.memory import FirmwareFlash
from labkit.search import Budget, InfeasibleBudget, SearchResult
from labkit.search.exact import cheapest
from labkit.space import SearchSpace
from labkit.tables.separable import Separable, StageTable

Search = Callable[[list[Budget]], SearchResult | None]


class _CallsTable(StageTable):
    """How many of some functions a stage calls, the most over the stages."""

    combine = np.maximum


def flash_budgets(budgets: Sequence[Budget]) -> list[Budget]:
    """Those that are on the flash of firmware."""
    return [budget for budget in budgets if isinstance(budget.cost, FirmwareFlash)]


def best_linked(
    space: SearchSpace, accuracy: Separable, budgets: Sequence[Budget], search: Search
) -> SearchResult | None:
    """The arch of highest `accuracy` under `budgets`, with flash as it is linked, exactly.

    `search` gives the best arch under budgets that exact search can take, or None where it wants
    none of those that meet them; then this may return None, too. Raises InfeasibleBudget where no
    arch meets them; for one on flash with what the arch links whose lower bound is smallest.
    """
    flash = flash_budgets(budgets)
    if not flash:
        return search(budgets)
    others = [budget for budget in budgets if budget not in flash]
    exact = [replace(budget, cost=budget.cost.linked) for budget in flash]
    order, heap, conditions = count(), [], others  # numbers keep results from being compared
    unwanted = False
    parts = [(frozenset(), frozenset())]  # functions that are paid for, and those to do without
    while True:
        for linked, barred in parts:
            try:
                result = search([*others, *_part(space, flash, linked, barred)])
            except InfeasibleBudget as refusal:
                if not linked | barred:  # the whole
                    if refusal.budget in others:
                        raise
                    conditions = refusal.others
                continue
            if result is None:
                unwanted = True
            else:
                heapq.heappush(heap, (-result.accuracy, next(order), result.genes, linked, barred))
        if not heap and unwanted:
            return None
        if not heap:
            raise _refusal(space, flash, conditions)
        _, _, genes, linked, barred = heapq.heappop(heap)
        if all(budget.cost(genes[None])[0] <= budget.limit for budget in exact):
            return SearchResult.of(space, genes, accuracy, [*others, *exact])
        called = flash[0].cost.called(genes) - linked
        function = max(called, key=flash[0].cost.functions.get)
        parts = [(linked | {function}, barred), (linked, barred | {function})]


def _part(
    space: SearchSpace, flash: Sequence[Budget], linked: frozenset[str], barred: frozenset[str]
) -> Iterator[Budget]:
    """Budgets that every arch meets that is within those on `flash` and calls none of `barred`,
    `linked` paid for.
    """
    for budget in flash:
        code = sum(budget.cost.functions[name] for name in linked)
        if code > budget.limit:
            raise InfeasibleBudget(budget, code)
        yield replace(budget, cost=budget.cost.shared(linked), limit=budget.limit - code)
    if barred:
        calls = [flash[0].cost.calls[name] for name in barred]
        stages = [sum(table.stage_values(s) for table in calls) for s in range(len(space.stages))]
        yield Budget(_CallsTable(space, sum(table.base for table in calls), stages), 0, "calls")


def _refusal(
    space: SearchSpace, flash: Sequence[Budget], others: Sequence[Budget]
) -> InfeasibleBudget:
    """The error where no arch meets the tightest budget on flash together with `others`."""
    budget = min(flash, key=lambda budget: budget.limit)
    smallest = cheapest(space, budget.cost.shared(()), others)[None]
    linked = float(budget.cost.linked(smallest)[0])
    return InfeasibleBudget(budget, linked, others, proven=False)
