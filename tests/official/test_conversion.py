"""Against the official package itself, with weights on which subnets and images differ."""

import importlib
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from official_for_tests import NAMES, activate, archs_of, official_net
from torch import nn

from labkit.official import conversion as official
from labkit.official import layer_names
from labkit.official.arch_dicts import arch_from_official, arch_to_official
from labkit.space import Arch, Block
from labkit.space.presets import get_space, spaces
from labkit.supernet.evaluation import recalibrate
from labkit.supernet.supernet import Supernet

TOLERANCE = 1e-4


@torch.no_grad()
def make_bite(net: nn.Module, generator: torch.Generator) -> None:
    """Weights of no symmetry. Fresh ones are useless here: every subnet answers with the
    classifier's bias.
    """

    def randn(tensor: torch.Tensor) -> torch.Tensor:
        return torch.randn(tensor.shape, generator=generator)

    for name, parameter in net.named_parameters():
        if name.endswith("_matrix"):
            parameter += 0.1 * randn(parameter)
        elif re.search(r"classifier\.|feature_mix_layer\.conv\.", name):
            parameter *= 3
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.copy_(0.5 + torch.rand(module.weight.shape, generator=generator))
            module.bias.copy_(0.1 * randn(module.bias))
    net.eval()


@pytest.fixture(scope="module", params=NAMES)
def pair(request: pytest.FixtureRequest) -> tuple:
    """(space, their network, our supernet with its weights)"""
    theirs, space = official_net(request.param), get_space(request.param)
    make_bite(theirs, torch.Generator().manual_seed(1))
    supernet = Supernet(space)
    official.load(supernet, theirs.state_dict())
    return space, theirs, supernet


def images_at(resolution: int, n: int = 2, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 3, resolution, resolution, generator=torch.Generator().manual_seed(seed))


def calibrate(theirs: nn.Module, arch: Arch) -> None:
    """Their own recalibration. Without it the widest subnet's statistics squash every other's
    signal.
    """
    utils = pytest.importorskip("ofa.imagenet_classification.elastic_nn.utils")
    utils.set_running_statistics(theirs, [(images_at(arch.resolution, 4, seed=3), None)])


@pytest.mark.slow
@torch.no_grad()
def test_same_function_of_50_archs(pair):
    space, theirs, supernet = pair
    outputs = []
    for arch in archs_of(space, 50):
        images = images_at(arch.resolution)
        calibrate(activate(theirs, space, arch), arch)
        expected = theirs(images)
        stats = official.stats_for(
            space, arch, official.from_official(space, theirs.state_dict())[1]
        )
        torch.testing.assert_close(supernet(images, arch, stats), expected, rtol=0, atol=TOLERANCE)
        torch.testing.assert_close(
            supernet.extract(arch, stats)(images), expected, rtol=0, atol=TOLERANCE
        )
        outputs.append(expected)
    # The comparison means something: outputs differ between images and between subnets.
    stacked = torch.stack(outputs)  # (archs, 2, classes)
    assert (stacked[:, 0] - stacked[:, 1]).abs().amax(1).min() > 100 * TOLERANCE
    assert (
        torch.cdist(stacked[:, 0], stacked[:, 0]).fill_diagonal_(torch.inf).min() > 100 * TOLERANCE
    )


@torch.no_grad()
def test_same_extracted_subnets(pair):
    space, theirs, supernet = pair
    for arch in archs_of(space, 3):
        images = images_at(arch.resolution)
        calibrate(activate(theirs, space, arch), arch)
        running = official.from_official(space, theirs.state_dict())[1]
        expected = theirs.get_active_subnet(preserve_weight=True).eval()(images)
        assert (expected[0] - expected[1]).abs().max() > 100 * TOLERANCE
        subnet = supernet.extract(arch, official.stats_for(space, arch, running))
        torch.testing.assert_close(subnet(images), expected, rtol=0, atol=TOLERANCE)


