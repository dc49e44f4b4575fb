"""What goes wrong on real boards: old versions, crashes, full cards, several kits, slow cores.

Each is a real program in a process of its own. Where a runtime must be old or crash, a small module
takes the place of onnxruntime.
"""

from __future__ import annotations

import ast
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import pytest
from latency_for_tests import COARSE, TINY, here, made_up, own_cache  # noqa: F401  (a fixture)

from labkit.latency.kit import packing
from labkit.latency.kit.partial_run import sound_run
from labkit.latency.measured import table_files
from labkit.latency.measured.latency_file import validate
from labkit.latency.measured.lookup_table import write_table
from labkit.runtime.machine_lock import LOCK, undisturbed
from labkit.runtime.timing import Timing

# Stands in for onnxruntime: EVENT happens when the Nth session is made.
RUNTIME = """
import os, signal, sys, time
import numpy
__version__ = {version!r}
count = 0

class SessionOptions:
    pass

class Input:
    name, shape = "x", [1]

class InferenceSession:
    def __init__(self, model, options, providers):
        global count
        count += 1
        if count == {session}:
            {event}
    def get_inputs(self):
        return [Input]
    def run(self, outputs, inputs):
        time.sleep(1e-4)
"""


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("kit") / "kit.zip"
    return packing.pack(TINY, path, limits=COARSE._replace(chunk=5), subnets=8)


