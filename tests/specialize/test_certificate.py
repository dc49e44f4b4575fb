"""What a result lacks against the exact optimum."""

from __future__ import annotations

import numpy as np
import pytest
from spaces_for_tests import plain_space

from labkit.latency.devices import get_device
from labkit.search import Budget, evolve, front, random_search
from labkit.space import Stage
from labkit.space.presets import FMNIST
from labkit.specialize.device_costs import DeviceCosts
from labkit.specialize.subnet_search import certify, search_subnet
from labkit.tables.costs import macs_table
from labkit.tables.synthetic_accuracy import synthetic_accuracy

TINY = plain_space((Stage(8, 2, (1, 2), (3, 5), (2, 3)),) * 2)


def test_a_certificate_gives_the_gap_and_what_it_is_worth():
    accuracy, macs = synthetic_accuracy(FMNIST), macs_table(FMNIST)
    limits = [
        Budget(macs, float(np.median(macs(FMNIST.sample(np.random.default_rng(0), 1000)))), "MACs")
    ]
    by_chance = random_search(
        FMNIST, accuracy, limits, rng=np.random.default_rng(0), evaluations=100
    )
    certificate = certify(by_chance, accuracy, limits, rmse=0.31)
    exact = front(FMNIST, accuracy, macs)
    optimum = exact.accuracy[exact.best(limits[0].limit)]
    assert certificate.optimum == pytest.approx(optimum, abs=1e-12)
    assert (
        certificate.gap == pytest.approx(optimum - by_chance.accuracy, abs=1e-12)
        and certificate.gap > 0
    )
    assert "RMSE is 0.31" in str(certificate) and f"{certificate.gap:.3f} points" in str(
        certificate
    )
    assert accuracy(FMNIST.encode([certificate.optimal_arch]))[0] == certificate.optimum


def test_an_optimum_has_no_gap():
    accuracy = synthetic_accuracy(TINY)
    assert certify(evolve(TINY, accuracy, rng=np.random.default_rng(0)), accuracy).gap == 0


def test_no_certificate_for_a_result_that_breaks_its_budget():
    accuracy, macs = synthetic_accuracy(TINY), macs_table(TINY)
    loose = evolve(TINY, accuracy, rng=np.random.default_rng(0), generations=5)
    with pytest.raises(ValueError, match="MACs is"):
        certify(loose, accuracy, [Budget(macs, float(macs(loose.genes[None])[0] - 1), "MACs")])


def test_what_firmware_links_and_plans_is_what_a_certificate_goes_by():
    """The smallest arch links 7 kB less than the code of all functions."""
    budgets = DeviceCosts(FMNIST, get_device("mcu-20k")).budgets(flash_bytes=20_000)
    accuracy = synthetic_accuracy(FMNIST)
    result = search_subnet(FMNIST, accuracy, budgets, method="exact")
    assert any(budget.cost(result.genes[None])[0] > budget.limit for budget in budgets)
    assert certify(result, accuracy, budgets).gap == 0


def test_what_exact_search_may_miss_is_no_negative_gap(monkeypatch):
    """It may, where many kinds of better archs do not fit an arena as it is planned."""
    accuracy = synthetic_accuracy(TINY)
    found = {
        count: random_search(TINY, accuracy, rng=np.random.default_rng(0), evaluations=count)
        for count in (1, 200)
    }
    monkeypatch.setattr("labkit.specialize.subnet_search.search_subnet", lambda *_, **__: found[1])
    certificate = certify(found[200], accuracy)
    assert found[200].accuracy > found[1].accuracy and certificate.gap == 0
    assert certificate.optimal_arch == found[200].arch
