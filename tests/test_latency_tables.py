"""Pieces, calibration, latency files and kits. Times are made up: no test compares measured ones."""

from __future__ import annotations

import copy
import json
import os
import subprocess
import sys
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labkit.cost import block_sides
from labkit.latency import __main__ as entry
from labkit.latency import kit, lut, measure
from labkit.latency.devices import DeviceError, device_names, get_device
from labkit.latency.files import TableError, climbs_out, parse, validate
from labkit.latency.harness import Limits, Timing
from labkit.latency.pieces import block_counts, pieces, space_digest, table_of
from labkit.space import Stage
from labkit.spaces import FMNIST, get_space, spaces

TINY = replace(FMNIST, name="tiny", resolutions=(12, 16), stages=(
    Stage(16, 1, (1, 2), kernels=(3, 5), expands=(2, 3), act="relu"),
    Stage(24, 2, (1, 2), kernels=(3,), expands=(2, 3), se=True)))
COARSE = Limits(warmup=1, min_repeats=2, max_repeats=2, min_rounds=1, max_rounds=1, chunk=100, redo=0, drift=1e9)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(spaces, "tiny", TINY)


def made_up(space=TINY, *, factor: float = 0.7, intercept: float = 0.02, per_block: float = -0.004,
            noise: float = 0.0, subnets: int = 20) -> dict:
    """A latency file whose whole subnets follow exactly (or with noise) from its pieces."""
    rng = np.random.default_rng(5)
    def timing(ms: float) -> dict:
        return Timing(float(ms), float(ms) * 0.99, float(ms) * 1.01, 0.02, 50)._asdict()
    times = {name: float(ms) for name, ms in zip(pieces(space), rng.uniform(0.01, 0.1, len(pieces(space))))}
    genes = measure.calibration_genes(space, subnets) if subnets else np.zeros((0, space.num_genes), dtype=np.int8)
    total = factor * table_of(space, times)(genes) + intercept + per_block * block_counts(space, genes)
    total *= 1 + noise * rng.standard_normal(len(total))
    return {"schema": 1, "what": "latency", "space": space.name, "space_sha256": space_digest(space),
            "made": {"cpu": "made up", "runtime": "onnxruntime", "runtime_version": "1.0", "threads": 2, "batch": 1,
                     "seconds": 3.0},
            "anchor_ms": [0.1, 0.101, 0.1], "drifted": [],
            "pieces": {name: timing(ms) for name, ms in times.items()},
            "subnets": [{"arch": arch.to_json(), **timing(ms)} for arch, ms in zip(space.decode(genes), total)]}


def save(value: dict, path: Path) -> Path:
    path.write_text(json.dumps(value))
    return path


# ---- pieces ----------------------------------------------------------------------------------------


def test_pieces_are_distinct_and_cover_the_space():
    """A block's piece depends on widths, stride, kernel, ratio, side, activation and SE: count them by hand."""
    def count(space):
        wanted = set()
        for resolution in space.resolutions:
            for shape, side in zip(space.blocks, block_sides(space, resolution)):
                stage = space.stages[shape.stage]
                wanted |= {(shape.in_channels, shape.out_channels, shape.stride, side, k, e, stage.act, stage.se)
                           for k in stage.kernels for e in stage.expands}
        return len(wanted)

    for space in (FMNIST, TINY, get_space("ofa-mbv3")):
        found = pieces(space)
        blocks = [key for key, piece in found.items() if piece.kind == "block"]
        stems = [key for key, piece in found.items() if piece.kind == "stem"]
        assert len(blocks) == count(space) and len(stems) == len(space.resolutions)
        assert all(key == piece.key for key, piece in found.items())