@pytest.fixture
def board(tmp_path):
    """Runs a kit in a folder of its own, with a stand-in for onnxruntime."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "board").mkdir()
    return Board(tmp_path)


class Board:
    def __init__(self, path: Path) -> None:
        self.modules, self.folder = path / "modules", path / "board"
        self.result, self.partial = (
            self.folder / name for name in ("latency.json", "latency.json.partial")
        )
        self.temporary = path / "tmp"  # where the lock is: other tests measure meanwhile
        self.temporary.mkdir()

    def runtime(self, version: str = "1.20.1", session: int = 0, event: str = "pass") -> None:
        text = RUNTIME.format(version=version, session=session, event=event)
        (self.modules / "onnxruntime.py").write_text(text)

    def start(self, kit: Path, *arguments: str, python=sys.executable, prefix=()):
        environment = {**os.environ, "PYTHONPATH": str(self.modules), "OMP_NUM_THREADS": "1"}
        environment["TMPDIR"] = str(self.temporary)
        return subprocess.Popen(
            [*prefix, str(python), str(kit), *arguments],
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def run(self, kit: Path, *arguments: str, **options) -> tuple[int, str]:
        process = self.start(kit, *arguments, **options)
        output, errors = process.communicate(timeout=120)
        assert output == "" and "Traceback" not in errors, errors
        return process.returncode, errors

    def complete(self) -> dict:
        value = json.loads(self.result.read_text())
        assert validate(value, self.result) == TINY
        return value


# ---- versions ----


def test_a_python_that_is_too_old_is_told_so_in_one_line(packed, board):
    """As such a Python would see it: nothing is imported before."""
    (board.modules / "sitecustomize.py").write_text("import sys; sys.version_info = (3, 6, 15)")
    code, errors = board.run(packed)
    assert code == 2 and errors.count("\n") == 1
    assert errors.startswith("this is Python 3.6.15, the kit needs Python 3.8 or newer")


def old_pythons() -> list[Path]:
    versions = Path(os.environ.get("PYENV_ROOT", "/nowhere")) / "versions"
    return [
        path
        for version in ("2.7", "3.5", "3.6", "3.7")
        for path in sorted(versions.glob(f"{version}.*/bin/python"))
    ]


def test_old_pythons_that_are_here_say_so_themselves(packed, board):
    pythons = old_pythons()
    if not pythons:
        pytest.skip("no old Python under PYENV_ROOT")
    for python in pythons:
        version = python.parents[1].name
        code, errors = board.run(packed, python=python)
        assert code == 2 and errors.count("\n") == 1 and f"this is Python {version}" in errors


def test_a_packages_minimum_is_named(packed, board):
    board.runtime(version="1.10.0")
    too_old = "onnxruntime 1.10.0 is too old, the kit needs 1.12 or newer"
    assert board.run(packed) == (2, f"{too_old}; pip install --upgrade onnxruntime\n")
    (board.modules / "numpy.py").write_text("__version__ = '1.16.6'")
    too_old = "numpy 1.16.6 is too old, the kit needs 1.17 or newer"
    assert board.run(packed) == (2, f"{too_old}; pip install --upgrade numpy\n")
    assert list(board.folder.iterdir()) == []


@pytest.mark.parametrize(
    "machine, message",
    [
        ("armv7l", "PyPI has none for armv7l (32 bit); use a 64-bit system, or time the models"),
        ("riscv64", "PyPI has none for riscv64 (64 bit)"),
        ("aarch64", "onnxruntime is not installed; pip install numpy onnxruntime"),
    ],
)
def test_a_machine_without_a_wheel_is_named(packed, board, machine, message):
    (board.modules / "sitecustomize.py").write_text(
        f"import platform, sys; platform.machine = lambda: {machine!r};"
        " sys.modules['onnxruntime'] = None"
    )
    code, errors = board.run(packed)
    assert code == 2 and message in errors and errors.count("\n") == 1


def test_what_runs_on_boards_is_python_38_and_needs_nothing_else(packed):
    """The launcher is older still: Python 2.7 reads it."""
    allowed = {*sys.stdlib_module_names, "numpy", "onnxruntime"}
    for module in packing.BOARD_MODULES:
        tree = ast.parse(packing.source(module), feature_version=(3, 8))
        imported = {
            alias.name
            for node in ast.walk(tree)
            if isinstance(node, ast.Import)
            for alias in node.names
        } | {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert {name.split(".")[0] for name in imported} <= allowed | {"labkit"}
        ours = {name for name in imported if name.startswith("labkit")}
        assert ours <= {*packing.BOARD_MODULES}


# ---- a runtime that crashes ----


@pytest.mark.parametrize(
    "name, explanation",
    [
        ("SIGILL", "has instructions that the processor lacks, as that of 1.21 has on a Raspberry"),
        ("SIGSEGV", "install another version"),
        ("SIGKILL", "memory is used up"),
    ],
)
def test_a_crash_in_a_model_is_explained_and_what_was_measured_is_kept(
    packed, board, name, explanation
):
    board.runtime(session=9, event=f"os.kill(os.getpid(), signal.{name})")
    code, errors = board.run(packed)
    assert code == 2 and f"crashed with {name} in " in errors and explanation in errors
    crashed_in = errors.rpartition(f"crashed with {name} in ")[2].split(":")[0]
    assert crashed_in in packing_names(packed)
    rounds = json.loads(board.partial.read_text())["rounds"]
    assert len(rounds) == 5 and crashed_in not in rounds
    board.runtime()
    code, errors = board.run(packed)
    assert code == 0 and "going on: 5 of" in errors
    pieces = board.complete()["pieces"]
    assert all(pieces[key] == timings[0] for key, timings in rounds.items())


def packing_names(kit: Path) -> set[str]:
    with zipfile.ZipFile(kit) as archive:
        return {Path(name).stem for name in archive.namelist() if name.startswith("models/")}


def test_a_crash_while_the_runtime_loads_is_explained(packed, board):
    text = "import os, signal\nos.kill(os.getpid(), signal.SIGILL)\n"
    (board.modules / "onnxruntime.py").write_text(text)
    code, errors = board.run(packed)
    assert code == 2 and "crashed with SIGILL when it was loaded: this build" in errors


def test_a_model_that_does_not_load_is_named(packed, board):
    board.runtime(session=3, event="raise RuntimeError('no kernel\\nfor that')")
    code, errors = board.run(packed)
    assert code == 2 and "onnxruntime 1.20.1 does not load" in errors and "no kernel; in" in errors


def test_timings_of_two_versions_are_not_mixed(packed, board):
    board.runtime(session=9, event="os.kill(os.getpid(), signal.SIGILL)")
    board.run(packed)
    before = board.partial.read_bytes()
    board.runtime(version="1.19.0")
    code, errors = board.run(packed)
    assert code == 2 and "unfinished run of another kit or version of onnxruntime" in errors
    assert board.partial.read_bytes() == before


# ---- a card that is full ----


def small_card(folder: Path, size: str):
    """Mounts a card of `size` over `folder`; skips where that is not allowed."""
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True
    )
    if done.returncode != 0:
        pytest.skip(f"cannot mount a small card here: {done.stderr.decode().strip()}")


def test_a_full_card_keeps_what_was_measured_before(packed, board):
    """The card is filled up while the kit measures; with room again it goes on."""
    small_card(board.folder, "256k")
    try:
        free = "__import__('shutil').disk_usage('.').free"
        fill = f"open('fill', 'wb').write(bytes({free}))"
        board.runtime(session=15, event=fill)
        code, errors = board.run(packed)
        assert code == 2 and "cannot write latency.json.partial: No space left on device" in errors
        assert "is kept. Make room and run this again" in errors
        rounds = json.loads(board.partial.read_text())["rounds"]
        assert len(rounds) == 10
        assert {path.name for path in board.folder.iterdir()} == {"fill", board.partial.name}
        code, errors = board.run(packed)  # still full
        assert code == 2 and errors.startswith("cannot write latency.json: No space left on device")
        (board.folder / "fill").unlink()
        board.runtime()
        code, errors = board.run(packed)
        assert code == 0 and "going on: 10 of" in errors
        pieces = board.complete()["pieces"]
        assert all(pieces[key] == timings[0] for key, timings in rounds.items())
    finally:
        subprocess.run(["umount", str(board.folder)], check=True)


def test_a_file_that_may_not_grow_loses_nothing(packed, board):
    """Where no card can be mounted: the limit of a file's size fails in the same way."""
    board.runtime()
    code, errors = board.run(packed, prefix=["prlimit", "--fsize=6000"])
    assert code == 2 and "cannot write latency.json.partial: File too large" in errors
    rounds = json.loads(board.partial.read_text())["rounds"]
    code, errors = board.run(packed)
    assert code == 0 and f"going on: {len(rounds)} of" in errors and len(rounds) >= 5
    pieces = board.complete()["pieces"]
    assert all(pieces[key] == timings[0] for key, timings in rounds.items())


