"""The operators of a network by hand, and what follows when they are changed in one place."""

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spaces_for_tests import make_it_bite, small_spaces
from torch import nn

from labkit.course.pictures.memory_schedule import memory_steps
from labkit.deploy.onnx.export import onnx_model
from labkit.latency.devices import get_device
from labkit.space import Block, BlockShape, SearchSpace, Stage, network
from labkit.space.operators import Operator, Schedule, alive_values, convolution, global_pool
from labkit.supernet.evaluation import recalibrate
from labkit.supernet.supernet import Supernet
from labkit.tables.arena import arena_table, micro_graph, planned_bytes
from labkit.tables.costs import activation_table, macs_table, params_table

SPACE = SearchSpace(
    name="net",
    resolutions=(12, 16),
    in_channels=1,
    num_classes=4,
    stem_width=8,
    first_width=8,
    final_width=24,
    feature_width=16,
    stages=(
        Stage(8, 1, (1, 2), (3, 5), (2, 3), act="relu"),
        Stage(16, 2, (1, 2), (3, 5), (2, 3), se=True),
    ),
)
EXTRA = 1024  # channels of the layer that a test adds: wide enough to set every peak


def test_places_and_sizes_of_a_network_by_hand():
    operators = network.operators(SPACE, SPACE.smallest())
    assert [(o.place, o.kind, o.in_channels, o.out_channels, o.side) for o in operators] == [
        ("stem", "dense", 1, 8, 12),
        ("first.depthwise", "depthwise", 8, 8, 6),
        ("first.project", "pointwise", 8, 8, 6),
        ("first.add", "add", 8, 8, 6),
        ("blocks.stage0_block0.expand", "pointwise", 8, 16, 6),
        ("blocks.stage0_block0.depthwise", "depthwise", 16, 16, 6),
        ("blocks.stage0_block0.project", "pointwise", 16, 8, 6),
        ("blocks.stage0_block0.add", "add", 8, 8, 6),
        ("blocks.stage1_block0.expand", "pointwise", 8, 16, 6),
        ("blocks.stage1_block0.depthwise", "depthwise", 16, 16, 6),
        ("blocks.stage1_block0.se.pool", "pool", 16, 16, 3),
        ("blocks.stage1_block0.se.fc1", "pointwise", 16, 8, 1),
        ("blocks.stage1_block0.se.fc2", "pointwise", 8, 16, 1),
        ("blocks.stage1_block0.se.scale", "scale", 16, 16, 3),
        ("blocks.stage1_block0.project", "pointwise", 16, 16, 3),
        ("final", "pointwise", 16, 24, 3),
        ("pool", "pool", 24, 24, 3),
        ("feature.0", "pointwise", 24, 16, 1),
        ("classifier", "linear", 16, 4, 1),
    ]


def test_one_operator_by_hand():
    layer = convolution(8, 12, 3, 10, stride=2, norm=True)
    assert (layer.kind, layer.out_side, layer.weight_shape) == ("dense", 5, (12, 8, 3, 3))
    assert (layer.inputs, layer.outputs) == (8 * 100, 12 * 25)
    assert (layer.macs, layer.params) == (12 * 8 * 9 * 25, 12 * 8 * 9 + 2 * 12)
    assert convolution(8, 8, 5, 10, depthwise=True).macs == 8 * 25 * 100
    assert global_pool(8, 7).outputs == 8
    add, scale = Operator("add", 8, 8, 5), Operator("scale", 8, 8, 5)
    assert (add.inputs, scale.inputs, add.outputs, add.macs) == (2 * 200, 200 + 8, 200, 0)


def test_what_is_alive_in_a_block_by_hand():
    """8 -> 8 channels on 5x5, expanded to 16; the block's input waits for the addition."""
    operators = network.block(BlockShape(0, 1, 8, 8, 1, "relu", True), 3, 2, 5)
    narrow, wide = 200, 400
    assert alive_values(operators) == [
        narrow + wide,
        narrow + wide + wide,
        narrow + wide + 16,  # the map that is pooled waits for its scale
        narrow + wide + 16 + 8,
        narrow + wide + 8 + 16,
        narrow + wide + 16,
        narrow + wide + narrow,
        narrow + narrow,
    ]


