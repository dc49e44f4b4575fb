"""A kit to measure a board with: packing it, and taking in what the board wrote.

The zip holds a model of every block and of the calibration subnets, the harness and one runner
script. Python runs a zip, so on the board `python3 kit.zip` is all there is to do; it needs numpy
and onnxruntime, neither torch nor labkit. Weights are filler that repeats, so a kit of 100 MB of
models packs into a few.
"""

from __future__ import annotations

import hashlib
import json
import re
import zipfile
from importlib import resources
from pathlib import Path

import numpy as np

from labkit.latency.measured.blocks import space_digest, timed_blocks
from labkit.latency.measured.latency_file import (
    SCHEMA,
    TableError,
    check_steady,
    parse,
    read_bytes,
    validate,
)
from labkit.latency.measured.lookup_table import (
    BOARD_SUBNETS,
    HOST,
    LatencyTable,
    build_table,
    calibration_condition,
    table_files,
    table_path,
    write_table,
)
from labkit.latency.measured.measurement import (
    CALIBRATION_SUBNETS,
    anchor_block,
    calibration_genes,
    limits_for,
    timed_block_model,
)
from labkit.runtime.timing import TimingLimits
from labkit.search.exact import cheapest
from labkit.space import Arch, SearchSpace
from labkit.storage.atomic_write import write_atomic
from labkit.storage.paths import data_dir

README = """Latency kit for the search space '{space}'

On the board, with Python 3.8 or newer:

    pip install numpy onnxruntime
    python3 {file}

It writes latency.json, shows its progress, and goes on where it stopped when it is run again. Copy
latency.json back and import it:

    labkit lut import latency.json --name my-board
"""
# a block timed alone carries a call of the runtime, so it may exceed a small subnet a little
BLOCK_OVER_SUBNET = 3.0
# Median relative error of the calibrated table on the subnets it was made from: 0.4 % in the table
# that ships, up to 12 % where all times are off by 10 %, 18 to 41 % where subnets have each other's
# times.
CONTRADICTION = 0.2
# Slope of the calibration. Where calls cost more than blocks it is small; times in two units are a
# thousand apart.
FACTORS = (0.02, 50.0)
# Two distinct subnets for each number of the calibration. Twenty random ones have a condition
# number of 10 to 30, eight of 10 to 60; where a number is not determined it is beyond 1e15.
DISTINCT, CONDITION = 6, 200.0
# the anchor's block may take so many times more or less than the anchor, which is the same model
ANCHOR = 10.0


def pack(
    space: SearchSpace,
    path: Path,
    *,
    limits: TimingLimits | None = None,
    subnets: int = CALIBRATION_SUBNETS,
) -> Path:
    """Write the kit for `space` to `path` (a zip), in one step; returns the path.

    `limits` of the harness are those of `limits_for(space)` unless given. Raises ValueError for
    fewer than BOARD_SUBNETS subnets.
    """
    from labkit.runtime.onnx_graph import network_model

    path = Path(path)
    if path.is_dir() or path.suffix != ".zip":
        raise ValueError(f"a kit is a zip file, got {str(path)!r}; name it like kit.zip")
    if subnets < BOARD_SUBNETS:
        raise ValueError(
            f"a kit of {subnets} subnets calibrates no table; give it at least {BOARD_SUBNETS}"
        )
    limits = limits_for(space) if limits is None else limits
    archs = space.decode(calibration_genes(space, subnets))
    names = {key: f"models/{key}.onnx" for key in timed_blocks(space)}
    kit = {
        "schema": SCHEMA,
        "space": space.name,
        "space_sha256": space_digest(space),
        "limits": limits._asdict(),
        "pieces": names,
        "anchor": names[anchor_block(space).key],
        "subnets": [arch.to_json() for arch in archs],
    }
    kit["kit"] = hashlib.sha256(json.dumps(kit, sort_keys=True).encode()).hexdigest()[:16]

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("__main__.py", source("runner.py"))
            archive.writestr("timing.py", source("timing.py"))
            archive.writestr("README.txt", README.format(space=space.name, file=path.name))
            archive.writestr("kit.json", json.dumps(kit, indent=1))
            for key, block in timed_blocks(space).items():
                archive.writestr(names[key], timed_block_model(space, block))
            for i, arch in enumerate(archs):
                archive.writestr(
                    f"subnets/{i}.onnx", network_model(space, arch).SerializeToString()
                )

    write_atomic(path, write)
    return path


def source(name: str) -> str:
    package = "labkit.runtime" if name == "timing.py" else "labkit.latency.kit"
    return resources.files(package).joinpath(name).read_text()


