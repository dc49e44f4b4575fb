"""Latency files: what they hold, and the checks that every part of one is sound.

A file may come from somebody else's board, so nothing in it is trusted: its space, its set of
blocks and every time in it are checked before anything is used. Files are written by
`labkit.latency.measured.measurement` on this machine and by a kit on a board, both with
`labkit.runtime.timing.latency_file`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from labkit.latency.measured.blocks import timed_blocks
from labkit.latency.measured.untrusted_json import TableError, read_json
from labkit.runtime.timing import Timing
from labkit.space import Arch, SearchSpace
from labkit.space.binding import require_space, space_fields, space_of
from labkit.storage.json_fields import is_number

SCHEMA = 1
SHORTEST_MS, LONGEST_MS = 1e-4, 60_000.0
NEW_KIT = "make a new kit and measure again"
LONGEST_TEXT = 300  # characters of a field that describes the machine
FIELDS = {"made": dict, "pieces": dict, "subnets": list, "anchor_ms": list, "drifted": list}


def contents(space: SearchSpace, archs: Sequence[Arch]) -> dict:
    """What a latency file of `space` lists: its blocks by key, and the whole subnets `archs`."""
    return {
        "schema": SCHEMA,
        **space_fields(space),
        "pieces": list(timed_blocks(space)),
        "subnets": [arch.to_json() for arch in archs],
    }


def read(path: Path, space: SearchSpace | None = None) -> dict:
    """The content of `path`, validated; raises TableError as `validate` does, and for the file of
    another device than the folder that it lies in is called after.
    """
    value = read_json(path)
    validate(value, path, space)
    folder = path.absolute().parent.name
    _require(
        value.get("device", folder) == folder,
        f"{path}: this is the table of device {value.get('device')!r}, not of {folder!r}: move it"
        " back, and import or measure that device again",
    )
    return value


def recorded_provenance(path: Path) -> Mapping | None:
    """On which machine and how a file was measured; None where the file is damaged."""
    try:
        provenance = read_json(path).get("made")
    except TableError:
        return None
    return provenance if isinstance(provenance, Mapping) else None


def recorded_space(path: Path) -> SearchSpace | None:
    """For which space a file was measured; None where the file is damaged."""
    try:
        return space_of(read_json(path), path, TableError, NEW_KIT)
    except TableError:
        return None


def whole_subnets(value: dict, space: SearchSpace) -> tuple[np.ndarray, np.ndarray]:
    """Genes (N, G) and measured milliseconds (N,) of the whole subnets in a validated file."""
    subnets = value["subnets"]
    genes = space.encode([Arch.from_json(subnet["arch"]) for subnet in subnets])
    return genes, np.array([subnet["median_ms"] for subnet in subnets])


def validate(value: dict, path: Path, space: SearchSpace | None = None) -> SearchSpace:
    """Raise TableError unless `value` is a complete latency file (of `space`, if given).

    Returns its space.
    """
    _require(
        "rounds" not in value,
        f"{path}: this is what an unfinished run has kept; run the kit to its end, it goes on from"
        " there",
    )
    _require(
        value.get("what") == "latency",
        f"{path}: field 'what' is not 'latency': this is another kind of file, not the latency.json"
        " that a kit writes",
    )
    _require(
        is_number(value.get("schema")) and value["schema"] == SCHEMA,
        f"{path}: schema {value.get('schema')!r}, this version reads {SCHEMA}; measure again with a"
        " kit of this version",
    )
    space = _validate_space(value, path, space)
    for field, kind in FIELDS.items():
        _require(
            isinstance(value.get(field), kind),
            f"{path}: field {field!r} is missing or not a {kind.__name__}",
        )
    runtime = value["made"].get("runtime")
    _require(isinstance(runtime, str), f"{path}: field 'made.runtime' is missing")
    _validate_provenance(value["made"], f"{path}: made")
    _validate_blocks(value["pieces"], path, space)
    for i, subnet in enumerate(value["subnets"]):
        _validate_subnet(subnet, f"{path}: subnets[{i}]", space)
    _require(
        value["anchor_ms"],
        f"{path}: field 'anchor_ms' is empty: nothing says whether the board kept its speed",
    )
    for i, ms in enumerate(value["anchor_ms"]):
        check_ms(ms, f"{path}: anchor_ms[{i}]")
    return space


def _require(condition: object, message: str) -> None:
    if not condition:
        raise TableError(message)


def _validate_space(value: dict, path: Path, space: SearchSpace | None) -> SearchSpace:
    _require(isinstance(value.get("space"), str), f"{path}: field 'space' must be a name")
    if space is None:
        return space_of(value, path, TableError, NEW_KIT)
    try:
        require_space(value, path, space, TableError, NEW_KIT)
    except TableError:
        own = recorded_space(path)
        if own is None or not space.covers(own):
            raise
        resolutions = ", ".join(map(str, own.resolutions))
        raise TableError(
            f"{path} was made for space {space.name!r} at {resolutions} px alone; import it without"
            " naming a supernet or space"
        ) from None
    return space


def _validate_provenance(provenance: Mapping, place: str) -> None:
    """A machine's state is shown to people: short printable texts and numbers, nothing else."""
    for field, value in provenance.items():
        if field == "limits" and isinstance(value, Mapping) and all(map(is_number, value.values())):
            continue
        text = field + (value if isinstance(value, str) else "")
        plain = value is None or isinstance(value, str) or is_number(value)
        _require(
            plain and len(text) <= LONGEST_TEXT and text.isprintable(),
            f"{place}.{field[:40]!r} is no number and no short printable text",
        )


