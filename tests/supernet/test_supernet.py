from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from spaces_for_tests import WIDE, make_it_bite, small_spaces

from labkit.space import Arch
from labkit.space.presets import spaces
from labkit.supernet.evaluation import recalibrate
from labkit.supernet.subnet import Subnet
from labkit.supernet.supernet import Supernet


def images_for(space, arch, n=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, space.in_channels, arch.resolution, arch.resolution, generator=generator)


def random_archs(space, n, seed=0):
    return space.decode(space.sample(np.random.default_rng(seed), n))


@pytest.mark.parametrize(
    "name, archs",
    [
        ("fmnist", 50),
        pytest.param("ofa-mbv3", 6),
        pytest.param("ofa-mbv3", 50, marks=pytest.mark.slow),
    ],
)
def test_extracted_subnet_computes_what_the_supernet_computes(name, archs):
    space = spaces[name]
    supernet = make_it_bite(Supernet(space))
    outputs = []
    for arch in random_archs(space, archs):
        calibration = images_for(space, arch, n=8, seed=1)
        stats = recalibrate(supernet, arch, calibration.split(4))
        # In the supernet's layout, so that both run the same kernels and round alike.
        x = images_for(space, arch).to(memory_format=torch.channels_last)
        with torch.no_grad():
            inside = supernet(x, arch, stats)
            torch.testing.assert_close(supernet.extract(arch, stats)(x), inside, rtol=0, atol=1e-5)
        assert inside.std(0).max() > 0.01  # images differ ...
        outputs.append(inside[0])
    assert torch.stack(outputs).std(0).max() > 0.01  # ... and so do archs


