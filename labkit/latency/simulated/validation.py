"""Simulated devices against published latencies. Needs torchvision, for the networks that were
timed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from labkit.latency.devices import TRUSTED_ERROR, SimulatedDevice
from labkit.latency.simulated.reference_networks import describe, networks, stand_in


class CheckRow(NamedTuple):
    """One published latency beside the simulated one. `error` is simulated / published - 1."""

    network: str
    role: str
    published_ms: float
    simulated_ms: float
    error: float
    stand_in: str  # what replaces the reference's layers where they are not published
    source: str


def check(device: SimulatedDevice) -> list[CheckRow]:
    """Every reference of `device` with published and simulated latency."""
    rows = []
    for reference in device.references:
        simulated = float(
            np.median([device.roofline.latency_ms(layers) for layers in networks(reference)])
        )
        published = reference["latency_ms"]
        rows.append(
            CheckRow(
                describe(reference),
                reference["role"],
                published,
                simulated,
                simulated / published - 1,
                stand_in(reference),
                reference["source"],
            )
        )
    return rows


def held_out_error(rows: Sequence[CheckRow]) -> float | None:
    """Median of the absolute relative errors on the held-out references, None without any."""
    errors = [abs(row.error) for row in rows if row.role == "held-out"]
    return float(np.median(errors)) if errors else None


def as_text(device: SimulatedDevice, rows: Sequence[CheckRow]) -> str:
    """A table of the references, and what they say about the device."""
    error = held_out_error(rows)
    if error is None:
        verdict = "nothing published was held out, so it is good for an order of magnitude only"
    else:
        limit = "at most" if error <= TRUSTED_ERROR else "above"
        verdict = (
            f"median error on held-out references {100 * error:.0f} %, {limit} the"
            f" {100 * TRUSTED_ERROR:.0f} % of a device that is more than an order of magnitude"
        )
    lines = [f"{device.name} ({device.label}): {verdict}"]
    width = max((len(row.network) for row in rows), default=0)
    if rows:
        lines.append(
            f"  {'network':<{width}}  {'role':<8} {'published':>12} {'simulated':>12} {'error':>7} "
            " source"
        )
    for row in rows:
        lines.append(
            f"  {row.network:<{width}}  {row.role:<8} {row.published_ms:>9.4g} ms"
            f" {row.simulated_ms:>9.4g} ms {100 * row.error:>+5.0f} %  {row.source}"
            + (f" [{row.stand_in}]" if row.stand_in else "")
        )
    return "\n".join(lines)