@torch.no_grad()
def test_same_statistics_from_recalibration(pair):
    """Theirs are the biased variances of a batch, ours like torch's unbiased: n / (n - 1) apart,
    where n counts images and pixels, here at least 16 * 4 * 4."""
    space, theirs, supernet = pair
    utils = pytest.importorskip("ofa.imagenet_classification.elastic_nn.utils")
    arch, images = Arch(128, archs_of(space, 1)[0].stages), images_at(128, 16, seed=3)
    utils.set_running_statistics(activate(theirs, space, arch), [(images, None)])
    expected = official.stats_for(
        space, arch, official.from_official(space, theirs.state_dict())[1]
    )
    ours = recalibrate(supernet, arch, [images])
    assert ours.keys() == expected.keys()
    for name, (mean, variance) in ours.items():
        torch.testing.assert_close(mean, expected[name][0], rtol=1e-4, atol=1e-4)
        ratio = variance / expected[name][1]
        assert 1 - 1e-4 < ratio.min() and ratio.max() < 256 / 255 + 1e-4, name


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_export_loads_in_the_official_package(name):
    theirs, space = official_net(name), get_space(name)
    torch.manual_seed(2)
    supernet = Supernet(space)
    for parameter in supernet.parameters():
        parameter += 0.02 * torch.randn_like(parameter)
    supernet.classifier.weight *= 10
    largest = Arch(128, space.largest().stages)
    running = recalibrate(supernet, largest, [images_at(128, 8, seed=5)])
    state = official.export(supernet, running)
    assert {k: v.shape for k, v in state.items()} == {
        k: v.shape for k, v in theirs.state_dict().items()
    }
    nn.Module.load_state_dict(theirs, state, strict=True)  # their own method forgives missing keys
    theirs.load_state_dict(state)
    theirs.eval()
    for arch in [largest, *archs_of(space, 3)]:
        images = images_at(arch.resolution)
        expected = supernet(images, arch, official.stats_for(space, arch, running))
        assert arch != largest or (expected[0] - expected[1]).abs().max() > 100 * TOLERANCE
        torch.testing.assert_close(
            activate(theirs, space, arch)(images), expected, rtol=0, atol=TOLERANCE
        )


def test_the_extra_brings_what_the_official_package_imports():
    """It declares only torch; what its model zoo, tutorial and FLOPs table import is in our extra
    `peers`.
    """
    pytest.importorskip("ofa", reason="needs the extra `peers`")
    for module in ("ofa.model_zoo", "ofa.tutorial", "thop", "yaml"):
        importlib.import_module(module)


def test_archs_mean_the_same_to_their_encoder():
    encoders = pytest.importorskip("ofa.nas.accuracy_predictor")
    space = get_space("ofa-mbv3")
    encoder = encoders.MobileNetArchEncoder(image_size_list=list(space.resolutions))
    for arch in archs_of(space, 20):
        config = arch_to_official(space, arch)
        with_size = {**{k: config[k] for k in ("ks", "e", "d")}, "image_size": config["r"][0]}
        back = encoder.feature2arch(encoder.arch2feature(with_size))
        assert back == with_size  # zeros for absent blocks are their canonical form too
        assert arch_from_official(space, back) == arch


# ---- without the official package ----


@pytest.fixture(scope="module")
def exported() -> dict:
    return official.export(Supernet(get_space("ofa-mbv3")))


def test_layout_of_the_paper_network(exported):
    """Counts and shapes as published for OFAMobileNetV3, width 1.0."""
    assert len(exported) == 475
    assert (
        sum(v.numel() for k, v in exported.items() if "running" not in k and "tracked" not in k)
        == 7_678_880
    )
    assert sum("running" in k or "tracked" in k for k in exported) == 192
    assert exported["first_conv.conv.weight"].shape == (16, 3, 3, 3)
    assert exported["blocks.5.conv.depth_conv.conv.7to5_matrix"].shape == (25, 25)
    assert exported["blocks.20.conv.depth_conv.se.fc.reduce.weight"].shape == (240, 960, 1, 1)
    assert exported["final_expand_layer.conv.weight"].shape == (960, 160, 1, 1)
    assert exported["feature_mix_layer.conv.weight"].shape == (1280, 960, 1, 1)
    assert exported["classifier.linear.weight"].shape == (1000, 1280)


@pytest.mark.parametrize("name", NAMES)
def test_round_trip_is_exact(name):
    space = get_space(name)
    supernet, other = Supernet(space), Supernet(space)
    running = official.load(other, official.export(supernet))
    assert set(running) == set(layer_names.norm_names(space))
    for key, value in supernet.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


def test_older_releases_load(exported):
    space = get_space("ofa-mbv3")

    def older(name: str) -> str:
        in_block = name.startswith("blocks")
        return name.replace(".conv.", ".mobile_inverted_conv.", 1) if in_block else name

    old = {f"module.{older(name)}": value for name, value in exported.items()}
    old = {k.replace("classifier.linear.", "classifier.linear.linear."): v for k, v in old.items()}
    assert any("mobile_inverted_conv" in k for k in old)
    weights, _ = official.from_official(space, old)
    assert torch.equal(
        weights["blocks.stage1_block0.se.fc2.bias"],
        exported["blocks.5.conv.depth_conv.se.fc.expand.bias"],
    )