def test_table_of_pieces_adds_up():
    space, rng = TINY, np.random.default_rng(0)
    times = {name: ms for name, ms in zip(pieces(space), rng.random(len(pieces(space))))}
    genes = space.sample(rng, 20)
    for arch, total in zip(space.decode(genes), table_of(space, times)(genes)):
        sides = block_sides(space, arch.resolution)
        expected = times[f"stem-{arch.resolution}px"] + times[f"head-{-(-sides[-1] // 1)}px"]
        for shape, side in zip(space.blocks, sides):
            if shape.index < len(arch.stages[shape.stage]):
                k, e = arch.stages[shape.stage][shape.index]
                act = space.stages[shape.stage].act + ("-se" if space.stages[shape.stage].se else "")
                expected += times[f"block-{shape.in_channels}to{shape.out_channels}-s{shape.stride}-{side}px"
                                  f"-k{k}-e{e}-{act}"]
        assert total == pytest.approx(expected)


def test_block_counts():
    genes = FMNIST.sample(np.random.default_rng(0), 50)
    assert block_counts(FMNIST, genes).tolist() == [sum(arch.depths) for arch in FMNIST.decode(genes)]


def test_space_digest_tells_versions_apart():
    assert space_digest(TINY) == space_digest(replace(TINY))
    assert space_digest(TINY) != space_digest(replace(TINY, stem_width=24))


# ---- calibration -----------------------------------------------------------------------------------


def test_calibration_finds_the_three_numbers():
    table = lut.build_table(made_up(), TINY)
    assert table.calibration == pytest.approx((0.7, 0.02, -0.004))
    genes = TINY.sample(np.random.default_rng(9), 40)
    expected = 0.7 * table.uncalibrated(genes) + 0.02 - 0.004 * block_counts(TINY, genes)
    np.testing.assert_allclose(table.table(genes), expected)


def test_calibration_minimises_relative_error():
    """Against scipy's least squares on the same weighted problem."""
    from scipy.optimize import least_squares

    value = made_up(noise=0.05)
    table = lut.build_table(value, TINY)
    genes = measure.calibration_genes(TINY, 20)
    measured = np.array([subnet["median_ms"] for subnet in value["subnets"]])
    raw, counts = table.uncalibrated(genes), block_counts(TINY, genes)
    best = least_squares(lambda p: (p[0] * raw + p[1] + p[2] * counts) / measured - 1, [1.0, 0.0, 0.0])
    np.testing.assert_allclose(table.calibration, best.x, rtol=1e-4, atol=1e-6)


def test_without_subnets_a_table_is_uncalibrated():
    table = lut.build_table(made_up(subnets=0), TINY)
    genes = TINY.sample(np.random.default_rng(0), 5)
    np.testing.assert_array_equal(table.table(genes), table.uncalibrated(genes))
    with pytest.raises(ValueError, match="at least 4"):
        lut.calibrate(table.uncalibrated, genes[:3], np.ones(3))


# ---- measuring (real runs, no real expectations) ---------------------------------------------------


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
def test_measure_gives_a_valid_file(runtime):
    seen = []
    value = measure.measure(TINY, measure.get_runtime(runtime), limits=COARSE, subnets=5,
                            progress=seen.append)
    value = json.loads(json.dumps(value))
    assert validate(value, Path("host")) == TINY
    assert seen == [1.0]
    assert value["made"]["runtime"] == runtime and value["made"]["threads"] == 1 and value["made"]["batch"] == 1
    assert (lut.build_table(value, TINY).uncalibrated(TINY.sample(np.random.default_rng(0), 10)) > 0).all()


@pytest.mark.parametrize("name", measure.RUNTIMES)
def test_runtimes_run_every_kind_of_piece_at_any_batch(name):
    """Shapes fit: a call of a piece or subnet that does not fit its input raises."""
    runtime = measure.get_runtime(name, threads=1, batch=3)
    for piece in list(pieces(TINY).values())[:4] + [measure.anchor_piece(TINY)]:
        runtime.piece(TINY, piece)()
    runtime.subnet(TINY, TINY.largest())()
    assert (runtime.threads, runtime.batch) == (1, 3)


