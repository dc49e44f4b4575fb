"""A latency file becomes a device: what a board wrote, or a table that ships with labkit.

What comes from a board is checked in every part first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from labkit.latency.kit.block_times import TABLE_OF_TIMES, content_of_times
from labkit.latency.measured.latency_file import recorded_provenance, recorded_space, validate
from labkit.latency.measured.lookup_table import LatencyTable, write_table
from labkit.latency.measured.measurement import measure
from labkit.latency.measured.plausibility import check_plausible
from labkit.latency.measured.runtimes import Runtime
from labkit.latency.measured.table_files import HOST, shipped_path, table_files, table_path
from labkit.latency.measured.untrusted_json import read_json
from labkit.latency.simulated.device_file import CORES
from labkit.space import SearchSpace
from labkit.storage.atomic_write import check_room
from labkit.storage.paths import cache_dir, data_dir

BOARD_NAME = r"[a-z0-9][a-z0-9._-]{0,39}"
ReadTimes = Callable[[Path, SearchSpace], Mapping[str, object]]  # milliseconds by key


def import_table(
    path: Path,
    name: str,
    space: SearchSpace | None = None,
    *,
    read_times: ReadTimes | None = None,
    board: str | None = None,
) -> LatencyTable:
    """Validate the latency.json of a board (or a zip that holds it) and make it the device `name`.

    `space` is the one that it was measured for; None takes the one that the file defines or names.
    A table of another form, which `read_times` reads, says neither its space nor its `board`; it
    may be for some of the space's resolutions only.
    A board has one table for a space: one for other resolutions is removed. Nothing is kept, and
    nothing removed, unless all of the file is sound. Raises TableError, or ValueError for a name
    that cannot be.
    """
    check_board_name(name)
    if (data_dir() / "latency" / name).exists():
        raise ValueError(f"device name {name!r} is taken by a table that ships; choose another")
    if read_times is None:
        value = read_json(path)
    else:
        value = content_of_times(read_times(path, space), path, space, board)
        space = None  # its own, which may have fewer resolutions
    space = validate(value, path, space)
    if value["subnets"] or value["made"].get("runtime") != TABLE_OF_TIMES:
        check_plausible(value, path, space)  # other programs may have timed nothing but blocks
    kept = table_path(name, space)
    table = write_table(value, kept, space)
    for other in _tables_for(name, space):
        if other != kept:
            other.unlink()
    return table


def ship_table(
    space: SearchSpace,
    name: str,
    runtime: Runtime,
    *,
    progress: Callable[[float], None] | None = None,
) -> LatencyTable:
    """Measure this machine (it should be idle) and write data/latency/NAME/SPACE.json.

    Results that must be the same on every machine then have a measured device of their own. Raises
    ValueError for a name that cannot be, before anything is measured.
    """
    check_board_name(name)
    check_room(path := shipped_path(name, space))
    return write_table(measure(space, runtime, progress=progress), path, space)


def described_tables(name: str) -> dict[Path, str]:
    """Resolutions, date and processor of each table of a board, which an import may replace."""
    tables = {}
    for path in table_files().get(name, {}).values():
        provenance, space = recorded_provenance(path), recorded_space(path)
        tables[path] = "damaged"
        if provenance is not None and space is not None:
            sides = ", ".join(map(str, space.resolutions))
            date, cpu = provenance.get("date"), provenance.get("cpu")
            tables[path] = f"{sides} px, {date or 'unknown date'}, {cpu or 'unknown processor'}"
    return tables


def _tables_for(name: str, space: SearchSpace) -> list[Path]:
    """The tables of an imported board, or of this machine, for a space at whatever resolutions."""
    return [
        path
        for path in sorted((cache_dir() / "latency" / name).glob("[!.]*.json"))
        if path == table_path(name, space)
        or ((other := recorded_space(path)) is not None and space.resembles(other))
    ]


def remove_tables(name: str, space: SearchSpace | None = None) -> list[Path]:
    """Remove the tables that were imported as `name`, or the one for `space`; returns their files.

    Raises ValueError where there is none, also for a device that ships.
    """
    folder, paths = cache_dir() / "latency" / name, []
    if re.fullmatch(BOARD_NAME, name):
        paths = _tables_for(name, space) if space else sorted(folder.glob("[!.]*.json"))
    if not paths:
        imported = [path.name for path in sorted((cache_dir() / "latency").glob("*/"))]
        suffix = "" if space is None else f" for space {space.name!r}"
        raise ValueError(
            f"no table of {name!r}{suffix} was imported here; imported or measured are:"
            f" {', '.join(imported) or 'none'}"
        )
    for path in paths:
        path.unlink()
    if not any(folder.iterdir()):
        folder.rmdir()
    return paths


def check_board_name(name: str) -> None:
    """Raise ValueError unless `name` can be the name of a measured device."""
    if not re.fullmatch(BOARD_NAME, name):
        raise ValueError(
            f"device name {name!r}: use 1 to 40 of a-z, 0-9, '.', '-' and '_', a letter or digit"
            " first"
        )
    simulated = {path.stem for path in (data_dir() / "devices").glob("*.json")}
    if name in {HOST, *CORES, *simulated}:
        raise ValueError(f"device name {name!r} is taken by another device; choose another")
