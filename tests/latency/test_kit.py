"""Kits: packed, run, interrupted and resumed, in a program of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from latency_for_tests import COARSE, TINY, own_cache  # noqa: F401  (a fixture)

from labkit.latency.devices import get_device
from labkit.latency.kit import board_import
from labkit.latency.kit import packing as kit
from labkit.latency.measured import regression
from labkit.latency.measured.latency_file import validate
from labkit.latency.measured.untrusted_json import climbs_out, parse
from labkit.runtime.timing import Timing, TimingLimits


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("kit") / "kit.zip"
    return kit.pack(TINY, path, limits=COARSE, subnets=8)


def run_kit(
    program: Path, folder: Path, *arguments: str, python: str = sys.executable, **variables: str
):
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        [python, str(program), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env={**os.environ, "OMP_NUM_THREADS": "1", **variables},
    )


def test_kit_runs_packed_and_its_result_imports(packed, tmp_path):
    done = run_kit(packed, tmp_path / "board")
    assert done.returncode == 0, done.stderr
    assert "100 %" in done.stderr and "wrote latency.json" in done.stderr
    assert [p.name for p in (tmp_path / "board").iterdir()] == ["latency.json"]
    value = parse((tmp_path / "board" / "latency.json").read_bytes(), Path("x"))
    assert validate(value, Path("x")) == TINY and value["made"]["runtime"] == "onnxruntime"
    assert value["made"]["threads"] == 1 and len(value["subnets"]) == 8


def test_kit_runs_unpacked(packed, tmp_path):
    with zipfile.ZipFile(packed) as archive:
        assert not any(climbs_out(name) for name in archive.namelist())
        archive.extractall(tmp_path / "kit")
    done = run_kit(tmp_path / "kit", tmp_path / "board", "--out", "result.json", "--quick")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "board" / "result.json").is_file()


def test_kit_resumes(packed, tmp_path):
    """An earlier run's timings stay, except those taken while the board drifted."""
    folder = tmp_path / "board"
    run_kit(packed, folder)
    value = json.loads((folder / "latency.json").read_text())
    names = list(value["pieces"])
    mark = Timing(1.25, 1.25, 1.25, 0.0, 9)._asdict()
    earlier = {
        "kit": value["made"]["kit"],
        "rounds": {name: [mark] for name in names[:6]},
        "anchor_ms": [1.0],
        "drifted": names[:2],
    }
    (folder / "latency.json.partial").write_text(json.dumps(earlier))
    again = run_kit(packed, folder)
    assert "going on: 4 of" in again.stderr
    pieces_now = json.loads((folder / "latency.json").read_text())["pieces"]
    assert [pieces_now[name] == mark for name in names[:7]] == [
        False,
        False,
        True,
        True,
        True,
        True,
        False,
    ]
    (folder / "latency.json.partial").write_text("{")
    assert run_kit(packed, folder).returncode == 0


def test_an_unfinished_run_with_other_options_is_not_overwritten(packed, tmp_path):
    folder, partial = tmp_path / "board", tmp_path / "board" / "latency.json.partial"
    folder.mkdir()
    kept = json.dumps(
        {"kit": "abc threads=2 quick=False", "rounds": {}, "anchor_ms": [], "drifted": []}
    )
    partial.write_text(kept)
    done = run_kit(packed, folder)
    assert (
        done.returncode == 2
        and "latency.json.partial holds an unfinished run of another kit" in done.stderr
    )
    assert partial.read_text() == kept and not (folder / "latency.json").exists()
    assert run_kit(packed, folder, "--out", "other.json").returncode == 0


@pytest.mark.parametrize("threads", ["0", "-1"])
def test_a_kit_runs_on_a_number_of_threads(packed, tmp_path, threads):
    done = run_kit(packed, tmp_path / "board", "--threads", threads)
    assert done.returncode == 2 and f"--threads is {threads}, want 1 or more" in done.stderr