def test_many_pieces_get_fewer_rounds():
    assert len(pieces(get_space("ofa-mbv3"))) > 200 > len(pieces(FMNIST))
    assert measure.limits_for(get_space("ofa-mbv3")).max_rounds < measure.limits_for(FMNIST).min_rounds


def test_runtimes_by_name():
    assert isinstance(measure.get_runtime(None), measure.OnnxRuntime)
    with pytest.raises(ValueError, match="unknown runtime 'abacus', known: onnxruntime, torch"):
        measure.get_runtime("abacus")


def test_without_onnxruntime_torch_measures_and_the_error_says_how_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    assert measure.get_runtime(None).name == "torch"
    with pytest.raises(ImportError, match="pip install"):
        measure.get_runtime("onnxruntime")


def test_host_is_measured_once_and_kept(monkeypatch):
    calls = []
    def fake(space, *, progress=None):
        calls.append(space.name)
        return made_up(space)
    monkeypatch.setattr(measure, "measure", fake)
    assert not lut.has_host_table(TINY)
    first, again = lut.host_table(TINY), get_device("host").latency_table(TINY)
    genes = TINY.sample(np.random.default_rng(0), 9)
    np.testing.assert_array_equal(first.table(genes), again(genes))
    assert calls == ["tiny"] and lut.has_host_table(TINY)
    lut.host_table(TINY, remeasure=True)
    lut.table_path("host", TINY).write_text("{")  # damaged: measured again rather than an error
    lut.host_table(TINY)
    assert len(calls) == 3
    other = replace(TINY, stem_width=24)  # another version of the space
    assert not lut.has_host_table(other)


