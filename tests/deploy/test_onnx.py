"""The graph builder and the export, against torch; quantization against the float model."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from deploy_for_tests import tiny_data
from torch import nn

from labkit.data.datasets import normalize, resize
from labkit.deploy.onnx.deployment import deploy
from labkit.deploy.onnx.export import accuracy, export, folded_weights, onnx_model, run
from labkit.deploy.onnx.quantization import quantize
from labkit.runtime import onnx_graph as graph
from labkit.space import Arch, Block, BlockShape, SearchSpace, Stage, network
from labkit.space.presets import FMNIST
from labkit.storage.errors import ExportError, LabError
from labkit.supernet.subnet import InvertedResidual, Subnet
from labkit.tables.costs import params_table

# Every feature that a space can have: fixed first block, feature layer, each activation, expand
# ratio 1, SE.
RICH = SearchSpace(
    "rich",
    (20, 27),
    (
        Stage(12, 1, (1, 2), (3, 5), (1,), "relu6"),
        Stage(16, 2, (1, 2), (3, 7), (2, 3), "h_swish", se=True),
        Stage(16, 1, (1, 2), (5,), (3,), "relu"),
    ),
    in_channels=3,
    num_classes=7,
    stem_width=8,
    first_width=12,
    final_width=24,
    feature_width=40,
)


def shake(module: nn.Module, seed: int, images: torch.Tensor) -> nn.Module:
    """Batch norms with random scales and offsets and the statistics of `images`: signal passes
    through all layers, so that two networks that agree compute the same, and a batch norm folded
    wrongly shows."""
    generator = torch.Generator().manual_seed(seed)
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.momentum = None
            m.weight.data.uniform_(0.5, 1.5, generator=generator)
            m.bias.data.uniform_(-0.5, 0.5, generator=generator)
    with torch.no_grad():
        module.train()(images)
    return module.eval()


def fmnist_subnet(arch: Arch, seed: int = 0) -> tuple[Subnet, torch.Tensor]:
    """A subnet of fmnist, and images of its resolution."""
    torch.manual_seed(seed)
    images = torch.randn(9, 1, arch.resolution, arch.resolution)
    return shake(Subnet(FMNIST, arch), seed, images), images


def run_model(model: onnx.ModelProto, x: torch.Tensor) -> np.ndarray:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {"input": x.numpy()})[0]


@pytest.mark.parametrize(
    "shape, kernel, expand",
    [
        (BlockShape(0, 0, 16, 24, 2, "h_swish", True), 7, 3),
        (BlockShape(0, 1, 16, 16, 1, "relu", False), 3, 4),
        (BlockShape(0, 0, 8, 8, 1, "relu6", True), 5, 1),
        (BlockShape(0, 0, 24, 16, 1, "h_swish", False), 3, 6),
    ],
)
@pytest.mark.parametrize("side", [7, 10])
def test_block_model_equals_the_torch_block(shape, kernel, expand, side):
    torch.manual_seed(kernel)
    operators = network.block(shape, kernel, expand, side)
    block = shake(
        InvertedResidual(operators),
        side,
        torch.randn(8, shape.in_channels, side, side),
    )
    holder = nn.Module()
    holder.block = block
    folded = folded_weights(holder)
    model = graph.model_of(operators, lambda name, _: folded[name])
    onnx.checker.check_model(model, full_check=True)
    x = torch.randn(1, shape.in_channels, side, side)
    with torch.no_grad():
        expected = block(x).numpy()
    assert np.abs(expected).max() > 0.1
    np.testing.assert_allclose(run_model(model, x), expected, atol=2e-5)


@pytest.mark.parametrize("space", [RICH, FMNIST], ids=lambda space: space.name)
def test_network_equals_torch(space):
    torch.manual_seed(0)
    genes = space.sample(np.random.default_rng(0), 4)
    outputs = []
    for seed, arch in enumerate([*space.decode(genes), space.smallest(), space.largest()]):
        images = torch.randn(9, space.in_channels, arch.resolution, arch.resolution)
        subnet = shake(Subnet(space, arch), seed, images)
        verified = export(space, subnet, images)
        with torch.no_grad():
            expected = subnet(images).numpy()
        outputs.append(expected[0])
        assert expected.std(0).min() > 1e-3, "images must matter, or equality proves nothing"
        np.testing.assert_allclose(run(verified.model, images), expected, atol=1e-4)
        assert verified.images == 9 and verified.max_difference <= 1e-4
    assert np.std(outputs, axis=0).min() > 1e-3


def test_pieces_run_one_after_another_are_the_whole_network():
    """Stem, blocks and head are cut at the right places: chained, they give the network's output."""
    space, arch = RICH, RICH.largest()
    x = torch.randn(1, 3, arch.resolution, arch.resolution)
    whole = run_model(graph.network_model(space, arch), x)
    y = run_model(graph.model_of(network.stem(space, arch.resolution)), x)
    for shape in space.blocks:
        kernel, expand = arch.stages[shape.stage][shape.index]
        block = network.block(shape, kernel, expand, y.shape[-1])
        y = run_model(graph.model_of(block), torch.from_numpy(y))
    y = run_model(graph.model_of(network.head(space, y.shape[-1])), torch.from_numpy(y))
    np.testing.assert_allclose(y, whole, rtol=1e-4, atol=1e-5)