# ---- several kits, edited files ----


def test_two_kits_in_one_folder_do_not_overwrite_each_other(packed, board, tmp_path):
    board.runtime()
    assert board.run(packed)[0] == 0
    before = board.result.read_bytes()
    other = packing.pack(TINY, tmp_path / "other.zip", limits=COARSE, subnets=9)
    code, errors = board.run(other)
    assert code == 2 and errors.startswith("latency.json holds no result of this kit: move it")
    assert board.run(other, "--out", "other.json")[0] == 0
    assert board.result.read_bytes() == before
    # A quick run does not replace a full one of the same kit; a full one replaces any.
    code, errors = board.run(packed, "--quick")
    assert code == 2 and "holds a full result of this kit" in errors
    assert board.result.read_bytes() == before
    assert board.run(packed)[0] == 0 and board.result.read_bytes() != before
    board.result.write_text("my diary")
    assert board.run(packed)[0] == 2 and board.result.read_text() == "my diary"


MARK = Timing(1.25, 1.25, 1.25, 0.0, 9)._asdict()
EDITS = {
    "a time that is text": lambda rounds, name: rounds[name][0].update(median_ms="1.25"),
    "a time that is negative": lambda rounds, name: rounds[name][0].update(median_ms=-1.25),
    "a time outside its interval": lambda rounds, name: rounds[name][0].update(median_ms=9.0),
    "not a number": lambda rounds, name: rounds[name][0].update(low_ms=float("nan")),
    "a field is missing": lambda rounds, name: rounds[name][0].pop("spread"),
    "a field too many": lambda rounds, name: rounds[name][0].update(note="mine"),
    "rounds that are no list": lambda rounds, name: rounds.update({name: 3}),
    "a round that is no object": lambda rounds, name: rounds.update({name: [None]}),
}


def test_what_edits_of_the_partial_file_have_spared_is_kept(packed, board):
    """One entry is damaged in each way."""
    board.runtime(session=15, event="os.kill(os.getpid(), signal.SIGKILL)")
    board.run(packed)
    value = json.loads(board.partial.read_text())
    names = list(value["rounds"])
    value["rounds"] = {name: [dict(MARK)] for name in names}
    for name, edit in zip(names, EDITS.values()):
        edit(value["rounds"], name)
    board.partial.write_text(json.dumps(value))
    board.runtime()
    code, errors = board.run(packed)
    assert code == 0 and f"{len(EDITS)} entries of latency.json.partial are damaged" in errors
    spared = names[len(EDITS) :]
    assert len(spared) >= 2 and f"going on: {len(spared)} of" in errors
    pieces = board.complete()["pieces"]
    assert [name for name in names if pieces[name] == MARK] == spared


