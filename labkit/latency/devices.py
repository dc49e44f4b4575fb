"""Devices by name: simulated ones (data/devices/*.json) and those whose latency was measured.

A simulated device is a roofline whose parameters carry their sources, with the published latencies
that it was fitted to or is checked against. Its errors on networks that it was not fitted to are
part of it: with a median above 15 %, a rank correlation below 0.95 among seven networks or more, or
fewer than four to check against, it is good for an order of magnitude only, and says so wherever it
is shown.

Loading a device and computing its table needs neither torch nor a runtime.

>>> device = get_device("pi4")
>>> device.kind, device.precision
('simulated', 'fp32')
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from labkit.latency.measured.latency_file import recorded_provenance, recorded_space
from labkit.latency.measured.lookup_table import load_table
from labkit.latency.measured.regression import board_regression, host_regression
from labkit.latency.measured.runtimes import default_runtime
from labkit.latency.measured.table_files import (
    HOST,
    host_table,
    table_files,
    table_path,
    unsteady_spaces,
)
from labkit.latency.simulated.device_file import (
    CORES,
    VALUE_BYTES,
    Cycles,
    DeviceError,
    HeldOut,
    Parameter,
    Series,
    read_device_file,
)
from labkit.latency.simulated.roofline import Roofline
from labkit.space import SearchSpace
from labkit.space.binding import file_stem
from labkit.storage.paths import data_dir
from labkit.tables.costs import AdditiveTable

# What makes a device good for more than an order of magnitude, on networks that it was not fitted
# to: the largest median error, the smallest rank correlation, and how many networks it takes to
# judge either. Among fewer, two that take the same time would decide the correlation.
TRUSTED_ERROR, TRUSTED_RANKS = 0.15, 0.95
JUDGED, RANKED = 4, 7
# Devices whose tables others publish (`labkit.official.published_files`).
PUBLISHED_TABLES = ("note10", "i7-8700k")
EMULATED_MHZ = 100  # the clock at which an emulated core's table gives milliseconds
RUNTIME_TITLES = {"onnxruntime": "ONNX Runtime", "torch": "PyTorch eager"}
Progress = Callable[[float], None] | None


@dataclass(frozen=True, kw_only=True)
class Device:
    """What the search needs to know of a device.

    `engine` is what runs a network on it, `core` the processor of one whose engine is firmware.
    `sram_bytes` and `flash_bytes` are what is free for the network: with the interpreter its arena
    and the model, as firmware arena and stack, and code, tables and weights; None where memory is
    no limit.
    """

    name: str
    title: str
    precision: str
    engine: str = "onnx"
    core: str | None = None
    sram_bytes: int | None = None
    flash_bytes: int | None = None

    kind = "device"

    @property
    def bytes_per_value(self) -> int:
        return VALUE_BYTES[self.precision]

    @property
    def label(self) -> str:
        """Whether its latencies are measured or simulated: to be shown beside each of them."""
        return self.kind

    def latency_table(self, space: SearchSpace, progress: Progress = None) -> AdditiveTable:
        """Milliseconds of every block of `space`, batch 1.

        `progress` is told the share that is measured, where it has to be measured first.
        """
        raise NotImplementedError

    def latency_regression(self, space: SearchSpace, progress: Progress = None) -> AdditiveTable:
        """Milliseconds by regression on whole subnets; DeviceError where none were measured."""
        raise DeviceError(
            f"device {self.name!r} is {self.kind}, so there are no measured subnets for a"
            " regression; use its table (--latency table)"
        )

    def latency_file(self, space: SearchSpace) -> Path | None:
        """The file of measured times for `space`, None for a device that is not measured."""
        return None

    def known_part(self, space: SearchSpace) -> SearchSpace:
        """`space` at the resolutions whose latencies are known, at all of them if none are."""
        return space


@dataclass(frozen=True, kw_only=True)
class SimulatedDevice(Device):
    """A roofline, and what it is checked against.

    Where its engine is firmware and its core was emulated for a space, what was counted there takes
    the roofline's place.
    """

    roofline: Roofline
    references: tuple[dict, ...]  # published latencies, as in the device file
    parameters: Mapping[str, Parameter]  # of the roofline
    series: Series | None  # networks timed by the thousand
    held_out: HeldOut | None  # errors on networks that it was not fitted to, None without any
    note: str
    cycles: Cycles | None = None
    emulated: Mapping[str, Path] = field(default_factory=dict)  # its core's latency files

    kind = "simulated"

    @property
    def label(self) -> str:
        simulated = "simulated" if is_trusted(self.held_out) else "simulated, order of magnitude"
        if not self.emulated:
            return simulated
        spaces = f"{', '.join(self.emulated)} (whole or in part)"
        return f"{cycles_label(self.core)} in {spaces}, else {simulated}"

    def latency_table(self, space: SearchSpace, progress: Progress = None) -> AdditiveTable:
        covering = _covering_file(self.emulated, space)
        if covering is None:
            return self.roofline.table(space)
        table = load_table(*covering).table.part(space)
        return table.scaled(EMULATED_MHZ / self.cycles.clock_mhz * self.cycles.factor)


@dataclass(frozen=True, kw_only=True)
class MeasuredDevice(Device):
    """A board with one latency file for each space, by the file's stem.

    A table that ships is called like its space, an imported one also carries the space's digest.
    """

    files: Mapping[str, Path]

    kind = "measured"
    remedy = "measure one on the board with a kit (`labkit lut pack`)"

    @property
    def label(self) -> str:
        quick = [
            stem
            for stem, path in self.files.items()
            if (recorded_provenance(path) or {}).get("mode") == "quick"
        ]
        return f"measured, quick in {', '.join(quick)}" if quick else "measured"

    def latency_table(self, space: SearchSpace, progress: Progress = None) -> AdditiveTable:
        path, measured = self._file(space)
        return load_table(path, measured).table.part(space)

    def latency_regression(self, space: SearchSpace, progress: Progress = None) -> AdditiveTable:
        path, measured = self._file(space)
        return board_regression(measured, path).part(space)

    def latency_file(self, space: SearchSpace) -> Path:
        """The latency file for `space`; raises DeviceError where there is none."""
        return self._file(space)[0]

    def known_part(self, space: SearchSpace) -> SearchSpace:
        if file_stem(space) in self.files:
            return space
        for other in _recorded_spaces(self.files).values():
            known = tuple(side for side in space.resolutions if side in other.resolutions)
            if known and space.resembles(other):
                return replace(space, resolutions=known)
        return space

    def _file(self, space: SearchSpace) -> tuple[Path, SearchSpace]:
        """The latency file for `space`, and the space that was measured: `space` itself, or one
        that has it at more resolutions.
        """
        covering = _covering_file(self.files, space)
        if covering is not None:
            return covering
        if space.name in self.files:  # reading it says which version of the space it is for
            return self.files[space.name], space
        parts = [
            f"{other.name} at {', '.join(map(str, other.resolutions))} px"
            for other in _recorded_spaces(self.files).values()
            if space.covers(other)
        ]
        raise DeviceError(
            f"device {self.name!r} has no latency table for space {space.name!r}, only for "
            f"{', '.join(parts or self.files)}; {self.remedy}"
            + (", or search a space of those resolutions" if parts else "")
        )


@dataclass(frozen=True, kw_only=True)
class EmulatedDevice(MeasuredDevice):
    """A core that runs firmware in an emulator, which counts its cycles."""

    kind = "emulated"
    latency_regression = Device.latency_regression  # a sum of blocks leaves nothing to be fitted

    @property
    def label(self) -> str:
        return cycles_label(self.core)

    @property
    def remedy(self) -> str:
        return f"count its cycles with `labkit lut measure --board {self.core}`"


@dataclass(frozen=True, kw_only=True)
class HostDevice(Device):
    """This machine. Its table is measured at first use and kept in the user's cache folder."""

    kind = "measured"

    @property
    def label(self) -> str:
        spaces = unsteady_spaces()
        return f"measured, unsteady in {', '.join(spaces)}" if spaces else "measured"

    def latency_table(self, space: SearchSpace, progress: Progress = None) -> AdditiveTable:
        return host_table(space, progress=progress).table

    def latency_regression(self, space: SearchSpace, progress: Progress = None) -> AdditiveTable:
        return host_regression(space, progress=progress)

    def latency_file(self, space: SearchSpace) -> Path:
        return table_path(HOST, space)


