"""Measuring in a notebook: what comes back, by a scripted runtime and its clock."""

import tempfile
import threading

import numpy as np
import pytest
from latency_for_tests import TINY, made_up

from labkit.course.experiments import quick_latency
from labkit.course.pictures import latency as latency_pictures
from labkit.course.pictures.display import png
from labkit.latency.devices import get_device
from labkit.latency.measured.blocks import timed_blocks
from labkit.latency.measured.latency_file import whole_subnets
from labkit.latency.measured.runtimes import get_runtime
from labkit.runtime.machine_lock import LOCK
from labkit.space import network

fcntl = pytest.importorskip("fcntl")


class Scripted:
    """A runtime in which a block's call takes 0.2 ms and a subnet's 0.1 ms for each block."""

    name, version, threads = "scripted", "1", 1

    def __init__(self):
        self.now = 0.0

    def clock(self):
        return self.now

    def _takes(self, seconds):
        def call():
            self.now += seconds

        return call

    def block(self, space, block):
        return self._takes(2e-4)

    def subnet(self, space, arch):
        return self._takes(1e-4 * sum(arch.depths))


@pytest.mark.parametrize("name", ["onnxruntime", "torch"])
def test_runtimes_say_what_they_measure_with(name):
    if name == "onnxruntime":
        pytest.importorskip("onnxruntime")
    text = quick_latency.describe(get_runtime(name))
    assert text.startswith(name) and "1 thread, batch 1, on " in text


@pytest.fixture
def runtime(monkeypatch):
    scripted = Scripted()
    monkeypatch.setattr(quick_latency, "thread_clock", scripted.clock)
    return scripted


def test_whole_subnets_are_timed_with_the_clock_of_the_thread(runtime):
    archs = TINY.decode(TINY.sample(np.random.default_rng(0), 7))
    times = quick_latency.quick_subnets(TINY, archs, runtime)
    for name in ("median_ms", "low_ms", "high_ms"):
        assert np.allclose(times[name], [0.1 * sum(arch.depths) for arch in archs])


def test_a_quick_table_holds_every_piece_and_some_subnets(runtime):
    value = quick_latency.quick_table(TINY, runtime, subnets=6)
    assert set(value["pieces"]) == set(timed_blocks(TINY)) and value["drifted"] == []
    genes, times = whole_subnets(value, TINY)
    assert (
        np.allclose(times, [0.1 * sum(arch.depths) for arch in TINY.decode(genes)])
        and len(times) == 6
    )


def test_an_anchor_strays_when_it_is_more_than_5_percent_from_its_median():
    anchor = [1.0, 1.0, 1.04, 0.94, 1.06]
    text = quick_latency.steadiness({"anchor_ms": anchor, "made": {"seconds": 12.5}})
    assert text.startswith("12.5 s; the anchor took 1.0000 ms")
    assert text.endswith("in 40 % of its 5 timings")


def test_that_another_program_measures_is_not_said_as_if_it_were_an_error(
    runtime, monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with open(tmp_path / LOCK, "w") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        threading.Timer(0.3, lambda: fcntl.flock(other, fcntl.LOCK_UN)).start()
        quick_latency.quick_subnets(TINY, [TINY.smallest()], runtime)
    captured = capsys.readouterr()
    assert "waiting for another program" in captured.out and not captured.err


def test_whole_subnets_of_a_latency_file_keep_their_order():
    value = made_up(subnets=5)
    genes, times = whole_subnets(value, TINY)
    assert [arch.to_json() for arch in TINY.decode(genes)] == [
        subnet["arch"] for subnet in value["subnets"]
    ]
    assert times.tolist() == [subnet["median_ms"] for subnet in value["subnets"]]


def test_pictures_name_their_units_and_the_simulated_device():
    measured = np.array([1.0, 2.0, 3.0])
    (panel,) = latency_pictures.predicted_and_measured(
        measured, {"sum": 1.5 * measured, "calibrated": measured}, "ms (scripted)"
    ).axes
    labels = [text.get_text() for text in panel.get_legend().get_texts()]
    assert (
        labels == ["sum: off by 50.0 %", "calibrated: off by 0.0 %", "predicted = measured"]
        and "ms (scripted)" in panel.get_xlabel()
    )
    pi = get_device("pi4")
    figure = latency_pictures.roofline(pi, {"tiny": network.operators(TINY, TINY.largest())})
    (panel,) = figure.axes
    assert (
        pi.label in panel.get_title()
        and "MACs" in panel.get_xlabel()
        and "second" in panel.get_ylabel()
    )
    for picture in (figure, latency_pictures.call_times([3.0, 1.1, 1.0, 1.2, 1.0])):
        assert png(picture).startswith(b"\x89PNG")


def test_dots_of_a_roofline_lie_under_its_roof():
    pi = get_device("pi4")
    (panel,) = latency_pictures.roofline(pi, {"tiny": network.operators(TINY, TINY.largest())}).axes
    for dots in panel.collections:
        x, y = np.asarray(dots.get_offsets()).T
        assert (y <= np.minimum(pi.roofline.peak_gmacs, pi.roofline.bandwidth_gb * x)).all()
        assert (y > panel.get_ylim()[0]).all()
