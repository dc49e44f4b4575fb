"""What is found for a microcontroller fits it as the interpreter's planner places tensors, not only
by prediction.
"""

from __future__ import annotations

import numpy as np
import pytest

from labkit.firmware.memory import firmware_arena
from labkit.latency.devices import get_device
from labkit.search import Budget, InfeasibleBudget, best
from labkit.search.exact import cheapest
from labkit.space import Arch, SearchSpace, Stage
from labkit.space.presets import FMNIST
from labkit.specialize.device_costs import DeviceCosts
from labkit.specialize.subnet_search import METHODS, certify, needed, search_subnet
from labkit.tables.arena import ArenaTable, arena_table, planned_bytes
from labkit.tables.separable import StageTable
from labkit.tables.synthetic_accuracy import synthetic_accuracy

SMALL = {"population": 50, "generations": 40}
# Not the shipped predictor, so that limits stay what they are whatever weights ship.
ACCURACY = synthetic_accuracy(FMNIST, "concave")


@pytest.fixture(scope="module")
def costs() -> DeviceCosts:
    return DeviceCosts(FMNIST, get_device("mcu-64k"))


@pytest.mark.parametrize(
    "sram_bytes, fits",
    [
        (20_000, True),
        (50_000, True),
        (24_700, False),
        pytest.param(19_850, False, marks=pytest.mark.slow),
        pytest.param(39_660, False, marks=pytest.mark.slow),
    ],
)
def test_what_is_found_fits_by_the_planner(costs, sram_bytes, fits):
    """By prediction alone the best subnets under the last three limits fit as well, and the planner
    would need too much.
    """
    budgets = costs.budgets(sram_bytes=sram_bytes)
    predicted = best(FMNIST, ACCURACY, budgets)
    planned = planned_bytes(FMNIST, FMNIST.decode(predicted.genes[None])[0])
    assert (planned <= sram_bytes) == fits
    found = {
        method: search_subnet(FMNIST, ACCURACY, budgets, method=method, **SMALL)
        for method in METHODS
    }
    for result in found.values():
        assert planned_bytes(FMNIST, result.arch) <= sram_bytes
        assert costs.fits([result.arch]).all()
        assert all(budget.cost(result.genes[None])[0] <= budget.limit for budget in budgets)
        assert result.accuracy <= found["exact"].accuracy <= predicted.accuracy


def test_no_mutant_that_fits_is_better_than_the_exact_one(costs):
    """Mutants of the best subnet by prediction, which the planner needs too much for."""
    budgets = costs.budgets(sram_bytes=24_700)
    found = search_subnet(FMNIST, ACCURACY, budgets, method="exact")
    predicted = best(FMNIST, ACCURACY, budgets)
    genes = FMNIST.mutate(np.random.default_rng(0), np.tile(predicted.genes, (300, 1)))
    better = genes[
        (ACCURACY(genes) > found.accuracy)
        & np.all([budget.cost(genes) <= budget.limit for budget in budgets], axis=0)
    ]
    assert len(better), "none is better by prediction: the test needs other numbers"
    assert all(planned_bytes(FMNIST, arch) > 24_700 for arch in FMNIST.decode(better))


@pytest.mark.parametrize("method", METHODS)
def test_where_the_planner_holds_nothing_the_refusal_says_what_it_needs(costs, method, monkeypatch):
    """A planner that always takes 1,000 bytes more than predicted, and a limit just above the
    smallest prediction.
    """
    table = costs.sram_bytes
    monkeypatch.setattr(ArenaTable, "planned", lambda self, genes: int(self(genes[None])[0]) + 1000)
    smallest = int(table(FMNIST.encode([FMNIST.smallest()]))[0])
    budgets = costs.budgets(sram_bytes=smallest + 100)
    with pytest.raises(
        InfeasibleBudget, match=f"SRAM budget .* smallest value found is {smallest + 1000} bytes"
    ):
        search_subnet(FMNIST, ACCURACY, budgets, method=method, **SMALL)
    found = search_subnet(
        FMNIST,
        ACCURACY,
        costs.budgets(sram_bytes=smallest + 1000),
        method=method,
        **SMALL,
    )
    assert table(found.genes[None])[0] == smallest