def device_names() -> list[str]:
    """Names of all devices: `host`, those that ship, and boards that were imported."""
    return [HOST, *sorted(_simulated_files()), *sorted(table_files())]


def get_device(name: str) -> Device:
    """The device called `name`, or of the device file `name`; raises DeviceError, with the known
    names, for another.
    """
    if name == HOST:
        runtime = RUNTIME_TITLES[default_runtime()]
        title = f"this machine ({runtime}, 1 thread, batch 1)"
        return HostDevice(name=HOST, title=title, precision="fp32")
    simulated, measured = _simulated_files(), table_files()
    if name in simulated:
        return load_simulated(simulated[name])
    if name in measured:
        files = measured[name]
        title = board_title(next(iter(files.values())))
        if name in CORES:
            fields = {"precision": "int8", "engine": "firmware", "core": name}
            return EmulatedDevice(name=name, title=title, files=files, **fields)
        return MeasuredDevice(name=name, title=title, precision="fp32", files=files)
    if name.endswith(".json"):
        return load_simulated(Path(name))
    if name in PUBLISHED_TABLES:
        raise DeviceError(
            f"the table of device {name!r} is not here: `labkit official fetch {name}` downloads"
            " what its authors publish, or `labkit lut import --format ofa` takes a table that you"
            " have"
        )
    if name in CORES:
        raise DeviceError(
            f"core {name!r} was emulated for no space yet: `labkit lut measure --board {name}`"
            " counts its cycles"
        )
    known = ", ".join(device_names())
    raise DeviceError(f"unknown device {name!r}, known: {known}; or give a device file (.json)")


