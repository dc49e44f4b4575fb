"""Cost accounting against the published totals and plain arithmetic."""

import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from labkit.accounting import records as ledger
from labkit.accounting.search_cost import (
    NOT_MEASURED,
    ONCE_FOR_ALL,
    Method,
    Part,
    break_even,
    cost_rows,
    measured,
    published,
)
from labkit.course.pictures.search_cost import cost_figure, total_costs
from labkit.storage.errors import LabError
from labkit.storage.paths import data_dir

RUN = {
    "what": "supernet",
    "cpu_hours": 3.0,
    "machine": {"processor": "EPYC", "cores": 2},
    "date": "2026-11-24",
    "source": "benchmarks/x.py",
}


SHIPPED = data_dir()


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    (tmp_path / "published").mkdir()
    return tmp_path


def by_name(methods):
    return {method.name: method for method in methods}


def test_published_totals_for_forty_devices():
    """The OFA paper's own column for N = 40, to the digits it prints."""
    totals = {
        "MnasNet": 1_600_000,
        "FBNet-C": 23_000,
        "ProxylessNAS": 20_000,
        "DARTS": 14_000,
        "MobileNetV3-Large": 7_200,
        ONCE_FOR_ALL: 1_200,
        "OFA without progressive shrinking": 1_200,
        "OFA, fine-tuned 25 epochs": 2_200,
        "OFA, fine-tuned 75 epochs": 4_200,
    }
    methods = by_name(published())
    assert methods.keys() == totals.keys()
    for name, total in totals.items():
        assert float(f"{methods[name].total(40):.2g}") == total
        assert methods[name].energy_kwh(40) is None  # published figures are estimates
        assert "1908.09791" in methods[name].parts[0].how


@pytest.mark.parametrize(
    "name,devices", [("ProxylessNAS", 3), ("FBNet-C", 3), ("DARTS", 4), ("MobileNetV3-Large", 7)]
)
def test_published_break_even(name, devices):
    methods = by_name(published())
    ofa, other = methods[ONCE_FOR_ALL], methods[name]
    assert break_even(ofa, other) == devices
    assert ofa.total(devices) < other.total(devices) and ofa.total(devices - 1) >= other.total(
        devices - 1
    )


tenths = st.integers(0, 1000)


@settings(deadline=None)
@given(tenths, tenths, tenths, tenths)
@example(58, 36, 10, 44)  # equal for 6 devices; (5.8 - 1.0) / (4.4 - 3.6) is less than 6 in floats
@example(33, 56, 31, 58)  # equal for 1
def test_break_even_against_counting(once, each, other_once, other_each):
    """In tenths of an hour, which are integers here and floats there."""
    method, other = (
        Method(name, "GPU hours", (Part("a", o / 10),), (Part("b", e / 10),))
        for name, o, e in (("method", once, each), ("other", other_once, other_each))
    )
    horizon = 1100  # tenths are whole numbers up to 1000: who is ahead then stays ahead
    ahead = [once + n * each < other_once + n * other_each for n in range(1, horizon)]
    counted = None
    if ahead[-1]:
        counted = max((n for n, a in enumerate(ahead, start=1) if not a), default=0) + 1
    assert break_even(method, other) == counted
    for n in {1, max(1, (counted or 2) - 1), counted or 1}:
        assert (method.total(n) < other.total(n)) == ahead[n - 1]


def test_a_saving_too_small_to_divide_by():
    one, other = (
        Method("m", "GPU hours", (Part("a", o),), (Part("b", e),))
        for o, e in ((1.0, 0.0), (0.0, 5e-324))
    )
    assert break_even(one, other) > 10**300


def test_what_is_not_measured_is_said_so():
    lab_methods = by_name(measured([{**RUN, "space": "fmnist"}]))
    method = lab_methods["Once-for-all, search with a predictor"]
    assert method.missing == ("pairs", "table", "search") and method.total(5) is None
    assert "DARTS for each device" not in lab_methods  # nothing of it was measured
    (row,) = cost_rows([method], 5)
    assert (
        row["once"]
        == row["per device"]
        == row["total for 5"]
        == row["energy (kWh)"]
        == NOT_MEASURED
    )
    assert (
        row["how"] == "supernet 3 h: EPYC, 2 cores, 2026-11-24 | pairs, table, search: not measured"
    )
    assert break_even(method, method) is None


def test_measured_methods():
    entries = [
        {**RUN, "what": what, "cpu_hours": value}
        for what, value in (
            ("supernet", 3.0),
            ("pairs", 0.5),
            ("table", 0.1),
            ("search", 0.01),
            ("stand-alone", 0.9),
            ("stand-alone", 1.1),
        )
    ]
    lab_methods = by_name(measured(entries))
    ofa, single = (
        lab_methods["Once-for-all, search with a predictor"],
        lab_methods["One network trained for each device"],
    )
    assert ofa.total(10) == pytest.approx(3.5 + 10 * 0.11)
    assert single.total(10) == pytest.approx(10)  # the mean of two runs
    assert "mean of 2 runs" in single.per_device[0].how
    assert break_even(ofa, single) == 4  # 3.5 / (1 - 0.11) = 3.93
    rows = cost_rows([ofa, single], 10, reference=ofa)
    column = "Once-for-all, search with a predictor is cheaper from"
    assert [row[column] for row in rows] == ["", 4]


