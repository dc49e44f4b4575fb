"""Records of what runs cost: hours, machine, date and source of every figure that this package
measured.

A record is a dict of `what` (a key of `WHAT`), `space`, `cpu_hours` or `gpu_hours`, `machine` (a
name, or what `labkit.train` notes about it), `date` (YYYY-MM-DD) and `source`; `energy_kwh` only
where it was measured. They are in data/records.json and in the headers of the weights and pairs in
data/.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

import numpy as np

from labkit.storage.atomic_write import one_at_a_time, write_atomic
from labkit.storage.errors import UNREADABLE, LabError
from labkit.storage.paths import data_dir

SCHEMA = "labkit-records-1"
HOURS = ("cpu_hours", "gpu_hours")
LARGEST = 1e15  # of any amount; JSON integers may have thousands of digits

# What a record can be of. Several records of one thing are runs of it.
WHAT = {
    "supernet": "training the supernet",
    "pairs": "measuring accuracy pairs",
    "table": "measuring a device's lookup table",
    "search": "searching a subnet for a budget with a predictor",
    "gradient-search": "gradient search in the supernet for a budget",
    "stand-alone": "training one subnet from scratch",
    "darts-search": "searching a DARTS cell",
    "darts-training": "training the network of a DARTS cell",
}


class RecordError(LabError):
    """A file of costs cannot be used; the message names the file and the field."""


def records_path() -> Path:
    return data_dir() / "records.json"


def records(space: str = "fmnist") -> list[dict]:
    """Every record of `space`. Files that are not there are records that nobody has made yet.

    Raises RecordError for a file that is damaged.
    """
    found = [record for record in _ledger() if record["space"] == space]
    for path, what, header in _headers(space):
        source = path.relative_to(data_dir()).as_posix()
        for hours in HOURS:  # a run that began on a GPU and went on on a CPU is a record of each
            if hours in header:
                record = {key: value for key, value in header.items() if key not in HOURS} | {
                    hours: header[hours]
                }
                found.append(
                    checked(
                        path, {**record, "what": what, "space": space, "source": source}, "header"
                    )
                )
    return found


def add_record(record: Mapping) -> None:
    """Append a record to data/records.json; raises RecordError if a field is missing or senseless."""
    path = records_path()
    new = checked(path, record, "new record")
    with one_at_a_time(path.parent):  # benchmarks run side by side
        value = {"schema": SCHEMA, "records": [*_ledger(), new]}
        write_atomic(
            path,
            lambda temporary: temporary.write_text(
                json.dumps(value, indent=1) + "\n", encoding="utf-8"
            ),
        )


def _ledger() -> list[dict]:
    path = records_path()
    if not path.is_file():
        return []
    entries = field(path, read_json(path, SCHEMA), "records", list)
    return [checked(path, entry, f"records[{i}]") for i, entry in enumerate(entries)]


def _headers(space: str) -> Iterator[tuple[Path, str, dict]]:
    """Path, what and header of each file in data/ that may say what it cost."""
    from safetensors import (  # only here: the published table does without
        SafetensorError,
        safe_open,
    )

    weights, pairs = (
        data_dir() / "supernets" / space / "supernet.safetensors",
        data_dir() / "supernets" / space / "pairs.npz",
    )
    try:
        if (path := weights).is_file():
            with safe_open(path, framework="numpy") as file:
                header = json.loads((file.metadata() or {})["header"])
            yield path, "supernet", {**header, **header.get("record", {})}
        if (path := pairs).is_file():
            with np.load(path, allow_pickle=False) as file:
                header = json.loads(str(file["header"]))
            yield path, "pairs", {**header}
    except (SafetensorError, *UNREADABLE) as error:
        raise RecordError(
            f"{path}: header: cannot be read ({error}); restore the file from the repository"
        ) from None


def checked(path: Path, value: object, where: str) -> dict:
    """The fields of a record, validated; raises RecordError naming `path` and the field."""
    record = {
        "what": field(path, value, "what", str, where),
        "space": field(path, {"space": "fmnist", **value}, "space", str, where),
    }
    if record["what"] not in WHAT:
        raise RecordError(
            f"{path}: {where}.what: {record['what']!r} is not one of {', '.join(WHAT)}"
        )
    keys = [key for key in HOURS if key in value]
    if len(keys) != 1:
        raise RecordError(
            f"{path}: {where}: want either cpu_hours or gpu_hours, got"
            f" {' and '.join(keys) or 'neither'}"
        )
    record |= {
        key: amount(path, value, key, where) for key in (*keys, "energy_kwh") if key in value
    }
    record["machine"] = value.get("machine")
    if not (isinstance(record["machine"], (str, dict)) and record["machine"]):
        raise RecordError(
            f"{path}: {where}.machine: every figure says its machine, got {record['machine']!r}"
        )
    record |= {name: field(path, value, name, str, where) for name in ("date", "source")}
    try:
        written = date.fromisoformat(record["date"]).isoformat()
    except ValueError:
        written = None
    if record["date"] != written:  # Python from 3.11 on also reads 20261124 and 2026-W48-2
        raise RecordError(f"{path}: {where}.date: want YYYY-MM-DD, got {record['date']!r}")
    return record


def machine_text(machine: str | Mapping) -> str:
    """A machine in words, from a name or from what `labkit.train` notes about it."""
    if isinstance(machine, str):
        return machine
    counts = [
        f"{machine[name]} {name[:-1] if machine[name] == 1 else name}"
        for name in ("cores", "threads")
        if name in machine
    ]
    gpu = [str(machine["gpu"])] if machine.get("gpu") else []  # what GPU hours are hours of
    return ", ".join(
        [str(machine.get("cpu") or machine.get("processor") or "unknown processor"), *counts, *gpu]
    )


def read_json(path: Path, schema: str) -> dict:
    """A JSON object with that schema; raises RecordError if it is missing or another."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RecordError(f"{path} is missing; restore it from the repository") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(
            f"{path} is not valid JSON ({error}); restore it from the repository"
        ) from None
    if not isinstance(value, dict) or value.get("schema") != schema:
        raise RecordError(f"{path}: schema: want {schema!r}, got {str(value)[:60]!r}")
    return value


def field(path: Path, value: object, name: str, kind: type, where: str = "") -> object:
    """`value[name]`, which must be a `kind`; raises RecordError naming the field."""
    found = value.get(name) if isinstance(value, Mapping) else None
    if not isinstance(found, kind):
        raise RecordError(
            f"{path}: {where}{'.' if where else ''}{name}: want {kind.__name__}, got {found!r}"
        )
    return found


def amount(path: Path, value: Mapping, name: str, where: str) -> float:
    """`value[name]`, which must be a number of at least 0; raises RecordError naming the field."""
    found = value.get(name)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 <= found < LARGEST:
        raise RecordError(f"{path}: {where}.{name}: want a number of at least 0, got {found!r}")
    return float(found)