def test_a_table_is_made_to_ship(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(entry, "measure", lambda space, runtime, progress: made_up(space))
    monkeypatch.setattr(sys, "argv", ["labkit.latency", "lab-pc", "--space", "tiny"])
    assert entry.main() == 0
    assert "lab-pc" in device_names() and (tmp_path / "data" / "latency" / "lab-pc" / "tiny.json").is_file()
    assert get_device("lab-pc").latency_table(TINY).space == TINY
    for wrong, message in ((["host"], "taken"), (["lab-pc", "--space", "mars"], "unknown space 'mars'")):
        monkeypatch.setattr(sys, "argv", ["labkit.latency", *wrong])
        capsys.readouterr()
        assert entry.main() == 2 and message in capsys.readouterr().err
    with pytest.raises(ValueError, match="taken by a table that ships"):
        kit.import_table(save(made_up(), tmp_path / "latency.json"), "lab-pc")


# ---- importing a board's file ----------------------------------------------------------------------


def test_an_imported_board_is_a_device_like_any_other(tmp_path):
    table = kit.import_table(save(made_up(), tmp_path / "latency.json"), "my-board")
    device = get_device("my-board")
    assert "my-board" in device_names() and device.kind == device.label == "measured"
    assert device.title == "made up (onnxruntime 1.0, 2 thread(s), batch 1)"
    genes = TINY.sample(np.random.default_rng(0), 9)
    np.testing.assert_array_equal(device.latency_table(TINY)(genes), table.table(genes))
    with pytest.raises(DeviceError, match="no latency table for space 'fmnist', only for tiny"):
        device.latency_table(FMNIST)


def test_a_board_can_have_tables_for_several_spaces(tmp_path):
    kit.import_table(save(made_up(), tmp_path / "a.json"), "my-board")
    kit.import_table(save(made_up(FMNIST), tmp_path / "b.json"), "my-board")
    device = get_device("my-board")
    assert device.latency_table(TINY).space == TINY and device.latency_table(FMNIST).space == FMNIST


FIRST = next(iter(pieces(TINY)))
BAD = {
    "blocks are missing": lambda v: v["pieces"].pop(FIRST),
    "blocks are not of space 'tiny'": lambda v: v["pieces"].update({"block-9": v["pieces"][FIRST]}),
    "median_ms is -1": lambda v: v["pieces"][FIRST].update(median_ms=-1),
    "median_ms is 0": lambda v: v["pieces"][FIRST].update(median_ms=0),
    "median_ms is 1000000000.0": lambda v: v["pieces"][FIRST].update(median_ms=1e9),
    "median_ms is '1'": lambda v: v["pieces"][FIRST].update(median_ms="1"),
    "median_ms is True": lambda v: v["pieces"][FIRST].update(median_ms=True),
    "low_ms is None": lambda v: v["pieces"][FIRST].update(low_ms=None),
    "is not inside its interval": lambda v: v["pieces"][FIRST].update(low_ms=v["pieces"][FIRST]["median_ms"] * 1.005),
    "spread -1": lambda v: v["pieces"][FIRST].update(spread=-1),
    "exactly the fields": lambda v: v["pieces"][FIRST].pop("repeats"),
    "another version of space": lambda v: v.update(space_sha256="0" * 64),
    "unknown space 'mars'": lambda v: v.update(space="mars"),
    "schema 7": lambda v: v.update(schema=7),
    "another kind of file": lambda v: v.update(what="accuracy"),
    "field 'anchor_ms' is missing": lambda v: v.pop("anchor_ms"),
    "made.runtime": lambda v: v["made"].pop("runtime"),
    r"subnets\[0\]: resolution 99": lambda v: v["subnets"][0]["arch"].update(resolution=99),
    r"subnets\[1\]: median_ms is -3": lambda v: v["subnets"][1].update(median_ms=-3),
    "throttles": lambda v: v.update(anchor_ms=[0.1, 0.1, 0.15]),
    "measured while the board changed speed": lambda v: v.update(drifted=[FIRST]),
    "contradict each other": lambda v: [s.update(median_ms=m, low_ms=m, high_ms=m) for s, m in zip(
        v["subnets"], np.geomspace(0.001, 1000, 20).tolist()[::-1])],
}


@pytest.mark.parametrize("message", BAD)
def test_bad_files_are_named_and_nothing_is_imported(tmp_path, message):
    value = made_up()
    BAD[message](value)
    path = save(value, tmp_path / "latency.json")
    with pytest.raises(TableError, match=message) as error:
        kit.import_table(path, "my-board")
    assert str(path) in str(error.value)
    assert "my-board" not in device_names() and not (tmp_path / "cache").exists()


@pytest.mark.parametrize("text, message", [
    ('{"a": 1, "a": 2}', "key 'a' occurs twice"), ('{"a": NaN}', "NaN is not a time"),
    ('{"a": -Infinity}', "-Infinity is not a time"), ("[1]", "is a JSON object, got list"), ("", "not valid JSON"),
    ('{"a": 1', "perhaps truncated"), ("[" * 100_000, "not valid JSON")])
def test_bad_json_is_named(text, message):
    with pytest.raises(TableError, match=message):
        parse(text.encode(), Path("latency.json"))


def test_duplicate_piece_is_refused(tmp_path):
    text = json.dumps(made_up())
    start = text.index(f'"{FIRST}"')
    end = text.index("}", start) + 1
    path = tmp_path / "latency.json"
    path.write_text(text[:end] + ", " + text[start:end] + text[end:])
    with pytest.raises(TableError, match="occurs twice"):
        kit.import_table(path, "my-board")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_no_truncation_or_flipped_byte_ends_in_another_error(tmp_path, data):
    """Whatever arrives, it is imported whole or refused with our error."""
    content = json.dumps(made_up(subnets=4)).encode()
    if data.draw(st.booleans()):
        content = content[:data.draw(st.integers(0, len(content) - 1))]
    else:
        at = data.draw(st.integers(0, len(content) - 1))
        content = content[:at] + bytes([data.draw(st.integers(0, 255))]) + content[at + 1:]
    path = tmp_path / "latency.json"
    path.write_bytes(content)
    try:
        table = kit.import_table(path, "fuzzed")
    except TableError:
        return
    assert np.isfinite(table.table.base).all()


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_value_in_any_place_is_refused_or_sound(tmp_path, data):
    """Replace one value anywhere in the file by any JSON value."""
    value = made_up(subnets=4)
    place, steps = value, []
    while isinstance(place, (dict, list)) and place and (not steps or data.draw(st.booleans())):
        key = data.draw(st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place))))
        steps.append((place, key))
        place = place[key]
    holder, key = steps[-1]
    holder[key] = data.draw(st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=3),
        st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)))
    path = save(value, tmp_path / "latency.json")
    try:
        table = kit.import_table(path, "fuzzed")
    except TableError:
        return
    assert np.isfinite(table.table.base).all()


