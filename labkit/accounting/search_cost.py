"""What a search method costs for N devices: published figures beside measured ones.

A method has parts that are paid once and parts that are paid for every device; its total for N
devices is once + N * per device. Published figures are GPU hours on ImageNet (OFA, arXiv
1908.09791, Table 1); ours are CPU or GPU hours on the lab's own data, from
`labkit.accounting.records`. Hours of two kinds are never added up or compared, and a part without a
record is "not measured", which leaves its total unknown.

Units: hours; energy in kWh, only where it was measured.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from labkit.accounting.records import RecordError, machine_text
from labkit.storage.json_fields import Fields, read_json
from labkit.storage.paths import data_dir

NOT_MEASURED = "not measured"
MIXED = "run on GPUs and on CPUs, whose hours do not add up"
UNITS = {"cpu_hours": "CPU hours", "gpu_hours": "GPU hours"}
ONCE_FOR_ALL = "OFA with progressive shrinking"  # the published row that others are compared with

# The lab's methods: name, parts paid once, parts paid for each device.
MEASURED_METHODS = (
    ("Once-for-all, search with a predictor", ("supernet", "pairs"), ("table", "search")),
    ("Once-for-all, gradient search", ("supernet",), ("table", "gradient-search")),
    ("One network trained for each device", (), ("stand-alone",)),
    ("DARTS for each device", (), ("darts-search", "darts-training")),
)


@dataclass(frozen=True)
class Part:
    """One item of a method's cost; `how` it is known is a source, or a machine and a date."""

    what: str
    hours: float | None  # None: nobody has measured it
    how: str = NOT_MEASURED
    energy_kwh: float | None = None


@dataclass(frozen=True)
class Method:
    """A way to get a network for each of N devices, and what it costs."""

    name: str
    unit: str  # of its parts' hours
    once: tuple[Part, ...]
    per_device: tuple[Part, ...]
    top1_percent: float | None = None
    co2_lbs_for_40: float | None = None  # published estimates only

    @property
    def parts(self) -> tuple[Part, ...]:
        return self.once + self.per_device

    @property
    def missing(self) -> tuple[str, ...]:
        """Parts that nobody has measured."""
        return tuple(part.what for part in self.parts if part.hours is None)

    def total(self, devices: int) -> float | None:
        """Hours for `devices` devices, None while a part is not measured."""
        return _total(self, "hours", devices)

    def energy_kwh(self, devices: int) -> float | None:
        """Energy for `devices` devices, None unless every part's was measured."""
        return _total(self, "energy_kwh", devices)


def _total(method: Method, name: str, devices: int) -> float | None:
    if devices < 1:
        raise ValueError(f"the number of devices must be at least 1, got {devices}")
    once, each = _sum(method.once, name), _sum(method.per_device, name)
    return None if once is None or each is None else float(once + devices * each)


def _sum(parts: Sequence[Part], name: str = "hours") -> Fraction | None:
    """Sum over parts, None if one of them is unknown.

    Exact, of the decimal numbers that are written: 1.0 + 6 * 0.8 is 5.8, which is not so for
    floats.
    """
    values = [getattr(part, name) for part in parts]
    if None in values:
        return None
    return sum((Fraction(str(float(value))) for value in values), Fraction())


def break_even(method: Method, other: Method) -> int | None:
    """Number of devices from which on `method` costs less than `other`.

    None if it never does, or if a part of one of them was not measured. Raises ValueError if their
    hours are of two kinds.
    """
    if method.unit != other.unit:
        raise ValueError(
            f"{method.name!r} is in {method.unit}, {other.name!r} in {other.unit}: they do not"
            " compare"
        )
    if method.missing or other.missing:
        return None
    extra = _sum(method.once) - _sum(other.once)  # what `method` costs more at the start
    saved = _sum(other.per_device) - _sum(method.per_device)  # what it saves on each device
    if saved > 0:
        return max(1, math.floor(extra / saved) + 1)
    return 1 if saved == 0 and extra < 0 else None


