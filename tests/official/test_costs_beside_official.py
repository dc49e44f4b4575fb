"""Our counters against networks that others published: torchvision's MobileNets and the official
subnets.
"""

import logging

import numpy as np
import pytest
import torch
import torchvision
from official_for_tests import NAMES, activate, archs_of, official_net
from torch import nn

from labkit.space import BlockShape, SearchSpace, Stage, network
from labkit.space.presets import get_space
from labkit.tables.costs import macs_table, params_table


def count_macs(model: nn.Module, resolution: int) -> int:
    """Multiply-adds of convolutions and linear layers, from the shapes that pass through them."""
    total = 0

    def add(module: nn.Module, inputs: tuple, output: torch.Tensor) -> None:
        nonlocal total
        total += (
            output.numel() * module.weight[0].numel()
        )  # each output value is one dot product with a filter

    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.register_forward_hook(add)
    with torch.no_grad():
        model.eval()(torch.zeros(1, 3, resolution, resolution))
    return total


def count_params(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


# MobileNetV2 (arXiv 1801.04381, table 2) has one kernel size and one expand ratio: a search space
# of one arch.
MOBILENET_V2 = SearchSpace(
    "mobilenet-v2",
    (160, 224),
    in_channels=3,
    num_classes=1000,
    stem_width=32,
    stem_act="relu6",
    first_width=16,
    first_act="relu6",
    final_width=1280,
    head_act="relu6",
    stages=tuple(
        Stage(width, stride, (depth,), kernels=(3,), expands=(6,), act="relu6")
        for width, depth, stride in (
            (24, 2, 2),
            (32, 3, 2),
            (64, 4, 2),
            (96, 3, 1),
            (160, 3, 2),
            (320, 1, 1),
        )
    ),
)


def test_mobilenet_v2():
    genes = MOBILENET_V2.encode(list(MOBILENET_V2.enumerate()))
    macs, params = macs_table(MOBILENET_V2)(genes), params_table(MOBILENET_V2)(genes)
    model = torchvision.models.mobilenet_v2(weights=None)
    assert macs.tolist() == [
        count_macs(model, 160),
        count_macs(torchvision.models.mobilenet_v2(weights=None), 224),
    ]
    assert params.tolist() == [count_params(model)] * 2
    published = torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1.meta
    assert params[0] == published["num_params"] == 3_504_872
    assert round(macs[1] / 1e9, 3) == published["_ops"] == 0.301


# MobileNetV3-Large (arXiv 1905.02244, table 1): kernel, width of the middle, width out, SE, stride.
# No search space of ours: its middles of 200 and 184 are no integer multiples of their inputs, and
# the layer after pooling has a bias. The functions behind the tables take any ratio.
MOBILENET_V3_LARGE = (
    (3, 16, 16, False, 1),
    (3, 64, 24, False, 2),
    (3, 72, 24, False, 1),
    (5, 72, 40, True, 2),
    (5, 120, 40, True, 1),
    (5, 120, 40, True, 1),
    (3, 240, 80, False, 2),
    (3, 200, 80, False, 1),
    (3, 184, 80, False, 1),
    (3, 184, 80, False, 1),
    (3, 480, 112, True, 1),
    (3, 672, 112, True, 1),
    (5, 672, 160, True, 2),
    (5, 960, 160, True, 1),
    (5, 960, 160, True, 1),
)


def test_mobilenet_v3_large():
    side, width = 112, 16
    macs, params = 3 * 9 * 16 * 112**2, 3 * 9 * 16 + 2 * 16
    for kernel, middle, out, se, stride in MOBILENET_V3_LARGE:
        shape, expand = BlockShape(0, 0, width, out, stride, "h_swish", se), middle / width
        operators = network.block(shape, kernel, expand, side)
        macs += sum(operator.macs for operator in operators)
        params += sum(operator.params for operator in operators)
        side, width = operators[-1].out_side, out
    macs += 160 * 960 * 7**2 + 960 * 1280 + 1280 * 1000
    params += 160 * 960 + 2 * 960 + 960 * 1280 + 1280 + 1280 * 1000 + 1000
    model = torchvision.models.mobilenet_v3_large(weights=None)
    assert macs == count_macs(model, 224)
    assert params == count_params(model)
    published = torchvision.models.MobileNet_V3_Large_Weights.IMAGENET1K_V1.meta
    assert params == published["num_params"] == 5_483_032
    assert round(macs / 1e9, 3) == published["_ops"] == 0.217


@pytest.mark.parametrize("name", NAMES)
def test_extracted_official_subnets_as_fvcore_counts_them(name):
    fvcore = pytest.importorskip("fvcore.nn", reason="fvcore is in the extra `dev`")
    logging.getLogger("fvcore").setLevel(logging.ERROR)
    theirs, space = official_net(name), get_space(name)
    archs = archs_of(space, 4)
    genes = space.encode(archs)
    for arch, macs, params in zip(archs, macs_table(space)(genes), params_table(space)(genes)):
        subnet = activate(theirs, space, arch).get_active_subnet(preserve_weight=True).eval()
        image = torch.zeros(1, 3, arch.resolution, arch.resolution)
        counted = (
            fvcore.FlopCountAnalysis(subnet, image).unsupported_ops_warnings(False).by_operator()
        )
        assert macs == counted["conv"] + counted["linear"]
        assert params == count_params(subnet)
    assert len(np.unique(macs_table(space)(genes))) == len(archs)
