"""The export against torch, quantization against the float model."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from deploy_for_tests import tiny_data
from networks_for_tests import RICH, shake, train_briefly
from spaces_for_tests import ONE_WIDTH, WIDE
from torch import nn

from labkit.data.datasets import normalize, resize
from labkit.deploy.deployment import CalibrationImages, finite
from labkit.deploy.onnx.deployment import deploy
from labkit.deploy.onnx.export import accuracy, export, onnx_model, run
from labkit.deploy.onnx.quantization import quantize
from labkit.space import Arch, Block
from labkit.space.presets import FMNIST
from labkit.storage.errors import ExportError, LabError
from labkit.supernet.evaluation import spread
from labkit.supernet.subnet import Subnet
from labkit.tables.costs import params_table

# The classes are those of `tiny_data`.
TWO_CLASSES = replace(FMNIST, num_classes=2)


def fmnist_subnet(arch: Arch, seed: int = 0) -> tuple[Subnet, torch.Tensor]:
    """A subnet of fmnist, and images of its resolution."""
    torch.manual_seed(seed)
    images = torch.randn(9, 1, arch.resolution, arch.resolution)
    return shake(Subnet(FMNIST, arch), seed, images), images


@pytest.mark.parametrize("space", [RICH, WIDE, FMNIST], ids=lambda space: space.name)
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
    assert run(tmp_path / "model.onnx", torch.randn(130, *images.shape[1:])).shape == (130, 10)


def test_export_wants_eval_mode_and_images():
    subnet, images = fmnist_subnet(FMNIST.smallest())
    with pytest.raises(ValueError, match="training mode"):
        export(FMNIST, subnet.train(), images)
    with pytest.raises(ValueError, match="needs images"):
        export(FMNIST, subnet.eval(), torch.zeros(0, 1, 20, 20))


def test_int8_stays_close_to_float_and_shrinks():
    """A subnet trained on a separable toy task keeps its accuracy; the int8 file is less than half
    the size.
    """
    torch.manual_seed(0)
    space = replace(ONE_WIDTH, num_classes=2)
    arch = Arch(20, ((Block(3, 2),), (Block(3, 2),) * 2, (Block(3, 2),) * 2))
    labels = torch.arange(128) % 2
    images = torch.randn(128, 1, 20, 20) + 2 * labels.view(-1, 1, 1, 1)
    subnet = train_briefly(Subnet(space, arch), images, labels)
    model = onnx_model(space, subnet)
    assert accuracy(model, images, labels) > 90
    int8 = quantize(model, images[:100])  # not a whole number of batches
    int8_accuracy = accuracy(int8, images, labels)
    assert abs(accuracy(model, images, labels) - int8_accuracy) <= 5 and int8_accuracy > 85
    assert int8.ByteSize() < 0.6 * model.ByteSize()
    weights = {t.name: t.data_type for t in int8.graph.initializer if len(t.dims) == 4}
    assert weights and set(weights.values()) == {onnx.TensorProto.INT8}
    with pytest.raises(ValueError, match="calibration images"):
        quantize(model, images[:0])


def test_calibration_takes_no_more_memory_for_more_images():
    subnet, _ = fmnist_subnet(FMNIST.smallest())
    model, peaks = onnx_model(FMNIST, subnet), []
    # The same images over and over: rarer values would widen the histograms, whatever their number.
    images = torch.randn(8, 1, 12, 12)
    for times in (1, 1, 5):  # the first one imports and warms up
        tracemalloc.start()
        quantize(model, images.repeat(times, 1, 1, 1))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[2] < 1.1 * peaks[1]


def test_calibration_images_are_spread_over_the_training_images():
    data = tiny_data()
    images = CalibrationImages(data, 20, 250)
    everything = resize(normalize(data.splits["train"].images, data), 20)
    assert len(images) == 250
    batches = torch.cat(list(images.split(64)))
    torch.testing.assert_close(batches, everything[spread(600, 250)])
    # Its classes take turns, so that every second image would be one of them only.
    assert 100 < (batches.mean((1, 2, 3)) > 0).sum() < 150
    assert len(CalibrationImages(data, 20, 10_000)) == 600


def test_images_with_nan_are_named():
    subnet, images = fmnist_subnet(FMNIST.smallest())
    model, images = onnx_model(FMNIST, subnet), images.repeat(3, 1, 1, 1)
    images[3, 0, 1, 2], images[11, 0, 0, 0] = float("nan"), float("-inf")
    with pytest.raises(ValueError, match="^images 3 .* NaN or infinite"):
        quantize(model, images)  # of the first batch
    with pytest.raises(ValueError, match="^images 3, 11 .* NaN or infinite"):
        export(FMNIST, subnet, images)
    with pytest.raises(ValueError, match="^images 0, 1, 2, 3, 4 and 22 more .* NaN or infinite"):
        finite(images * float("nan"))


def test_deploy_reports_what_it_wrote(tmp_path, capfd):
    data, arch = tiny_data(), FMNIST.largest()
    images = resize(normalize(data.splits["test"].images, data), arch.resolution)
    torch.manual_seed(0)
    subnet = shake(Subnet(TWO_CLASSES, arch), 0, images)
    done = deploy(TWO_CLASSES, subnet, data, tmp_path / "model.onnx", int8=True)
    names = ["model.int8.onnx", "model.int8.onnx.json", "model.onnx", "model.onnx.json"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
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
    subnet = shake(Subnet(TWO_CLASSES, FMNIST.smallest()), 0, images)
    done = deploy(TWO_CLASSES, subnet, tiny_data(), tmp_path / "m.onnx")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m.onnx", "m.onnx.json"]
    assert done.int8_path is None and done.accuracy_drop is None


def test_deploy_wants_an_onnx_path(tmp_path):
    with pytest.raises(LabError, match="name it like model.onnx"):
        deploy(
            FMNIST, Subnet(FMNIST, FMNIST.smallest()).eval(), tiny_data(), tmp_path / "model.tflite"
        )