def test_firmware_is_searched_exactly_up_to_the_last_byte():
    """Stacks differ by what kernels call, and the table has the largest: it may exceed the plan."""
    stages = (
        Stage(8, 2, (1, 2), kernels=(1, 3, 9), expands=(1,)),
        Stage(16, 2, (1,), (3, 5), (2,)),
    )
    space = SearchSpace("by-byte", (12, 16), stages, in_channels=1, num_classes=2, stem_width=8)
    table, accuracy = firmware_arena(space, "cortex-m4"), synthetic_accuracy(space, "rough")
    genes = space.encode(list(space.enumerate()))
    planned, values = np.array([table.planned(row) for row in genes]), accuracy(genes)
    assert table.excess > 0 and (table(genes) > planned).any()
    assert (table(genes) <= planned + table.excess).all()
    for limit in np.unique(planned):
        found = search_subnet(
            space, accuracy, [Budget(table, float(limit), "SRAM", "bytes")], method="exact"
        )
        assert found.accuracy == pytest.approx(values[planned <= limit].max())
        assert table.planned(found.genes) <= limit
    for method in METHODS:
        budget = Budget(table, float(planned.min()), "SRAM", "bytes")
        found = search_subnet(space, accuracy, [budget], method=method, **SMALL)
        assert table.planned(found.genes) <= planned.min()
        with pytest.raises(InfeasibleBudget, match="smallest value found is 1[0-9]* bytes"):
            below = Budget(table, float(planned.min() - 1), "SRAM", "bytes")
            search_subnet(space, accuracy, [below], method=method, **SMALL)


@pytest.mark.parametrize("method", METHODS)
def test_of_two_arenas_both_hold_what_is_found(method):
    """One subnet for an interpreter and for firmware, where the best one misses the looser limit by
    the interpreter's plan.
    """
    interpreter, firmware = arena_table(FMNIST), firmware_arena(FMNIST, "cortex-m3")
    row = FMNIST.encode([Arch.parse("12px k5e3 k5e4 | k3e3 | k5e6 k7e6 k5e6 k7e3")])[0]
    assert interpreter(row[None])[0] < 70_170 < interpreter.planned(row) and (
        firmware.planned(row) < 8396
    )
    terms = [np.zeros((len(FMNIST.global_choices), size)) for size in FMNIST.stage_sizes]
    for s, term in enumerate(terms):
        term[row[0], FMNIST.stage_codes(row[None])[0, s]] = 1
    favorite = StageTable(FMNIST, np.zeros(len(FMNIST.global_choices)), terms)
    budgets = [
        Budget(interpreter, 70_170.0, "SRAM of one", "bytes"),
        Budget(firmware, 8396.0, "SRAM of the other", "bytes"),
    ]
    found = search_subnet(FMNIST, favorite, budgets, method=method, population=20, generations=40)
    assert all(needed(budget, found.genes) <= budget.limit for budget in budgets)
    certify(found, favorite, budgets)


def test_of_two_limits_on_one_arena_the_tighter_one_is_named_with_what_is_planned():
    """The other one, as a device has it, does not hide what the smallest arch needs."""
    table = firmware_arena(FMNIST, "cortex-m3")
    planned = table.planned(cheapest(FMNIST, table))
    budgets = [Budget(table, planned - less, "SRAM", "bytes") for less in (20, 10)]
    with pytest.raises(InfeasibleBudget) as refusal:
        search_subnet(FMNIST, ACCURACY, budgets, method="exact")
    assert refusal.value.budget is budgets[0] and refusal.value.others == ()
    met = [Budget(table, refusal.value.smallest, "SRAM", "bytes")]
    found = search_subnet(FMNIST, ACCURACY, met, method="exact")
    assert planned <= table.planned(found.genes) <= refusal.value.smallest
