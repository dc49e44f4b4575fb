"""Cycles of operators on a core, each executed once by the emulator and remembered.

The cache folder keeps them for one engine, compiler and emulator, whichever space they were counted
for; so an interrupted count goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from labkit.firmware.cycles.probe import probe_sources
from labkit.firmware.cycles.rules import RULES
from labkit.firmware.cycles.trace import Executed, traced
from labkit.firmware.emulated_board import (
    COMPILER,
    EMULATOR,
    FOLDER,
    MACHINES,
    build_image,
    find_board,
    tool_version,
)
from labkit.firmware.library import HERE
from labkit.firmware.memory import TABLED
from labkit.space.operators import Operator
from labkit.storage.atomic_write import write_json
from labkit.storage.errors import ExportError, LabError
from labkit.storage.json_fields import read_json
from labkit.storage.paths import cache_dir

BATCH_OPERATORS, BATCH_WORK = 200, 20_000_000  # of one program, whose log has 8 bytes for a MAC
COUNTING = ("rules.py", "trace.py", "probe.py")  # modules here that a count depends on


def executed_operators(operators: Sequence[Operator], core: str) -> list[Executed]:
    """What the engine executes for each operator on `core`, with the call of its kernel.

    Raises ValueError for a core without rules, LabError without the tools, ExportError where the
    program does not fit the emulated board.
    """
    if core not in RULES:
        raise ValueError(
            f"there are no rules for cycles of {core!r}, only for {', '.join(RULES)}; other cores"
            " execute several instructions at a time"
        )
    board = find_board(core)
    engine = {path.name: path.read_text(encoding="utf-8") for path in (HERE / "engine").iterdir()}
    with tempfile.TemporaryDirectory() as build:
        folder = Path(build)
        build_image(folder, probe_sources(operators) | engine, board)
        (folder / "images.bin").write_bytes(b"\0")  # one image of one byte
        executed = traced(folder, MACHINES[core]).executed(RULES[core])
    if len(executed) != len(operators):
        raise ExportError(f"the emulator ran {len(executed)} of {len(operators)} operators")
    return executed


def operator_key(operator: Operator) -> str:
    """All of an operator that matters to the engine.

    >>> operator_key(Operator("dense", 3, 8, 32, kernel=3, stride=2, act="h_swish"))
    'dense 3to8 32px k3 s2 table'
    """
    table = " table" if operator.act in TABLED else ""
    return (
        f"{operator.kind} {operator.in_channels}to{operator.out_channels} {operator.side}px"
        f" k{operator.kernel} s{operator.stride}{table}"
    )


def operator_cycles(
    operators: Iterable[Operator],
    core: str,
    progress: Callable[[float], None] | None = None,
) -> dict[str, int]:
    """Cycles by `operator_key`; those that are not remembered are counted.

    `progress` is told the share of the work that is finished. Raises what `executed_operators`
    does.
    """
    find_board(core)
    path = cache_dir() / "cycles" / f"{core}-{fingerprint()}.json"
    known = _read(path)
    missing = {operator_key(operator): operator for operator in operators}
    missing = {key: operator for key, operator in missing.items() if key not in known}
    total, counted = sum(map(_work, missing.values())), 0
    for batch in _batches(missing.items()):
        executed = executed_operators([operator for _, operator in batch], core)
        known |= {key: each.cycles for (key, _), each in zip(batch, executed)}
        write_json(path, {"schema": 1, "core": core, "cycles": known})
        counted += sum(_work(operator) for _, operator in batch)
        if progress:
            progress(counted / total)
    return known


def fingerprint() -> str:
    """Changes with the engine, the rules, the compiler and the emulator."""
    digest, here = hashlib.sha256(), Path(__file__).parent
    sources = [*FOLDER.iterdir(), *(HERE / "engine").iterdir(), *(here / name for name in COUNTING)]
    for path in sorted(sources):
        digest.update(path.read_bytes())
    for tool in (COMPILER, EMULATOR):
        digest.update(tool_version(tool).encode())
    return digest.hexdigest()[:12]


def _read(path: Path) -> dict[str, int]:
    """Cycles that were counted before; none where there is no such file, or it is damaged."""
    try:
        cycles = read_json(path, LabError)["cycles"]
        return {key: count for key, count in cycles.items() if type(count) is int and count > 0}
    except (LabError, KeyError, AttributeError):
        return {}


def _work(operator: Operator) -> int:
    return operator.macs + operator.outputs


def _batches(items: Iterable[tuple[str, Operator]]) -> Iterator[list[tuple[str, Operator]]]:
    """Items in their order, as many together as a program may have and its log has room for."""
    batch: list[tuple[str, Operator]] = []
    work = 0
    for key, operator in items:
        if batch and (len(batch) == BATCH_OPERATORS or work + _work(operator) > BATCH_WORK):
            yield batch
            batch, work = [], 0
        batch.append((key, operator))
        work += _work(operator)
    if batch:
        yield batch