def _validate_blocks(timings: Mapping, path: Path, space: SearchSpace) -> None:
    expected = timed_blocks(space).keys()
    missing, unknown = expected - timings.keys(), timings.keys() - expected
    _require(
        not missing,
        f"{path}: {len(missing)} of {len(expected)} blocks are missing, such as"
        f" {min(missing, default='')!r}; run the kit to its end, it resumes where it stopped",
    )
    _require(
        not unknown,
        f"{path}: {len(unknown)} blocks are not of space {space.name!r}, such as"
        f" {min(unknown, default='')!r}",
    )
    for name, timing in timings.items():
        check_timing(timing, f"{path}: block {name!r}")


def _validate_subnet(subnet: object, place: str, space: SearchSpace) -> None:
    _require(isinstance(subnet, dict), f"{place} must be an object")
    try:
        space.validate(Arch.from_json(subnet.get("arch")))
    except ValueError as error:
        raise TableError(f"{place}: {error}") from None
    check_timing({field: subnet[field] for field in subnet if field != "arch"}, place)


def check_timing(value: object, place: str) -> None:
    """Raise TableError unless `value` has the fields of a `Timing`, of a possible size."""
    _require(
        isinstance(value, Mapping) and set(value) == set(Timing._fields),
        f"{place}: a timing has exactly the fields {', '.join(Timing._fields)}",
    )
    for field in ("median_ms", "low_ms", "high_ms"):
        check_ms(value[field], f"{place}: {field}")
    timing = Timing(**value)
    _require(
        timing.low_ms <= timing.median_ms <= timing.high_ms,
        f"{place}: the median {timing.median_ms} is not inside its interval {timing.low_ms} to"
        f" {timing.high_ms}",
    )
    numbers = is_number(timing.spread) and is_number(timing.repeats)
    _require(
        numbers and timing.spread >= 0 and timing.repeats >= 1,
        f"{place}: spread {timing.spread!r} and repeats {timing.repeats!r} are not possible",
    )


def check_ms(value: object, place: str) -> None:
    """Raise TableError unless `value` is a time that a block or a subnet can take."""
    _require(
        is_number(value) and SHORTEST_MS <= value <= LONGEST_MS,
        f"{place} is {value!r}; want milliseconds between {SHORTEST_MS} and {LONGEST_MS:.0f}",
    )
