"""The arena model by hand; conversion to TFLite and TensorFlow Lite Micro's own report, where they
are installed.
"""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from labkit.space import Arch, Block, BlockShape, SearchSpace, Stage, network
from labkit.space.operators import Buffer
from labkit.space.presets import FMNIST, get_space
from labkit.storage.errors import ExportError, LabError, MissingPackage
from labkit.supernet.subnet import Subnet
from labkit.tables.arena import arena_table, micro_graph, planned_bytes, planned_peak
from labkit.tables.costs import AdditiveTable, MaxTable

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


# ---- the model of the arena ------------------------------------------------------------------------


def test_a_block_by_hand():
    """16 -> 16 channels on 5x5, expanded to 32, hard swish, squeeze to 8; sizes rounded up to 16
    bytes.
    """
    shape = BlockShape(0, 1, 16, 16, 1, "h_swish", True)
    operators, schedule = micro_graph(network.block(shape, 3, 2, 5))
    narrow, wide = 400, 800  # 16 * 25 and 32 * 25, both multiples of 16
    assert [operator.kernel for operator in operators] == [
        "conv",
        "hard_swish",
        "conv",
        "hard_swish",
        "mean",
        "conv",
        "conv",
        "mul",
        "mul",
        "conv",
        "add",
    ]
    assert schedule.alive() == [
        narrow + wide,
        narrow + 2 * wide,
        narrow + 2 * wide,
        narrow + 2 * wide,
        narrow + wide + 32 + 128,
        narrow + wide + 32 + 16,
        narrow + wide + 16 + 32,
        narrow + wide + 64,
        narrow + 2 * wide + 32,
        narrow + wide + narrow,
        3 * narrow,
    ]
    assert [operator.channels for operator in operators] == [32, 0, 32, 0, 0, 8, 32, 0, 0, 16, 0]
    # an entry of 64, three tensors of 24, the kernel's 108, 8 a channel
    assert operators[0].persistent == 64 + 72 + 108 + 8 * 32


def test_table_is_the_largest_operator_plus_the_sum_of_what_they_keep():
    for space in (FMNIST, get_space("ofa-mbv3")):
        table, genes = arena_table(space), space.sample(np.random.default_rng(0), 40)
        assert isinstance(table.maximum, MaxTable) and isinstance(table.total, AdditiveTable)
        for arch, row in zip(space.decode(genes), genes[:, None]):
            operators, schedule = micro_graph(network.operators(space, arch))
            assert table.total(row)[0] == 820 + sum(operator.persistent for operator in operators)
            largest = max(schedule.alive())
            if not any(
                a.expand == b.expand for stage in arch.stages for a, b in zip(stage, stage[1:])
            ):
                assert table.maximum(row)[0] == largest
            else:
                assert table.maximum(row)[0] >= largest


def test_two_shortcuts_in_a_row_keep_two_inputs():
    """20 px: the stem's map is 16 x 10 x 10; two blocks of ratio 2 keep two of them beside two of
    32 x 10 x 10.
    """
    space = replace(
        FMNIST,
        stem_width=16,
        stem_stride=2,
        stages=(replace(FMNIST.stages[0], stride=1), *FMNIST.stages[1:]),
    )
    one = Arch(20, ((Block(3, 2),), (Block(3, 2),) * 2, (Block(3, 2),) * 2))
    two = Arch(20, ((Block(3, 2),) * 2, *one.stages[1:]))
    maximum = arena_table(space).maximum(space.encode([one, two]))
    np.testing.assert_array_equal(maximum, [2 * 3200 + 1600, 2 * 3200 + 2 * 1600])


def test_the_planner_puts_the_largest_first_and_others_into_the_first_gap_that_holds_them():
    """70 lies in front, 50 behind it. When the 70 is gone, 40 takes its place and leaves a gap of
    30.
    """
    placed = [Buffer(40, 3, 4), Buffer(50, 1, 3), Buffer(70, 0, 1)]
    assert planned_peak(placed[1:]) == planned_peak(placed) == 70 + 50
    assert planned_peak([Buffer(30, 3, 3), *placed]) == 70 + 50
    assert (
        planned_peak([Buffer(35, 3, 3), *placed]) == 70 + 50 + 35 > 40 + 50 + 35
    )  # too wide for the gap


def test_the_planner_needs_what_the_interpreter_took():
    """Its report on 20 subnets, among them three that take more than the tensors alive at once."""
    rows = json.loads(
        (Path(__file__).parents[2] / "benchmarks/results/mcu_memory.json").read_text()
    )["rows"]
    assert (
        len(rows) == 20
        and sum(row["activations"] > row["predicted_activations"] for row in rows) == 3
    )
    for row in rows:
        arch = Arch.from_json(row["arch"])
        schedule = micro_graph(network.operators(FMNIST, arch)).schedule
        assert planned_peak(schedule.buffers) == row["activations"]
        assert planned_bytes(FMNIST, arch) == pytest.approx(row["arena"], abs=12)


@pytest.mark.parametrize("name", ["fmnist", "ofa-mbv3", "ofa-proxyless-w1.3"])
def test_the_planner_is_never_below_the_tensors_that_are_alive(name):
    """Also, the sums of what is alive are those of the buffers, step by step."""
    space = get_space(name)
    genes = space.sample(np.random.default_rng(1), 60)
    for arch, predicted in zip(space.decode(genes), arena_table(space).maximum(genes)):
        schedule = micro_graph(network.operators(space, arch)).schedule
        buffers = schedule.buffers
        alive = [
            sum(b.size for b in buffers if b.first <= step <= b.last)
            for step in range(1 + max(b.last for b in buffers))
        ]
        assert alive == schedule.alive()
        planned = planned_peak(buffers)
        assert planned >= max(alive) and planned >= predicted >= max(alive)


def test_the_arena_needs_no_torch():
    import subprocess
    import sys

    code = (
        "import sys; from labkit.tables.arena import arena_table; from labkit.space.presets import"
        " FMNIST; arena_table(FMNIST); print('torch' in sys.modules)"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip()
        == "False"
    )


@pytest.mark.skipif(not MISSING, reason="the extra `mcu` is installed")
def test_without_the_packages_the_error_names_the_extra():
    from labkit.deploy.litert.conversion import float_model

    with pytest.raises(MissingPackage, match=r"pip install -e '.\[mcu\]'"):
        float_model(TINY, *subnet_and_images())


# ---- for real --------------------------------------------------------------------------------------


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
