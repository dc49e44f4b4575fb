"""From a device and its budgets to a subnet: what the command line, the demo and the notebooks
share.

No torch here: a search for a device whose latency table is there answers at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from tqdm.auto import tqdm

from labkit.latency.devices import Device
from labkit.latency.memory import flash_table, sram_table
from labkit.search import Budget, InfeasibleBudget, SearchResult, best, evolve, random_search
from labkit.search.best_passing import best_passing
from labkit.space import Arch, SearchSpace
from labkit.supernet.artifacts import load_predictor, pairs_path, predictor_path, supernet_path
from labkit.tables.arena import ArenaTable
from labkit.tables.costs import AdditiveTable, activation_table, macs_table, params_table
from labkit.tables.separable import Separable
from labkit.tables.synthetic_accuracy import synthetic_accuracy

METHODS = ("evolution", "exact", "random")
Method = Literal["evolution", "exact", "random"]


@dataclass(frozen=True)
class AccuracyModel:
    """A predictor of top-1 accuracy in percent, and how far to trust it."""

    predict: Separable
    label: str
    rmse: float | None  # points, on pairs it was not fitted to; None if there are none


def accuracy_model(space: SearchSpace) -> AccuracyModel:
    """The predictor that ships for `space`; a synthetic one, labeled so, where no accuracies were
    measured.

    Raises ArtifactError where they were measured and the predictor is lost or damaged.
    """
    if any(path(space.name).exists() for path in (supernet_path, pairs_path, predictor_path)):
        predictor, header = load_predictor(space)
        return AccuracyModel(
            predictor,
            f"fitted to {header['pairs']} measured subnets",
            header["held_out"]["separable"]["rmse"],
        )
    return AccuracyModel(
        synthetic_accuracy(space), "synthetic: no accuracies were measured in this space", None
    )


def latency_table(
    space: SearchSpace, device: Device, progress: bool = True, source: str = "table"
) -> AdditiveTable:
    """Milliseconds on `device`; where this machine has to be measured first, shows a progress bar.

    `source` is "table", calibrated sums over blocks, or "regression", fitted to whole subnets of a
    measured device. Raises DeviceError for the regression of a simulated one.
    """
    with tqdm(
        total=100, unit="%", desc="measuring this machine", disable=not progress, delay=1
    ) as bar:

        def show(share: float) -> None:
            bar.update(round(100 * share) - bar.n)

        if source == "regression":
            return device.latency_regression(space, show)
        return device.latency_table(space, show)


class Costs:
    """Every cost of a space's subnets on one device, as tables over genes."""

    def __init__(
        self, space: SearchSpace, device: Device, progress: bool = True, latency: str = "table"
    ) -> None:
        self.space, self.device = space, device
        self.latency_ms = latency_table(space, device, progress, latency)
        self.macs, self.params = macs_table(space), params_table(space)
        self.peak_memory_bytes = activation_table(space, device.bytes_per_value)
        self.sram_bytes, self.flash_bytes = sram_table(space, device), flash_table(space, device)

    def budgets(
        self,
        *,
        latency_ms: float | None = None,
        macs: float | None = None,
        params: float | None = None,
        sram_bytes: float | None = None,
        flash_bytes: float | None = None,
    ) -> list[Budget]:
        """Budgets for what is given, and the device's own memory limits, which always hold.

        Raises ValueError for a limit that is negative or not a finite number.
        """
        asked = [
            Budget(table, limit, name, unit)
            for table, limit, name, unit in (
                (self.latency_ms, latency_ms, "latency", "ms"),
                (self.macs, macs, "MACs", ""),
                (self.params, params, "parameters", ""),
                (self.sram_bytes, sram_bytes, "SRAM", "bytes"),
                (self.flash_bytes, flash_bytes, "flash", "bytes"),
            )
            if limit is not None
        ]
        own = (
            (self.sram_bytes, self.device.sram_bytes, "SRAM"),
            (self.flash_bytes, self.device.flash_bytes, "flash"),
        )
        return asked + [
            Budget(table, limit, f"{what} of {self.device.name!r}", "bytes")
            for table, limit, what in own
            if limit is not None
        ]

    def of(self, arch: Arch) -> dict[str, float]:
        genes = self.space.encode([arch])
        costs = {
            name: float(getattr(self, name)(genes)[0])
            for name in (
                "latency_ms",
                "macs",
                "params",
                "peak_memory_bytes",
                "sram_bytes",
                "flash_bytes",
            )
        }
        return {
            name: value if name == "latency_ms" else int(value) for name, value in costs.items()
        }

    def planned_sram_bytes(self, arch: Arch) -> int:
        """`sram_bytes`; on a microcontroller, what the interpreter's planner takes, which may be
        more.
        """
        genes = self.space.encode([arch])
        table = self.sram_bytes
        return table.planned(genes[0]) if isinstance(table, ArenaTable) else int(table(genes)[0])

    def fits(self, archs: Sequence[Arch]) -> np.ndarray:  # (N,)
        """Whether the device's memory holds each arch, by the planner on a microcontroller."""
        sram, flash = self.device.sram_bytes, self.device.flash_bytes
        held = np.array([sram is None or self.planned_sram_bytes(arch) <= sram for arch in archs])
        return held & (flash is None or self.flash_bytes(self.space.encode(archs)) <= flash)


