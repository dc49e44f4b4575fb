"""Conversion to TFLite, and what TensorFlow Lite Micro itself reports, where they are installed."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from torch import nn

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
def test_deploy_micro_writes_a_file_and_reports_on_it(tmp_path, capfd):
    from deploy_for_tests import tiny_data

    from labkit.deploy.litert.deployment import deploy_micro

    data = tiny_data()
    subnet, _ = subnet_and_images()
    done = deploy_micro(TINY, subnet, data, tmp_path / "m.tflite", images=40)
    assert capfd.readouterr().out == ""  # standard output belongs to --json
    assert (tmp_path / "m.tflite").stat().st_size == done.flash_bytes and done.images == 40
    assert done.arena_bytes == done.activation_bytes + done.persistent_bytes
    assert 0 <= done.int8_accuracy <= 100 and "mcu-64k" in done.fits
    assert Arch.from_json(done.to_json()["arch"]) == ARCH


def test_deploy_micro_wants_a_tflite_path(tmp_path):
    from labkit.deploy.litert.deployment import deploy_micro

    with pytest.raises(LabError, match=r"\.tflite file"):
        deploy_micro(TINY, subnet_and_images()[0], None, tmp_path / "m.onnx")
