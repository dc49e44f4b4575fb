"""Several devices, each with a budget and its own subnet from the one supernet.

Every choice is exact and takes milliseconds, so that adding a device costs nothing but its latency
table.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labkit.latency.devices import get_device
from labkit.search import Budget, InfeasibleBudget
from labkit.space import Arch, SearchSpace
from labkit.specialize.device_search import AccuracyModel, Costs, search

DEFAULT = ("pi4:4.5", "pixel1:3", "host:30%", "stm32h743:12", "mcu-64k:250")
# owner of the subnet that meets every device's budget; no device has spaces in its name
ALL = "one for all"
RANDOM_ARCHS = 10_000


@dataclass(frozen=True)
class Request:
    """A device's name and its latency budget: milliseconds, or the percentile of random subnets'
    latency.
    """

    device: str
    budget: float
    percent: bool = False

    @classmethod
    def parse(cls, text: str) -> Request:
        """`pi4:4` or `pi4:4ms` is 4 ms, `pi4:50%` what half of all random subnets reach. Raises
        ValueError.
        """
        device, colon, budget = text.rpartition(":")
        number = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*(ms|%|)\s*", budget)
        if not colon or not device.strip() or number is None:
            raise ValueError(
                f"{text!r} is no device and budget; write them like pi4:4 (milliseconds) or pi4:50%"
                " (as fast as the fastest half of random subnets)"
            )
        value, percent = float(number[1]), number[2] == "%"
        if not (0 < value <= 100 if percent else 0 < value < float("inf")):
            raise ValueError(f"{text!r}: want more than 0 ms, or more than 0 % and at most 100 %")
        return cls(device.strip(), value, percent)

    def budget_ms(self, costs: Costs, seed: int) -> float:
        if not self.percent:
            return self.budget
        genes = costs.space.sample(np.random.default_rng(seed), RANDOM_ARCHS)
        return float(np.percentile(costs.latency_ms(genes), self.budget))


@dataclass(frozen=True)
class Target:
    """A device, its costs and its budget in milliseconds."""

    costs: Costs
    budget_ms: float

    @property
    def name(self) -> str:
        return self.costs.device.name

    def budgets(self) -> list[Budget]:
        """Latency and memory limits, which name the device."""
        latency, *memory = self.costs.budgets(latency_ms=self.budget_ms)
        return [
            Budget(latency.cost, latency.limit, f"latency on {self.name!r}", latency.unit),
            *memory,
        ]


@dataclass(frozen=True)
class Choice:
    """The subnet of device `owner`, or of all of them (`ALL`)."""

    owner: str
    arch: Arch
    predicted_accuracy: float


def targets(space: SearchSpace, requests: Sequence[Request], seed: int = 0) -> list[Target]:
    """Look up every device and its budget; raises ValueError for a device named twice, or fewer
    than two.
    """
    names = [request.device for request in requests]
    twice = [name for name in names if names.count(name) > 1]
    if twice or len(names) < 2:
        raise ValueError(
            f"device {twice[0]!r} is given twice; give each device one budget"
            if twice
            else "specializing takes two devices or more, each with its budget"
        )
    devices = [
        get_device(name) for name in names
    ]  # unknown names come up before anything is measured
    found = [Costs(space, device) for device in devices]
    return [
        Target(costs, request.budget_ms(costs, seed)) for costs, request in zip(found, requests)
    ]


def choose(
    space: SearchSpace, model: AccuracyModel, wanted: Sequence[Target]
) -> tuple[list[Target], list[Choice]]:
    """Each target's best subnet, exactly; then the best that meets all their budgets, if it is yet
    another one.

    Targets and choices are in the same order, the most accurate first: what is too slow for a
    device then stands above its own subnet, and what is worse below. Raises InfeasibleBudget, which
    names the device and the smallest achievable value.
    """
    found = [
        (target, search(space, model.predict, target.budgets(), method="exact"))
        for target in wanted
    ]
    found.sort(key=lambda pair: -pair[1].accuracy)
    choices = [Choice(target.name, result.arch, result.accuracy) for target, result in found]
    try:
        common = search(
            space, model.predict, [b for target in wanted for b in target.budgets()], method="exact"
        )
    except InfeasibleBudget:  # no network is one for all
        return [target for target, _ in found], choices
    if common.arch not in [choice.arch for choice in choices]:
        choices.append(Choice(ALL, common.arch, common.accuracy))
    return [target for target, _ in found], choices