def test_a_huge_file_is_refused_unread(tmp_path):
    path = tmp_path / "latency.json"
    with open(path, "wb") as file:
        file.truncate(10 ** 9)  # sparse: takes no room
    with pytest.raises(TableError, match="1000000000 bytes, a latency file has at most"):
        kit.import_table(path, "my-board")
    with pytest.raises(TableError, match="cannot be read"):
        kit.import_table(tmp_path / "nowhere.json", "my-board")


def zip_of(path: Path, **files: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return path


def test_a_zip_with_the_result_is_taken(tmp_path):
    path = zip_of(tmp_path / "back.zip", **{"folder/latency.json": json.dumps(made_up()), "run.py": ""})
    kit.import_table(path, "my-board")
    assert "my-board" in device_names()


@pytest.mark.parametrize("name", ["../latency.json", "/etc/latency.json", "a/../../b", "C:\\latency.json",
                                  "..\\latency.json", "\\\\server\\share\\x"])
def test_a_zip_that_climbs_out_is_refused(tmp_path, name):
    assert climbs_out(name)
    path = zip_of(tmp_path / "evil.zip", **{name: "x", "latency.json": json.dumps(made_up())})
    with pytest.raises(TableError, match="climbs out"):
        kit.import_table(path, "my-board")


def test_other_zips_are_refused(tmp_path):
    with pytest.raises(TableError, match="0 files called latency.json"):
        kit.import_table(zip_of(tmp_path / "a.zip", **{"x": "y"}), "my-board")
    with pytest.raises(TableError, match="2 files called latency.json"):
        kit.import_table(zip_of(tmp_path / "b.zip", **{"a/latency.json": "{}", "latency.json": "{}"}), "my-board")
    bomb = zip_of(tmp_path / "c.zip", **{"latency.json": " " * 30_000_000})
    assert bomb.stat().st_size < 100_000
    with pytest.raises(TableError, match="30000000 bytes"):
        kit.import_table(bomb, "my-board")
    assert not climbs_out("folder/latency.json") and not climbs_out("a..b/c")


@pytest.mark.parametrize("name", ["", "host", "pi4", "../x", "A", "a b", "x" * 41, "-x"])
def test_impossible_board_names(tmp_path, name):
    with pytest.raises(ValueError, match="device name"):
        kit.import_table(save(made_up(), tmp_path / "latency.json"), name)


def test_a_second_import_replaces_the_first_only_when_it_is_sound(tmp_path):
    kit.import_table(save(made_up(), tmp_path / "a.json"), "my-board")
    before = lut.table_path("my-board", TINY).read_bytes()
    broken = copy.deepcopy(made_up())
    broken["pieces"].pop(FIRST)
    with pytest.raises(TableError):
        kit.import_table(save(broken, tmp_path / "b.json"), "my-board")
    assert lut.table_path("my-board", TINY).read_bytes() == before


# ---- kits ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("kit") / "kit.zip"
    return kit.pack(TINY, path, limits=COARSE, subnets=5)


def run_kit(program: Path, folder: Path, *arguments: str, python: str = sys.executable, **variables: str):
    folder.mkdir(exist_ok=True)
    return subprocess.run([python, str(program), *arguments], cwd=folder, capture_output=True, text=True, timeout=300,
                          env={**os.environ, "OMP_NUM_THREADS": "1", **variables})


def test_kit_runs_packed_and_its_result_imports(packed, tmp_path):
    done = run_kit(packed, tmp_path / "board")
    assert done.returncode == 0, done.stderr
    assert "100 %" in done.stderr and "wrote latency.json" in done.stderr
    assert [p.name for p in (tmp_path / "board").iterdir()] == ["latency.json"]
    value = parse((tmp_path / "board" / "latency.json").read_bytes(), Path("x"))
    assert validate(value, Path("x")) == TINY and value["made"]["runtime"] == "onnxruntime"
    assert value["made"]["threads"] == 1 and len(value["subnets"]) == 5


def test_kit_runs_unpacked(packed, tmp_path):
    with zipfile.ZipFile(packed) as archive:
        assert not any(climbs_out(name) for name in archive.namelist())
        archive.extractall(tmp_path / "kit")
    done = run_kit(tmp_path / "kit", tmp_path / "board", "--out", "result.json", "--quick")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "board" / "result.json").is_file()