def test_recalibration_inside_equals_torchs_outside():
    space = spaces["fmnist"]
    supernet = make_it_bite(Supernet(space))
    for arch in random_archs(space, 5, seed=3):
        batches = images_for(space, arch, n=24).split(8)
        stats = recalibrate(supernet, arch, batches)
        subnet = supernet.extract(arch, stats)
        for module in subnet.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.reset_running_stats()
                module.momentum = None
        subnet.train()
        with torch.no_grad():
            for batch in batches:
                subnet(batch)
        theirs = {
            name: m for name, m in subnet.named_modules() if isinstance(m, torch.nn.BatchNorm2d)
        }
        assert theirs.keys() == stats.keys()
        for name, module in theirs.items():
            torch.testing.assert_close(module.running_mean, stats[name][0], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(module.running_var, stats[name][1], rtol=1e-4, atol=1e-5)


def test_a_training_step_reaches_exactly_the_weights_of_the_arch():
    space = spaces["fmnist"]
    for arch in [space.smallest(), *random_archs(space, 4, seed=5)]:
        supernet = make_it_bite(Supernet(space))
        labels = torch.tensor([0, 1, 2, 3])
        F.cross_entropy(supernet(images_for(space, arch), arch), labels).backward()
        shapes = {name: p.shape for name, p in Subnet(space, arch).named_parameters()}
        for name, parameter in supernet.named_parameters():
            used = torch.zeros_like(parameter, dtype=torch.bool)
            if name in shapes:
                used[tuple(slice(n) for n in shapes[name])] = True
                if name.endswith("depthwise.0.weight"):
                    used[:] = (
                        # kernel 3 is made of the transformed 5x5, which mixes the whole center
                        False
                    )
                    edge = 0 if shapes[name][-1] == 7 else 1
                    used[: shapes[name][0], :, edge : 7 - edge, edge : 7 - edge] = True
            elif "transforms" in name:
                block, _, matrix = name.partition(".depthwise.0.transforms.")
                weight = f"{block}.depthwise.0.weight"
                if weight in shapes and shapes[weight][-1] <= int(matrix[-1]):
                    side = 5 if matrix == "7to5" else 3
                    rows = torch.ones(side, side, dtype=torch.bool)
                    if matrix == "7to5" and shapes[weight][-1] == 3:
                        rows[[0, 4]] = rows[:, [0, 4]] = False  # of the 5x5 only the center goes on
                    used[rows.flatten()] = True
            gradient = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            assert (gradient[~used] == 0).all(), name
            if used.any():
                assert (gradient[used] != 0).any(), name


def test_archs_do_not_disturb_each_other():
    space = spaces["fmnist"]
    supernet = make_it_bite(Supernet(space))
    one, other = random_archs(space, 2, seed=9)
    x = images_for(space, one)
    stats = recalibrate(supernet, one, [x])
    before = supernet(x, one, stats)
    other_images = images_for(space, other)
    recalibrate(supernet, other, [other_images])
    supernet(other_images, other)
    torch.testing.assert_close(supernet(x, one, stats), before, rtol=0, atol=0)
    assert not list(supernet.buffers())


def test_wrong_resolution_and_foreign_statistics():
    space = spaces["fmnist"]
    supernet = Supernet(space)
    small, large = space.smallest(), space.largest()
    with pytest.raises(ValueError, match="28x28, the arch wants 12 pixels"):
        supernet(images_for(space, large), small)
    with pytest.raises(ValueError, match="images have 3 channels, space 'fmnist' wants 1"):
        supernet(torch.zeros(2, 3, 12, 12), small)
    stats = recalibrate(supernet, small, [images_for(space, small)])
    with pytest.raises(ValueError, match="recalibrate for this arch"):
        supernet(images_for(space, large), large, stats)
    with pytest.raises(ValueError, match="at least one batch"):
        recalibrate(supernet, small, [])
    with pytest.raises(ValueError, match="resolution 21"):
        Subnet(space, Arch(21, small.stages))


def test_a_network_of_one_arch_has_the_shapes_of_a_plain_subnet_and_computes_what_it_computes():
    space = spaces["fmnist"]
    for arch in random_archs(space, 3, seed=4):
        alone, plain = make_it_bite(Supernet(space, arch)), Subnet(space, arch)
        weights = dict(alone.named_parameters())
        assert {n: p.shape for n, p in weights.items()} == {
            n: p.shape for n, p in plain.named_parameters()
        }
        assert not any("transforms" in name for name in weights)
        plain.load_state_dict(weights, strict=False)
        x = images_for(space, arch)
        torch.testing.assert_close(alone(x, arch), plain.train()(x), rtol=1e-4, atol=1e-4)
    other = random_archs(space, 1, seed=5)[0]
    with pytest.raises(ValueError, match="holds one arch"):
        alone(images_for(space, other), other)
    with pytest.raises(ValueError, match="holds one arch"):
        alone.extract(other, recalibrate(Supernet(space), other, [images_for(space, other)]))


def test_choices_that_the_space_does_not_have_are_refused():
    space = spaces["fmnist"]
    arch = space.largest()
    wide = Arch(
        arch.resolution,
        tuple(tuple(block._replace(expand=9) for block in stage) for stage in arch.stages),
    )
    with pytest.raises(ValueError, match="expand ratio 9 is not in space 'fmnist'"):
        Supernet(space)(images_for(space, arch), wide)


@pytest.mark.parametrize("name", ["fmnist", "ofa-mbv3"])
def test_recomputed_activations_give_the_same_gradients(name):
    space = spaces[name]
    supernet = make_it_bite(Supernet(space)).double()
    arch = random_archs(space, 1, seed=6)[0]
    x, gradients = images_for(space, arch, n=2).double(), []
    for recompute in (False, True):
        supernet.zero_grad()
        F.cross_entropy(supernet(x, arch, recompute=recompute), torch.tensor([1, 2])).backward()
        gradients.append(
            {n: p.grad.clone() for n, p in supernet.named_parameters() if p.grad is not None}
        )
    assert gradients[0].keys() == gradients[1].keys()
    for at, gradient in gradients[0].items():
        torch.testing.assert_close(gradients[1][at], gradient, rtol=1e-10, atol=1e-12)
    assert max(g.abs().max() for g in gradients[0].values()) > 1e-3


def sliced(supernet, width):
    """The supernet of one width: the first channels of every layer."""
    narrow = Supernet(supernet.space.at(width))
    weights = supernet.state_dict()
    shapes = {name: tensor.shape for name, tensor in narrow.state_dict().items()}
    assert shapes.keys() == weights.keys()
    narrow.load_state_dict(
        {name: weights[name][tuple(map(slice, shape))] for name, shape in shapes.items()}
    )
    return narrow


@given(small_spaces | st.just(WIDE), st.integers(0, 1000))
@settings(max_examples=25, deadline=None)
def test_a_narrow_arch_uses_the_first_channels_of_every_layer(space, seed):
    supernet = make_it_bite(Supernet(space), seed)
    for arch in [space.smallest(), *random_archs(space, 2, seed)]:
        x = images_for(space, arch)
        stats = recalibrate(supernet, arch, [x])
        plain, narrow = replace(arch, width=1.0), sliced(supernet, arch.width)
        with torch.no_grad():
            logits = supernet(x, arch, stats)
            alone = narrow(x, plain, recalibrate(narrow, plain, [x]))
            torch.testing.assert_close(logits, alone, rtol=0, atol=1e-5)
            extracted = supernet.extract(arch, stats)
            torch.testing.assert_close(logits, extracted(x), rtol=0, atol=1e-5)
        plain_shapes = {
            n: p.shape for n, p in Subnet(space.at(arch.width), plain).named_parameters()
        }
        assert {n: p.shape for n, p in extracted.named_parameters()} == plain_shapes


def test_a_network_of_one_narrow_arch_is_as_narrow():
    arch = WIDE.smallest()
    alone = make_it_bite(Supernet(WIDE, arch))
    assert alone.classifier.weight.shape == (4, 12)
    x = images_for(WIDE, arch)
    stats = recalibrate(alone, arch, [x])
    with torch.no_grad():
        torch.testing.assert_close(alone(x, arch, stats), alone.extract(arch, stats)(x))
    recomputed = alone(x, arch, recompute=True)
    torch.testing.assert_close(recomputed, alone(x, arch))


def test_a_subnet_is_where_its_supernet_is_and_as_precise():
    """The device without memory stands for a GPU."""
    space, arch = spaces["fmnist"], spaces["fmnist"].smallest()
    supernet = Supernet(space)
    stats = recalibrate(supernet, arch, [images_for(space, arch, n=4)])
    double = supernet.double().extract(arch, stats)
    assert {parameter.dtype for parameter in double.parameters()} == {torch.float64}
    subnet = supernet.to("meta").extract(arch, stats)
    tensors = [*subnet.parameters(), *subnet.buffers()]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    images = images_for(space, arch, n=2).double().to("meta")
    assert subnet(images).shape == (2, space.num_classes)
