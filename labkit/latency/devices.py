"""Devices by name: simulated ones (data/devices/*.json) and those whose latency was measured.

A simulated device is a roofline whose parameters carry their sources, with the published latencies
that it was fitted to or is checked against. Its error on those it was not fitted to is part of it:
above 30 % (median), or with nothing to check against, it is good for an order of magnitude only,
and says so wherever it is shown.

Loading a device and computing its table needs neither torch nor a runtime. The published latencies
are in `labkit.latency.simulated.validation`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from labkit.latency.simulated.layers import Layer, base_layers, block_layers
from labkit.latency.simulated.roofline import Roofline
from labkit.space import SearchSpace
from labkit.storage.errors import LabError
from labkit.storage.paths import data_dir
from labkit.tables.arena import arena_table
from labkit.tables.costs import AdditiveTable, MaxTable, activation_table
from labkit.tables.separable import MaxPlusSum

SCHEMA = 1
TRUSTED_ERROR = (
    0.30  # largest median held-out error of a device that is more than an order of magnitude
)
HOST = "host"
PRECISIONS = {"fp32": 4, "fp16": 2, "int8": 1}  # bytes of one value
Progress = Callable[[float], None]
ROLES = (
    "fit",
    "held-out",
    "other",
)  # 'other': another runtime, clock or precision; shown, not counted


class DeviceError(LabError):
    """An unknown device, or a device file that is damaged; the message names it and the way out."""


@dataclass(frozen=True, kw_only=True)
class Device:
    """What the search needs to know of a device.

    `sram_bytes` is what is left for the interpreter's arena once stack and application have taken
    their share, `flash_bytes` what is left for the model beside the runtime's code; None where
    memory is no limit.
    """

    name: str
    title: str
    precision: str
    sram_bytes: int | None = None
    flash_bytes: int | None = None

    kind = "device"

    @property
    def bytes_per_value(self) -> int:
        return PRECISIONS[self.precision]

    @property
    def label(self) -> str:
        """How its latencies were come by: to be shown beside every one of them."""
        return self.kind

    def latency_table(self, space: SearchSpace, progress: Progress | None = None) -> AdditiveTable:
        """Milliseconds of every block of `space`, batch 1. `progress` is told the share where it is
        measured first.
        """
        raise NotImplementedError

    def latency_regression(
        self, space: SearchSpace, progress: Progress | None = None
    ) -> AdditiveTable:
        """Milliseconds by regression on whole subnets; raises DeviceError where none were measured."""
        raise DeviceError(
            f"device {self.name!r} is {self.kind}, so there are no measured subnets for a"
            " regression; use its table (--latency table)"
        )


@dataclass(frozen=True, kw_only=True)
class SimulatedDevice(Device):
    """A roofline, and what it is checked against."""

    roofline: Roofline
    references: tuple[dict, ...]  # published latencies, as in the device file
    sources: Mapping[str, str]  # of each parameter
    held_out_error: (
        float | None
    )  # median, as recorded when it was fitted; None without held-out references
    note: str

    kind = "simulated"

    @property
    def label(self) -> str:
        trusted = self.held_out_error is not None and self.held_out_error <= TRUSTED_ERROR
        return "simulated" if trusted else "simulated, order of magnitude"

    def latency_table(self, space: SearchSpace, progress: Progress | None = None) -> AdditiveTable:
        return self.roofline.table(space)


@dataclass(frozen=True, kw_only=True)
class MeasuredDevice(Device):
    """A machine with one latency file for each space, by the space's name."""

    files: Mapping[str, Path]

    kind = "measured"

    def latency_table(self, space: SearchSpace, progress: Progress | None = None) -> AdditiveTable:
        from labkit.latency.measured.lookup_table import load_table

        return load_table(self.file(space), space).table

    def latency_regression(
        self, space: SearchSpace, progress: Progress | None = None
    ) -> AdditiveTable:
        from labkit.latency.measured.regression import board_regression

        return board_regression(space, self.file(space))

    def file(self, space: SearchSpace) -> Path:
        """The latency file for `space`; raises DeviceError where there is none."""
        if space.name not in self.files:
            raise DeviceError(
                f"device {self.name!r} has no latency table for space {space.name!r}, only for "
                f"{', '.join(self.files)}; measure one on the board with a kit (`labkit lut pack`)"
            )
        return self.files[space.name]


