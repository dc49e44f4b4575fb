"""Files of simulated devices (data/devices/*.json): a roofline's parameters, each with its source.

A parameter that was fitted also has the value expected without any measurement, `prior`, and how
far from it the parameter may lie: a factor e^`spread` is one standard deviation.

A file also lists published latencies: those that the device was fitted to (role `fit`), those that
it was not (`held-out`), and those of another runtime, clock or precision (`other`: shown, not
counted). Where networks were timed by the thousand, `series` names the public file. `held_out` says
how far the device is off on networks that its fit has not seen.

`engine` is what runs a network on the device, and so which file it takes: `onnx` (ONNX Runtime, and
what imports ONNX), `litert`, and on a microcontroller `tflm` (TensorFlow Lite Micro) or `firmware`,
labkit's C library, for the `core` that the file names; there `cycles` says what takes a time that
was emulated on the core to the board. A microcontroller computes in int8 and has limits of both
memories, less what is reserved for everything but the network and its engine's data.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from labkit.latency.simulated.roofline import Roofline
from labkit.storage.errors import LabError
from labkit.storage.json_fields import Fields, read_json

SCHEMA = 1
VALUE_BYTES = {"fp32": 4, "fp16": 2, "int8": 1}  # bytes of one value
MICRO_ENGINES = ("tflm", "firmware")
ENGINES = ("onnx", "litert", *MICRO_ENGINES)
CORES = ("cortex-m3", "cortex-m4", "cortex-m7")  # that firmware can be emulated on
ROLES = ("fit", "held-out", "other")
EFFICIENCIES = ("dense", "pointwise", "depthwise")
RATES = ("peak_gmacs", "bandwidth_gb", "overhead_us", "half_channels")
REQUIRED = (*RATES, *EFFICIENCIES, "runtime_factor")
OPTIONAL = ("launch_us", "start_us")


class DeviceError(LabError):
    """An unknown device, or a device file that is damaged; the message names it and the way out."""


class Parameter(NamedTuple):
    """A number of a roofline, and the prior of its logarithm where it was fitted."""

    value: float
    source: str
    prior: float | None = None
    spread: float | None = None


class Cycles(NamedTuple):
    """How long a board's cycle is, and by which factor it takes more cycles than a core does whose
    memory answers at once.
    """

    clock_mhz: float
    factor: float
    source: str


class Series(NamedTuple):
    """Where a public file has latencies of many NAS-Bench-201 networks that are fitted to."""

    file: str  # in the folder of public measurements
    column: str
    graph: str  # what the runtime executes of a network: `labkit.comparison.nas_bench_201.GRAPHS`
    source: str


class HeldOut(NamedTuple):
    """Errors on networks that a fit has not seen: |simulated / measured - 1| and Spearman's rank
    correlation, which a single network does not have.
    """

    networks: str  # which they are, and how they were held out
    fitted: int  # networks that the device was fitted to
    count: int  # networks that it was judged on
    median_error: float
    p90_error: float
    spearman: float | None


def read_device_file(path: Path) -> dict:
    """The fields of a `labkit.latency.devices.SimulatedDevice`.

    Raises DeviceError that names the file and the field.
    """
    advice = f"restore it with `git checkout -- {path}`, or write one with `labkit devices new`"
    fields = Fields(read_json(path, DeviceError, advice), path, DeviceError)
    fields.require_schema(SCHEMA)
    if fields.text("name") != path.stem:  # the file's name finds it, the field is shown
        fields.fail("name", f"{path.stem!r}, as the file is called")
    precision = fields.choice("precision", tuple(VALUE_BYTES))
    parameters = _parameters(fields.object("parameters"))
    values = {name: parameter.value for name, parameter in parameters.items()}
    engine = fields.choice("engine", ENGINES)
    if engine in MICRO_ENGINES:
        fields.choice("precision", ("int8",))
        fields.object("sram"), fields.object("flash")
    return {
        "name": path.stem,
        "title": fields.text("title"),
        "precision": precision,
        "engine": engine,
        "core": fields.choice("core", CORES) if engine == "firmware" else None,
        "cycles": _cycles(fields.object("cycles")) if engine == "firmware" else None,
        "sram_bytes": _free_bytes(fields, "sram"),
        "flash_bytes": _free_bytes(fields, "flash"),
        "parameters": parameters,
        "roofline": roofline_of(values, VALUE_BYTES[precision]),
        "references": tuple(map(_reference, fields.objects("references"))),
        "series": _series(fields.object("series")) if "series" in fields else None,
        "held_out": _held_out(fields.object("held_out")) if "held_out" in fields else None,
        "note": fields.value.get("note", ""),
    }


def roofline_of(values: Mapping[str, float], bytes_per_value: int) -> Roofline:
    """The roofline with the parameters of a device file.

    The runtime's factor is on the time that all operators compute for.
    """
    efficiency = {kind: values[kind] / values["runtime_factor"] for kind in EFFICIENCIES}
    rates = {name: values[name] for name in (*RATES, *OPTIONAL) if name in values}
    return Roofline(**rates, efficiency=efficiency, bytes_per_value=bytes_per_value)


def _parameters(fields: Fields) -> dict[str, Parameter]:
    names = [*REQUIRED, *(name for name in OPTIONAL if name in fields)]
    for name in fields.value:
        if name not in names:
            fields.fail(name, f"no more parameters than {', '.join(REQUIRED + OPTIONAL)}")
    parameters = {name: _parameter(fields.object(name)) for name in names}
    for name in EFFICIENCIES:
        if parameters[name].value > 1:
            fields.object(name).fail("value", "a share of the peak, at most 1")
    return parameters


def _parameter(fields: Fields) -> Parameter:
    value, source = float(fields.positive("value")), fields.text("source")
    if "prior" not in fields:
        return Parameter(value, source)
    return Parameter(value, source, fields.positive("prior"), fields.positive("spread"))


def _cycles(fields: Fields) -> Cycles:
    return Cycles(fields.positive("clock_mhz"), fields.positive("factor"), fields.text("source"))


def _series(fields: Fields) -> Series:
    return Series(*(fields.text(name) for name in Series._fields))


def _held_out(fields: Fields) -> HeldOut:
    count, ranks = int(fields.positive("count")), fields.value.get("spearman")
    return HeldOut(
        fields.text("networks"),
        fields.get("fitted", int),
        count,
        fields.amount("median_error"),
        fields.amount("p90_error"),
        None if ranks is None and count < 2 else float(fields.get("spearman", (int, float))),
    )


def _reference(reference: Fields) -> dict:
    reference.choice("role", ROLES)
    reference.positive("latency_ms")
    reference.text("network")
    reference.text("source")
    if "resolution" in reference:
        reference.positive("resolution")
    if "title" in reference:
        reference.text("title")
    return dict(reference.value)


def _free_bytes(fields: Fields, memory: str) -> int | None:
    """Bytes that are free for the network, None where the device has no such limit."""
    if memory not in fields:
        return None
    sizes = fields.object(memory)
    sizes.text("source")
    total, reserved = sizes.get("device_bytes", int), sizes.get("reserved_bytes", int)
    if not 0 <= reserved < total:
        sizes.fail("reserved_bytes", f"some of the {total} bytes free for the network")
    return total - reserved
