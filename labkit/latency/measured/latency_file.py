"""Latency files: read, and refused unless every part of them is sound.

A file may come from somebody else's board, so nothing in it is trusted: its size, its JSON (no NaN,
no duplicate keys), its space, its set of blocks and every time in it are checked before anything is
used.
"""

from __future__ import annotations

import json
import lzma
import math
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path, PurePosixPath, PureWindowsPath

from labkit.latency.measured.blocks import space_digest, timed_blocks
from labkit.runtime.timing import Timing
from labkit.space import Arch, SearchSpace
from labkit.space.presets import get_space
from labkit.storage.errors import LabError

SCHEMA = 1
MAX_BYTES = 20_000_000
SHORTEST_MS, LONGEST_MS = 1e-4, 60_000.0
LONGEST_TEXT = 300  # characters of a field that describes the machine
MAX_ANCHOR_RANGE = 1.25  # slowest over fastest timing of the anchor, a tenth at either end left out


class TableError(LabError):
    """A latency file that cannot be used; the message names the file, what is wrong in it and the
    way out.
    """


def read_bytes(path: Path) -> bytes:
    """The bytes of latency.json: the file itself, or the one inside a zip; nothing is unpacked to
    disk.
    """
    path = Path(path)
    try:
        if path.exists() and not path.is_file():
            raise TableError(f"{path} is not a file; pass latency.json, or a zip that holds it")
        if path.stat().st_size > MAX_BYTES:
            raise TableError(
                f"{path} has {path.stat().st_size} bytes, a latency file has at most {MAX_BYTES}"
            )
        return _from_zip(path) if zipfile.is_zipfile(path) else path.read_bytes()
    except (
        OSError,
        EOFError,
        ValueError,
        RuntimeError,
        zipfile.BadZipFile,
        zlib.error,
        lzma.LZMAError,
    ) as error:
        raise TableError(f"{path} cannot be read: {error}; copy it from the board again") from None


def _from_zip(path: Path) -> bytes:
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            if climbs_out(info.filename):
                raise TableError(
                    f"{path} holds {info.filename!r}, a path that climbs out of the archive; "
                    "pass latency.json itself"
                )
        found = [i for i in archive.infolist() if PurePosixPath(i.filename).name == "latency.json"]
        if len(found) != 1:
            raise TableError(
                f"{path} holds {len(found)} files called latency.json, want one; run the kit on the"
                " board first, it writes that file"
            )
        if found[0].file_size > MAX_BYTES:
            raise TableError(
                f"latency.json in {path} has {found[0].file_size} bytes, at most {MAX_BYTES} are"
                " read"
            )
        with archive.open(
            found[0]
        ) as file:  # the size in the directory is a claim: read no more than that
            return file.read(MAX_BYTES)


def climbs_out(name: str) -> bool:
    """Whether a path in an archive leaves the folder it is unpacked to, on any system."""
    windows = PureWindowsPath(name)
    return bool(name.startswith("/") or windows.drive or windows.root or ".." in windows.parts)


def parse(data: bytes, path: Path) -> dict:
    """Strict JSON: an object, no duplicate keys, no NaN or infinity. Raises TableError."""

    def unique(pairs: list[tuple[str, object]]) -> dict:
        value = dict(pairs)
        if len(value) != len(pairs):
            keys = [key for key, _ in pairs]
            raise TableError(
                f"{path}: key {next(k for k in keys if keys.count(k) > 1)!r} occurs twice"
            )
        return value

    def refuse(text: str) -> float:
        raise TableError(f"{path}: {text} is not a time")

    def finite(text: str) -> float:  # 1e999 is JSON, and infinite
        return float(text) if math.isfinite(float(text)) else refuse(text)

    try:
        value = json.loads(
            data.decode("utf-8-sig"),
            object_pairs_hook=unique,
            parse_constant=refuse,
            parse_float=finite,
        )
    except TableError:
        raise
    except (ValueError, RecursionError) as error:
        raise TableError(
            f"{path} is not valid JSON, perhaps truncated ({error}); copy it from the board again"
        ) from None
    if not isinstance(value, dict):
        raise TableError(f"{path}: a latency file is a JSON object, got {type(value).__name__}")
    return value


