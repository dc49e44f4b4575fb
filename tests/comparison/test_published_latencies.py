"""Simulated devices beside published latencies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from devices_for_tests import devices
from scipy.stats import spearmanr

from labkit.cli.latency.text import published_text
from labkit.comparison.published_latencies import PublishedLatency, check, held_out_errors, summary
from labkit.comparison.timed_networks import public_file
from labkit.latency.devices import get_device, is_trusted
from labkit.latency.simulated.device_file import HeldOut, Series

NO_SERIES = Series("nowhere.npz", "raspi4", "needed", "somebody's file")


def test_recorded_errors_are_those_of_today_and_rule_the_label():
    for device in devices():
        computed = held_out_errors(device, check(device))
        if computed is None and device.series is not None:
            assert public_file(device.series.file) is None
        elif computed is None:
            assert device.held_out is None
        else:
            assert device.held_out._replace(networks="") == pytest.approx(
                computed._replace(networks=""), abs=2e-3
            )
        assert ("order of magnitude" in device.label) == (not is_trusted(device.held_out))


@pytest.mark.parametrize(
    "name",
    ("pi4", "jetson-nano", "pixel1", "note10-class", "stm32h743", "stm32f746-tinyengine"),
)
def test_devices_reach_their_aim_on_networks_that_no_fit_has_seen(name):
    held_out = get_device(name).held_out
    assert held_out.median_error <= 0.15 and held_out.spearman >= 0.95


@pytest.mark.parametrize("count, median, ranks, trusted", [
    (7, 0.15, 0.95, True),
    (7, 0.16, 1.0, False),
    (7, 0.01, 0.94, False),
    (6, 0.01, 0.8, True),
    (3, 0.01, 1.0, False),
])  # fmt: skip
def test_a_device_is_trusted_for_what_its_errors_say(count, median, ranks, trusted):
    assert is_trusted(HeldOut("networks", 1, count, median, 0.2, ranks)) == trusted
    assert not is_trusted(None)


def test_the_summary_is_scipys():
    rng = np.random.default_rng(0)
    measured = rng.uniform(1, 10, 30)
    simulated = measured * rng.uniform(0.8, 1.2, 30)
    result = summary("networks", 5, simulated, measured)
    errors = sorted(abs(simulated - measured) / measured)
    assert result.median_error == pytest.approx((errors[14] + errors[15]) / 2)
    assert result.p90_error == pytest.approx(np.percentile(errors, 90))
    assert result.spearman == pytest.approx(spearmanr(simulated, measured).statistic)
    assert (result.fitted, result.count) == (5, 30)
    assert summary("one", 0, np.ones(1), np.ones(1)).spearman is None


def test_a_network_that_was_fitted_to_is_judged_by_a_fit_to_the_others():
    """A reference that contradicts the others pulls the device, not what is said about itself."""
    device = get_device("stm32h743")
    odd = [dict(each) for each in device.references if each["role"] == "fit"]
    odd[0]["latency_ms"] *= 1.5
    before = check(replace(device, references=tuple(each for each in device.references[:6])))
    after = check(replace(device, references=tuple(odd)))
    assert after[0].unseen_ms == pytest.approx(before[0].unseen_ms, rel=1e-6)
    assert after[0].error == pytest.approx(after[0].unseen_ms / after[0].published_ms - 1)
    assert after[1].unseen_ms > before[1].unseen_ms


def test_networks_that_were_not_fitted_to_are_simulated_only():
    rows = check(get_device("note10-class"))
    assert len(rows) == 8 and all(row.unseen_ms == row.simulated_ms for row in rows)
    others = [row for row in check(get_device("stm32h743")) if row.role == "other"]
    assert others and all(row.unseen_ms is None for row in others)


def test_a_series_that_is_not_at_hand_leaves_what_was_recorded(monkeypatch, tmp_path):
    monkeypatch.setenv("LABKIT_SHARED", str(tmp_path))
    device = replace(get_device("pi4"), series=NO_SERIES)
    rows = check(device)
    assert held_out_errors(device, rows) is None
    text = published_text(device, rows, device.held_out, recorded=True)
    assert (
        "n = 5000" in text
        and "nowhere.npz is not in a folder that LABKIT_SHARED names: somebody's file" in text
    )


def test_the_check_says_how_far_off_a_device_is():
    rows = [
        PublishedLatency("net a", "fit", 10.0, 11.0, 12.0, "paper a"),
        PublishedLatency("net b", "other", 20.0, 10.0, None, "paper b"),
    ]
    held_out = HeldOut("published networks", 3, 4, 0.0123, 0.2, 0.8)
    text = published_text(get_device("pixel1"), rows, held_out)
    assert "median error 1.2 %, 90 % within 20.0 %, rank correlation 0.800, n = 4" in text
    a, b = text.splitlines()[-2:]
    assert a.split() == "net a fit 10 ms 11 ms 12 ms +20 % paper a".split()
    assert b.split() == "net b other 20 ms 10 ms - -50 % paper b".split()
    assert "order of magnitude only" in published_text(get_device("mcu-20k"), [], None)
