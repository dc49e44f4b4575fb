"""Networks with published latencies, against torchvision, fvcore and published MACs."""

from __future__ import annotations

import pytest
import torch
import torchvision
from devices_for_tests import devices
from fvcore.nn import FlopCountAnalysis

from labkit.comparison import reference_networks as references


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
