"""Timed blocks, calibration and measuring. Times are made up: no test compares measured ones."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from latency_for_tests import COARSE, TINY, here, made_up, own_cache, save  # noqa: F401  (a fixture)
from spaces_for_tests import ONE_WIDTH, WIDE

from labkit.cli import main
from labkit.latency.devices import device_names, get_device
from labkit.latency.kit import board_import
from labkit.latency.measured import lookup_table as lut
from labkit.latency.measured import measurement as measure
from labkit.latency.measured import runtimes, table_files
from labkit.latency.measured.blocks import (
    block_counts,
    table_from_times,
    timed_blocks,
)
from labkit.latency.measured.latency_file import validate
from labkit.space.network import block_sides
from labkit.space.presets import FMNIST, get_space
from labkit.tables.costs import macs_table

# ---- timed blocks ----


def test_timed_blocks_are_distinct_and_cover_the_space():
    """What is timed depends on widths, stride, kernel, ratio, side, activation and SE: count them
    by hand.
    """

    def count(space):
        wanted = set()
        for resolution in space.resolutions:
            for shape, side in zip(space.blocks, block_sides(space, resolution)):
                stage = space.stages[shape.stage]
                wanted |= {
                    (
                        shape.in_channels,
                        shape.out_channels,
                        shape.stride,
                        side,
                        k,
                        e,
                        stage.act,
                        stage.se,
                    )
                    for k in stage.kernels
                    for e in stage.expands
                }
        return len(wanted)

    for space in (ONE_WIDTH, TINY, get_space("ofa-mbv3")):
        found = timed_blocks(space)
        blocks = [key for key, block in found.items() if block.kind == "block"]
        stems = [key for key, block in found.items() if block.kind == "stem"]
        assert len(blocks) == count(space) and len(stems) == len(space.resolutions)
        assert all(key == block.key for key, block in found.items())


def test_table_of_times_adds_up():
    space, rng = TINY, np.random.default_rng(0)
    times = {
        name: ms for name, ms in zip(timed_blocks(space), rng.random(len(timed_blocks(space))))
    }
    genes = space.sample(rng, 20)
    for arch, total in zip(space.decode(genes), table_from_times(space, times)(genes)):
        sides = block_sides(space, arch.resolution)
        expected = times[f"stem-{arch.resolution}px"] + times[f"head-{-(-sides[-1] // 1)}px"]
        for shape, side in zip(space.blocks, sides):
            if shape.index < len(arch.stages[shape.stage]):
                k, e = arch.stages[shape.stage][shape.index]
                act = space.stages[shape.stage].act + (
                    "-se" if space.stages[shape.stage].se else ""
                )
                expected += times[
                    f"block-{shape.in_channels}to{shape.out_channels}-s{shape.stride}-{side}px"
                    f"-k{k}-e{e}-{act}"
                ]
        assert total == pytest.approx(expected)


def test_block_counts():
    genes = FMNIST.sample(np.random.default_rng(0), 50)
    assert block_counts(FMNIST, genes).tolist() == [
        sum(arch.depths) for arch in FMNIST.decode(genes)
    ]


# ---- calibration ----


def test_calibration_finds_the_three_numbers():
    table = lut.build_table(made_up(), TINY)
    assert table.calibration == pytest.approx((0.7, 0.02, -0.004))
    genes = TINY.sample(np.random.default_rng(9), 40)
    expected = 0.7 * table.uncalibrated(genes) + 0.02 - 0.004 * block_counts(TINY, genes)
    np.testing.assert_allclose(table.table(genes), expected)


def test_calibration_minimizes_relative_error():
    """Against scipy's least squares on the same weighted problem."""
    from scipy.optimize import least_squares

    value = made_up(noise=0.05)
    table = lut.build_table(value, TINY)
    genes = measure.calibration_genes(TINY, 20)
    measured = np.array([subnet["median_ms"] for subnet in value["subnets"]])
    raw, counts = table.uncalibrated(genes), block_counts(TINY, genes)
    best = least_squares(
        lambda p: (p[0] * raw + p[1] + p[2] * counts) / measured - 1, [1.0, 0.0, 0.0]
    )
    np.testing.assert_allclose(table.calibration, best.x, rtol=1e-4, atol=1e-6)


