"""Every cost of a space's subnets on one device, as tables over genes. No torch here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from tqdm.auto import tqdm

from labkit.firmware.memory import FirmwareFlash
from labkit.latency.devices import Device
from labkit.search import Budget
from labkit.space import Arch, SearchSpace
from labkit.specialize.device_memory import flash_table, sram_table
from labkit.tables.arena import ArenaTable
from labkit.tables.costs import AdditiveTable, activation_table, macs_table, params_table

COSTS = ("latency_ms", "macs", "params", "peak_memory_bytes", "sram_bytes", "flash_bytes")


@contextmanager
def measurement_bar(shown: bool) -> Iterator[Callable[[float], None]]:
    """Of measuring this machine: gives what is called with the share that is measured."""
    with tqdm(
        total=100, unit="%", desc="measuring this machine", disable=not shown, delay=1
    ) as bar:
        yield lambda share: bar.update(round(100 * share) - bar.n)


def latency_table(
    space: SearchSpace, device: Device, progress: bool = True, source: str = "table"
) -> AdditiveTable:
    """Milliseconds on `device`; where this machine has to be measured first, shows a progress bar.

    `source` is "table", calibrated sums over blocks, or "regression", fitted to whole subnets of a
    measured device. Raises DeviceError for the regression of a simulated one.
    """
    with measurement_bar(progress) as show_progress:
        if source == "regression":
            return device.latency_regression(space, show_progress)
        return device.latency_table(space, show_progress)


class DeviceCosts:
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
        """A budget for each limit that is not None, and those of the device's memory, which always
        hold.

        Raises ValueError for a limit that is negative or not a finite number.
        """
        budgets = [
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
        for table, limit, memory in (
            (self.sram_bytes, self.device.sram_bytes, "SRAM"),
            (self.flash_bytes, self.device.flash_bytes, "flash"),
        ):
            if limit is not None:
                budgets.append(Budget(table, limit, f"{memory} of {self.device.name!r}", "bytes"))
        return budgets

    def of(self, arch: Arch) -> dict[str, float]:
        """Every cost of one arch, by the names of COSTS; all but the latency are whole numbers."""
        genes = self.space.encode([arch])
        costs = {name: float(getattr(self, name)(genes)[0]) for name in COSTS[:-1]}
        costs["flash_bytes"] = float(self.linked_flash_bytes(genes)[0])
        return {
            name: value if name == "latency_ms" else int(value) for name, value in costs.items()
        }

    def planned_sram_bytes(self, arch: Arch) -> int:
        """`sram_bytes`; on a microcontroller what its engine's planner needs, which may be more."""
        genes = self.space.encode([arch])
        table = self.sram_bytes
        return table.planned(genes[0]) if isinstance(table, ArenaTable) else int(table(genes)[0])

    def linked_flash_bytes(self, genes: np.ndarray) -> np.ndarray:  # (N,)
        """`flash_bytes`; of firmware with the code of those functions only that an arch calls."""
        table = self.flash_bytes
        return table.linked(genes) if isinstance(table, FirmwareFlash) else table(genes)

    def fits(self, archs: Sequence[Arch]) -> np.ndarray:  # (N,)
        """Whether the device's memory holds each arch, on a microcontroller as it is planned and
        linked.
        """
        sram, flash = self.device.sram_bytes, self.device.flash_bytes
        planned = [sram is None or self.planned_sram_bytes(arch) <= sram for arch in archs]
        return np.array(planned, dtype=bool) & (
            flash is None or self.linked_flash_bytes(self.space.encode(archs)) <= flash
        )