def test_a_schedule_frees_what_nobody_reads_any_more():
    schedule = Schedule(10)
    a = schedule.run([0], 20)
    b = schedule.run([a], 30, scratch=(2, 3))
    schedule.run([b, 0], 40)
    assert schedule.alive() == [10 + 20, 10 + 20 + 30 + 5, 10 + 30 + 40]


def run_operators(operators, weights, x):
    """Slow and obvious: every operator by torch's functions, with the weights of a subnet."""
    functions = {
        "relu": nn.functional.relu,
        "h_swish": nn.functional.hardswish,
        "h_sigmoid": nn.functional.hardsigmoid,
        "relu6": nn.functional.relu6,
    }
    outputs = [x]
    for operator in operators:
        inputs = [outputs[i] for i in operator.reads]
        place = f"{operator.place}.0" if operator.norm else operator.place
        if operator.kind == "pool":
            y = inputs[0].mean((2, 3), keepdim=True)
        elif operator.kind == "scale":
            y = inputs[0] * inputs[1]
        elif operator.kind == "add":
            y = inputs[0] + inputs[1]
        elif operator.kind == "linear":
            y = inputs[0].flatten(1) @ weights[f"{place}.weight"].T + weights[f"{place}.bias"]
        else:
            weight = weights[f"{place}.weight"]
            assert tuple(weight.shape) == operator.weight_shape
            groups = operator.in_channels if operator.kind == "depthwise" else 1
            bias = weights[f"{place}.bias"] if operator.bias else None
            padding = operator.kernel // 2
            x = inputs[0]
            y = nn.functional.conv2d(x, weight, bias, operator.stride, padding, 1, groups)
            assert x.shape[1:] == (operator.in_channels, operator.side, operator.side)
        if operator.norm:
            norm = f"{operator.place}.1"
            scale = weights[f"{norm}.weight"] / (weights[f"{norm}.running_var"] + 1e-5).sqrt()
            shift = weights[f"{norm}.bias"] - weights[f"{norm}.running_mean"] * scale
            y = y * scale.view(-1, 1, 1) + shift.view(-1, 1, 1)
        outputs.append(functions[operator.act](y) if operator.act else y)
    return outputs[-1]


@given(small_spaces, st.integers(0, 1000))
@settings(max_examples=20, deadline=None)
def test_operators_run_one_by_one_compute_what_the_subnet_computes(space, seed):
    (arch,) = space.decode(space.sample(np.random.default_rng(seed), 1))
    supernet = make_it_bite(Supernet(space), seed)
    images = torch.randn(4, 1, arch.resolution, arch.resolution)
    subnet = supernet.extract(arch, recalibrate(supernet, arch, [images]))
    with torch.no_grad():
        expected = subnet(images)
        logits = run_operators(network.operators(space, arch), subnet.state_dict(), images)
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)


@pytest.fixture
def longer(monkeypatch):
    """Every network gets one more layer: a pointwise convolution before the final one."""
    head = network.head

    def longer_head(space, side):
        operators = list(head(space, side))
        width = operators[0].in_channels
        extra = convolution(width, EXTRA, 1, side, act="relu", norm=True, part="extra")
        return (extra, operators[0]._replace(in_channels=EXTRA), *operators[1:])

    monkeypatch.setattr(network, "head", longer_head)


@pytest.fixture
def before():
    """Costs of every arch without the further layer, and of the network's operators."""
    genes = SPACE.encode(list(SPACE.enumerate()))
    return {
        "genes": genes,
        "macs": macs_table(SPACE)(genes),
        "params": params_table(SPACE)(genes),
        "memory": activation_table(SPACE, 1)(genes),
        "persistent": arena_table.__wrapped__(SPACE).total(genes),
        "latency": get_device("pi4").roofline.table(SPACE)(genes),
    }


