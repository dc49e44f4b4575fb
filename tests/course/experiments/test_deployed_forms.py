"""A subnet's forms and its memory over a schedule, against closed forms and the cost tables."""

import builtins

import numpy as np
import pytest
import torch
from spaces_for_tests import ONE_WIDTH as SPACE
from torch import nn

from labkit.course.experiments import deployed_forms
from labkit.course.judges.deployment import peak_of
from labkit.course.pictures.deployment import levels_of_channels
from labkit.course.pictures.memory_schedule import (
    memory_over_schedule,
    memory_steps,
    operators_and_sizes,
)
from labkit.runtime.timing import TimingLimits
from labkit.space import Arch, Block
from labkit.space.presets import get_space
from labkit.supernet.subnet import Subnet
from labkit.tables.costs import activation_table

ARCH = Arch(20, ((Block(3, 2),), (Block(5, 3), Block(3, 2)), (Block(3, 2), Block(3, 3))))
FEW = TimingLimits(
    warmup=0, min_repeats=2, max_repeats=2, seconds=0.01, min_rounds=1, max_rounds=1, redo=0
)


@pytest.fixture(scope="module")
def subnet():
    """A subnet with random statistics, so that folding has something to do."""
    torch.manual_seed(0)
    network = Subnet(SPACE, ARCH)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.running_mean, module.bias.data):
                tensor.normal_(0, 0.3)
            for tensor in (module.running_var, module.weight.data):
                tensor.uniform_(0.5, 2)
    return network.eval()


@pytest.fixture(scope="module")
def images():
    return torch.randn(128, 1, 20, 20, generator=torch.Generator().manual_seed(1))


def test_folding_leaves_no_batch_norm_and_the_same_function(subnet, images):
    before = {name: tensor.clone() for name, tensor in subnet.state_dict().items()}
    folded = deployed_forms.fold_batch_norms(subnet)
    with torch.no_grad():
        assert torch.allclose(folded(images), subnet(images), atol=1e-4)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert all(torch.equal(tensor, before[name]) for name, tensor in subnet.state_dict().items())


@pytest.mark.parametrize("bits", [2, 4, 8])
def test_rounded_weights_are_whole_steps_at_most_half_a_step_away(bits):
    torch.manual_seed(2)
    network = nn.Sequential(nn.Conv2d(3, 5, 3), nn.Conv2d(5, 5, 3, groups=5), nn.Linear(4, 6))
    network[0].weight.data[1] *= 20  # a wide channel
    network[0].weight.data[2] = 0  # a dead one
    top = 2 ** (bits - 1) - 1
    for per_channel in (True, False):
        for old, new in zip(network, deployed_forms.round_weights(network, bits, per_channel)):
            w, got = (layer.weight.detach().double().flatten(1).numpy() for layer in (old, new))
            widest = (
                np.abs(w).max(1, keepdims=True)
                if per_channel
                else np.full((len(w), 1), np.abs(w).max())
            )
            step = np.maximum(widest / top, 1e-12)
            codes = got / step
            assert (
                np.allclose(codes, np.round(codes), atol=1e-3) and np.abs(codes).max() <= top + 1e-3
            )
            assert (np.abs(got - w) <= 0.5001 * step).all()
            assert torch.equal(old.bias, new.bias)


def test_what_enters_the_last_layer_is_what_makes_the_logits(subnet, images):
    last, first, rest = deployed_forms.entering_last_layer(subnet, images[:8], images[8:])
    assert first.shape == (8, last.in_features) and len(rest) == len(images) - 8
    with torch.no_grad():
        assert torch.allclose(last(torch.tensor(rest)), subnet(images[8:]), atol=1e-4)
    assert not last._forward_pre_hooks


def test_accuracy_counts_hits():
    logits = torch.eye(4)[[0, 1, 2, 3, 0]].view(5, 4, 1, 1)
    assert deployed_forms.accuracy(
        nn.Flatten(), logits, torch.tensor([0, 1, 2, 0, 1])
    ) == pytest.approx(60)


@pytest.mark.parametrize("name", ["fmnist", "ofa-mbv3", "ofa-proxyless-w1.3"])
def test_the_schedules_peak_is_that_of_the_cost_table(name):
    space = get_space(name)
    genes = np.concatenate(
        [
            space.encode([space.smallest(), space.largest()]),
            space.sample(np.random.default_rng(3), 40),
        ]
    )
    peaks = [max(step.total for step in memory_steps(space, arch)) for arch in space.decode(genes)]
    assert peaks == activation_table(space, 1)(genes).tolist()
    schedules = (operators_and_sizes(space, arch) for arch in space.decode(genes))
    assert peaks == [peak_of({"operators": each, "sizes": sizes}) for each, sizes in schedules]


def test_a_schedule_by_hand():
    steps = memory_steps(SPACE, ARCH)
    assert [step.operator for step in steps[:4]] == ["conv", "expand", "depthwise", "project"]
    assert steps[0][2:] == (20 * 20, 8 * 20 * 20, 0)
    assert steps[2][2:] == (16 * 400, 16 * 100, 0)  # stride 2: no shortcut
    second_block = [step for step in steps if step.place == "stage1_block1"]
    assert second_block[1][2:] == (
        64 * 25,
        64 * 25,
        32 * 25,
    )  # the block's input waits for the addition
    assert {step.waiting for step in second_block} == {0, 32 * 25}
    assert steps[-1][2:] == (192, 10, 0)


def test_two_forms_are_measured(subnet, images):
    pytest.importorskip("onnxruntime")
    labels = subnet(images).argmax(1)  # so fp32 is right about all of them
    fp32, int8 = deployed_forms.measure_forms(SPACE, subnet, images, images, labels, FEW)
    assert (
        (fp32.form, int8.form) == ("fp32", "int8")
        and fp32.accuracy == 100
        and 0 < int8.accuracy <= 100
    )
    assert fp32.latency_ms > 0 < int8.latency_ms and int8.kilobytes < fp32.kilobytes


# Without onnx there is no labkit.deploy.onnx.
@pytest.mark.parametrize("missing", ["onnxruntime", "labkit.deploy.onnx"])
def test_without_onnx_runtime_pytorch_is_measured(subnet, images, monkeypatch, missing):
    really_import = builtins.__import__

    def without(name, *args, **kwargs):
        if name == missing:
            raise ImportError(name)
        return really_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    labels = subnet(images).argmax(1)
    plain, folded = deployed_forms.measure_forms(SPACE, subnet, images, images, labels, FEW)
    assert (plain.form, folded.form) == ("fp32", "fp32, batch norm folded")
    assert "PyTorch" in plain.runtime and plain.accuracy == 100 and folded.accuracy > 98


def test_pictures_show_what_they_are_given():
    figure = levels_of_channels({"layer": np.array([1.0, 4.0, 2.0])}, bits=4)
    assert [bar.get_height() for bar in figure.axes[0].patches] == [7, 3.5, 1.75]
    network = memory_steps(SPACE, ARCH)
    figure = memory_over_schedule({"one": network, "two": network}, 2, 2048, "limit")
    tops = np.reshape([bar.get_y() + bar.get_height() for bar in figure.axes[1].patches], (3, -1))[
        -1
    ]
    assert np.allclose(tops, [2 * step.total / 1024 for step in network])
    assert all(axes.get_ylabel() for axes in figure.axes)
