"""A device file for a board of your own, for you to edit: it begins with a device that ships."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from labkit.latency.simulated.device_file import EFFICIENCIES, DeviceError, read_device_file
from labkit.storage.atomic_write import write_json
from labkit.storage.json_fields import read_json
from labkit.storage.paths import data_dir


def write_device(
    path: Path,
    like: str,
    *,
    title: str | None = None,
    precision: str | None = None,
    clock_mhz: float | None = None,
    rates: Mapping[str, float],
    memories: Mapping[str, int],
) -> dict:
    """Write the device file `path`: simulated device `like` with other `rates` (those of
    `labkit.latency.simulated.device_file`) and bytes of its `memories` ("sram", "flash").

    What is not said is that of `like`, and its source says so; nothing published is claimed for it.
    Returns the fields of the device. Raises DeviceError for an unknown `like`, ValueError for a
    path that is there already or no .json file, and for a memory no larger than what `like`
    reserves of it.
    """
    source = data_dir() / "devices" / f"{like}.json"
    known = sorted(each.stem for each in source.parent.glob("*.json"))
    if like not in known:
        raise DeviceError(f"unknown simulated device {like!r}, known: {', '.join(known)}")
    if path.suffix != ".json" or path.exists():
        raise ValueError(f"{path} is no new .json file; name it like my-board.json")
    value = read_json(source, DeviceError)
    for claim in ("held_out", "series"):
        value.pop(claim, None)
    value.update(name=path.stem, references=[])
    value.update(title=title or f"{path.stem}, made from {like}", note=f"Made from {like!r}.")
    value.update({"precision": precision} if precision else {})
    if clock_mhz and "cycles" in value:
        value["cycles"].update(clock_mhz=clock_mhz, source="clock said when this file was written")
    for name, parameter in value["parameters"].items():
        said = {"value": rates.get(name), "source": "said when this file was written"}
        copied = {"value": parameter["value"], "source": f"as of {like}: {parameter['source']}"}
        value["parameters"][name] = said if name in rates else copied
    _use_shares_as_said(value["parameters"], rates)
    for memory, size in memories.items():
        reserved = value.get(memory, {}).get("reserved_bytes", 0)
        if reserved >= size:
            raise ValueError(f"{memory} of {size} bytes: {like} reserves {reserved} of it")
        value[memory] = {
            "device_bytes": size,
            "reserved_bytes": reserved,
            "source": f"size said when this file was written; what is reserved as of {like}",
        }
    write_json(path, value)
    try:
        return read_device_file(path)
    except DeviceError:
        path.unlink()  # or the corrected command would find a file there
        raise


def _use_shares_as_said(parameters: Mapping[str, dict], rates: Mapping[str, float]) -> None:
    """Make the roofline use shares of the peak as `rates` say them, and the others as copied."""
    said = [parameters[name] for name in EFFICIENCIES if name in rates]
    copied = [parameters[name] for name in EFFICIENCIES if name not in rates]
    runtime = parameters["runtime_factor"]
    factor = runtime["value"]
    if not said or factor == 1:
        return
    # A file's shares are at most 1: a factor that takes a copied one above the peak has to stay.
    folds = all(share["value"] <= factor for share in copied)
    for parameter in [runtime, *copied] if folds else said:
        how = f"{parameter['value']} {'over' if folds else 'times'} a runtime_factor of {factor}"
        parameter["source"] += f"; {how}"
        parameter["value"] /= factor if folds else 1 / factor
