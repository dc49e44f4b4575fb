"""Devices side by side, and latency files that travel from one machine to another."""

from __future__ import annotations

import json

import numpy as np
import pytest
from latency_for_tests import TINY, here, made_up, own_cache, save  # noqa: F401  (a fixture)
from scipy.stats import spearmanr

from labkit.cli.latency.text import comparison_text
from labkit.comparison.side_by_side import measured_names, side_by_side
from labkit.latency.devices import get_device
from labkit.latency.kit import board_import
from labkit.latency.measured import lookup_table as lut
from labkit.latency.measured import table_files
from labkit.latency.measured.untrusted_json import TableError
from labkit.latency.table_export import export_table
from labkit.space import Arch
from labkit.tables.costs import macs_table


def slower(value: dict, factor: float) -> dict:
    for timing in [*value["pieces"].values(), *value["subnets"]]:
        for field in ("median_ms", "low_ms", "high_ms"):
            timing[field] *= factor
    value["anchor_ms"] = [factor * ms for ms in value["anchor_ms"]]
    return value


@pytest.fixture
def boards(tmp_path):
    """Board b takes three times as long as board a, block by block."""
    board_import.import_table(save(made_up(), tmp_path / "a.json"), "a")
    board_import.import_table(save(slower(made_up(), 3.0), tmp_path / "b.json"), "b")
    return [get_device("a"), get_device("b")]


def test_the_same_subnets_on_two_boards(boards):
    compared = side_by_side(TINY, boards)
    a, b = compared["devices"]
    assert list(compared["archs"]) == [
        "smallest",
        "10 % by MACs",
        "50 % by MACs",
        "90 % by MACs",
        "largest",
    ]
    archs = [Arch.from_json(value) for value in compared["archs"].values()]
    assert archs[0] == TINY.smallest() and archs[-1] == TINY.largest()
    macs = macs_table(TINY)(TINY.encode(archs))
    assert list(macs) == sorted(macs)
    np.testing.assert_allclose(
        list(a["latency_ms"].values()), boards[0].latency_table(TINY)(TINY.encode(archs))
    )
    np.testing.assert_allclose(list(b["ratio"].values()), 3.0)
    assert set(a["ratio"].values()) == {1.0} and b["spearman"] == pytest.approx(1.0)
    assert b["calibration"]["factor"] == pytest.approx(0.7)  # what the files were made up with
    assert b["calibration"]["intercept_ms"] == pytest.approx(0.06)
    assert a["calibration_error"] == pytest.approx(0, abs=1e-9) and (
        a["drifted"],
        a["subnets"],
    ) == (0, 20)
    assert (
        a["state"]["runtime"] == "onnxruntime"
        and a["state"]["threads"] == 2
        and a["state"]["governor"] is None
    )


def test_ranks_are_compared_with_the_first_device(boards):
    pi, board = side_by_side(TINY, [get_device("pi4"), boards[0]])["devices"]
    genes = TINY.sample(np.random.default_rng(0), 2000)
    expected = spearmanr(
        get_device("pi4").latency_table(TINY)(genes), boards[0].latency_table(TINY)(genes)
    )[0]
    assert board["spearman"] == pytest.approx(expected) and "state" not in pi
    assert pi["latency_is"].startswith("simulated") and board["latency_is"] == "measured"


def test_text_has_a_column_for_each_device(boards):
    lines = comparison_text(side_by_side(TINY, [*boards, get_device("mcu-64k")])).splitlines()
    assert lines[0].split() == ["space", "tiny", "a", "b", "mcu-64k"]
    assert lines[1].split("  ")[-1].strip() == "order of magnitude"
    assert lines[2].count(" ms ") == 3 and "     3x" in lines[2]
    simulated = lines[2].split(" ms ")[2].split()[-1]
    assert len(simulated.replace(".", "").strip("0")) <= 2  # digits, as many as it is worth
    by_title = {line[:22].strip(): line[22:].split() for line in lines if line}
    assert by_title["runtime"] == ["onnxruntime", "onnxruntime", "-"] and by_title["threads"] == [
        "2",
        "2",
        "-",
    ]
    assert len({len(line) for line in lines if line}) == 1  # columns line up


def test_only_what_was_measured_for_the_space_is_listed(boards):
    assert [name for name in measured_names(TINY)] == ["a", "b"]
    lut.write_table(here(made_up()), table_files.table_path("host", TINY), TINY)
    assert measured_names(TINY) == ["host", "a", "b"]


def test_a_table_travels_as_a_file(boards, tmp_path, monkeypatch):
    """Export, another machine's cache, import: the same table."""
    shared = export_table(TINY, boards[1], tmp_path / "shared" / "b.json")
    genes = TINY.sample(np.random.default_rng(0), 20)
    before = boards[1].latency_table(TINY)(genes)
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "other"))
    assert measured_names(TINY) == []
    board_import.import_table(shared, "from-a-friend")
    np.testing.assert_array_equal(get_device("from-a-friend").latency_table(TINY)(genes), before)
    assert json.loads(shared.read_text())["made"]["cpu"] == "made up"


def test_what_cannot_be_exported(boards, tmp_path):
    with pytest.raises(ValueError, match="'pi4' is simulated; only measured"):
        export_table(TINY, get_device("pi4"), tmp_path / "x.json")
    with pytest.raises(ValueError, match="name it like a.json"):
        export_table(TINY, boards[0], tmp_path / "x.txt")
    with pytest.raises(ValueError, match="labkit lut measure"):
        export_table(TINY, get_device("host"), tmp_path / "x.json")
    ours = table_files.table_path("host", TINY)
    lut.write_table(made_up(), ours, TINY)  # of another machine that shares the home folder
    with pytest.raises(ValueError, match="this machine has not been measured yet"):
        export_table(TINY, get_device("host"), tmp_path / "x.json")
    restless = here(made_up())
    restless["drifted"] = [next(iter(restless["pieces"]))]
    lut.write_table(restless, ours, TINY)
    with pytest.raises(
        TableError, match="Nobody could import it: measure it again with `labkit lut measure`"
    ):
        export_table(TINY, get_device("host"), tmp_path / "x.json")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.json", "b.json", "cache"]
