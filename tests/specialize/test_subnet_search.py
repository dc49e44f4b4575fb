"""What is found for a microcontroller fits it as the interpreter's planner places tensors, not only
by prediction.
"""

from __future__ import annotations

import numpy as np
import pytest

from labkit.latency.devices import get_device
from labkit.search import InfeasibleBudget, best
from labkit.space.presets import FMNIST
from labkit.specialize.device_costs import DeviceCosts
from labkit.specialize.subnet_search import METHODS, search_subnet
from labkit.supernet.folder import TrainedSupernet
from labkit.tables.arena import ArenaTable, planned_bytes

SMALL = {"population": 50, "generations": 40}


@pytest.fixture(scope="module")
def costs() -> DeviceCosts:
    return DeviceCosts(FMNIST, get_device("mcu-64k"))


@pytest.mark.parametrize("limit_ms", [150, 216, 240, 270, None])
def test_what_is_found_fits_by_the_planner(costs, limit_ms):
    """By prediction alone the best subnets under 216, 240 and 270 ms fit, and the planner would
    need too much.
    """
    model, budgets = TrainedSupernet(FMNIST).predictor, costs.budgets(latency_ms=limit_ms)
    predicted = best(FMNIST, model.predict, budgets)
    too_much = (
        planned_bytes(FMNIST, FMNIST.decode(predicted.genes[None])[0]) > costs.device.sram_bytes
    )
    assert too_much == (limit_ms in (216, 240, 270))
    found = {
        method: search_subnet(FMNIST, model.predict, budgets, method=method, **SMALL)
        for method in METHODS
    }
    for result in found.values():
        assert planned_bytes(FMNIST, result.arch) <= costs.device.sram_bytes
        assert costs.fits([result.arch]).all()
        assert all(budget.cost(result.genes[None])[0] <= budget.limit for budget in budgets)
        assert result.accuracy <= found["exact"].accuracy <= predicted.accuracy
    assert not costs.fits(FMNIST.decode(predicted.genes[None])).any() == too_much


def test_no_random_subnet_that_fits_is_better_than_the_exact_one(costs):
    model, budgets = TrainedSupernet(FMNIST).predictor, costs.budgets(latency_ms=240)
    found = search_subnet(FMNIST, model.predict, budgets, method="exact")
    genes = FMNIST.mutate(np.random.default_rng(0), np.tile(found.genes, (5000, 1)))
    better = genes[
        (model.predict(genes) > found.accuracy)
        & np.all([budget.cost(genes) <= budget.limit for budget in budgets], axis=0)
    ]
    assert len(better), "none is better by prediction: the test needs other numbers"
    assert not costs.fits(FMNIST.decode(better)).any()


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
        search_subnet(
            FMNIST, TrainedSupernet(FMNIST).predictor.predict, budgets, method=method, **SMALL
        )
    found = search_subnet(
        FMNIST,
        TrainedSupernet(FMNIST).predictor.predict,
        costs.budgets(sram_bytes=smallest + 1000),
        method=method,
        **SMALL,
    )
    assert table(found.genes[None])[0] == smallest