def test_costs_follow_a_layer_that_is_added_in_one_place(before, longer):
    genes = before["genes"]
    sides = np.array([network.final_side(SPACE, r) for r in SPACE.resolutions])[genes[:, 0]]
    areas, final, width = sides**2, SPACE.final_width, SPACE.stages[-1].width
    more_weights = width * EXTRA + (EXTRA - width) * final
    np.testing.assert_array_equal(macs_table(SPACE)(genes), before["macs"] + more_weights * areas)
    more_params = more_weights + 2 * EXTRA
    np.testing.assert_array_equal(params_table(SPACE)(genes), before["params"] + more_params)
    peak = np.maximum(before["memory"], (EXTRA + max(width, final)) * areas)
    np.testing.assert_array_equal(activation_table(SPACE, 1)(genes), peak)
    # an operator's entry of 64, three tensors of 24, the kernel's 108, 8 for each channel
    arena = arena_table.__wrapped__(SPACE)
    more_bytes = 64 + 3 * 24 + 108 + 8 * EXTRA
    np.testing.assert_array_equal(arena.total(genes), before["persistent"] + more_bytes)
    aligned = -(-width * areas // 16) * 16, -(-final * areas // 16) * 16
    assert (arena.maximum(genes) >= EXTRA * areas + np.maximum(*aligned)).all()
    roofline = get_device("pi4").roofline
    for row, old_ms in zip(genes, before["latency"]):
        (arch,) = SPACE.decode(row[None])
        operators = network.operators(SPACE, arch)
        (extra,) = [o for o in operators if o.part == "extra"]
        (last,) = [o for o in operators if o.part == "final"]
        new_ms = roofline.table(SPACE)(row[None])[0]
        assert new_ms == pytest.approx(roofline.latency_ms(operators))
        shorter = last._replace(in_channels=width)
        added = roofline.latency_ms([extra, last]) - roofline.latency_ms([shorter])
        assert new_ms == pytest.approx(old_ms + added)
        schedule = micro_graph(operators).schedule
        assert planned_bytes(SPACE, arch) >= max(schedule.alive()) + arena.total(row[None])[0]
        assert "extra" in [step.place for step in memory_steps(SPACE, arch)]


def test_models_follow_a_layer_that_is_added_in_one_place(longer):
    supernet = make_it_bite(Supernet(SPACE))
    assert supernet.state_dict()["extra.0.weight"].shape == (EXTRA, 16, 1, 1)
    for arch in SPACE.decode(SPACE.sample(np.random.default_rng(0), 3)):
        images = torch.randn(5, 1, arch.resolution, arch.resolution)
        stats = recalibrate(supernet, arch, [images])
        assert len(stats["extra.1"][0]) == EXTRA
        with torch.no_grad():
            subnet = supernet.extract(arch, stats)
            logits = subnet(images)
            torch.testing.assert_close(supernet(images, arch, stats), logits, rtol=1e-4, atol=1e-4)
            supernet.extra.get_submodule("0").weight.mul_(-1)  # the layer takes part
            assert (supernet(images, arch, stats) - logits).abs().max() > 1e-3
            supernet.extra.get_submodule("0").weight.mul_(-1)
        assert sum(p.numel() for p in subnet.parameters()) == params_table(SPACE)(
            SPACE.encode([arch])
        )
        operators = network.operators(SPACE, arch)
        one_by_one = run_operators(operators, subnet.state_dict(), images)
        torch.testing.assert_close(one_by_one, logits, rtol=1e-4, atol=1e-4)
        session = onnxruntime.InferenceSession(
            onnx_model(SPACE, subnet).SerializeToString(), providers=["CPUExecutionProvider"]
        )
        (exported,) = session.run(None, {"input": images.numpy()})
        np.testing.assert_allclose(exported, logits.numpy(), atol=1e-4)


def test_an_arch_of_another_space_is_refused():
    arch = SPACE.smallest()
    wide = arch.stages[0][0]._replace(expand=9)
    assert wide == Block(3, 9)
    with pytest.raises(ValueError, match="expand ratio 9 is not in space 'net'"):
        network.operators(SPACE, type(arch)(arch.resolution, ((wide,), *arch.stages[1:])))