def load_simulated(path: Path) -> SimulatedDevice:
    """The device of a file; raises DeviceError that names the file and the field."""
    fields = read_device_file(Path(path))
    return SimulatedDevice(**fields, emulated=table_files().get(fields["core"], {}))


def cycles_label(core: str) -> str:
    """What to show beside a latency of cycles that an emulator counted.

    >>> cycles_label("cortex-m4")
    'emulated, M4 cycles'
    """
    return f"emulated, {core.partition('-')[2].upper()} cycles"


def is_trusted(held_out: HeldOut | None) -> bool:
    """Whether a device with these errors is good for more than an order of magnitude."""
    return (
        held_out is not None
        and held_out.count >= JUDGED
        and held_out.median_error <= TRUSTED_ERROR
        and (held_out.count < RANKED or held_out.spearman >= TRUSTED_RANKS)
    )


def _recorded_spaces(files: Mapping[str, Path]) -> dict[Path, SearchSpace]:
    """The space of each file that says it."""
    spaces = {path: recorded_space(path) for path in files.values()}
    return {path: space for path, space in spaces.items() if space is not None}


def _covering_file(
    files: Mapping[str, Path], space: SearchSpace
) -> tuple[Path, SearchSpace] | None:
    """The latency file among `files` for `space`, and the space that was measured, which may have
    more resolutions.
    """
    if file_stem(space) in files:
        return files[file_stem(space)], space
    spaces = _recorded_spaces(files).items()
    return next(((path, other) for path, other in spaces if other.covers(space)), None)


def _simulated_files() -> dict[str, Path]:
    return {path.stem: path for path in (data_dir() / "devices").glob("*.json")}


def board_title(path: Path) -> str:
    """The processor, runtime, threads and batch of a latency file: a title of what it measured.

    A damaged file is an error where its times are asked for, not where devices are listed.
    """
    provenance = recorded_provenance(path)
    if provenance is None:
        return f"damaged: {path}"
    threads = ", {} thread" if provenance.get("threads") == 1 else ", {} threads"
    texts = {"runtime": "{}", "runtime_version": " {}", "threads": threads}
    parts = [
        text.format(provenance[field])
        for field, text in {**texts, "batch": ", batch {}"}.items()
        if field in provenance
    ]
    return f"{provenance.get('cpu') or 'unknown processor'} ({''.join(parts)})"