def test_kinds_of_hours_stay_apart():
    on_gpu = {**{key: value for key, value in RUN.items() if key != "cpu_hours"}, "gpu_hours": 0.2}
    lab_methods = measured([RUN, on_gpu])
    ofa = [m for m in lab_methods if m.name == "Once-for-all, gradient search"]
    assert [(m.unit, m.once[0].hours) for m in ofa] == [("CPU hours", 3.0), ("GPU hours", 0.2)]
    with pytest.raises(ValueError, match="they do not compare"):
        break_even(*ofa)
    assert (
        cost_rows(ofa[1:], 1, reference=ofa[0])[0][f"{ofa[0].name} is cheaper from"] == NOT_MEASURED
    )


def test_energy_only_where_it_was_measured():
    parts = [{**RUN, "what": "darts-search", "energy_kwh": 0.5}, {**RUN, "what": "darts-training"}]
    (method,) = measured(parts)
    assert method.total(2) == 12 and method.energy_kwh(2) is None
    (method,) = measured([parts[0], {**parts[1], "energy_kwh": 0.25}])
    assert method.energy_kwh(2) == 1.5


def test_machines_in_words():
    assert ledger.machine_text("a board") == "a board"
    assert (
        ledger.machine_text({"cpu": "EPYC", "cores": 2, "threads": 1, "load": 7})
        == "EPYC, 2 cores, 1 thread"
    )
    assert ledger.machine_text({"torch": "2.14"}) == "unknown processor"
    assert (
        ledger.machine_text({"cpu": "EPYC", "gpu": "H100", "threads": 8}) == "EPYC, 8 threads, H100"
    )


def test_impossible_numbers_of_devices():
    with pytest.raises(ValueError, match="at least 1, got 0"):
        published()[0].total(0)


def test_no_files_are_no_records(data):
    assert ledger.records() == [] and measured([]) == []


def write_weights(folder, **hours):
    """A file of weights whose header says what the training took."""
    about = {"schema": "labkit-supernet-2", "space": "fmnist", "machine": "m", "date": "2026-11-24"}
    folder.mkdir(parents=True)
    header = {"header": json.dumps({**about, **hours})}
    save_file({"w": np.zeros(1)}, folder / "supernet.safetensors", metadata=header)


def test_records_come_from_the_ledger_and_from_headers(data):
    folder = data / "supernets" / "fmnist"
    write_weights(folder, cpu_hours=2.5, wall_hours=1.5)
    np.savez(folder / "pairs.npz", header=np.array(json.dumps({"schema": "labkit-pairs-3"})))
    ledger.add_record({**RUN, "what": "search", "cpu_hours": 0.25})
    ledger.add_record({**RUN, "what": "search", "space": "ofa-mbv3"})
    entries = ledger.records()
    assert [(r["what"], r["cpu_hours"], r["source"]) for r in entries] == [
        ("search", 0.25, "benchmarks/x.py"),
        ("supernet", 2.5, "supernets/fmnist/supernet.safetensors"),
    ]  # pairs were not timed
    assert [r["what"] for r in ledger.records("ofa-mbv3")] == ["search"]


def test_a_run_on_a_gpu_and_then_on_a_cpu_is_a_record_of_each(data):
    write_weights(data / "supernets" / "fmnist", cpu_hours=2.5, gpu_hours=0.5)
    assert [(r.get("cpu_hours"), r.get("gpu_hours")) for r in ledger.records()] == [
        (2.5, None),
        (None, 0.5),
    ]
    for method in measured(ledger.records()):
        assert "supernet" in method.missing and method.total(40) is None
        assert method.once[0].how == "run on GPUs and on CPUs, whose hours do not add up"


def test_a_network_trained_alone_is_no_supernet(data):
    write_weights(data / "supernets" / "fmnist", cpu_hours=2.5, only={"resolution": 12})
    assert [record["what"] for record in ledger.records()] == ["stand-alone"]


ADD_TWENTY = """
import sys
from labkit.accounting.records import add_record
for i in range(20):
    record = {"what": "search", "cpu_hours": i, "machine": "m", "date": "2026-11-26"}
    add_record({**record, "source": sys.argv[1]})
"""


def test_records_that_two_processes_add_at_once_are_all_kept(data):
    adding = [
        subprocess.Popen(
            [sys.executable, "-c", ADD_TWENTY, name], env={**os.environ, "LABKIT_DATA": str(data)}
        )
        for name in ("one", "other")
    ]
    assert [process.wait(timeout=120) for process in adding] == [0, 0]
    assert len(ledger.records()) == 40


