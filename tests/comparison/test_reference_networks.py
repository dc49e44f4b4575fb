"""Networks with published latencies, against torchvision, fvcore and published MACs."""

from __future__ import annotations

import json

import pytest
import torch
import torchvision
from devices_for_tests import devices
from fvcore.nn import FlopCountAnalysis

from labkit.comparison import reference_networks as references
from labkit.comparison.published_subnets import published_subnets
from labkit.latency.devices import get_device
from labkit.storage.errors import LabError
from labkit.storage.paths import data_dir


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small"])
def test_torchvision_layers_have_the_macs_that_fvcore_counts(name):
    model = getattr(torchvision.models, name)(weights=None).eval()
    counter = FlopCountAnalysis(model, torch.zeros(1, 3, 64, 64)).unsupported_ops_warnings(False)
    by_operator = counter.by_operator()
    assert (
        references.macs_of(references.torchvision_operators(name, 64))
        == by_operator["conv"] + by_operator["linear"]
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda net: net.update(stem="24"), r"field networks.mcunet-in0.stem: want a positive"),
        (lambda net: net["blocks"].append([3, 4, 5]), "mcunet-in0.blocks: want four sizes"),
        (lambda net: net.pop("blocks"), "mcunet-in0.blocks: want list, got None"),
    ],
)
def test_damaged_definitions_are_named(tmp_path, monkeypatch, change, message):
    path = tmp_path / "published" / "mcunet.json"
    content = json.loads((data_dir() / "published" / "mcunet.json").read_text(encoding="utf-8"))
    change(content["networks"]["mcunet-in0"])
    path.parent.mkdir()
    path.write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    with pytest.raises(LabError, match=message):
        references.mcunet_definitions.__wrapped__()


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


@pytest.mark.parametrize(
    "name, macs_m, parameters",
    [
        ("mlperf-tiny-ic", 12.5, 78_000),
        ("mlperf-tiny-vww", 7.5, 220_000),
        ("mlperf-tiny-kws", 2.66, None),
        ("mlperf-tiny-ad", 0.264, 268_000),
        ("mcunet-in0", 6.4, None),
        ("mcunet-in1", 12.8, None),
        ("mcunet-in2", 67.3, None),
        ("mcunet-in3", 81.8, None),
        ("mcunet-in4", 125.9, None),
        ("mobilenet_v2-w0.35-r144", 23.5, None),
    ],
)
def test_networks_of_microcontrollers_have_their_published_size(name, macs_m, parameters):
    """As in arXiv 2106.07597 with its reference models, and in arXiv 2110.15352."""
    operators = references.operators_of({"network": name})
    assert references.macs_of(operators) / 1e6 == pytest.approx(macs_m, rel=0.04)
    if parameters:
        assert sum(layer.weights for layer in operators) == pytest.approx(parameters, rel=0.06)


def test_a_published_subnet_may_have_a_resolution_that_the_space_has_not():
    """The published subnets have, and 230M MACs are what is published of this one."""
    reference = get_device("pixel1").references[3]
    assert reference["latency_ms"] == 58
    operators = references.operators_of(reference)
    assert operators[0].side == 220
    assert references.macs_of(operators) / 1e6 == pytest.approx(230, rel=0.02)


def test_latencies_of_published_subnets_are_those_of_their_publishers():
    latency_ms = {subnet.name: subnet.latency_ms for subnet in published_subnets()}
    for name in ("pixel1", "note10-class"):
        for reference in get_device(name).references:
            assert reference["latency_ms"] == latency_ms[reference["network"]]


def test_all_references_of_devices_are_networks_that_follow_one_another():
    for device in devices():
        for reference in device.references:
            operators = references.operators_of(reference)
            assert operators[-1].kind == "linear" and references.macs_of(operators) > 0


@pytest.mark.parametrize(
    "reference, message",
    [
        ({"network": "mobilenet_v2"}, "'mobilenet_v2' needs 'resolution', this one has network"),
        (
            {"network": "ofa-mbv3", "resolution": 224},
            "unknown network 'ofa-mbv3', known: .*published subnets",
        ),
        ({"network": "nas-bench-201:s,s,s,s,s,s", "graph": "x"}, "graph 'x'"),
    ],
)
def test_a_reference_says_what_its_network_takes(reference, message):
    with pytest.raises(ValueError, match=message):
        references.operators_of(reference)