@pytest.mark.parametrize("field", ["anchor_ms", "unsteady", "drifted", "cores", "seconds"])
@pytest.mark.parametrize("content", [None, "x", 7, {"a": "b"}, ["x", None, -1]])
def test_the_other_fields_may_be_anything(field, content):
    value = {"rounds": {"a": [MARK], "b": [MARK]}, "anchor_ms": [1.0], "unsteady": {"a": 1}}
    run, _ = sound_run({**value, field: content}, ["a", "b"])
    assert run.rounds == {"a": [Timing(**MARK)], "b": [Timing(**MARK)]}
    assert all(type(ms) is float for ms in run.anchor_ms) and run.drifted in ([], ["a"])
    del value["rounds"]
    assert sound_run({**value, "rounds": content}, ["a"])[0].rounds == {}


def test_a_partial_file_that_is_no_json_is_put_aside(packed, board):
    board.runtime()
    board.partial.write_text('{"rounds": {')
    code, errors = board.run(packed)
    assert code == 0 and "put aside as latency.json.partial.damaged" in errors
    assert (board.folder / "latency.json.partial.damaged").read_text() == '{"rounds": {'


# ---- one at a time, killed, and on which cores ----


def wait_for(condition, process) -> None:
    for _ in range(3000):
        if condition():
            return
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    raise AssertionError("it did not happen in 30 s")


def test_two_kits_at_once_wait_for_each_other(packed, board):
    """The second starts measuring only when the first has ended: their files prove the order."""
    go = board.folder / "go"
    wait = f"[time.sleep(0.01) for _ in iter(lambda: os.path.exists({str(go)!r}), True)]"
    board.runtime(session=9, event=wait)
    first = board.start(packed)
    wait_for(board.partial.exists, first)
    board.runtime()
    second = board.start(packed, "--out", "second.json")
    assert second.stderr.readline() == "waiting for another program that measures this machine\n"
    assert second.poll() is None and not (board.folder / "second.json.partial").exists()
    go.touch()
    for process in (first, second):
        _, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    assert board.complete()["made"]["seconds"] >= 0
    ended = (board.result.stat().st_mtime, (board.folder / "second.json").stat().st_mtime)
    assert ended == tuple(sorted(ended)) and (board.temporary / LOCK).exists()


def test_who_waited_for_this_machines_table_does_not_measure_it_again(tmp_path, monkeypatch):
    """Another process holds the lock and writes the table; then that is read."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(table_files, "measure", lambda *_, **__: pytest.fail("measured again"))
    holds = (
        "from labkit.runtime.machine_lock import undisturbed\n"
        "with undisturbed():\n    print('holds it', flush=True)\n    input()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", holds],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert other.stdout.readline() == "holds it\n"

    class Terminal:
        """Once this process says that it waits, the other one writes its table and ends."""

        text = ""

        def write(self, text: str) -> None:
            self.text += text
            if text == "\n":
                write_table(here(made_up()), table_files.table_path("host", TINY), TINY)
                other.communicate("\n", timeout=60)

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert table_files.host_table(TINY).provenance["threads"] == 2
    assert terminal.text == "waiting for another program that measures this machine\n"
    with undisturbed(), undisturbed():  # a program does not wait for itself
        assert (tmp_path / LOCK).exists()


def test_a_kit_whose_starter_is_killed_stops_and_a_new_one_goes_on(packed, board):
    board.runtime(session=9, event="time.sleep(1)")
    process = board.start(packed)
    wait_for(board.partial.exists, process)
    process.kill()  # its child measures on until it would write
    process.communicate()
    rounds = json.loads(board.partial.read_text())["rounds"]
    board.runtime()
    code, errors = board.run(packed)
    assert code == 0 and f"going on: {len(rounds)} of" in errors
    pieces = board.complete()["pieces"]
    assert all(pieces[key] == timings[0] for key, timings in rounds.items())


def test_a_request_to_end_reaches_the_child(packed, board):
    board.runtime(session=9, event="time.sleep(60)")
    process = board.start(packed)
    wait_for(board.partial.exists, process)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and "stopped by SIGTERM; the same command goes on" in errors


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
def test_the_core_that_a_kit_is_bound_to_is_recorded(packed, board):
    board.runtime()
    core = str(max(os.sched_getaffinity(0)))
    assert board.run(packed, prefix=["taskset", "-c", core])[0] == 0
    assert board.complete()["made"]["cores_used"] == core