def validate(value: dict, path: Path, space: SearchSpace | None = None) -> SearchSpace:
    """Raise TableError unless `value` is a whole, plausible latency file (of `space`, if given).

    Returns its space.
    """

    def want(condition: object, message: str) -> None:
        if not condition:
            raise TableError(f"{path}: {message}")

    want(
        "rounds" not in value,
        "this is what an unfinished run has kept; run the kit to its end, it goes on from there",
    )
    want(
        value.get("what") == "latency",
        "field 'what' is not 'latency': this is another kind of file, not the "
        "latency.json that a kit writes",
    )
    want(
        value.get("schema") == SCHEMA,
        f"schema {value.get('schema')!r}, this version reads {SCHEMA}; "
        "measure again with a kit of this version",
    )
    want(isinstance(value.get("space"), str), "field 'space' must be a name")
    if space is None:
        try:
            space = get_space(value["space"])
        except ValueError as error:
            raise TableError(f"{path}: {error}") from None
    want(value["space"] == space.name, f"measured for space {value['space']!r}, not {space.name!r}")
    want(
        value.get("space_sha256") == space_digest(space),
        f"measured for another version of space {space.name!r}; make a new kit and measure again",
    )
    for field, kind in (
        ("made", dict),
        ("pieces", dict),
        ("subnets", list),
        ("anchor_ms", list),
        ("drifted", list),
    ):
        want(
            isinstance(value.get(field), kind),
            f"field {field!r} is missing or not a {kind.__name__}",
        )
    want(isinstance(value["made"].get("runtime"), str), "field 'made.runtime' is missing")
    check_made(value["made"], f"{path}: made")

    expected = timed_blocks(space)
    missing, strange = (
        expected.keys() - value["pieces"].keys(),
        value["pieces"].keys() - expected.keys(),
    )
    want(
        not missing,
        f"{len(missing)} of {len(expected)} blocks are missing, such as"
        f" {min(missing, default='')!r}; run the kit to its end, it resumes where it stopped",
    )
    want(
        not strange,
        f"{len(strange)} blocks are not of space {space.name!r}, such as"
        f" {min(strange, default='')!r}",
    )
    for name, timing in value["pieces"].items():
        check_timing(timing, f"{path}: block {name!r}")
    for i, subnet in enumerate(value["subnets"]):
        want(isinstance(subnet, dict), f"subnets[{i}] must be an object")
        try:
            space.validate(Arch.from_json(subnet.get("arch")))
        except ValueError as error:
            raise TableError(f"{path}: subnets[{i}]: {error}") from None
        check_timing(
            {key: v for key, v in subnet.items() if key != "arch"}, f"{path}: subnets[{i}]"
        )
    want(
        value["anchor_ms"],
        "field 'anchor_ms' is empty: nothing says whether the board kept its speed",
    )
    for i, ms in enumerate(value["anchor_ms"]):
        check_ms(ms, f"{path}: anchor_ms[{i}]")
    return space


def check_made(made: Mapping, where: str) -> None:
    """The state of a machine is shown to people: short printable texts and numbers, nothing else."""
    for field, value in made.items():
        if field == "limits" and isinstance(value, Mapping) and all(map(is_number, value.values())):
            continue
        text = field + (value if isinstance(value, str) else "")
        if (
            not (isinstance(value, str) or value is None or is_number(value))
            or len(text) > LONGEST_TEXT
            or not text.isprintable()
        ):
            raise TableError(f"{where}.{field[:40]!r} is no number and no short printable text")


def check_timing(value: object, where: str) -> None:
    if not isinstance(value, Mapping) or set(value) != set(Timing._fields):
        raise TableError(f"{where}: a timing has exactly the fields {', '.join(Timing._fields)}")
    for field in ("median_ms", "low_ms", "high_ms"):
        check_ms(value[field], f"{where}: {field}")
    if not value["low_ms"] <= value["median_ms"] <= value["high_ms"]:
        raise TableError(
            f"{where}: the median {value['median_ms']} is not inside its interval "
            f"{value['low_ms']} to {value['high_ms']}"
        )
    if not (
        is_number(value["spread"])
        and value["spread"] >= 0
        and is_number(value["repeats"])
        and value["repeats"] >= 1
    ):
        raise TableError(
            f"{where}: spread {value['spread']!r} and repeats {value['repeats']!r} are not possible"
        )


def check_ms(value: object, where: str) -> None:
    if not is_number(value) or not SHORTEST_MS <= value <= LONGEST_MS:
        raise TableError(
            f"{where} is {value!r}; want milliseconds between {SHORTEST_MS} and {LONGEST_MS:.0f}"
        )


def is_number(value: object) -> bool:
    """A finite number of a size that a float holds (JSON integers may have thousands of digits)."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e15


def read(path: Path, space: SearchSpace | None = None) -> dict:
    """The content of `path`, validated; raises TableError as `validate` does."""
    value = parse(read_bytes(path), path)
    validate(value, path, space)
    return value


def check_steady(value: dict, path: Path) -> None:
    """Raise TableError when the machine changed speed while it was measured: a board that
    throttles.
    """
    if value["drifted"]:
        raise TableError(
            f"{path}: {len(value['drifted'])} blocks were measured while the board changed speed,"
            f" such as {value['drifted'][0]!r}: it throttles, or was busy. Cool it, fix its clock"
            " frequency (governor 'performance') and run the kit again, it measures those once"
            " more"
        )
    anchors = sorted(value["anchor_ms"])
    outliers = (
        len(anchors) // 10
    )  # at either end: single disturbances, what they touched was timed again
    if anchors and anchors[-1 - outliers] > MAX_ANCHOR_RANGE * anchors[outliers]:
        raise TableError(
            f"{path}: the same block took {anchors[outliers]:.4g} ms at one time and"
            f" {anchors[-1 - outliers]:.4g} ms at another: the board throttles, or was busy. Cool"
            " it, fix its clock frequency (governor 'performance'), delete latency.json and"
            " latency.json.partial and run the kit again"
        )