@dataclass(frozen=True, kw_only=True)
class HostDevice(Device):
    """This machine. Its table is measured at first use and kept in the user's cache folder."""

    kind = "measured"

    @property
    def label(self) -> str:
        from labkit.latency.measured.lookup_table import unsteady_spaces

        spaces = unsteady_spaces()
        return f"measured, unsteady in {', '.join(spaces)}" if spaces else "measured"

    def latency_table(self, space: SearchSpace, progress: Progress | None = None) -> AdditiveTable:
        from labkit.latency.measured.lookup_table import host_table

        return host_table(space, progress=progress).table

    def latency_regression(
        self, space: SearchSpace, progress: Progress | None = None
    ) -> AdditiveTable:
        from labkit.latency.measured.regression import host_regression

        return host_regression(space, progress=progress)


# ---- finding devices -------------------------------------------------------------------------------


def device_names() -> list[str]:
    """Names of all devices: `host`, those that ship, and boards that were imported."""
    return [HOST, *sorted(_simulated_files()), *sorted(_measured_files())]


def get_device(name: str) -> Device:
    """The device called `name`; raises DeviceError with the known names for another."""
    if name == HOST:
        from labkit.latency.measured.measurement import default_runtime

        runtime = {"onnxruntime": "ONNX Runtime", "torch": "PyTorch eager"}[default_runtime()]
        return HostDevice(
            name=HOST, title=f"this machine ({runtime}, 1 thread, batch 1)", precision="fp32"
        )
    if name in _simulated_files():
        return load_simulated(_simulated_files()[name])
    measured = _measured_files()
    if name in measured:
        return MeasuredDevice(
            name=name, title=_machine(measured[name]), precision="fp32", files=measured[name]
        )
    raise DeviceError(f"unknown device {name!r}, known: {', '.join(device_names())}")


def _machine(files: Mapping[str, Path]) -> str:
    """The processor, runtime, threads and batch of a device's first latency file.

    A damaged file is an error where its times are asked for, not where devices are listed.
    """
    from labkit.latency.measured.latency_file import TableError, parse, read_bytes

    path = next(iter(files.values()))
    try:
        made = parse(read_bytes(path), path).get("made")
    except TableError:
        made = None
    if not isinstance(made, dict):
        return f"damaged: {path}"
    return (
        f"{made.get('cpu') or 'unknown processor'} ({made.get('runtime')}"
        f" {made.get('runtime_version', '')}, {made.get('threads', '?')} thread(s), batch"
        f" {made.get('batch', '?')})"
    )


def _simulated_files() -> dict[str, Path]:
    return {path.stem: path for path in (data_dir() / "devices").glob("*.json")}


def _measured_files() -> dict[str, dict[str, Path]]:
    from labkit.latency.measured.lookup_table import table_files

    return table_files()


# ---- reading a device file -------------------------------------------------------------------------