def test_condition_of_a_calibration_is_that_of_its_scaled_columns():
    """By hand, from the eigenvalues of the cosines between columns; where depths are fixed only two
    of them count.
    """

    def cosines(*columns):
        unit = [column / np.linalg.norm(column) for column in columns]
        values = np.linalg.eigvalsh([[a @ b for a in unit] for b in unit])
        return np.sqrt(values[-1] / values[0])

    for space in (
        TINY,
        replace(TINY, stages=tuple(replace(stage, depths=(2,)) for stage in TINY.stages)),
    ):
        raw, genes = (
            lut.build_table(made_up(space), space).uncalibrated,
            measure.calibration_genes(space, 20),
        )
        measured = np.random.default_rng(0).uniform(1, 2, 20)
        columns = [raw(genes) / measured, 1 / measured, block_counts(space, genes) / measured]
        expected = cosines(*(columns if space is TINY else columns[:2]))
        assert lut.calibration_condition(raw, genes, measured) == pytest.approx(expected, rel=1e-6)
        assert lut.calibration_condition(raw, genes[[0] * 20], measured) > 1e10
        assert lut.calibration_condition(raw, genes[:1], measured[:1]) == np.inf


def test_without_subnets_a_table_is_uncalibrated():
    table = lut.build_table(made_up(subnets=0), TINY)
    genes = TINY.sample(np.random.default_rng(0), 5)
    np.testing.assert_array_equal(table.table(genes), table.uncalibrated(genes))
    with pytest.raises(ValueError, match="at least 4"):
        lut.calibrate(table.uncalibrated, genes[:3], np.ones(3))


# ---- measuring (real runs, no real expectations) ----


@pytest.mark.parametrize("runtime", ["onnxruntime", "torch"])
def test_measure_gives_a_valid_file(runtime):
    seen = []
    value = measure.measure(
        TINY, runtimes.get_runtime(runtime), limits=COARSE, subnets=5, progress=seen.append
    )
    value = json.loads(json.dumps(value))
    assert validate(value, Path("host")) == TINY
    assert seen == [1.0]
    assert (
        value["made"]["runtime"] == runtime
        and value["made"]["threads"] == 1
        and value["made"]["batch"] == 1
    )
    assert (
        lut.build_table(value, TINY).uncalibrated(TINY.sample(np.random.default_rng(0), 10)) > 0
    ).all()


@pytest.mark.parametrize("name", runtimes.RUNTIMES)
def test_runtimes_run_every_kind_of_block(name):
    """Shapes fit: a call of a block or subnet that does not fit its input raises."""
    runtime = runtimes.get_runtime(name, threads=1)
    for block in list(timed_blocks(TINY).values())[:4] + [measure.anchor_block(TINY)]:
        runtime.block(TINY, block)()
    runtime.subnet(TINY, TINY.largest())()
    assert runtime.threads == 1


def test_many_blocks_get_fewer_rounds():
    many, few = get_space("ofa-mbv3"), ONE_WIDTH
    assert len(timed_blocks(many)) > 200 > len(timed_blocks(few))
    assert measure.limits_for(many).max_rounds < measure.limits_for(few).min_rounds


def test_runtimes_by_name():
    assert isinstance(runtimes.get_runtime(None), runtimes.OnnxRuntime)
    with pytest.raises(ValueError, match="unknown runtime 'abacus', known: onnxruntime, torch"):
        runtimes.get_runtime("abacus")


@pytest.mark.parametrize("missing", ["onnx", "onnxruntime"])
def test_torch_measures_where_either_package_is_missing(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    assert runtimes.get_runtime(None).name == "torch"


def test_without_onnxruntime_the_error_says_how_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ImportError, match="pip install"):
        runtimes.get_runtime("onnxruntime")


