"""Devices with their latency budgets: how a budget is written, and the costs it limits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labkit.latency.devices import get_device
from labkit.search import Budget, InfeasibleBudget
from labkit.search.exact import check_feasible
from labkit.space import SearchSpace
from labkit.specialize.device_costs import DeviceCosts

RANDOM_ARCHS = 10_000


def latency_text(latency_ms: float, label: str) -> str:
    """Milliseconds and how they are known, with no more digits than that is worth.

    >>> latency_text(4.5678, "measured"), latency_text(123.4, "simulated, order of magnitude")
    ('4.57 ms measured', '120 ms simulated, order of magnitude')
    """
    return f"{milliseconds(latency_ms, label)} ms {label}"


def milliseconds(latency_ms: float, label: str) -> str:
    """The number of `latency_text`."""
    return f"{float(f'{latency_ms:.{digits(label)}g}'):g}"


def digits(label: str) -> int:
    """How many digits a latency is worth: two where it is simulated, else three."""
    return 2 if label.startswith("simulated") else 3


@dataclass(frozen=True)
class Request:
    """A device's name and its latency budget: milliseconds, or the percentile of the latency of
    those random subnets that its memory holds.
    """

    device: str
    budget: float
    percent: bool = False

    @classmethod
    def parse(cls, text: str) -> Request:
        """`pi4:4` or `pi4:4ms` is 4 ms, `pi4:50%` what half of the random subnets reach. Raises
        ValueError.
        """
        device, colon, budget = text.rpartition(":")
        number = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(ms|%|)\s*", budget)
        if not colon or not device.strip() or number is None:
            raise ValueError(
                f"{text!r} is no device and budget; write them like pi4:4 (milliseconds) or pi4:50%"
                " (as fast as the fastest half of the random subnets that fit)"
            )
        value, percent = float(number[1]), number[2] == "%"
        if not (0 < value <= 100 if percent else 0 < value < float("inf")):
            raise ValueError(f"{text!r}: want more than 0 ms, or more than 0 % and at most 100 %")
        return cls(device.strip(), value, percent)

    def budget_ms(self, costs: DeviceCosts, seed: int) -> float:
        if not self.percent:
            return self.budget
        genes = costs.space.sample(np.random.default_rng(seed), RANDOM_ARCHS)
        for memory in costs.budgets():
            fitting = genes[memory.cost(genes) <= memory.limit]
            genes = fitting if len(fitting) else genes  # the search says what does not fit
        return float(np.percentile(costs.latency_ms(genes), self.budget))


@dataclass(frozen=True)
class Target:
    """A device, its costs and its latency budget."""

    costs: DeviceCosts
    budget_ms: float
    percentile: float | None = None  # of random subnets, if the budget was asked for so

    @property
    def name(self) -> str:
        return self.costs.device.name

    def budgets(self) -> list[Budget]:
        """Latency and memory limits, whose names say the device."""
        latency, *memory = self.costs.budgets(latency_ms=self.budget_ms)
        name = f"latency on {self.name!r}"
        return [Budget(latency.cost, latency.limit, name, latency.unit), *memory]


def targets(space: SearchSpace, requests: Sequence[Request], seed: int = 0) -> list[Target]:
    """The devices and budgets of `requests`, in their order; a device is looked at once.

    Raises DeviceError for an unknown name before anything is measured.
    """
    devices = {request.device: get_device(request.device) for request in requests}
    costs = {name: DeviceCosts(space, device) for name, device in devices.items()}
    return [
        Target(
            costs[request.device],
            request.budget_ms(costs[request.device], seed),
            request.budget if request.percent else None,
        )
        for request in requests
    ]


def with_room(space: SearchSpace, names: Sequence[str]) -> list[str]:
    """Those of the devices `names` whose memory holds some subnet of `space`; nothing is measured.

    Raises DeviceError for an unknown name.
    """

    def has_room(name: str) -> bool:
        device = get_device(name)
        if device.sram_bytes is None and device.flash_bytes is None:
            return True
        try:
            check_feasible(space, DeviceCosts(space, device).budgets())
        except InfeasibleBudget:
            return False
        return True

    return [name for name in names if has_room(name)]
