"""Simulated devices beside published latencies of networks that others have timed on them.

Needs torchvision where one of its networks was timed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from labkit.comparison.device_fit import Timings, left_out
from labkit.comparison.prediction_error import spearman
from labkit.comparison.reference_networks import describe, operators_of
from labkit.comparison.timed_networks import folds_of, read_series
from labkit.latency.devices import SimulatedDevice
from labkit.latency.simulated.device_file import HeldOut


class PublishedLatency(NamedTuple):
    """One published latency beside the simulated one."""

    network: str
    role: str
    published_ms: float
    simulated_ms: float
    unseen_ms: float | None  # by a fit that has not seen this network, None where there is none
    source: str

    @property
    def error(self) -> float:
        """Simulated / published - 1, by a fit that has not seen the network if there is one."""
        return (self.unseen_ms or self.simulated_ms) / self.published_ms - 1


def check(device: SimulatedDevice) -> list[PublishedLatency]:
    """Every reference of `device` with published and simulated latency.

    Of the networks that it was fitted to, each is also simulated by a fit to the others, unless the
    device was fitted to more than its references.
    """
    networks = [operators_of(reference) for reference in device.references]
    simulated = [device.roofline.latency_ms(network) for network in networks]
    roles = [reference["role"] for reference in device.references]
    unseen = {i: simulated[i] for i, role in enumerate(roles) if role == "held-out"}
    fitted = [i for i, role in enumerate(roles) if role == "fit"]
    if fitted and device.series is None:
        timings, each_alone = fitted_references(device), np.arange(len(fitted))
        others = left_out(device.parameters, device.bytes_per_value, timings, each_alone)
        unseen |= zip(fitted, others.tolist())
    return [
        PublishedLatency(
            describe(reference),
            reference["role"],
            reference["latency_ms"],
            simulated[i],
            unseen.get(i),
            reference["source"],
        )
        for i, reference in enumerate(device.references)
    ]


def fitted_references(device: SimulatedDevice) -> Timings:
    """The references that `device` is fitted to, perhaps none."""
    references = [each for each in device.references if each["role"] == "fit"]
    networks = [operators_of(each) for each in references]
    return Timings.of(networks, [each["latency_ms"] for each in references])


def held_out_errors(device: SimulatedDevice, rows: Sequence[PublishedLatency]) -> HeldOut | None:
    """How far `device` is off on networks that a fit has not seen; `rows` are those of `check`.

    None where there are none, and where they are of a public file that is not at hand.
    """
    if device.series is not None:
        timings = read_series(device.series)
        if timings is None:
            return None
        folds, references = folds_of(timings), fitted_references(device)
        simulated = left_out(
            device.parameters, device.bytes_per_value, timings, folds, [references]
        )
        how = "NAS-Bench-201, a fifth of its lists of operators left out in turn"
        others = len(folds) - int(np.bincount(folds).max())
        return summary(how, others, simulated, timings.milliseconds)
    judged = [row for row in rows if row.unseen_ms is not None]
    if not judged:
        return None
    fitted = sum(row.role == "fit" for row in rows)
    how, others = "published networks, each left out in turn", fitted - 1
    if not fitted:
        how, others = "published networks", device.held_out.fitted if device.held_out else 0
    columns = zip(*((row.unseen_ms, row.published_ms) for row in judged))
    return summary(how, others, *map(np.array, columns))


def summary(networks: str, fitted: int, simulated: np.ndarray, measured: np.ndarray) -> HeldOut:
    """Errors of simulated beside measured milliseconds (N,)."""
    errors = np.abs(simulated / measured - 1)
    return HeldOut(
        networks,
        fitted,
        len(errors),
        float(np.median(errors)),
        float(np.quantile(errors, 0.9)),
        spearman(simulated, measured) if len(errors) > 1 else None,
    )
