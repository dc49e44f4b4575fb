"""Simulated devices: operators of an arch, the roofline, device files, memory limits."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
from devices_for_tests import MICROCONTROLLERS, SIMULATED, devices

from labkit.latency.devices import (
    HOST,
    DeviceError,
    device_names,
    get_device,
    load_simulated,
)
from labkit.latency.simulated.device_file import MICRO_ENGINES
from labkit.latency.simulated.roofline import Roofline
from labkit.space import network
from labkit.space.operators import Operator, convolution
from labkit.space.presets import FMNIST, get_space
from labkit.storage.paths import data_dir
from labkit.tables.costs import macs_table


@pytest.mark.parametrize("name", ["fmnist", "ofa-mbv3"])
def test_layers_of_an_arch_have_its_macs(name):
    space = get_space(name)
    genes = space.sample(np.random.default_rng(0), 20)
    archs = space.decode(genes)
    macs = [sum(o.macs for o in network.operators(space, arch)) for arch in archs]
    np.testing.assert_array_equal(macs, macs_table(space)(genes))


# ---- the roofline ----


def test_roofline_arithmetic():
    """A pointwise layer of 8 -> 8 channels at 10x10: 6400 MACs, 800 + 800 + 64 values."""
    layer = convolution(8, 8, 1, 10)
    assert (layer.kind, layer.macs) == ("pointwise", 6400)
    assert (layer.inputs, layer.outputs, layer.weights, layer.filters) == (800, 800, 64, 8)
    half = {"dense": 1.0, "pointwise": 0.5, "depthwise": 0.25}
    compute_bound = Roofline(1.0, 1000.0, 3.0, half, half_channels=8.0)
    # 6400 MACs at 1 GMAC/s * 0.5 * 8/16 = 25.6 us
    assert compute_bound.operator_us(layer) == pytest.approx(3.0 + 25.6)
    memory_bound = Roofline(1000.0, 0.1, 3.0, half, bytes_per_value=2)
    assert memory_bound.operator_us(layer) == pytest.approx(
        3.0 + 1664 * 2 / 100
    )  # 0.1 GB/s are 100 bytes a us
    depthwise = convolution(8, 8, 3, 10, depthwise=True)  # 7200 MACs, no narrow-layer penalty
    assert compute_bound.operator_us(depthwise) == pytest.approx(3.0 + 7200 / 250)
    assert compute_bound.latency_ms([layer, depthwise]) == pytest.approx(
        (3 + 25.6 + 3 + 28.8) / 1e3
    )
    # Products of length 2 * 3 * 3 for 64 filters: 115,200 MACs at 1 GMAC/s * 18/26
    dense = convolution(2, 64, 3, 10)
    assert compute_bound.operator_us(dense) == pytest.approx(3.0 + 115.2 * 26 / 18)


def test_operators_without_weights_have_no_overhead_but_add_up_or_move():
    rates = {"dense": 1.0, "pointwise": 0.5, "depthwise": 0.25}
    roofline = Roofline(1.0, 1.0, 3.0, rates)
    pooling = Operator("pool", 8, 8, 10, kernel=3)  # 800 windows of 9 values at 0.25 a ns
    assert roofline.operator_us(pooling) == pytest.approx(7200 / 250)
    addition = Operator("add", 8, 8, 10)  # 2 * 800 values read, 800 written, of 4 bytes
    assert roofline.operator_us(addition) == pytest.approx(2400 * 4 / 1e3)


def test_what_no_operator_is_faster_than_and_what_a_network_takes_once():
    rates = {"dense": 1.0, "pointwise": 1.0, "depthwise": 1.0}
    gpu = Roofline(1.0, 1000.0, 3.0, rates, launch_us=10.0, start_us=500.0)
    short, long = convolution(8, 8, 1, 5), convolution(8, 8, 1, 100)  # 1600 and 640,000 MACs
    assert gpu.operator_us(short) == pytest.approx(3.0 + 10.0)
    assert gpu.operator_us(long) == pytest.approx(3.0 + 640.0)
    assert gpu.latency_ms([short, long]) == pytest.approx((500 + 13 + 643) / 1e3)


def test_table_equals_the_sum_over_layers():
    genes = FMNIST.sample(np.random.default_rng(1), 30)
    for device in devices():
        direct = [
            device.roofline.latency_ms(network.operators(FMNIST, arch))
            for arch in FMNIST.decode(genes)
        ]
        np.testing.assert_allclose(device.latency_table(FMNIST)(genes), direct)


# ---- devices and their files ----


def test_all_devices_are_there_and_say_that_they_are_simulated():
    assert device_names()[0] == HOST and set(SIMULATED) <= set(device_names())
    for device in devices():
        assert device.kind == "simulated" and device.label.startswith("simulated")
        assert device.title and all(each.source for each in device.parameters.values())
        assert (device.sram_bytes is None) == (device.name not in MICROCONTROLLERS)
        assert (device.engine in MICRO_ENGINES) == (device.name in MICROCONTROLLERS)
        assert (device.core is None) == (device.engine != "firmware")


def test_unknown_device_names_the_known_ones():
    with pytest.raises(DeviceError, match="unknown device 'toaster', known: host, .*pi4"):
        get_device("toaster")


MEMORY = {"device_bytes": 10, "reserved_bytes": 0, "source": "x"}
MICRO = {"sram": MEMORY, "flash": MEMORY}


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda v: v.update(schema=99), "field schema: want 1, which this version reads, got 99"),
        (lambda v: v.pop("title"), "field title: want str, got None"),
        (
            lambda v: v.update(precision="fp13"),
            "field precision: want one of fp32, fp16, int8, got 'fp13'",
        ),
        (lambda v: v.pop("engine"), "field engine: want str, got None"),
        (
            lambda v: v.update(engine="steam"),
            "field engine: want one of onnx, litert, tflm, firmware, got 'steam'",
        ),
        (lambda v: v.update(engine="tflm"), "field precision: want one of int8, got 'fp32'"),
        (
            lambda v: v.update(engine="tflm", precision="int8"),
            "field sram: want an object, got None",
        ),
        (
            lambda v: v.update(MICRO, engine="firmware", precision="int8", core="z80"),
            "field core: want one of cortex-m3, cortex-m4, cortex-m7, got 'z80'",
        ),
        (
            lambda v: v.update(MICRO, engine="firmware", precision="int8", core="cortex-m4"),
            "field cycles: want an object, got None",
        ),
        (lambda v: v["parameters"].pop("overhead_us"), "parameters.overhead_us"),
        (
            lambda v: v["parameters"]["peak_gmacs"].update(value=-1),
            "parameters.peak_gmacs.value: want a positive number, got -1",
        ),
        (lambda v: v["parameters"]["dense"].pop("source"), "parameters.dense.source"),
        (
            lambda v: v["parameters"]["dense"].update(value=45.0),
            "parameters.dense.value: want a share of the peak, at most 1, got 45.0",
        ),
        (
            lambda v: v["references"][0].update(role="guess"),
            "references.0..role: want one of fit, held-out, other, got 'guess'",
        ),
        (
            lambda v: v["references"][0].update(latency_ms=0),
            "references.0..latency_ms: want a positive number, got 0",
        ),
        (lambda v: v.update(sram={"device_bytes": 65536, "source": "x"}), "sram.reserved_bytes"),
        (
            lambda v: v.update(sram={"device_bytes": 10, "reserved_bytes": 10, "source": "x"}),
            "sram.reserved_bytes: want some of the 10 bytes free for the network, got 10",
        ),
        (
            lambda v: v.update(flash={"device_bytes": 10, "reserved_bytes": -1, "source": "x"}),
            "flash.reserved_bytes: want some of the 10 bytes free for the network, got -1",
        ),
        (
            lambda v: v["parameters"]["bandwidth_gb"].update(value=-5.5),
            "parameters.bandwidth_gb.value: want a positive number, got -5.5",
        ),
        (
            lambda v: v["parameters"]["bandwidth_gb"].update(value=float("nan")),
            "pi4.json: NaN is not a finite number",
        ),
        (
            lambda v: v["parameters"]["bandwidth_gb"].update(value=True),
            "bandwidth_gb.value: want a positive number, got True",
        ),
        (
            lambda v: v["references"][0].update(latency_ms=float("nan")),
            "pi4.json: NaN is not a finite number",
        ),
        (
            lambda v: v["references"][0].update(latency_ms=True),
            "references.0..latency_ms: want a positive number, got True",
        ),
        (
            lambda v: v.update(name="pi5"),
            "field name: want 'pi4', as the file is called, got 'pi5'",
        ),
        (
            lambda v: v["parameters"].update(note="mine"),
            "field parameters.note: want no more parameters than peak_gmacs, .*, got 'mine'",
        ),
        (
            lambda v: v["references"][0].update(resolution="224"),
            "references.0..resolution: want a positive number, got '224'",
        ),
        (
            lambda v: v["parameters"]["dense"].update(prior=0),
            "parameters.dense.prior: want a positive number, got 0",
        ),
        (lambda v: v["parameters"]["dense"].pop("spread"), "parameters.dense.spread"),
        (lambda v: v["series"].pop("graph"), "field series.graph: want str, got None"),
        (
            lambda v: v["held_out"].update(median_error=-0.1),
            "held_out.median_error: want a number of at least 0, got -0.1",
        ),
        (
            lambda v: v["held_out"].update(spearman="high"),
            "held_out.spearman: want int or float, got 'high'",
        ),
        (
            lambda v: v["held_out"].update(count=2, spearman=None),
            "held_out.spearman: want int or float, got None",
        ),
        (
            lambda v: v["held_out"].update(count=0),
            "held_out.count: want a positive number, got 0",
        ),
    ],
)
def test_damaged_device_file_is_named(tmp_path, change, message):
    path = tmp_path / "pi4.json"
    value = json.loads((data_dir() / "devices" / "pi4.json").read_text())
    change(value)
    path.write_text(json.dumps(value))
    with pytest.raises(DeviceError, match=message) as error:
        load_simulated(path)
    assert str(path) in str(error.value)


def test_truncated_device_file_is_named(tmp_path):
    text = (data_dir() / "devices" / "pi4.json").read_text()
    path = tmp_path / "pi4.json"
    path.write_text(text[: len(text) // 2])
    with pytest.raises(DeviceError, match="is not valid JSON.*git checkout"):
        load_simulated(path)


def test_a_device_file_nested_without_end_is_named(tmp_path):
    path = tmp_path / "pi4.json"
    path.write_text("[" * 100_000)
    with pytest.raises(DeviceError, match="is not valid JSON"):
        load_simulated(path)


def test_a_device_answers_without_torch():
    code = (
        "import sys; from labkit.latency.devices import get_device, device_names; from"
        " labkit.space.presets import get_space; s = get_space('fmnist');"
        " [get_device(n).latency_table(s) for n in device_names() if n != 'host']; print('torch' in"
        " sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
        == "False"
    )


def test_devices_follow_the_data_folder(tmp_path, monkeypatch):
    shutil.copytree(data_dir() / "devices", tmp_path / "devices")
    path = (tmp_path / "devices" / "pi4.json").rename(tmp_path / "devices" / "my-pi.json")
    path.write_text(path.read_text().replace('"name": "pi4"', '"name": "my-pi"'))
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    assert "my-pi" in device_names() and "pi4" not in device_names()
    assert get_device("my-pi").name == "my-pi"