def test_what_drifted_and_only_that_is_measured_once_more(packed, tmp_path):
    """First a board whose anchor moves by more than allowed all the time, so that every round is
    disturbed.
    """
    restless, folder = tmp_path / "kit.zip", tmp_path / "board"
    kit.pack(TINY, restless, limits=COARSE._replace(drift=1e-9), subnets=8)
    done = run_kit(restless, folder)
    assert (
        done.returncode == 0 and "blocks were measured while the board changed speed" in done.stderr
    )
    first, kept = (
        json.loads((folder / name).read_text()) for name in ("latency.json", "latency.json.partial")
    )
    assert (
        first["drifted"]
        and kept["drifted"] == first["drifted"]
        and set(kept["unsteady"]) >= set(first["drifted"])
    )
    # Then the same board, calm, and an earlier run of which only two blocks were disturbed.
    run_kit(packed, tmp_path / "probe")
    called = json.loads((tmp_path / "probe" / "latency.json").read_text())["made"]["kit"]
    again = list(first["pieces"])[:2]
    kept |= {
        "kit": called,
        "drifted": again,
        "unsteady": dict.fromkeys(again, 9),
        "anchor_ms": [1.5],
    }
    (folder / "latency.json.partial").write_text(json.dumps(kept))
    (folder / "latency.json").unlink()  # the restless kit's
    done = run_kit(packed, folder)
    assert f"going on: {len(kept['rounds']) - 2} of {len(kept['rounds'])}" in done.stderr
    second = json.loads((folder / "latency.json").read_text())
    assert second["drifted"] == [], "disturbed rounds of what is measured anew no longer count"
    assert second["anchor_ms"][0] == 1.5 and len(second["anchor_ms"]) > 1, (
        "the earlier run's anchors stay on record"
    )
    same = [name for name, timing in first["pieces"].items() if second["pieces"][name] == timing]
    assert set(first["pieces"]) - set(same) == set(again)
    assert not (folder / "latency.json.partial").exists()


@contextmanager
def half_done(program: Path, folder: Path):
    """A kit that has measured some of its blocks, and is killed at the end."""
    limits = TimingLimits(
        warmup=1,
        min_repeats=10**9,
        max_repeats=10**9,
        seconds=0.04,
        min_rounds=1,
        max_rounds=1,
        chunk=3,
        redo=0,
        drift=1e9,
    )
    kit.pack(TINY, program, limits=limits, subnets=8)
    folder.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(program)],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        # as in a terminal: what runs in the background is often started deaf to SIGINT
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        for _ in range(3000):
            if (folder / "latency.json.partial").exists():
                break
            time.sleep(0.01)
        yield process
    finally:
        process.kill()
        process.communicate()


def test_stopping_a_kit_says_how_to_go_on(tmp_path):
    with half_done(tmp_path / "kit.zip", tmp_path / "board") as process:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (
        process.returncode == 130
        and "goes on from what was measured" in errors
        and "Traceback" not in errors
    )


def test_kit_killed_in_the_middle_goes_on_to_its_end(tmp_path):
    """SIGKILL leaves no latency.json but what was measured; run again, those timings are in the
    result.
    """
    program, folder = tmp_path / "kit.zip", tmp_path / "board"
    with half_done(program, folder):
        pass
    assert [path.name for path in folder.iterdir() if path.suffix != ".tmp"] == [
        "latency.json.partial"
    ]
    kept = json.loads((folder / "latency.json.partial").read_text())["rounds"]
    done = run_kit(program, folder)
    assert done.returncode == 0 and f"going on: {len(kept)} of" in done.stderr
    value = json.loads((folder / "latency.json").read_text())
    assert validate(value, Path("x")) == TINY
    assert kept and all(value["pieces"][name] == rounds[0] for name, rounds in kept.items())


