"""What the explorer answers: a subnet for a device and two limits, the exact optimum beside it, and
the front.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from labkit.latency.devices import get_device
from labkit.search import Front, SearchResult, front_bound
from labkit.space import SearchSpace
from labkit.specialize.device_search import AccuracyModel, Costs, search

DEVICES = ("pi4", "jetson-nano", "pixel1", "stm32h743", "stm32f746", "mcu-64k")
STEPS = 60  # of the latency slider, from the quickest subnet of the device to its slowest
MEMORY_STEPS = 12
EVOLUTION = {"population": 60, "generations": 40}  # enough here, and over in a few milliseconds


@dataclass(frozen=True)
class Answer:
    """The subnet for one setting of the controls."""

    costs: Costs
    latency_limit_ms: float
    memory_limit_bytes: int
    found: SearchResult
    optimum: SearchResult
    front: Front  # under the memory limit

    @property
    def gap(self) -> float:
        """Points of predicted accuracy below the best that exists."""
        return self.optimum.accuracy - self.found.accuracy

    def text(self) -> str:
        of = self.costs.of(self.found.arch)
        return (
            f"{self.found.arch}\npredicted accuracy {self.found.accuracy:.2f} %, {self.gap:.3f}"
            f" points below the exact optimum\nlatency {of['latency_ms']:.3g} ms"
            f" ({self.costs.device.label}), {of['macs'] / 1e6:.2f}M MACs,"
            f" {of['params'] / 1000:.0f}k parameters, {of['sram_bytes'] / 1024:.1f} KiB of memory"
            f" (limit {self.memory_limit_bytes / 1024:.1f} KiB)"
        )


class Answers:
    """An answer for every setting of the controls."""

    def __init__(
        self, space: SearchSpace, model: AccuracyModel, devices: Sequence[str] = DEVICES
    ) -> None:
        self.space, self.model, self.devices = space, model, tuple(devices)
        self.costs = lru_cache(maxsize=None)(lambda name: Costs(space, get_device(name)))
        self.front = lru_cache(maxsize=len(self.devices) * MEMORY_STEPS)(self._front)

    def _front(self, device: str, memory_bytes: int) -> Front:
        """A bound on what exists for each latency under a limit on memory: it has to be there at
        once.
        """
        costs = self.costs(device)
        return front_bound(
            self.space, self.model.predict, costs.latency_ms, costs.budgets(sram_bytes=memory_bytes)
        )

    def latencies(self, device: str) -> np.ndarray:
        """The settings of the latency slider, in ms."""
        costs = self.costs(device)
        smallest, largest = costs.latency_ms(
            self.space.encode([self.space.smallest(), self.space.largest()])
        )
        return np.geomspace(smallest, largest, STEPS)

    def memories(self, device: str) -> np.ndarray:
        """The settings of the memory slider, in bytes: up to what the device has, or to what any
        subnet needs.
        """
        costs = self.costs(device)
        smallest, largest = costs.sram_bytes(
            self.space.encode([self.space.smallest(), self.space.largest()])
        )
        largest = min(largest, costs.device.sram_bytes or largest)
        return np.geomspace(smallest, largest, MEMORY_STEPS).round().astype(int)

    def answer(self, device: str, latency_ms: float, memory_bytes: int) -> Answer:
        """Raises InfeasibleBudget where no subnet meets the limits."""
        costs = self.costs(device)
        budgets = costs.budgets(
            latency_ms=latency_ms, sram_bytes=min(memory_bytes, costs.device.sram_bytes or np.inf)
        )
        budgets = [
            budget for budget in budgets if not budget.name.startswith("SRAM of")
        ]  # said already
        optimum = search(self.space, self.model.predict, budgets, method="exact")
        found = search(self.space, self.model.predict, budgets, **EVOLUTION)
        return Answer(
            costs, latency_ms, memory_bytes, found, optimum, self.front(device, memory_bytes)
        )

    def first_answer(self) -> Answer:
        """What the panel shows before anybody has moved a slider."""
        device = self.devices[0]
        return self.answer(
            device, float(self.latencies(device)[STEPS // 2]), int(self.memories(device)[-1])
        )
