"""Simulated devices beside published latencies of networks that others have timed on them.

Needs torchvision, for the networks that were timed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from labkit.comparison.reference_networks import describe, networks, stand_in
from labkit.latency.devices import SimulatedDevice


class PublishedLatency(NamedTuple):
    """One published latency beside the simulated one. `error` is simulated / published - 1."""

    network: str
    role: str
    published_ms: float
    simulated_ms: float
    error: float
    stand_in: str  # what replaces the reference's layers where they are not published
    source: str


def check(device: SimulatedDevice) -> list[PublishedLatency]:
    """Every reference of `device` with published and simulated latency."""
    return [_check(device, reference) for reference in device.references]


def _check(device: SimulatedDevice, reference: dict) -> PublishedLatency:
    candidates = [device.roofline.latency_ms(layers) for layers in networks(reference)]
    simulated, published = float(np.median(candidates)), reference["latency_ms"]
    return PublishedLatency(
        describe(reference),
        reference["role"],
        published,
        simulated,
        simulated / published - 1,
        stand_in(reference),
        reference["source"],
    )


def held_out_error(rows: Sequence[PublishedLatency]) -> float | None:
    """Median of the absolute relative errors on the held-out references, None without any."""
    errors = [abs(row.error) for row in rows if row.role == "held-out"]
    return float(np.median(errors)) if errors else None
