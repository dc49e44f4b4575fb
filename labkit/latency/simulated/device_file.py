"""Files of simulated devices (data/devices/*.json): a roofline's parameters, each with its source.

A file also lists the published latencies that the device was fitted to (role `fit`), or is checked
against (`held-out`), or that are of another runtime, clock or precision (`other`: shown, not
counted).
"""

from __future__ import annotations

from pathlib import Path

from labkit.latency.simulated.roofline import Roofline
from labkit.storage.errors import LabError
from labkit.storage.json_fields import Fields, read_json

SCHEMA = 1
VALUE_BYTES = {"fp32": 4, "fp16": 2, "int8": 1}  # bytes of one value
ROLES = ("fit", "held-out", "other")
EFFICIENCIES = ("dense", "pointwise", "depthwise")
RATES = ("peak_gmacs", "bandwidth_gb", "overhead_us", "half_channels")


class DeviceError(LabError):
    """An unknown device, or a device file that is damaged; the message names it and the way out."""


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
    error = None if fields.value.get("held_out_error") is None else fields.amount("held_out_error")
    return {
        "name": path.stem,
        "title": fields.text("title"),
        "precision": precision,
        "sram_bytes": _free_bytes(fields, "sram"),
        "flash_bytes": _free_bytes(fields, "flash"),
        "roofline": _roofline(fields.object("parameters"), VALUE_BYTES[precision]),
        "references": tuple(map(_reference, fields.objects("references"))),
        "sources": _sources(fields.object("parameters")),
        "held_out_error": error,
        "note": fields.value.get("note", ""),
    }


def _roofline(parameters: Fields, bytes_per_value: int) -> Roofline:
    def value_of(name: str) -> float:
        return float(parameters.object(name).positive("value"))

    factor = value_of("runtime_factor")
    efficiency = {kind: value_of(kind) / factor for kind in EFFICIENCIES}
    rates = {name: value_of(name) for name in RATES}
    return Roofline(**rates, efficiency=efficiency, bytes_per_value=bytes_per_value)


def _sources(parameters: Fields) -> dict[str, str]:
    return {name: parameters.object(name).text("source") for name in parameters.value}


def _reference(reference: Fields) -> dict:
    reference.choice("role", ROLES)
    reference.positive("latency_ms")
    reference.text("network")
    reference.text("source")
    for field in ("resolution", "macs_m", "width"):
        if field in reference:
            reference.positive(field)
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