def test_kit_resumes(packed, tmp_path):
    """An earlier run's timings stay, except those taken while the board drifted; another kit's are not used."""
    folder = tmp_path / "board"
    run_kit(packed, folder)
    value = json.loads((folder / "latency.json").read_text())
    names = list(value["pieces"])
    mark = Timing(1.25, 1.25, 1.25, 0.0, 9)._asdict()
    earlier = {"kit": value["made"]["kit"], "rounds": {name: [mark] for name in names[:6]}, "anchor_ms": [1.0],
               "drifted": names[:2]}
    (folder / "latency.json.partial").write_text(json.dumps(earlier))
    again = run_kit(packed, folder)
    assert "going on: 4 of" in again.stderr
    pieces_now = json.loads((folder / "latency.json").read_text())["pieces"]
    assert [pieces_now[name] == mark for name in names[:7]] == [False, False, True, True, True, True, False]
    (folder / "latency.json.partial").write_text(json.dumps({**earlier, "kit": "another"}))
    assert "going on" not in run_kit(packed, folder).stderr
    (folder / "latency.json.partial").write_text("{")
    assert run_kit(packed, folder).returncode == 0


def test_kit_survives_being_killed(packed, tmp_path):
    """Killed in the middle it leaves no latency.json, but what it has measured."""
    slow = tmp_path / "slow.zip"
    kit.pack(TINY, slow, limits=Limits(min_repeats=10 ** 9, max_repeats=10 ** 9, chunk=3), subnets=4)
    folder = tmp_path / "board"
    folder.mkdir()
    process = subprocess.Popen([sys.executable, str(slow)], cwd=folder, stderr=subprocess.DEVNULL,
                               env={**os.environ, "OMP_NUM_THREADS": "1"})
    try:
        for _ in range(300):
            if (folder / "latency.json.partial").exists():
                break
            time.sleep(0.1)
    finally:
        process.kill()
        process.wait()
    assert not (folder / "latency.json").exists()
    assert json.loads((folder / "latency.json.partial").read_text())["rounds"]


def test_kit_says_what_is_missing_on_the_board(packed, tmp_path):
    (tmp_path / "onnxruntime.py").write_text("raise ImportError('no', name='onnxruntime')")
    done = run_kit(packed, tmp_path / "board", PYTHONPATH=str(tmp_path))
    assert done.returncode == 2 and done.stderr == "onnxruntime is not installed; pip install numpy onnxruntime\n"


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
        assert subprocess.run([python, "-c", f"import {module}"], capture_output=True, cwd=tmp_path).returncode == 1
    done = run_kit(packed, tmp_path / "board", python=str(python), PYTHONPATH="")
    assert done.returncode == 0, done.stderr
    assert validate(parse((tmp_path / "board" / "latency.json").read_bytes(), Path("x")), Path("x")) == TINY