def published() -> list[Method]:
    """The methods of the published table. Raises RecordError if its file is missing or damaged."""
    path = data_dir() / "published" / "search_cost.json"
    table = Fields(read_json(path, RecordError), path, RecordError)
    table.require_schema("labkit-published-cost-1")
    source = table.text("source")

    def parts(entry: Fields, name: str) -> tuple[Part, ...]:
        items = entry.objects(name)
        return tuple(Part(item.text("what"), item.amount("gpu_hours"), source) for item in items)

    methods = [
        Method(
            entry.text("name"),
            UNITS["gpu_hours"],
            parts(entry, "once"),
            parts(entry, "per_device"),
            float(entry.amount("top1_percent")),
            float(entry.amount("co2_lbs_for_40")),
        )
        for entry in table.objects("methods")
    ]
    if ONCE_FOR_ALL not in {method.name for method in methods}:
        raise RecordError(
            f"{path}: methods: {ONCE_FOR_ALL!r} is not among them; restore the file from the"
            " repository"
        )
    return methods


def measured(records: Sequence[dict]) -> list[Method]:
    """The lab's methods from what `labkit.accounting.records.records` returns.

    For each kind of hours, the methods of which at least one part was measured in it.
    """
    methods = []
    for key, unit in UNITS.items():
        runs: dict[str, list[dict]] = {}
        for record in records:
            if key in record:
                runs.setdefault(record["what"], []).append(record)
        for name, once, per_device in MEASURED_METHODS:
            if not runs.keys().isdisjoint((*once, *per_device)):
                once, per_device = (
                    tuple(_mean(what, runs.get(what, []), key) for what in parts)
                    for parts in (once, per_device)
                )
                methods.append(Method(name, unit, once, per_device))
    return methods


def _mean(what: str, runs: Sequence[dict], key: str) -> Part:
    """A part from the records of its runs: their mean."""
    if not runs:
        return Part(what, None)
    if not all(run.get("whole", True) for run in runs):
        return Part(what, None, MIXED)
    how = "; ".join(dict.fromkeys(f"{machine_text(run['machine'])}, {run['date']}" for run in runs))
    energy = [run.get("energy_kwh") for run in runs]
    return Part(
        what,
        math.fsum(run[key] for run in runs) / len(runs),
        how + (f" (mean of {len(runs)} runs)" if len(runs) > 1 else ""),
        None if None in energy else math.fsum(energy) / len(energy),
    )


def cost_rows(
    methods: Sequence[Method], devices: int, reference: Method | None = None
) -> list[dict]:
    """One row for each method: hours once, for each device and for `devices`, and their sources.

    With a `reference`, also the number of devices from which on that one is cheaper ("never" if
    there is none). What is not known reads "not measured".
    """

    def figure(value: float | Fraction | None) -> float | str:
        return NOT_MEASURED if value is None else float(value)

    rows = []
    for method in methods:
        row = {
            "method": method.name,
            "unit": method.unit,
            "once": figure(_sum(method.once)),
            "per device": figure(_sum(method.per_device)),
            f"total for {devices}": figure(method.total(devices)),
            "energy (kWh)": figure(method.energy_kwh(devices)),
        }
        if reference is not None:
            row[f"{reference.name} is cheaper from"] = _cheaper_from(reference, method)
        sources: dict[str, list[str]] = {}
        for part in method.parts:
            hours = "" if part.hours is None else f" {part.hours:g} h"
            sources.setdefault(part.how, []).append(f"{part.what}{hours}")
        row["how"] = " | ".join(f"{', '.join(parts)}: {how}" for how, parts in sources.items())
        rows.append(row)
    return rows


def _cheaper_from(reference: Method, method: Method) -> int | str:
    if method is reference:
        return ""
    if method.missing or reference.missing or method.unit != reference.unit:
        return NOT_MEASURED
    devices = break_even(reference, method)
    return "never" if devices is None else devices