@pytest.mark.parametrize(
    "change, message",
    [
        (
            lambda s: s.pop("blocks.3.conv.depth_conv.conv.5to3_matrix"),
            r"1 missing \(blocks.3.*5to3_matrix\)",
        ),
        (
            lambda s: s.pop("blocks.3.conv.depth_conv.bn.bn.running_var"),
            r"1 missing \(blocks.3.*running_var\)",
        ),
        (
            lambda s: s.update({"blocks.21.conv.x": torch.zeros(1)}),
            r"1 not part of this network \(blocks.21",
        ),
        (
            lambda s: s.update({"first_conv.conv.weight": torch.zeros(24, 3, 3, 3)}),
            (
                r"1 of another shape \(first_conv.conv.weight is torch.float32 \(24, 3, 3, 3\),"
                r" want \(16, 3, 3, 3\)\)"
            ),
        ),
        (lambda s: s.update({"first_conv.bn.bias": [0.0] * 16}), "first_conv.bn.bias is list"),
        (
            lambda s: s.update({"first_conv.bn.bias": torch.zeros(16, dtype=torch.long)}),
            "torch.int64",
        ),
        (
            lambda s: s.update({"module.first_conv.bn.bias": torch.zeros(16)}),
            "two keys .* mean 'first_conv.bn.bias'",
        ),
    ],
)
def test_misfits_are_named_and_nothing_is_copied(exported, change, message):
    state, supernet = dict(exported), Supernet(get_space("ofa-mbv3"))
    before = {k: v.clone() for k, v in supernet.state_dict().items()}
    change(state)
    with pytest.raises(official.StateDictError, match=message):
        official.load(supernet, state)
    assert all(torch.equal(before[k], v) for k, v in supernet.state_dict().items())


def test_wrong_width_is_an_error(exported):
    with pytest.raises(official.StateDictError, match="width 1.2.* of another shape"):
        official.from_official(get_space("ofa-mbv3-w1.2"), exported)
    with pytest.raises(ValueError, match="'fmnist' has no official counterpart"):
        official.export(Supernet(get_space("fmnist")))


def test_statistics_of_one_arch_do_not_pass_as_the_supernets():
    space = get_space("ofa-mbv3")
    supernet, running = (
        Supernet(space),
        official.from_official(space, official.export(Supernet(space)))[1],
    )
    with pytest.raises(ValueError, match="channels"):
        official.export(
            supernet,
            official.BatchNormStats(
                {**running, **official.stats_for(space, space.smallest(), running)}
            ),
        )


@settings(max_examples=50, deadline=None)
@given(st.sampled_from(NAMES), st.integers(0, 2**32 - 1))
def test_archs_round_trip(name, seed):
    space = spaces[name]
    rng = np.random.default_rng(seed)
    [arch] = space.decode(space.sample(rng, 1))
    config = arch_to_official(space, arch)
    assert len(config["ks"]) == len(config["e"]) == 4 * 5 + (len(space.stages) - 5)
    assert arch_from_official(space, config) == arch
    # Whatever an official list says about blocks that are not there changes nothing.
    noise = {
        key: [value or int(rng.integers(1, 9)) for value in config[key]] for key in ("ks", "e")
    }
    assert arch_from_official(space, {**config, **noise}) == arch


def test_arch_by_hand():
    """Entry 4 * s + i of "ks" and "e" is block i of stage s."""
    space = get_space("ofa-mbv3")
    config = {
        "ks": [3, 5, 7, 3, 7] + [3] * 15,
        "e": [6, 4, 3, 3, 4] + [3] * 15,
        "d": [3, 2, 2, 2, 2],
        "image_size": 160,
        "wid": None,
    }
    arch = arch_from_official(space, config)
    assert arch.resolution == 160
    assert arch.stages[0] == (Block(3, 6), Block(5, 4), Block(7, 3))
    assert arch.stages[1] == (Block(7, 4), Block(3, 3))
    assert arch_to_official(space, arch)["ks"][:8] == [3, 5, 7, 0, 7, 3, 0, 0]


def test_one_number_for_a_whole_list():
    for name in NAMES:
        space = get_space(name)  # d=4 also reaches ProxylessNAS's last stage, which has one block
        assert arch_from_official(space, {"ks": 7, "e": 6, "d": 4, "r": 224}) == space.largest()


@pytest.mark.parametrize(
    "config, message",
    [
        ({"ks": 7, "e": 6, "d": 4}, "'r' must be an integer"),
        ({"ks": [7] * 15, "e": 6, "d": 3, "r": 224}, "'ks' has 15 entries, 'ofa-mbv3' wants 20"),
        ({"ks": 7, "e": 6, "d": [4] * 6, "r": 224}, "'d' has 6 entries"),
        ({"ks": 7, "e": [6], "d": 4, "r": 224}, "'e' has 1 entries"),  # there, of block 1 only
        ({"ks": 9, "e": 6, "d": 4, "r": 224}, "kernel size 9"),
        ({"ks": 7, "e": 6, "d": 1, "r": 224}, "depth 1"),
        ({"ks": 7, "e": "six", "d": 4, "r": 224}, "'e' must be an integer"),
        ({"ks": 7, "e": 6, "d": 4, "r": [160, 224]}, "one resolution"),
        ({"ks": [None] * 20, "e": 6, "d": 4, "r": 224}, "'ks' must be an integer"),
    ],
)
def test_bad_archs_are_named(config, message):
    with pytest.raises(ValueError, match=message):
        arch_from_official(get_space("ofa-mbv3"), config)