def test_kit_starts_again_on_a_board_that_has_changed_speed(tmp_path):
    program, folder = tmp_path / "kit.zip", tmp_path / "board"
    kit.pack(TINY, program, limits=COARSE._replace(drift=0.9), subnets=8)
    run_kit(program, folder)
    value = json.loads((folder / "latency.json").read_text())
    mark = Timing(1.25, 1.25, 1.25, 0.0, 9)._asdict()
    earlier = {
        "kit": value["made"]["kit"],
        "rounds": {name: [mark] for name in value["pieces"]},
        "anchor_ms": [1000.0],
        "drifted": [],
    }
    (folder / "latency.json.partial").write_text(json.dumps(earlier))
    again = run_kit(program, folder)
    assert (
        "another speed than in the run before: starting again" in again.stderr
        and "going on" not in again.stderr
    )
    again = json.loads((folder / "latency.json").read_text())
    assert mark not in again["pieces"].values() and 1000.0 not in again["anchor_ms"]


def test_kit_needs_nothing_but_numpy_and_onnxruntime(packed, tmp_path):
    """Whatever else the kit imported would raise."""
    for module in ("torch", "torchvision", "labkit", "onnx", "tqdm", "scipy", "sklearn", "click"):
        (tmp_path / f"{module}.py").write_text("raise AssertionError('imported on the board')")
    done = run_kit(packed, tmp_path / "board", PYTHONPATH=str(tmp_path))
    assert done.returncode == 0 and (tmp_path / "board" / "latency.json").is_file(), done.stderr


def test_a_kit_of_more_subnets_feeds_a_regression(tmp_path, monkeypatch):
    program = kit.pack(TINY, tmp_path / "kit.zip", limits=COARSE, subnets=30)
    assert run_kit(program, tmp_path / "board").returncode == 0
    # Two repeats of each model are not to be trusted.
    monkeypatch.setattr(board_import, "check_plausible", lambda *_: None)
    monkeypatch.setattr(regression, "MIN_BOARD_SAMPLES", 30)
    monkeypatch.setattr(regression, "lowest", lambda table: 1.0)
    board_import.import_table(tmp_path / "board" / "latency.json", "my-board")
    genes = TINY.sample(np.random.default_rng(0), 20)
    assert np.isfinite(get_device("my-board").latency_regression(TINY)(genes)).all()


def test_kit_says_what_is_missing_on_the_board(packed, tmp_path):
    (tmp_path / "onnxruntime.py").write_text("raise ModuleNotFoundError('no', name='onnxruntime')")
    done = run_kit(packed, tmp_path / "board", PYTHONPATH=str(tmp_path))
    assert (
        done.returncode == 2
        and done.stderr == "onnxruntime is not installed; pip install numpy onnxruntime\n"
    )


def test_kit_says_what_does_not_load_or_cannot_be_written(packed, tmp_path):
    (tmp_path / "onnxruntime.py").write_text(
        "raise ImportError('libgomp.so.1: cannot open shared object file')"
    )
    done = run_kit(packed, tmp_path / "board", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2 and "does not load: libgomp.so.1" in done.stderr
    for out in ("nowhere/latency.json", "."):
        done = run_kit(packed, tmp_path / "board", "--out", out)
        assert (
            done.returncode == 2
            and done.stderr.startswith(f"cannot write {out}: ")
            and "%" not in done.stderr
        )


def test_a_kit_holds_enough_subnets_to_calibrate_on(tmp_path):
    with pytest.raises(
        ValueError, match="a kit of 7 subnets calibrates no table; give it at least 8"
    ):
        kit.pack(TINY, tmp_path / "kit.zip", subnets=7)
    assert list(tmp_path.iterdir()) == []


def test_kit_names_must_be_zips(tmp_path):
    with pytest.raises(ValueError, match="name it like kit.zip"):
        kit.pack(TINY, tmp_path / "kit.tar")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_kit_runs_in_an_environment_without_torch_and_labkit(packed, tmp_path):
    environment = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "numpy", "onnxruntime"], check=True)
    for module in ("torch", "labkit"):
        look = [python, "-I", "-c", f"import {module}"]  # with no folder that PYTHONPATH names
        assert subprocess.run(look, capture_output=True, cwd=tmp_path).returncode == 1
    done = run_kit(packed, tmp_path / "board", python=str(python), PYTHONPATH="")
    assert done.returncode == 0, done.stderr
    assert (
        validate(parse((tmp_path / "board" / "latency.json").read_bytes(), Path("x")), Path("x"))
        == TINY
    )
