"""Records of what runs cost: hours, machine, date and source of every measured figure.

A record is a dict of `what` (a key of `MEASURED_COSTS`), `space`, `cpu_hours` or `gpu_hours`,
`machine` (a name, or what `labkit.train` notes about it), `date` (YYYY-MM-DD) and `source`;
`energy_kwh` only where it was measured; `whole`, which is False, only where the run took hours of
the other kind as well. They are in data/records.json and in the headers of the weights and pairs in
data/.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

from labkit.storage.atomic_write import one_at_a_time, write_json
from labkit.storage.errors import LabError
from labkit.storage.json_fields import Fields, read_json
from labkit.storage.npz_file import read_npz
from labkit.storage.paths import data_dir
from labkit.storage.tensor_file import read_header
from labkit.supernet.accuracy_files import PAIRS, PAIRS_SCHEMA
from labkit.supernet.weights_file import WEIGHTS

SCHEMA = "labkit-records-1"
HOURS = ("cpu_hours", "gpu_hours")
RESTORE = "restore it from the repository"

# What a record can be of. Several records of one thing are runs of it.
MEASURED_COSTS = {
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


def records(space: str = "fmnist", folder: Path | None = None) -> list[dict]:
    """Every record of `space`, and of the trained supernet in `folder`.

    Without `folder` it is the supernet of that name that ships. Files that are not there are
    records that nobody has made yet. Raises LabError for a file that is damaged.
    """
    folder = folder or data_dir() / "supernets" / space
    ledger = [record for record in _ledger() if record["space"] == space]
    for path, what, header in _headers(folder):
        shipped = path.is_relative_to(data_dir())
        source = (path.relative_to(data_dir()) if shipped else path).as_posix()
        hours = {unit: header.pop(unit) for unit in HOURS if unit in header}
        # A run that began on a GPU and went on on a CPU is a record of each, neither of them whole.
        whole = {} if len(hours) == 1 else {"whole": False}
        for unit, value in hours.items():
            record = {**header, unit: value, "what": what, "space": space, "source": source}
            ledger.append(validated(Fields(record, path, RecordError, prefix="header")) | whole)
    return ledger


def add_record(record: Mapping) -> None:
    """Append a record to data/records.json.

    Raises RecordError if a field is missing or makes no sense.
    """
    path = records_path()
    addition = validated(Fields(record, path, RecordError, prefix="new record"))
    with one_at_a_time(path.parent):  # benchmarks run side by side
        write_json(path, {"schema": SCHEMA, "records": [*_ledger(), addition]})


def _ledger() -> list[dict]:
    path = records_path()
    if not path.is_file():
        return []
    ledger = Fields(read_json(path, RecordError), path, RecordError)
    ledger.require_schema(SCHEMA)
    return [validated(record) for record in ledger.objects("records")]


def _headers(folder: Path) -> Iterator[tuple[Path, str, dict]]:
    """Path, what and header of each file of a trained supernet that may say what it cost."""
    path = folder / WEIGHTS
    if path.is_file():
        header = read_header(path, RESTORE)
        yield path, "stand-alone" if "only" in header else "supernet", header
    path = folder / PAIRS
    if path.is_file():
        yield path, "pairs", read_npz(path, PAIRS_SCHEMA, (), RESTORE)[0]


def validated(fields: Fields) -> dict:
    """A record of these fields; raises RecordError that names the file and the field."""
    units = [unit for unit in HOURS if unit in fields]
    if len(units) != 1:
        raise RecordError(
            f"{fields.source}: {fields.prefix}: want either cpu_hours or gpu_hours, got "
            + (" and ".join(units) or "neither")
        )
    amounts = [name for name in (*units, "energy_kwh") if name in fields]
    if not fields.get("machine", (str, dict)):
        fields.fail("machine", "the machine that the figure was measured on")
    try:
        day = date.fromisoformat(fields.text("date")).isoformat()
    except ValueError:
        day = None
    if fields.text("date") != day:  # Python from 3.11 on also reads 20261124 and 2026-W48-2
        fields.fail("date", "YYYY-MM-DD")
    return {
        "what": fields.choice("what", tuple(MEASURED_COSTS)),
        "space": fields.text("space") if "space" in fields else "fmnist",
        **{name: float(fields.amount(name)) for name in amounts},
        **{name: fields.value[name] for name in ("machine", "date")},
        "source": fields.text("source"),
    }


def machine_text(machine: str | Mapping) -> str:
    """A machine in words, from a name or from what `labkit.train` notes about it.

    >>> machine_text({"cpu": "EPYC", "cores": 2, "threads": 1})
    'EPYC, 2 cores, 1 thread'
    """
    if isinstance(machine, str):
        return machine
    words = [str(machine.get("cpu") or machine.get("processor") or "unknown processor")]
    for noun in ("core", "thread"):
        count = machine.get(f"{noun}s")
        if count is not None:
            words.append(f"{count} {noun}" if count == 1 else f"{count} {noun}s")
    if machine.get("gpu"):  # what GPU hours are hours of
        words.append(str(machine["gpu"]))
    return ", ".join(words)
