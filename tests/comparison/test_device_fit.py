"""Fitting devices: parameters that are known are found again, and SciPy agrees."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import optimize

from labkit.comparison.device_fit import Timings, fit, least_squares, left_out, simulate
from labkit.latency.simulated.device_file import Parameter, roofline_of
from labkit.space import network
from labkit.space.presets import FMNIST

TRUTH = {
    "peak_gmacs": 8.0,
    "bandwidth_gb": 4.0,
    "overhead_us": 20.0,
    "half_channels": 8.0,
    "dense": 0.6,
    "pointwise": 0.4,
    "depthwise": 0.1,
    "runtime_factor": 1.0,
}
FITTED = ("overhead_us", "pointwise", "depthwise")


def some_networks(count):
    rng = np.random.default_rng(0)
    archs = FMNIST.decode(FMNIST.sample(rng, count))
    return [network.operators(FMNIST, arch) for arch in archs]


def priors(spread, factor=1.0):
    return {
        name: Parameter(value, "known", value * factor, spread)
        if name in FITTED
        else Parameter(value, "known")
        for name, value in TRUTH.items()
    }


def test_simulation_is_that_of_the_roofline():
    networks = some_networks(5)
    timings = Timings.of(networks, np.ones(5))
    roofline = roofline_of({**TRUTH, "start_us": 300.0}, 4)
    direct = [roofline.latency_ms(each) for each in networks]
    simulated = simulate({**TRUTH, "start_us": 300.0}, 4, timings)
    np.testing.assert_allclose(simulated, direct)
    np.testing.assert_allclose(
        simulate({**TRUTH, "start_us": 300.0}, 4, timings.only(np.array([3]))), direct[3]
    )


def test_known_parameters_are_found_again():
    timings = Timings.of(some_networks(40), np.ones(40))
    exact = timings._replace(milliseconds=simulate(TRUTH, 4, timings))
    values = fit(priors(spread=10.0, factor=2.0), 4, [exact])
    assert values == pytest.approx(TRUTH, rel=0.01)


def test_without_measurements_parameters_stay_at_their_priors():
    values = fit(priors(spread=0.3, factor=2.0), 4, [])
    for name, value in values.items():
        assert value == pytest.approx(TRUTH[name] * (2 if name in FITTED else 1))


def test_one_odd_latency_does_not_rule():
    timings = Timings.of(some_networks(20), np.ones(20))
    exact = simulate(TRUTH, 4, timings)
    exact[0] *= 10
    values = fit(priors(spread=1.0), 4, [timings._replace(milliseconds=exact)])
    simulated = simulate(values, 4, timings)
    assert np.abs(simulated[1:] / exact[1:] - 1).max() < 0.05


def test_a_network_left_out_is_one_that_the_fit_has_not_seen():
    timings = Timings.of(some_networks(4), np.ones(4))
    timings = timings._replace(milliseconds=simulate(TRUTH, 4, timings) * [1.0, 1.1, 0.9, 1.3])
    parameters = priors(spread=0.5)
    others = timings.only(np.array([0, 1, 3]))
    expected = simulate(fit(parameters, 4, [others]), 4, timings)[2]
    assert left_out(parameters, 4, timings, np.arange(4))[2] == pytest.approx(expected)


def test_networks_of_one_fold_are_left_out_together_and_other_series_never():
    timings, others = Timings.of(some_networks(4), np.ones(4)), Timings.of(some_networks(2), [1, 2])
    timings = timings._replace(milliseconds=simulate(TRUTH, 4, timings) * [1.0, 1.1, 0.9, 1.3])
    parameters, last = priors(spread=0.5), np.array([False, False, True, True])
    values = fit(parameters, 4, [others, timings.only(~last)])
    simulated = left_out(parameters, 4, timings, np.array([7, 7, 2, 2]), [others])
    assert simulated[last] == pytest.approx(simulate(values, 4, timings.only(last)))


def test_least_squares_agrees_with_scipy():
    rng = np.random.default_rng(1)
    x, y = np.linspace(0, 2, 30), rng.normal(size=30)

    def residuals(p):
        return p[0] * np.exp(-p[1] * x) + p[2] - y

    start = np.array([1.0, 1.0, 0.0])
    ours, scipys = least_squares(residuals, start), optimize.least_squares(residuals, start)
    assert np.sum(residuals(ours) ** 2) == pytest.approx(2 * scipys.cost, rel=1e-4)