def test_model_has_the_parameters_of_the_folded_subnet():
    """Folding leaves a weight and a bias: the parameters less one of the two numbers per batch-norm
    channel.
    """
    subnet, _ = fmnist_subnet(FMNIST.largest())
    channels = sum(m.num_features for m in subnet.modules() if isinstance(m, nn.BatchNorm2d))
    stored = sum(
        int(np.prod(tensor.dims)) for tensor in onnx_model(FMNIST, subnet).graph.initializer
    )
    assert stored == params_table(FMNIST)(FMNIST.encode([subnet.arch]))[0] - channels


def test_export_that_differs_is_refused_and_writes_nothing(tmp_path, monkeypatch):
    from labkit.deploy.onnx import export as module

    subnet, images = fmnist_subnet(FMNIST.smallest())
    right = module.folded_weights(subnet)
    monkeypatch.setattr(
        module,
        "folded_weights",
        lambda _: {
            name: (weight, bias + (0.01 if name == "classifier" else 0))
            for name, (weight, bias) in right.items()
        },
    )
    with pytest.raises(ExportError, match="differs from torch by 0.01"):
        export(FMNIST, subnet, images, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_export_refuses_nan(tmp_path):
    subnet, images = fmnist_subnet(FMNIST.smallest())
    subnet.classifier.bias.data.fill_(float("nan"))
    with pytest.raises(ExportError):
        export(FMNIST, subnet, images, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_export_writes_a_model_that_takes_any_batch(tmp_path):
    subnet, images = fmnist_subnet(FMNIST.smallest())
    export(FMNIST, subnet, images, tmp_path / "model.onnx")
    assert run(tmp_path / "model.onnx", torch.randn(130, 1, 20, 20)).shape == (130, 10)


def test_export_wants_eval_mode_and_images():
    subnet, images = fmnist_subnet(FMNIST.smallest())
    with pytest.raises(ValueError, match="training mode"):
        export(FMNIST, subnet.train(), images)
    with pytest.raises(ValueError, match="needs images"):
        export(FMNIST, subnet.eval(), torch.zeros(0, 1, 20, 20))


def test_wrong_weights_are_named():
    with pytest.raises(ValueError, match="layer 'classifier' needs weights"):
        graph.network_model(
            RICH,
            RICH.smallest(),
            lambda name, shape: graph.filler(
                name, (shape[0], 1) if name == "classifier" else shape
            ),
        )


def test_int8_stays_close_to_float_and_shrinks():
    """A subnet trained on a separable toy task keeps its accuracy; the int8 file is less than half
    the size.
    """
    torch.manual_seed(0)
    space = replace(FMNIST, num_classes=2)
    arch = Arch(20, ((Block(3, 2),), (Block(3, 2),) * 2, (Block(3, 2),) * 2))
    subnet = Subnet(space, arch)
    for module in subnet.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 0.5  # few steps: running statistics must keep up
    labels = torch.arange(128) % 2
    images = torch.randn(128, 1, 20, 20) + 2 * labels.view(-1, 1, 1, 1)
    optimizer = torch.optim.Adam(subnet.parameters(), 1e-2)
    for _ in range(12):
        optimizer.zero_grad()
        nn.functional.cross_entropy(subnet(images), labels).backward()
        optimizer.step()
    model = onnx_model(space, subnet.eval())
    assert accuracy(model, images, labels) > 90
    int8 = quantize(model, images[:100])  # not a whole number of batches
    int8_accuracy = accuracy(int8, images, labels)
    assert abs(accuracy(model, images, labels) - int8_accuracy) <= 5 and int8_accuracy > 85
    assert int8.ByteSize() < 0.6 * model.ByteSize()
    weights = {t.name: t.data_type for t in int8.graph.initializer if len(t.dims) == 4}
    assert weights and set(weights.values()) == {onnx.TensorProto.INT8}
    with pytest.raises(ValueError, match="calibration images"):
        quantize(model, images[:0])


def test_building_graphs_does_not_import_torch():
    import subprocess

    code = (
        "import sys; from labkit.runtime.onnx_graph import network_model; from labkit.space.presets"
        " import get_space; s = get_space('fmnist'); network_model(s, s.smallest()); print('torch'"
        " in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
        == "False"
    )


def test_deploy_reports_what_it_wrote(tmp_path, capfd):
    data, arch = tiny_data(), FMNIST.smallest()
    images = resize(normalize(data.splits["test"].images, data), arch.resolution)
    torch.manual_seed(0)
    subnet = shake(Subnet(FMNIST, arch), 0, images)
    done = deploy(FMNIST, subnet, data, tmp_path / "model.onnx", int8=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.int8.onnx", "model.onnx"]
    assert capfd.readouterr().out == ""  # standard output belongs to --json
    assert done.verified_images == 256 and done.max_difference <= 1e-4 and done.split == "test"
    with torch.no_grad():
        expected = (
            subnet(images).argmax(1) == data.splits["test"].labels
        ).double().mean().item() * 100
    assert done.accuracy == pytest.approx(
        expected, abs=0.4
    )  # one image of 300, should a tie fall the other way
    again = accuracy(tmp_path / "model.int8.onnx", images, data.splits["test"].labels)
    assert done.int8_accuracy == pytest.approx(again)
    assert done.accuracy_drop == done.accuracy - done.int8_accuracy
    assert done.file_bytes == (tmp_path / "model.onnx").stat().st_size > done.int8_file_bytes
    assert done.peak_memory_bytes == 4 * done.int8_peak_memory_bytes
    assert done.latency_ms > 0 and done.int8_latency_ms > 0
    assert Arch.from_json(done.to_json()["arch"]) == arch


def test_deploy_without_int8_writes_one_file(tmp_path):
    images = torch.randn(8, 1, 20, 20)
    done = deploy(
        FMNIST,
        shake(Subnet(FMNIST, FMNIST.smallest()), 0, images),
        tiny_data(),
        tmp_path / "m.onnx",
    )
    assert (
        [p.name for p in tmp_path.iterdir()] == ["m.onnx"]
        and done.int8_path is None
        and done.accuracy_drop is None
    )


def test_deploy_wants_an_onnx_path(tmp_path):
    with pytest.raises(LabError, match="name it like model.onnx"):
        deploy(
            FMNIST, Subnet(FMNIST, FMNIST.smallest()).eval(), tiny_data(), tmp_path / "model.tflite"
        )
