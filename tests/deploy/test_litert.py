"""Conversion to TFLite, and what TensorFlow Lite Micro itself reports, where they are installed."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from deploy_for_tests import compact, tiny_data
from torch import nn

from labkit.deploy.deployment import split_images
from labkit.space import Arch, Block, SearchSpace, Stage
from labkit.space.presets import FMNIST
from labkit.storage.errors import ExportError, LabError, MissingPackage
from labkit.supernet.subnet import Subnet
from labkit.tables.arena import arena_table

PACKAGES = ("litert_torch", "ai_edge_quantizer", "tflite_micro")
MISSING = [name for name in PACKAGES if importlib.util.find_spec(name) is None]
needs_mcu = pytest.mark.skipif(
    bool(MISSING), reason=f"not installed: {', '.join(MISSING)}; run `make test-mcu`"
)

# Even and odd sides at strides of 2, SE, h_swish, two shortcuts in a row: everything the model
# knows of.
TINY = SearchSpace(
    "tiny-mcu",
    (14,),
    (Stage(8, 1, (3,), (3, 7), (2, 3), "relu"), Stage(16, 2, (1,), (5,), (2,), "h_swish", se=True)),
    in_channels=1,
    num_classes=4,
    stem_width=8,
    final_width=24,
)
TWO_CLASSES = replace(TINY, num_classes=2)
ARCH = Arch(14, ((Block(7, 2), Block(3, 2), Block(7, 3)), (Block(5, 2),)))


def subnet_and_images(
    space: SearchSpace = TINY, arch: Arch = ARCH, n: int = 8
) -> tuple[Subnet, torch.Tensor]:
    torch.manual_seed(0)
    subnet, images = (
        Subnet(space, arch),
        torch.randn(n, space.in_channels, arch.resolution, arch.resolution),
    )
    for module in subnet.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
            module.bias.data.uniform_(-0.5, 0.5)
    with torch.no_grad():
        subnet.train()(images)
    return subnet.eval(), images


@pytest.mark.skipif(not MISSING, reason="the extra `mcu` is installed")
def test_without_the_packages_the_error_names_the_extra():
    from labkit.deploy.litert.conversion import float_model

    with pytest.raises(MissingPackage, match=r"pip install -e '.\[mcu\]'"):
        float_model(TINY, *subnet_and_images())


def test_a_subnet_with_same_padding_computes_the_same():
    from labkit.deploy.litert.conversion import with_same_padding

    subnet, images = subnet_and_images()
    changed = with_same_padding(TINY, subnet)
    with torch.no_grad():
        torch.testing.assert_close(changed(images), subnet(images), atol=1e-5, rtol=1e-5)
    assert changed.stem[0].weight.shape[2:] == (4, 4)  # 14 px, even
    assert changed.blocks[-1].depthwise[0].weight.shape[2:] == (5, 5)  # 7 px, odd
    assert not any(isinstance(module, nn.BatchNorm2d) for module in changed.modules())
    assert any(isinstance(module, nn.BatchNorm2d) for module in subnet.modules())


@pytest.fixture(scope="module")
def converted() -> tuple[Subnet, torch.Tensor, bytes]:
    from labkit.deploy.litert.conversion import float_model, quantize

    subnet, images = subnet_and_images()
    return subnet, images, quantize(float_model(TINY, subnet, images), images)


@needs_mcu
def test_micro_interpreter_agrees_with_torch(converted):
    from labkit.deploy.litert import micro_interpreter as micro

    subnet, images, model = converted
    with torch.no_grad():
        expected = subnet(images).numpy()
    assert expected.std(0).min() > 1e-3, "images must matter, or agreement proves nothing"
    assert np.corrcoef(micro.run(model, images).ravel(), expected.ravel())[0, 1] > 0.95


@needs_mcu
def test_ranges_are_those_of_all_images_in_any_order():
    """The one image with large values comes first, in the first of two batches."""
    from labkit.deploy.litert.conversion import float_model, quantize
    from labkit.deploy.litert.interpreter import litert_model

    subnet, images = subnet_and_images()
    calibration = images.repeat(10, 1, 1, 1)  # more than a batch
    calibration[0] *= 9
    model = float_model(TINY, subnet, images)
    for order in (torch.arange(80), torch.arange(80).flip(0)):
        scale = litert_model(quantize(model, calibration[order])).in_scale
        low, high = scale.values(np.array([-128, 127]))
        assert low == pytest.approx(float(calibration.min()), abs=scale.scale)
        assert high == pytest.approx(float(calibration.max()), abs=scale.scale)


@needs_mcu
def test_what_a_hard_swish_reads_is_kept_from_minus_three_on():
    """Below it hard swish is 0: those values share one integer, the others get the finer steps."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator
    from ai_edge_litert.tools import flatbuffer_utils

    from labkit.deploy.litert.conversion import float_model, quantize

    subnet, images = subnet_and_images()
    int8 = quantize(float_model(TINY, subnet, images), 9 * images)  # far below -3
    content = flatbuffer_utils.convert_bytearray_to_object(bytearray(int8))
    (graph,), codes = content.subgraphs, [code.builtinCode for code in content.operatorCodes]
    swish = codes.index(BuiltinOperator.HARD_SWISH)
    read = {op.inputs[0] for op in graph.operators if op.opcodeIndex == swish}
    written = {int(tensor) for op in graph.operators for tensor in op.outputs}
    lows, steps = {}, {}
    for tensor in written:
        scale = graph.tensors[tensor].quantization
        steps[tensor] = float(scale.scale[0])
        lows[tensor] = (-128 - int(scale.zeroPoint[0])) * steps[tensor]
    assert len(read) == 4  # of the stem, of the block with h_swish twice, of the final layer
    assert all(lows[tensor] == pytest.approx(-3, abs=steps[tensor]) for tensor in read)
    assert min(lows[tensor] for tensor in written - read) < -6  # of a projection