def load_simulated(path: Path) -> SimulatedDevice:
    """Read a device file; raises DeviceError that names the file and the field."""
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DeviceError(
            f"device file {path} cannot be read: {error}; restore it with `git checkout -- {path}`"
        ) from None
    fields = _Fields(path, value)
    if fields.get("schema", int) != SCHEMA:
        raise DeviceError(
            f"device file {path}: schema {value['schema']}, this version reads {SCHEMA}"
        )
    precision = fields.get("precision", str)
    if precision not in PRECISIONS:
        raise DeviceError(
            f"device file {path}: precision {precision!r}, known: {', '.join(PRECISIONS)}"
        )
    parameters = _Fields(path, fields.get("parameters", dict), "parameters.")
    factor = parameters.positive("runtime_factor")
    efficiency = {
        kind: parameters.positive(kind) / factor for kind in ("dense", "pointwise", "depthwise")
    }
    rates = {
        name: parameters.positive(name)
        for name in ("peak_gmacs", "bandwidth_gb", "overhead_us", "half_channels")
    }
    references = tuple(fields.get("references", list))
    for i, reference in enumerate(references):
        row = _Fields(path, reference, f"references[{i}].")
        if (
            row.get("role", str) not in ROLES
            or not 0 < row.get("latency_ms", (int, float)) < math.inf
        ):
            raise DeviceError(
                f"device file {path}: references[{i}] has role {reference['role']!r} and "
                f"{reference['latency_ms']} ms; want one of {', '.join(ROLES)} and a positive time"
            )
        row.get("network", str), row.get("source", str)
        for field in ("resolution", "macs_m", "width"):
            if field in reference and not 0 < row.get(field, (int, float)) < math.inf:
                raise DeviceError(
                    f"device file {path}: references[{i}].{field} is {reference[field]}, want a"
                    " positive number"
                )
    memory = {}
    for kind in ("sram", "flash"):
        if kind in value:
            row = _Fields(path, value[kind], f"{kind}.")
            row.get("source", str)
            there, reserved = row.get("device_bytes", int), row.get("reserved_bytes", int)
            if not 0 <= reserved < there:
                raise DeviceError(
                    f"device file {path}: {kind} has {there} bytes, {reserved} of them reserved;"
                    " want some left for the network"
                )
            memory[f"{kind}_bytes"] = there - reserved
    name = fields.get("name", str)
    if name != path.stem:  # it is found by the one and shown by the other
        raise DeviceError(
            f"device file {path}: name is {name!r}; call it {path.stem!r}, as the file is called"
        )
    error = (
        None if value.get("held_out_error") is None else fields.get("held_out_error", (int, float))
    )
    if error is not None and not 0 <= error < math.inf:
        raise DeviceError(
            f"device file {path}: held_out_error is {error}, want a share such as 0.3, or null"
        )
    return SimulatedDevice(
        name=name,
        title=fields.get("title", str),
        precision=precision,
        **memory,
        roofline=Roofline(**rates, efficiency=efficiency, bytes_per_value=PRECISIONS[precision]),
        references=references,
        held_out_error=error,
        note=value.get("note", ""),
        sources={
            name: _Fields(path, parameter, f"parameters.{name}.").get("source", str)
            for name, parameter in value["parameters"].items()
        },
    )


class _Fields:
    """Reads fields of a JSON object and names file and field when one is missing or of another
    type.
    """

    def __init__(self, path: Path, value: object, prefix: str = "") -> None:
        self.path, self.prefix, self.value = path, prefix, value
        if not isinstance(value, dict):
            raise DeviceError(
                f"device file {path}: {prefix.rstrip('.') or 'the file'} must be an object"
            )

    def get(self, name: str, kind: type | tuple[type, ...]):
        if not isinstance(self.value.get(name), kind) or isinstance(self.value[name], bool):
            raise DeviceError(
                f"device file {self.path}: field {self.prefix}{name} is missing or of the wrong"
                " type"
            )
        return self.value[name]

    def positive(self, name: str) -> float:
        parameter = _Fields(self.path, self.get(name, dict), f"{self.prefix}{name}.")
        value = parameter.get("value", (int, float))
        parameter.get("source", str)
        if not 0 < value < math.inf:
            raise DeviceError(
                f"device file {self.path}: {self.prefix}{name}.value is {value}, want a positive"
                " number"
            )
        return float(value)


# ---- memory ----------------------------------------------------------------------------------------

CHANNEL_BYTES = 16  # int32 bias, float32 scale, int64 zero point
OPERATOR_BYTES = 400  # an operator's entry and its tensors' in the flatbuffer


def sram_table(space: SearchSpace, device: Device) -> MaxTable | MaxPlusSum:
    """Bytes of memory that a subnet takes, batch 1: on a microcontroller, a device with an SRAM
    limit, the interpreter's arena; elsewhere activations at once, the largest over the
    operators."""
    return (
        activation_table(space, device.bytes_per_value)
        if device.sram_bytes is None
        else arena_table(space)
    )


def flash_table(space: SearchSpace, device: Device) -> AdditiveTable:
    """Bytes of the stored network: weights in the device's precision, and per channel and operator
    what an int8 TFLite file keeps beside them (batch norm is folded)."""

    def size(layers: list[Layer]) -> int:
        return sum(
            layer.weights * device.bytes_per_value + layer.channels * CHANNEL_BYTES + OPERATOR_BYTES
            for layer in layers
        )

    return AdditiveTable.build(
        space,
        lambda resolution: size(base_layers(space, resolution)),
        lambda shape, kernel, expand, side: size(
            block_layers(shape, kernel, expand, side, space.stages[shape.stage].se)
        ),
    )