def import_table(path: Path, name: str) -> LatencyTable:
    """Validate the latency.json of a board (or a zip that holds it) and make it the device `name`.

    Nothing is kept unless all of it is sound. Raises TableError, or ValueError for a name that
    cannot be.
    """
    check_board_name(name)
    if (data_dir() / "latency" / name).exists():
        raise ValueError(f"device name {name!r} is taken by a table that ships; choose another")
    value = parse(read_bytes(path), path)
    space = validate(value, path)
    check_steady(value, path)
    check_consistent(value, path, space)
    return write_table(value, table_path(name, space), space)


def kept_tables(name: str) -> dict[str, str]:
    """Space name -> date and processor of the board's table that an import for that space replaces."""
    found = {}
    for space, path in table_files().get(name, {}).items():
        try:
            made = parse(read_bytes(path), path).get("made")
        except TableError:
            made = None
        found[space] = (
            f"{made.get('date') or 'unknown date'}, {made.get('cpu') or 'unknown processor'}"
            if isinstance(made, dict)
            else "damaged"
        )
    return found


def check_consistent(value: dict, path: Path, space: SearchSpace) -> None:
    """Raise TableError unless the blocks of a valid latency file and its whole subnets fit
    together.
    """
    found, advice = build_table(value, space), "run the kit again, on an idle board"
    table, key = found.table, anchor_block(space).key
    anchors, alone = sorted(value["anchor_ms"]), value["pieces"][key]["median_ms"]
    anchor = anchors[len(anchors) // 2]
    if not 1 / ANCHOR <= alone / anchor <= ANCHOR:
        raise TableError(
            f"{path}: block {key!r} took {alone:.4g} ms, and {anchor:.4g} ms as the anchor, which"
            f" is the same model; are all times milliseconds? If so, {advice}"
        )
    more = "measure again with a kit of more: `labkit lut pack` puts 20 into one"
    if len(value["subnets"]) < BOARD_SUBNETS:
        raise TableError(
            f"{path}: holds {len(value['subnets'])} whole subnets, a board's table is calibrated on"
            f" at least {BOARD_SUBNETS}; {more}"
        )
    genes = space.encode([Arch.from_json(subnet["arch"]) for subnet in value["subnets"]])
    measured = np.array([subnet["median_ms"] for subnet in value["subnets"]])
    distinct = len(np.unique(genes, axis=0))
    if distinct < DISTINCT:
        raise TableError(
            f"{path}: of {len(genes)} whole subnets {distinct} are distinct, a calibration takes at"
            f" least {DISTINCT}; {more}"
        )
    condition = calibration_condition(found.uncalibrated, genes, measured)
    if not condition <= CONDITION:
        raise TableError(
            f"{path}: the whole subnets are too much alike to calibrate a table on (condition"
            f" number {condition:.3g}, at most {CONDITION:g}); {more}"
        )
    slowest = max(value["pieces"], key=lambda name: value["pieces"][name]["median_ms"])
    if value["pieces"][slowest]["median_ms"] > BLOCK_OVER_SUBNET * max(measured):
        raise TableError(
            f"{path}: block {slowest!r} alone took {value['pieces'][slowest]['median_ms']:.4g} ms,"
            f" no whole subnet more than {max(measured):.4g} ms; {advice}"
        )
    error = sorted(abs(table(genes) / measured - 1))[len(measured) // 2]
    if error > CONTRADICTION:
        raise TableError(
            f"{path}: blocks and whole subnets contradict each other (the calibrated table is off"
            f" by {100 * error:.0f} % on the subnets it was calibrated on); {advice}"
        )
    factor = found.calibration.factor
    if not FACTORS[0] <= factor <= FACTORS[1]:
        raise TableError(
            f"{path}: where blocks take a millisecond longer, whole subnets take {factor:.3g} ms"
            f" longer; are all times milliseconds, and each subnet's its own? If so, {advice}"
        )
    quickest = cheapest(space, table)
    least = float(table(quickest[None])[0])
    if least <= 0:
        raise TableError(
            f"{path}: the table predicts {least:.4g} ms for a whole subnet, "
            f"{space.decode(quickest[None])[0]}; {advice}"
        )
    shortest = float(np.nanmin(table.blocks))
    if shortest < 0:
        raise TableError(
            f"{path}: the table predicts {shortest:.4g} ms for a block, so that a deeper subnet"
            f" would be quicker; {advice}, or {more}"
        )


def check_board_name(name: str) -> None:
    """Raise ValueError unless `name` can be the name of a measured device."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]{0,39}", name):
        raise ValueError(
            f"device name {name!r}: use 1 to 40 of a-z, 0-9, '.', '-' and '_', a letter or digit"
            " first"
        )
    if name in {HOST, *(path.stem for path in (data_dir() / "devices").glob("*.json"))}:
        raise ValueError(f"device name {name!r} is taken by another device; choose another")
