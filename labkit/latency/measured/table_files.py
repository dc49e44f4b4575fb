"""Where latency files lie, and the table of this machine, which is measured when it is first used.

    data/latency/<device>/<space>.json              tables that ship
    <cache>/latency/<device>/<space>-<digest>.json  this machine ('host') and imported boards

The digest of a space's content keeps two spaces of one name apart.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from labkit.latency.measured.latency_file import read
from labkit.latency.measured.lookup_table import LatencyTable, build_table, write_table
from labkit.latency.measured.measurement import measure
from labkit.latency.measured.plausibility import check_plausible
from labkit.latency.measured.runtimes import default_runtime
from labkit.latency.measured.untrusted_json import TableError, read_json
from labkit.runtime.machine_lock import undisturbed
from labkit.runtime.timing import machine_state
from labkit.space import SearchSpace
from labkit.space.binding import file_stem, space_of
from labkit.storage.atomic_write import check_room
from labkit.storage.paths import cache_dir, data_dir

HOST = "host"  # the device name of this machine


def table_path(device: str, space: SearchSpace) -> Path:
    """Where the latency file of an imported board, or of this machine, is kept."""
    return cache_dir() / "latency" / device / f"{file_stem(space)}.json"


def shipped_path(device: str, space: SearchSpace) -> Path:
    """Where the latency file of a device that comes with labkit lies."""
    return data_dir() / "latency" / device / f"{space.name}.json"


def table_files() -> dict[str, dict[str, Path]]:
    """Device name -> file stem -> latency file, of all measured devices except this machine."""
    files: dict[str, dict[str, Path]] = {}
    for root in (data_dir() / "latency", cache_dir() / "latency"):
        for path in sorted(root.glob("*/[!.]*.json")):  # a killed write leaves a file with a dot
            if path.parent.name != HOST:
                files.setdefault(path.parent.name, {}).setdefault(path.stem, path)
    return files


def host_table(
    space: SearchSpace,
    *,
    remeasure: bool = False,
    progress: Callable[[float], None] | None = None,
    seconds: float = math.inf,
) -> LatencyTable:
    """This machine's table for `space`, measured at first use and kept in the user's cache folder.

    A file that does not fit (another version of the space, another machine that shares the home
    folder, another runtime, damaged) is measured again. One that was measured on a busy machine is
    used, and the device's label says so: `labkit lut measure` measures again. After `seconds` the
    measurement ends as soon as everything is timed once.
    """
    path = table_path(HOST, space)
    value = None if remeasure else _read_host_file(path, space)
    if value is not None:
        return build_table(value, space)
    with undisturbed():
        value = None if remeasure else _read_host_file(path, space)  # written while this one waited
        if value is not None:
            return build_table(value, space)
        check_room(path)
        return write_table(measure(space, progress=progress, seconds=seconds), path, space)


def has_host_table(space: SearchSpace) -> bool:
    """Whether `host_table` answers at once, without measuring."""
    try:
        value = read_json(table_path(HOST, space))
    except TableError:
        return False
    return value.get("space_sha256") == space.digest and _is_current(value.get("made"))


def unsteady_spaces() -> list[str]:
    """Spaces whose table of this machine would not be imported from a board.

    The machine changed speed while it was measured, or blocks and whole subnets contradict each
    other.
    """
    names = []
    for path in sorted((cache_dir() / "latency" / HOST).glob("[!.]*.json")):
        with suppress(FileNotFoundError):  # removed meanwhile
            names.append(_unsteady_space(path, path.stat().st_mtime_ns))
    return [name for name in names if name is not None]


@lru_cache(maxsize=64)
def _unsteady_space(path: Path, modified_ns: int) -> str | None:
    """The space of a table of this machine if it is unsteady. Cached as long as the file is the
    same: reading it takes a tenth of a second, and a label is read whenever a latency is shown.
    """
    value = _read_host_file(path)
    return None if value is None or _is_plausible(value, path) else value["space"]


def _read_host_file(path: Path, space: SearchSpace | None = None) -> dict | None:
    """A latency file of this machine, None where it has to be measured again."""
    try:
        value = read(path, space)
    except TableError:
        return None
    return value if _is_current(value["made"]) else None


def _is_plausible(value: dict, path: Path) -> bool:
    try:
        check_plausible(value, path, space_of(value, path, TableError, "measure again"))
    except TableError:
        return False
    return True


def _is_current(provenance: object) -> bool:
    """Whether this machine measured a table, with the runtime that would measure it now."""
    current = {"cpu": machine_state()["cpu"], "runtime": default_runtime()}
    return isinstance(provenance, Mapping) and all(
        provenance.get(key) == current[key] for key in current
    )