@needs_mcu
def test_arena_is_within_a_tenth_and_what_the_interpreter_needs(converted):
    from labkit.deploy.litert import micro_interpreter as micro

    arena = micro.MicroInterpreter(converted[2]).arena()
    table, genes = arena_table(TINY), TINY.encode([ARCH])
    assert table(genes)[0] == pytest.approx(arena.total, rel=0.1)
    assert table.maximum(genes)[0] == pytest.approx(arena.activations, rel=0.1)
    with pytest.raises(ExportError, match="refuses the model"):
        micro.MicroInterpreter(converted[2], arena_bytes=int(0.9 * arena.total))


@needs_mcu
def test_no_operator_copies_a_map_and_all_weights_are_inside(converted):
    from ai_edge_litert.schema_py_generated import BuiltinOperator
    from ai_edge_litert.tools import flatbuffer_utils

    content = flatbuffer_utils.convert_bytearray_to_object(bytearray(converted[2]))
    codes = {
        flatbuffer_utils.get_builtin_code_from_operator_code(code) for code in content.operatorCodes
    }
    assert not codes & {BuiltinOperator.PAD, BuiltinOperator.PADV2, BuiltinOperator.TRANSPOSE}
    assert not any(buffer.offset or buffer.size for buffer in content.buffers)


@needs_mcu
@pytest.mark.slow
def test_a_network_of_many_weights_keeps_them_out_of_the_arena():
    """Beyond 256 KiB the quantizer stores weights where the interpreter would take them for
    activations.
    """
    from labkit.deploy.litert import micro_interpreter as micro
    from labkit.deploy.litert.conversion import float_model, quantize

    arch = FMNIST.largest()
    subnet, images = subnet_and_images(FMNIST, arch)
    model = quantize(float_model(FMNIST, subnet, images), images)
    assert len(model) > 256 * 1024
    interpreter = micro.MicroInterpreter(model)
    assert interpreter.arena().total == pytest.approx(
        arena_table(FMNIST)(FMNIST.encode([arch]))[0], rel=0.1
    )
    with torch.no_grad():
        expected = subnet(images).numpy()
    assert np.corrcoef(micro.run(model, images).ravel(), expected.ravel())[0, 1] > 0.9