def search(
    space: SearchSpace,
    accuracy: Separable,
    budgets: list[Budget],
    *,
    method: Method = "evolution",
    seed: int = 0,
    population: int = 100,
    generations: int = 500,
) -> SearchResult:
    """The best arch under `budgets` by `method`; random search looks at as many archs as evolution
    would.

    A budget on a microcontroller's arena holds for what the planner needs, so that what is found
    fits. Exact search finds the best arch that does, unless more than ten kinds of better ones do
    not; then, and with the other methods, the limit on the predicted arena is lowered below that of
    the arch found until one fits, and archs between may be missed.

    Raises InfeasibleBudget with the smallest achievable value where no arch meets the budgets; with
    the smallest value found where some do by prediction and none of those found does by the
    planner.
    """
    if method not in METHODS:
        raise ValueError(f"unknown method {method!r}, known: {', '.join(METHODS)}")

    def run(budgets: list[Budget]) -> SearchResult:
        rng = np.random.default_rng(seed)
        if method == "exact":
            return best(space, accuracy, budgets)
        if method == "random":
            return random_search(
                space, accuracy, budgets, rng=rng, evaluations=population * (generations + 1)
            )
        return evolve(
            space, accuracy, budgets, rng=rng, population=population, generations=generations
        )

    arena = min(
        (b for b in budgets if isinstance(b.cost, ArenaTable)), key=lambda b: b.limit, default=None
    )
    if arena is None:
        return run(budgets)
    if method == "exact":
        optimum = best_passing(
            space, accuracy, budgets, lambda genes: arena.cost.planned(genes) <= arena.limit
        )
        if optimum is not None:
            return optimum
    lowered, needed = budgets, []
    while True:
        try:
            found = run(lowered)
        except InfeasibleBudget:
            if not needed:
                raise
            raise InfeasibleBudget(
                arena, min(needed), [b for b in budgets if b is not arena], proven=False
            ) from None
        needed.append(arena.cost.planned(found.genes))
        if needed[-1] <= arena.limit:
            return found
        lowered = [
            *budgets,
            replace(arena, limit=float(arena.cost(found.genes[None])[0]) - 1),
        ]  # whole bytes


def found_at_budgets(
    costs: Costs, model: AccuracyModel, limits_ms: Sequence[float], seed: int
) -> dict[str, list[SearchResult]]:
    """What evolution and random search find under each latency limit, by method."""
    return {
        method: [
            search(
                costs.space,
                model.predict,
                costs.budgets(latency_ms=limit),
                method=method,
                seed=seed,
            )
            for limit in limits_ms
        ]
        for method in ("evolution", "random")
    }
