"""What the explorer recommends: a subnet for a device and two limits, beside the exact optimum."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from labkit.latency.devices import get_device
from labkit.search import Front, SearchResult, front_bound
from labkit.space import SearchSpace
from labkit.specialize.device_costs import DeviceCosts
from labkit.specialize.subnet_search import search_subnet
from labkit.specialize.targets import digits, latency_text
from labkit.supernet.accuracy_files import AccuracyModel
from labkit.tables.separable import Separable

# This machine is measured when it is first looked at, so it does not come first.
DEVICE_NAMES = ("pi4", "host", "jetson-nano", "pixel1", "stm32h743", "stm32f746", "mcu-64k")
LATENCY_STEPS = 60  # of the slider, from the quickest subnet on the device to the slowest
MEMORY_STEPS = 12
EVOLUTION = {"population": 60, "generations": 40}  # a few milliseconds, and near the optimum


@dataclass(frozen=True)
class Recommendation:
    """The subnet for one setting of the controls, and what it can be compared with."""

    costs: DeviceCosts
    latency_limit_ms: float
    memory_limit_bytes: int
    result: SearchResult  # of evolution
    optimum: SearchResult  # of exact search
    front: Front  # under the memory limit, for all latencies

    @property
    def gap(self) -> float:
        """Percentage points of predicted accuracy below the exact optimum."""
        return self.optimum.accuracy - self.result.accuracy

    def text(self) -> str:
        costs = self.costs.of(self.result.arch)
        latency = f"latency {latency_text(costs['latency_ms'], self.costs.device.label)}"
        size = f"{costs['macs'] / 1e6:.2f}M MACs, {costs['params'] / 1000:.0f}k parameters"
        memory = f"{costs['sram_bytes'] / 1024:.1f} KiB of memory"
        return (
            f"{self.result.arch}\npredicted accuracy {self.result.accuracy:.2f} %, {self.gap:.3f}"
            f" points below the exact optimum\n{latency}, {size}, {memory}"
            f" (limit {self.memory_limit_bytes / 1024:.1f} KiB)"
        )


class Recommender:
    """A recommendation for every setting of the controls."""

    def __init__(
        self, space: SearchSpace, model: AccuracyModel, devices: Sequence[str] = DEVICE_NAMES
    ) -> None:
        self.space, self.model, self.devices = space, model, tuple(devices)
        self.costs = lru_cache(maxsize=None)(lambda name: DeviceCosts(space, get_device(name)))
        self.front = lru_cache(maxsize=len(self.devices) * MEMORY_STEPS)(self._front)

    def _front(self, device: str, memory_bytes: int) -> Front:
        """The best accuracy for each latency under a memory limit, as a bound, which is quicker."""
        costs = self.costs(device)
        return front_bound(
            self.space, self.model.predict, costs.latency_ms, costs.budgets(sram_bytes=memory_bytes)
        )

    def latencies(self, device: str) -> np.ndarray:
        """The settings of the latency slider, in ms, rounded up to what is shown: about 60."""
        costs = self.costs(device)
        settings = np.geomspace(*self._extremes(costs.latency_ms), LATENCY_STEPS)
        unit = 10.0 ** (np.floor(np.log10(settings)) + 1 - digits(costs.device.label))
        return np.unique(np.ceil(settings / unit - 1e-9) * unit)

    def memories(self, device: str) -> np.ndarray:
        """(12,) the settings of the memory slider, in bytes.

        The largest one is what the device has, or what the largest subnet needs, if that is less.
        """
        costs = self.costs(device)
        smallest, largest = self._extremes(costs.sram_bytes)
        largest = min(largest, costs.device.sram_bytes or largest)
        return np.geomspace(smallest, largest, MEMORY_STEPS).round().astype(int)

    def _extremes(self, cost: Separable) -> tuple[float, float]:
        """A cost of the smallest and of the largest subnet."""
        smallest, largest = cost(self.space.encode([self.space.smallest(), self.space.largest()]))
        return float(smallest), float(largest)

    def recommend(self, device: str, latency_ms: float, memory_bytes: int) -> Recommendation:
        """The recommendation under two limits; raises InfeasibleBudget where none meets them."""
        costs = self.costs(device)
        memory_limit = min(memory_bytes, costs.device.sram_bytes or np.inf)
        budgets = costs.budgets(latency_ms=latency_ms, sram_bytes=memory_limit)
        # The device's own memory budget is contained in the memory limit.
        budgets = [budget for budget in budgets if not budget.name.startswith("SRAM of")]
        optimum = search_subnet(self.space, self.model.predict, budgets, method="exact")
        result = search_subnet(self.space, self.model.predict, budgets, **EVOLUTION)
        front = self.front(device, memory_bytes)
        return Recommendation(costs, latency_ms, memory_bytes, result, optimum, front)

    def first_recommendation(self) -> Recommendation:
        """What the panel shows before a slider has moved."""
        device = self.devices[0]
        latencies = self.latencies(device)
        latency_ms = float(latencies[len(latencies) // 2])
        return self.recommend(device, latency_ms, int(self.memories(device)[-1]))