def test_host_is_measured_once_and_kept(monkeypatch):
    calls = []

    def fake(space, *, progress, seconds):
        calls.append(space.name)
        return here(made_up(space))

    monkeypatch.setattr(table_files, "measure", fake)
    assert not table_files.has_host_table(TINY)
    first, again = table_files.host_table(TINY), get_device("host").latency_table(TINY)
    genes = TINY.sample(np.random.default_rng(0), 9)
    np.testing.assert_array_equal(first.table(genes), again(genes))
    assert calls == ["tiny"] and table_files.has_host_table(TINY)
    table_files.host_table(TINY, remeasure=True)
    table_files.table_path("host", TINY).write_text(
        "{"
    )  # damaged: measured again rather than an error
    table_files.host_table(TINY)
    assert len(calls) == 3
    lut.write_table(
        made_up(), table_files.table_path("host", TINY), TINY
    )  # of another machine with the same home folder
    assert not table_files.has_host_table(TINY)
    table_files.host_table(TINY)
    assert len(calls) == 4
    other = replace(TINY, stem_width=24)  # another version of the space
    assert not table_files.has_host_table(other)
    assert table_files.table_path("host", other) != table_files.table_path("host", TINY)


def test_this_machines_label_says_where_its_table_contradicts_itself():
    value = here(made_up(FMNIST))
    for subnet in value["subnets"]:
        subnet.update({field: 1000 * subnet[field] for field in ("low_ms", "median_ms", "high_ms")})
    lut.write_table(value, table_files.table_path("host", FMNIST), FMNIST)
    assert get_device("host").label == "measured, unsteady in fmnist"
    get_device("host").latency_table(FMNIST)  # the lab goes on, on a busy machine as well


@pytest.mark.parametrize(
    "change", [{"drifted": [next(iter(timed_blocks(TINY)))]}, {"anchor_ms": [0.05, 0.05, 0.08]}]
)
def test_this_machines_label_says_where_it_changed_speed(change):
    host = get_device("host")
    assert host.label == "measured"  # and is not measured for it
    lut.write_table(here(made_up()), table_files.table_path("host", TINY), TINY)
    assert host.label == "measured"
    lut.write_table(
        {**here(made_up(FMNIST)), **change}, table_files.table_path("host", FMNIST), FMNIST
    )
    table_files.table_path("host", FMNIST).with_name(".killed.json").write_text("{")
    assert host.label == "measured, unsteady in fmnist"
    lut.write_table(
        {**made_up(FMNIST), **change}, table_files.table_path("host", FMNIST), FMNIST
    )  # of another machine
    assert host.label == "measured"


def test_a_table_is_made_to_ship(tmp_path, monkeypatch, capsys):
    (tmp_path / "data" / "latency").mkdir(parents=True)
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setattr(board_import, "measure", lambda space, runtime, progress: made_up(space))

    def ship(*arguments: str) -> int:
        monkeypatch.setattr(sys, "argv", ["labkit", "lut", "measure", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        return stop.value.code

    assert ship("--ship", "lab-pc", "--supernet", "tiny") == 0
    assert (
        "lab-pc" in device_names()
        and (tmp_path / "data" / "latency" / "lab-pc" / "tiny.json").is_file()
    )
    assert get_device("lab-pc").latency_table(TINY).space == TINY
    for wrong, message in (
        (["--ship", "host"], "taken"),
        (["--ship", "lab-pc", "--supernet", "mars"], "unknown supernet 'mars'"),
        (["--ship", "lab-pc", "--threads", "0"], "0 is not in the range"),
        (["--threads", "2"], "--runtime and --threads are for a table that ships"),
    ):
        capsys.readouterr()
        assert ship(*wrong) == 2 and message in capsys.readouterr().err
    with pytest.raises(ValueError, match="taken by a table that ships"):
        board_import.import_table(save(made_up(), tmp_path / "latency.json"), "lab-pc")


def test_stems_heads_and_blocks_of_every_width_are_timed():
    """With MACs in place of times, the table is that of MACs."""
    blocks = timed_blocks(WIDE)
    assert {"stem-12px-x0.5", "head-8px", "head-8px-x0.75"} <= blocks.keys()
    macs = {key: sum(o.macs for o in block.operators(WIDE)) for key, block in blocks.items()}
    genes = WIDE.sample(np.random.default_rng(0), 100)
    np.testing.assert_allclose(table_from_times(WIDE, macs)(genes), macs_table(WIDE)(genes))
    assert measure.anchor_block(WIDE).key in blocks
