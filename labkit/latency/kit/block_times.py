"""Tables of block keys and milliseconds, for latencies that another program has measured.

A row is a block of the space by its key, or a whole subnet by its text (`28px k3e2 | k5e4`), and
the milliseconds that it takes. `write_keys` writes all keys of a space, to be filled in; a table as
CSV or JSON becomes the content of a latency file, so that from there on it is a board's like any
other.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path

from labkit.latency.measured.blocks import part_with_times, timed_blocks
from labkit.latency.measured.latency_file import check_ms, contents
from labkit.latency.measured.measurement import anchor_block, calibration_genes
from labkit.latency.measured.untrusted_json import TableError, read_bytes, read_json
from labkit.runtime.timing import Timing, TimingRun, latency_file
from labkit.space import Arch, SearchSpace, network
from labkit.storage.atomic_write import write_atomic
from labkit.storage.json_fields import number_in

COLUMNS = ("key", "milliseconds")
TABLE_OF_TIMES = "table of times"  # what a latency file of these names as its runtime


def read_csv(path: Path, space: SearchSpace) -> dict[str, float]:
    """Milliseconds by key in a CSV file with the columns `key` and `milliseconds`.

    Other columns are ignored, and so are keys without milliseconds. Raises TableError that names
    the line.
    """
    try:
        text = read_bytes(path).decode("utf-8-sig")
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"{path} is no CSV file ({error}); save it as UTF-8 text") from None
    header = [cell.strip() for cell in rows[0]] if rows else []
    if any(header.count(column) != 1 for column in COLUMNS):
        raise TableError(
            f"{path}: line 1 is {','.join(header)[:80]!r}; want a header with the columns"
            f" {' and '.join(COLUMNS)}, as `labkit lut keys` writes it"
        )
    key_column, ms_column = map(header.index, COLUMNS)
    times: dict[str, float] = {}
    for line, row in enumerate(rows[1:], 2):
        if not any(map(str.strip, row)):
            continue
        if len(row) != len(header):
            raise TableError(f"{path}: row {line} has {len(row)} cells, want {len(header)}")
        key, text = row[key_column].strip(), row[ms_column].strip()
        if key in times:
            raise TableError(f"{path}: key {key!r} occurs twice")
        if not text:  # not timed: `labkit lut keys` writes all that could be
            continue
        try:
            times[key] = number_in(text)
        except ValueError:
            raise TableError(
                f"{path}: row {line}, key {key!r}: want milliseconds, such as 0.25, got {text!r}"
            ) from None
    return times


def read_object(path: Path, space: SearchSpace) -> dict[str, object]:
    """Milliseconds by key in a JSON file that holds one object, `{"key": milliseconds, ...}`."""
    return read_json(path)


def content_of_times(
    times_ms: Mapping[str, object], path: Path, space: SearchSpace, board: str | None
) -> dict:
    """The content of a latency file for `space` in which blocks and subnets take `times_ms`.

    Where whole resolutions are missing, it is one for `space` at the others.
    `board` says what was measured, with which runtime. Raises TableError that names `path` and the
    key.
    """
    part = part_with_times(space, times_ms)
    run, archs, blocks, others = TimingRun(), [], timed_blocks(part), timed_blocks(space)
    for key, ms in times_ms.items():
        check_ms(ms, f"{path}: {key!r}")
        name = key
        if key in others and key not in blocks:
            continue
        if key not in blocks:
            arch = _arch(key, path, space)
            if arch.resolution not in part.resolutions:
                continue
            name = f"subnet-{len(archs)}"
            archs.append(arch)
        run.rounds[name] = [Timing(ms, ms, ms, 0.0, 1)]
    missing = [key for key in blocks if key not in times_ms]
    if missing:
        raise TableError(
            f"{path}: {len(missing)} of {len(blocks)} blocks are missing, such as {missing[0]!r};"
            " `labkit lut keys` writes all keys"
        )
    run.anchor_ms.append(times_ms[anchor_block(part).key])
    return latency_file(contents(part, archs), run, {"cpu": board, "runtime": TABLE_OF_TIMES})


def write_keys(space: SearchSpace, path: Path, subnets: int) -> Path:
    """Write a CSV file with the key of every block of `space` and of `subnets` whole subnets, its
    million MACs and its model in a kit of as many subnets; the milliseconds are to be filled in.
    """
    rows = {key: (block.operators(space), key) for key, block in timed_blocks(space).items()}
    for i, arch in enumerate(space.decode(calibration_genes(space, subnets))):
        rows[str(arch)] = network.operators(space, arch), f"subnet-{i}"
    text = io.StringIO()
    table = csv.writer(text)
    table.writerow([*COLUMNS, "million_macs", "model_in_kit"])
    for key, (operators, model) in rows.items():
        macs = sum(operator.macs for operator in operators)
        table.writerow([key, "", macs / 1e6, f"models/{model}.onnx"])
    write_atomic(path, lambda temporary: temporary.write_text(text.getvalue(), newline=""))
    return path


def _arch(key: str, path: Path, space: SearchSpace) -> Arch:
    try:
        arch = Arch.parse(key)
        space.validate(arch)
    except ValueError as error:
        raise TableError(
            f"{path}: {key!r} is no block of space {space.name!r} and no subnet ({error});"
            " `labkit lut keys` writes all keys"
        ) from None
    return arch