@needs_mcu
def test_int8_is_run_by_both_interpreters(tmp_path, capfd):
    from labkit.deploy.litert.deployment import deploy

    subnet, _ = subnet_and_images(TWO_CLASSES)
    path = tmp_path / "m.tflite"
    done = deploy(TWO_CLASSES, subnet, tiny_data(), path, images=40, supernet="5" * 64)
    assert capfd.readouterr().out == ""  # standard output belongs to --json
    assert path.stat().st_size == done.file_bytes and done.images == 40
    assert done.arena_bytes == done.activation_bytes + done.persistent_bytes
    assert abs(done.int8_accuracy - done.file_accuracy) <= 5 and "mcu-64k" in done.fits
    assert Arch.from_json(done.to_json()["arch"]) == ARCH and len(done.lines()) == 6


def float16_numbers(path: Path) -> int:
    """How many numbers a TFLite file stores as float16."""
    from ai_edge_litert.schema_py_generated import TensorType
    from ai_edge_litert.tools import flatbuffer_utils

    content = flatbuffer_utils.read_model_from_bytearray(bytearray(path.read_bytes()))
    tensors = [tensor for graph in content.subgraphs for tensor in graph.tensors]
    halves = [tensor for tensor in tensors if tensor.type == TensorType.FLOAT16]
    return sum(len(content.buffers[tensor.buffer].data) // 2 for tensor in halves)


@needs_mcu
def test_a_phone_gets_float32_or_float16(tmp_path):
    from labkit.deploy.litert.deployment import deploy

    subnet, _ = subnet_and_images(TWO_CLASSES)
    done = {
        precision: deploy(
            TWO_CLASSES,
            subnet,
            tiny_data(),
            tmp_path / f"{precision}.tflite",
            precision=precision,
            images=40,
        )
        for precision in ("float32", "float16")
    }
    assert 0 < done["float32"].max_difference < 1e-4 < done["float16"].max_difference < 0.1
    layers = [m for m in subnet.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    weights = sum(layer.weight.numel() for layer in layers)
    assert float16_numbers(tmp_path / "float32.tflite") == 0
    assert float16_numbers(tmp_path / "float16.tflite") >= weights
    for deployment in done.values():
        assert deployment.latency_ms > 0 and deployment.file_accuracy == deployment.accuracy
    with pytest.raises(ValueError, match="unknown precision 'int4', known: float32, float16, int8"):
        deploy(TWO_CLASSES, subnet, tiny_data(), tmp_path / "m.tflite", precision="int4")


@needs_mcu
def test_a_tflite_model_carries_its_record(tmp_path):
    from labkit.deploy.litert import micro_interpreter as micro
    from labkit.deploy.litert.deployment import deploy, open_model

    subnet, _ = subnet_and_images(TWO_CLASSES)
    path = tmp_path / "m.tflite"
    done = deploy(TWO_CLASSES, subnet, tiny_data(), path, images=40, supernet="5" * 64)
    record, run = open_model(path)
    assert record.to_text() == compact((tmp_path / "m.tflite.json").read_text())
    assert record.arch == ARCH and record.supernet == "5" * 64 and record.precision == "int8"
    assert record.input.shape == (1, 14, 14, 1) and record.output.classes == ("dark", "bright")
    assert record.accuracy.percent == done.file_accuracy and record.accuracy.images == 40
    # Two runtimes, whose rounding differs by a step or two.
    images, _ = split_images(tiny_data(), "test", 14, 40)
    reference = micro.run(path.read_bytes(), images)
    assert reference.std() > 3 * record.output.scale.scale
    assert np.abs(run(images) - reference).max() < 4 * record.output.scale.scale


def test_deploy_wants_a_tflite_path(tmp_path):
    from labkit.deploy.litert.deployment import deploy

    with pytest.raises(LabError, match=r"\.tflite file"):
        deploy(TINY, subnet_and_images()[0], None, tmp_path / "m.onnx")
