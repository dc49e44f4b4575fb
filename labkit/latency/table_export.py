"""Sharing what was measured: a device's latency file, for somebody else to import."""

from __future__ import annotations

from pathlib import Path

from labkit.latency.devices import Device, EmulatedDevice
from labkit.latency.measured.latency_file import read
from labkit.latency.measured.plausibility import check_steady
from labkit.latency.measured.table_files import HOST, has_host_table
from labkit.latency.measured.untrusted_json import TableError
from labkit.space import SearchSpace
from labkit.storage.atomic_write import write_json


def export_table(space: SearchSpace, device: Device, path: Path) -> Path:
    """Copy a measured device's latency file to `path`, for `labkit lut import` on another machine.

    Raises ValueError for a device that was not measured and for a path that is no .json file.
    """
    if isinstance(device, EmulatedDevice):
        raise ValueError(f"device {device.name!r} is the same everywhere: {device.remedy}")
    source, on_host = device.latency_file(space), device.name == HOST
    if source is None:
        raise ValueError(
            f"device {device.name!r} is {device.kind}; only measured devices have a latency file to"
            " share"
        )
    if path.suffix != ".json" or path.is_dir():
        raise ValueError(
            f"a latency file is a .json file, got {str(path)!r}; name it like {device.name}.json"
        )
    if on_host and not has_host_table(space):
        raise ValueError("this machine has not been measured yet; run `labkit lut measure` first")
    try:
        value = read(source, space if on_host else None)  # a board's may be for more resolutions
        check_steady(value, source)
    except TableError as error:
        advice = "measure it again with `labkit lut measure`" if on_host else "import it again"
        raise TableError(f"{error}. Nobody could import it: {advice}") from None
    write_json(path, value)
    return path
