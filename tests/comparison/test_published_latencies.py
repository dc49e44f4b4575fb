"""Simulated devices beside published latencies."""

from __future__ import annotations

import pytest
from devices_for_tests import devices

from labkit.cli.latency.text import published_text
from labkit.comparison.published_latencies import PublishedLatency, check, held_out_error
from labkit.latency.devices import (
    TRUSTED_ERROR,
    get_device,
)


def test_recorded_held_out_errors_are_those_of_today_and_rule_the_label():
    for device in devices():
        error = held_out_error(check(device))
        if error is None:
            assert device.held_out_error is None
        else:
            assert device.held_out_error == pytest.approx(error, abs=1e-3)
        trusted = error is not None and error <= TRUSTED_ERROR
        assert ("order of magnitude" in device.label) == (not trusted)


def test_the_pi_is_checked_on_the_32_px_networks_only():
    held_out = [row.network for row in check(get_device("pi4")) if row.role == "held-out"]
    assert len(held_out) == 2 and all("32 px" in name for name in held_out)


def test_fit_references_are_met():
    """What a device was fitted to it must reproduce; 10 % leaves room for the few parameters."""
    for device in devices():
        for row in check(device):
            if row.role == "fit":
                assert abs(row.error) < 0.1, (device.name, row)


def test_check_reports_what_it_replaces():
    rows = check(get_device("pixel1"))
    assert all("only MACs are published" in row.stand_in for row in rows)
    row = next(row for row in check(get_device("pi4")) if row.network == "mobilenet_v2 224 px")
    assert (
        row.error == pytest.approx(row.simulated_ms / row.published_ms - 1)
        and row.stand_in == ""
        and row.source
    )


def test_the_check_says_what_was_held_out_and_what_that_means():
    rows = [
        PublishedLatency("net a", "fit", 10.0, 11.0, 0.1, "", "paper a"),
        PublishedLatency(
            "net b", "held-out", 20.0, 10.0, -0.5, "only MACs are published", "paper b"
        ),
    ]
    text = published_text(get_device("pi4"), rows)
    assert "held-out references 50 %, above the 30 %" in text
    a, b = text.splitlines()[-2:]
    assert a.split() == "net a fit 10 ms 11 ms +10 % paper a".split()
    assert b.split() == "net b held-out 20 ms 10 ms -50 % paper b [only MACs are published]".split()
    assert "order of magnitude only" in published_text(get_device("pi4"), rows[:1])
