"""Exact search within a limit on firmware's flash, against brute force."""

import numpy as np
import pytest
from exact_for_tests import problems, stage_table
from hypothesis import given, settings

from labkit.firmware.best_linked import best_linked
from labkit.firmware.memory import firmware_flash
from labkit.search import Budget, InfeasibleBudget, best, evolve
from labkit.space.presets import FMNIST
from labkit.specialize.subnet_search import search_subnet
from labkit.tables.costs import macs_table
from labkit.tables.synthetic_accuracy import synthetic_accuracy


@settings(max_examples=15, deadline=None)
@given(problems())
def test_it_finds_the_best_of_all_archs_whose_code_fits(problem):
    space, genes, rng, numbers = problem
    accuracy = stage_table(space, numbers)
    macs, few = macs_table(space), np.median(macs_table(space)(genes))
    tables = [firmware_flash.__wrapped__(space, core) for core in ("cortex-m4", "cortex-m3")]
    linked = [table.linked(genes) for table in tables]
    limits = [float(np.quantile(each, rng.random())) for each in linked]
    budgets = [Budget(table, limit, str(limit)) for table, limit in zip(tables, limits)]
    budgets.append(Budget(macs, few, "MACs"))
    allowed = (linked[0] <= limits[0]) & (linked[1] <= limits[1]) & (macs(genes) <= few)

    def search(budgets):
        return best(space, accuracy, budgets)

    if allowed.any():
        result = best_linked(space, accuracy, budgets, search)
        assert result.accuracy == accuracy(genes)[allowed].max()
        assert result.costs[str(limits[0])] == tables[0].linked(result.genes[None])[0] <= limits[0]
    else:
        with pytest.raises(InfeasibleBudget):
            best_linked(space, accuracy, budgets, search)


def test_where_nothing_fits_the_smallest_value_can_be_met():
    table, accuracy = firmware_flash(FMNIST, "cortex-m4"), synthetic_accuracy(FMNIST)
    smallest = table.linked(FMNIST.encode([FMNIST.smallest()]))[0]
    with pytest.raises(InfeasibleBudget, match="flash budget") as refusal:
        search_subnet(FMNIST, accuracy, [Budget(table, 9000, "flash")], method="evolution")
    assert refusal.value.smallest == smallest


def test_evolution_answers_where_the_table_has_too_much_code():
    table, accuracy = firmware_flash(FMNIST, "cortex-m4"), synthetic_accuracy(FMNIST)
    (smallest,) = FMNIST.encode([FMNIST.smallest()])
    budget = Budget(table, float(table.linked(smallest[None])[0]), "flash")
    assert table(smallest[None])[0] > budget.limit + 5000
    with pytest.raises(InfeasibleBudget):
        evolve(FMNIST, accuracy, [budget], rng=np.random.default_rng(0), generations=1)
    result = search_subnet(FMNIST, accuracy, [budget], method="evolution", generations=1)
    assert result.costs["flash"] == budget.limit