@pytest.mark.parametrize(
    "change,message",
    [
        ({"what": "sleep"}, "what: want one of supernet, .*, got 'sleep'"),
        ({"gpu_hours": 1.0}, "either cpu_hours or gpu_hours, got cpu_hours and gpu_hours"),
        ({"cpu_hours": -1.0}, r"cpu_hours: want a number of at least 0, got -1.0"),
        ({"cpu_hours": math.nan}, "cpu_hours: want a number of at least 0, got nan"),
        ({"cpu_hours": 10**400}, "cpu_hours: want a number of at least 0, got 1000"),
        ({"cpu_hours": True}, "cpu_hours: want a number of at least 0, got True"),
        ({"energy_kwh": "much"}, "energy_kwh: want a number"),
        ({"machine": ""}, "machine: want the machine that the figure was measured on, got ''"),
        ({"date": "yesterday"}, "date: want YYYY-MM-DD, got 'yesterday'"),
        ({"date": "20261124"}, "date: want YYYY-MM-DD, got '20261124'"),
        ({"space": None}, "space: want str, got None"),
        ({"source": None}, "source: want str, got None"),
    ],
)
def test_senseless_records_are_refused(data, change, message):
    with pytest.raises(ledger.RecordError, match=message):
        ledger.add_record({**RUN, **change})
    assert not (data / "records.json").exists()


@pytest.mark.parametrize(
    "text,message",
    [
        ("{", "not valid JSON"),
        ("[" * 100_000, "not valid JSON"),
        ("[]", r"the file: want an object, got \[\]"),
        ('{"schema": "labkit-records-1"}', "records: want list, got None"),
        (
            '{"schema": "labkit-records-1", "records": [3]}',
            r"records\[0\]: want an object, got 3",
        ),
    ],
)
def test_damaged_ledgers(data, text, message):
    (data / "records.json").write_text(text)
    with pytest.raises(ledger.RecordError, match=f"records.json.*{message}"):
        ledger.records()


def test_damaged_headers_and_tables(data):
    folder = data / "supernets" / "fmnist"
    folder.mkdir(parents=True)
    for name in ("supernet.safetensors", "pairs.npz"):
        shipped = (SHIPPED / "supernets" / "fmnist" / name).read_bytes()
        flipped = bytearray(shipped)
        flipped[80:90] = bytes(10)
        for content in (
            b"not a file of that kind",
            b"",
            shipped[: len(shipped) // 2],
            bytes(flipped),
        ):
            (folder / name).write_bytes(content)
            with pytest.raises(LabError, match=f"{name} is not a whole .*; restore it from"):
                ledger.records()
        (folder / name).unlink()
    np.savez(folder / "pairs.npz", header=np.array("[]"))
    with pytest.raises(LabError, match="pairs.npz is not a whole .*; restore it from"):
        ledger.records()
    (folder / "pairs.npz").unlink()
    with pytest.raises(ledger.RecordError, match="search_cost.json is missing"):
        published()
    table = json.loads((SHIPPED / "published" / "search_cost.json").read_text())
    table["methods"] = [method for method in table["methods"] if method["name"] != ONCE_FOR_ALL]
    (data / "published" / "search_cost.json").write_text(json.dumps(table))
    with pytest.raises(
        ledger.RecordError,
        match="search_cost.json: methods: 'OFA with progressive shrinking' is not",
    ):
        published()


def test_the_figure_shows_both():
    lab_methods = measured([RUN, {**RUN, "what": "stand-alone", "cpu_hours": 0.5}])
    figure = cost_figure(published(), lab_methods, devices=20)
    gpu_axis, cpu_axis = figure.axes
    lines = {line.get_label(): line for line in gpu_axis.lines}
    assert len(lines) == 9 and lines["DARTS"].get_ydata()[-1] == 20 * 346
    assert [line.get_label() for line in cpu_axis.lines] == ["One network trained for each device"]
    assert "table, gradient-search not measured" in cpu_axis.get_xlabel()
    assert (gpu_axis.get_ylabel(), cpu_axis.get_ylabel()) == ("total GPU hours", "total CPU hours")
    assert len(cost_figure(published(), []).axes) == 1
    free = measured([{**RUN, "what": "stand-alone", "cpu_hours": 0.0}])
    assert (
        "0 hours, which no logarithmic axis shows"
        in cost_figure(published(), free).axes[1].get_xlabel()
    )
    for line in cost_figure(published(), [], devices=1).axes[0].lines:
        assert len(line.get_xdata()) == 2  # one point is no line, and nothing to see


def test_dots_where_the_reference_becomes_cheaper():
    methods = by_name(published())
    few = [methods[name] for name in ("MnasNet", "DARTS", "MobileNetV3-Large", ONCE_FOR_ALL)]
    (panel,) = total_costs(few, 40, methods[ONCE_FOR_ALL]).axes
    dots = {tuple(line.get_xydata()[0]) for line in panel.lines if len(line.get_xydata()) == 1}
    assert dots == {(4, 4 * 346), (7, 7 * 180)}  # MnasNet is dearer from the first device on
    assert {text.get_text().strip() for text in panel.texts} == {
        "4",
        "7",
        *(method.name for method in few),
    }
