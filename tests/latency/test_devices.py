"""Simulated devices: layer lists against torchvision and closed forms, the roofline, files, limits,
checks.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
import torchvision
from fvcore.nn import FlopCountAnalysis

from labkit.cli.latency.text import published_text
from labkit.latency.devices import (
    HOST,
    TRUSTED_ERROR,
    DeviceError,
    SimulatedDevice,
    device_names,
    get_device,
    load_simulated,
)
from labkit.latency.memory import flash_table, sram_table
from labkit.latency.published_latencies import PublishedLatency, check, held_out_error
from labkit.latency.simulated import reference_networks as references
from labkit.latency.simulated.roofline import Roofline
from labkit.space import network
from labkit.space.operators import convolution
from labkit.space.presets import FMNIST, get_space
from labkit.storage.paths import data_dir
from labkit.tables.costs import macs_table, params_table

SIMULATED = ("jetson-nano", "mcu-64k", "pi4", "pi4-int8", "pixel1", "stm32f746", "stm32h743")
MICROCONTROLLERS = ("mcu-64k", "stm32f746", "stm32h743")


def devices() -> list[SimulatedDevice]:
    return [get_device(name) for name in SIMULATED]


# ---- layer lists ----


@pytest.mark.parametrize("name", ["fmnist", "ofa-mbv3"])
def test_layers_of_an_arch_have_its_macs(name):
    space = get_space(name)
    genes = space.sample(np.random.default_rng(0), 20)
    archs = space.decode(genes)
    macs = [sum(o.macs for o in network.operators(space, arch)) for arch in archs]
    np.testing.assert_array_equal(macs, macs_table(space)(genes))


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_torchvision_layers_have_the_macs_that_fvcore_counts(name):
    model = getattr(torchvision.models, name)(weights=None).eval()
    counter = FlopCountAnalysis(model, torch.zeros(1, 3, 64, 64)).unsupported_ops_warnings(False)
    by_operator = counter.by_operator()
    assert (
        references.macs_of(references.torchvision_operators(name, 64))
        == by_operator["conv"] + by_operator["linear"]
    )


def test_our_mobilenet_v2_is_torchvisions():
    for width in (1.0, 0.35):
        model = torchvision.models.mobilenet_v2(weights=None, width_mult=width).eval()
        by_operator = (
            FlopCountAnalysis(model, torch.zeros(1, 3, 96, 96))
            .unsupported_ops_warnings(False)
            .by_operator()
        )
        layers = references.mobilenet_v2(96, width)
        assert references.macs_of(layers) == by_operator["conv"] + by_operator["linear"]
        kernels = sum(
            p.numel() for n, p in model.named_parameters() if n.endswith("weight") and p.dim() > 1
        )
        assert sum(layer.weights for layer in layers) == kernels


def test_shortcuts_of_torchvision_networks_are_layers():
    """ResNet-18 has 8 residual blocks and 2 poolings."""
    kinds = [operator.kind for operator in references.torchvision_operators("resnet18", 64)]
    assert kinds.count("add") == 8 and kinds.count("pool") == 2


@pytest.mark.parametrize("ops, published", [("p,c1,s,c1,s,s", 16.3), ("c3,c3,p,s,c3,s", 114.9)])
def test_nas_bench_201_macs_match_the_published_ones(ops, published):
    """The benchmark counts a few elementwise operations too, hence the tolerance of 1M."""
    assert references.macs_of(references.nas_bench_201(ops)) / 1e6 == pytest.approx(
        published, abs=1
    )


def test_mlperf_tiny_networks_have_their_published_macs():
    """arXiv 2106.07597: 12.5M MACs for image classification, 7.5M for visual wake words."""
    assert references.macs_of(references.resnet8(32)) / 1e6 == pytest.approx(12.5, abs=0.1)
    assert references.macs_of(references.PLAIN["mlperf_tiny_vww"](96)) / 1e6 == pytest.approx(
        7.5, abs=0.1
    )


def test_stand_ins_have_the_macs_they_stand_for():
    for device in devices():
        for reference in device.references:
            if references.stand_in(reference):
                for layers in references.networks(reference):
                    assert references.macs_of(layers) / 1e6 == pytest.approx(
                        reference["macs_m"], rel=0.1
                    )


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
        assert device.title and all(device.sources.values())
        assert (device.sram_bytes is None) == (device.name not in MICROCONTROLLERS)


def test_recorded_held_out_errors_are_those_of_today_and_rule_the_label():
    for device in devices():
        error = held_out_error(check(device))
        if error is None:
            assert device.held_out_error is None
        else:
            assert device.held_out_error == pytest.approx(error, abs=1e-3)
        trusted = error is not None and error <= TRUSTED_ERROR
        assert ("order of magnitude" in device.label) == (not trusted)


def test_the_pi_is_checked_on_the_32_px_networks_only():
    held_out = [row.network for row in check(get_device("pi4")) if row.role == "held-out"]
    assert len(held_out) == 2 and all("32 px" in name for name in held_out)


def test_fit_references_are_met():
    """What a device was fitted to it must reproduce; 10 % leaves room for the few parameters."""
    for device in devices():
        for row in check(device):
            if row.role == "fit":
                assert abs(row.error) < 0.1, (device.name, row)


def test_check_reports_what_it_replaces():
    rows = check(get_device("pixel1"))
    assert all("only MACs are published" in row.stand_in for row in rows)
    row = next(row for row in check(get_device("pi4")) if row.network == "mobilenet_v2 224 px")
    assert (
        row.error == pytest.approx(row.simulated_ms / row.published_ms - 1)
        and row.stand_in == ""
        and row.source
    )


def test_limits_of_the_small_microcontroller_bite():
    """Each limit alone excludes 10 to 90 % of random archs, and some arch satisfies both."""
    genes = FMNIST.sample(np.random.default_rng(0), 5000)
    device = get_device("mcu-64k")
    too_much_sram = sram_table(FMNIST, device)(genes) > device.sram_bytes
    too_much_flash = flash_table(FMNIST, device)(genes) > device.flash_bytes
    assert 0.1 <= too_much_sram.mean() <= 0.9
    assert 0.1 <= too_much_flash.mean() <= 0.9
    assert (~too_much_sram & ~too_much_flash).mean() > 0.02


def test_flash_is_a_byte_a_weight_and_sixteen_a_channel():
    """Against the parameter count: its batch norms (2 a channel) and biases leave, 16 bytes a
    channel arrive.
    """
    from labkit.supernet.subnet import Subnet

    device, arch = get_device("mcu-64k"), FMNIST.smallest()
    layers = [
        m
        for m in Subnet(FMNIST, arch).modules()
        if isinstance(m, (torch.nn.Conv2d, torch.nn.Linear))
    ]
    expected = sum(m.weight.numel() + 16 * len(m.weight) for m in layers)
    # one entry a layer, three poolings (two of squeeze-excites per block with one), sums and scales
    operators = len(network.operators(FMNIST, arch))
    genes = FMNIST.encode([arch])
    assert flash_table(FMNIST, device)(genes)[0] == expected + 400 * operators
    assert params_table(FMNIST)(genes)[0] < flash_table(FMNIST, device)(genes)[0]


def test_unknown_device_names_the_known_ones():
    with pytest.raises(DeviceError, match="unknown device 'toaster', known: host, .*pi4"):
        get_device("toaster")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda v: v.update(schema=99), "field schema: want 1, which this version reads, got 99"),
        (lambda v: v.pop("title"), "field title: want str, got None"),
        (
            lambda v: v.update(precision="fp13"),
            "field precision: want one of fp32, fp16, int8, got 'fp13'",
        ),
        (lambda v: v["parameters"].pop("overhead_us"), "parameters.overhead_us"),
        (
            lambda v: v["parameters"]["peak_gmacs"].update(value=-1),
            "parameters.peak_gmacs.value: want a positive number, got -1",
        ),
        (lambda v: v["parameters"]["dense"].pop("source"), "parameters.dense.source"),
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
            "field parameters.note: want an object, got 'mine'",
        ),
        (
            lambda v: v["references"][0].update(resolution="224"),
            "references.0..resolution: want a positive number, got '224'",
        ),
        (
            lambda v: v["references"][0].update(macs_m=-3),
            "references.0..macs_m: want a positive number, got -3",
        ),
        (
            lambda v: v.update(held_out_error=-0.1),
            "held_out_error: want a number of at least 0, got -0.1",
        ),
        (
            lambda v: v.update(held_out_error="little"),
            "held_out_error: want a number of at least 0, got 'little'",
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


def test_the_check_says_what_was_held_out_and_what_that_means():
    rows = [
        PublishedLatency("net a", "fit", 10.0, 11.0, 0.1, "", "paper a"),
        PublishedLatency(
            "net b", "held-out", 20.0, 10.0, -0.5, "only MACs are published", "paper b"
        ),
    ]
    text = published_text(get_device("pi4"), rows)
    assert "held-out references 50 %, above the 30 %" in text
    a, b = text.splitlines()[-2:]
    assert a.split() == "net a fit 10 ms 11 ms +10 % paper a".split()
    assert b.split() == "net b held-out 20 ms 10 ms -50 % paper b [only MACs are published]".split()
    assert "order of magnitude only" in published_text(get_device("pi4"), rows[:1])


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


@pytest.mark.parametrize(
    "reference, missing",
    [
        ({"network": "mobilenet_v2"}, "'mobilenet_v2' needs 'resolution', this one has network"),
        ({"network": "ofa-mbv3", "resolution": 224}, "'ofa-mbv3' needs 'macs_m'"),
        ({"network": "mcunet", "macs_m": 12}, "'mcunet' needs 'resolution'"),
    ],
)
def test_a_reference_says_what_its_network_takes(reference, missing):
    with pytest.raises(ValueError, match=missing):
        references.networks(reference)
