"""From a subnet to firmware, where the packages that convert are installed."""

import importlib.util
import json
import shutil
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from deploy_for_tests import tiny_data
from firmware_for_tests import (
    BOARD_TOOLS,
    GRAY,
    needs_board,
    needs_interpreter,
    on_host,
    random_library,
)
from networks_for_tests import shake

from labkit.deploy.litert.micro_interpreter import MicroInterpreter
from labkit.firmware import deployment, emulated_board
from labkit.firmware.deployment import check_equal, deploy
from labkit.firmware.emulated_board import Board
from labkit.firmware.library import RECORD
from labkit.firmware.memory import least_flash, planned_sram
from labkit.firmware.tflite_graph import TfliteGraph
from labkit.storage.errors import ExportError, LabError
from labkit.supernet.folder import load
from labkit.supernet.subnet import Subnet

SPACE = replace(GRAY, num_classes=2)
PACKAGES = ("litert_torch", "ai_edge_quantizer", "tflite_micro")
needs_mcu = pytest.mark.skipif(
    not all(map(importlib.util.find_spec, PACKAGES)),
    reason=f"{', '.join(PACKAGES)} are not all installed; run `make test-firmware`",
)


# A squeeze-excite unit and the classifier's mean see one pixel, or a single channel.
ONE_PIXEL = replace(SPACE, name="pixel", resolutions=(2,))
ONE_CHANNEL = replace(SPACE, name="channel", final_width=1, divisor=1)


def subnet(space=SPACE) -> Subnet:
    torch.manual_seed(0)
    arch = space.smallest()
    images = torch.randn(16, 1, arch.resolution, arch.resolution)
    return shake(Subnet(space, arch), 0, images)


@needs_mcu
@needs_interpreter
def test_a_subnet_becomes_a_library(tmp_path, capfd):
    board = "cortex-m4" if all(map(shutil.which, BOARD_TOOLS)) else "none"
    model = deploy(SPACE, subnet(), tiny_data(), tmp_path / "firmware", board=board, images=30)
    assert capfd.readouterr().out == ""  # standard output belongs to --json
    assert (tmp_path / "firmware" / "net.c").is_file() and model.images == 30
    record = json.loads((tmp_path / "firmware" / RECORD).read_text())
    assert record["arena_bytes"] == model.arena_bytes < 0.5 * model.interpreter_arena_bytes
    assert record["output"]["classes"] == ["dark", "bright"]
    assert record["accuracy"]["percent"] == model.int8_accuracy
    assert json.dumps(model.to_json())
    if board != "none":
        assert model.board.images == 20 and model.board.arena_bytes == model.arena_bytes
        assert len(model.board.instructions) == len(model.layers)


@needs_mcu
@needs_interpreter
@pytest.mark.parametrize(("space", "kind"), [(ONE_PIXEL, "SUM"), (ONE_CHANNEL, "RESHAPE")])
def test_a_layer_that_the_converter_writes_in_another_form(tmp_path, monkeypatch, space, kind):
    """deploy compares every logit with the interpreter's."""
    models = []

    def noted(model):
        models.append(model)
        return MicroInterpreter(model)

    monkeypatch.setattr(deployment, "MicroInterpreter", noted)
    report = deploy(space, subnet(space), tiny_data(), tmp_path / "fw", board="none", images=30)
    assert kind in [operator.kind for operator in TfliteGraph(models[0]).operators]
    assert report.images == 30 and (tmp_path / "fw" / "net.c").is_file()


@needs_interpreter
def test_logits_that_differ_are_reported():
    (arch,) = GRAY.decode(GRAY.sample(np.random.default_rng(0), 1))
    written, model = random_library(GRAY, arch)
    images = torch.randn(4, 1, arch.resolution, arch.resolution)
    interpreter = MicroInterpreter(model)

    def right(integers):
        return on_host(written, integers)

    def wrong(integers):
        return right(integers) ^ (np.arange(4)[:, None] >= 2)

    assert check_equal(right, interpreter, images).shape == (4, 6)
    with pytest.raises(ExportError, match="differ on 2 of 4 images, first on image 2"):
        check_equal(wrong, interpreter, images)


def test_what_is_wrong_is_said_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "notes").write_text("mine")
    with pytest.raises(LabError, match="notes"):
        deploy(SPACE, subnet(), tiny_data(), tmp_path)
    with pytest.raises(LabError, match="6 classes, the data set names 2"):
        deploy(GRAY, subnet(GRAY), tiny_data(), tmp_path / "firmware")
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(LabError, match="needs a C compiler"):
        deploy(SPACE, subnet(), tiny_data(), tmp_path / "firmware")
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]


@needs_interpreter
@pytest.mark.parametrize("memory", ["SRAM", "flash"])
def test_an_arch_that_the_boards_memory_does_not_hold_is_said_before_the_work(
    tmp_path, monkeypatch, memory
):
    needed = {"SRAM": planned_sram, "flash": least_flash}[memory](
        SPACE, SPACE.smallest(), "cortex-m4"
    )
    for name, free, fits in (
        ("small", needed - 1, False),
        ("cortex-m4", needed - 1, False),
        ("small", needed, True),
    ):
        board = Board(name, "cortex-m4", **{f"{memory.lower()}_bytes": free})
        monkeypatch.setattr(deployment, "find_board", lambda name, board=board: board)
        monkeypatch.setattr(deployment, "converted", Mock(side_effect=ZeroDivisionError))
        with pytest.raises(ZeroDivisionError if fits else LabError) as caught:
            deploy(SPACE, subnet(), tiny_data(), tmp_path / "firmware", board=name)
        if not fits:
            words = str(caught.value)
            assert f"'{name}' has {free:,} bytes of {memory} for the network" in words
            assert f"takes {needed:,}" in words and "--board none" in words
            # A core is no device that search knows.
            assert ("labkit search --device small" in words) == (name == "small")
            assert "--device cortex-m4" not in words
    assert not list(tmp_path.iterdir())


@needs_mcu
@needs_interpreter
def test_a_board_that_nobody_asked_for_does_not_keep_a_library_from_being_written(
    tmp_path, monkeypatch
):
    board = Board("cortex-m4", "cortex-m4", sram_bytes=100)
    monkeypatch.setattr(deployment, "find_board", lambda name: board)
    monkeypatch.setattr(deployment, "missing_tools", list)
    report = deploy(SPACE, subnet(), tiny_data(), tmp_path / "firmware", images=5)
    assert (tmp_path / "firmware" / "net.c").is_file() and report.board is None
    assert report.lines()[-1].startswith("board  not run: 'cortex-m4' has 100 bytes of SRAM")
    monkeypatch.setattr(deployment, "missing_tools", lambda: ["qemu-system-arm"])
    report = deploy(SPACE, subnet(), tiny_data(), tmp_path / "firmware", images=5)
    assert report.lines()[-1] == "board  not run: qemu-system-arm not installed"


@needs_mcu
@needs_interpreter
@needs_board
def test_a_library_stays_as_it_was_where_the_emulator_hangs(tmp_path, monkeypatch):
    folder = tmp_path / "firmware"
    deploy(SPACE, subnet(), tiny_data(), folder, board="none", images=5)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    monkeypatch.setattr(emulated_board, "EMULATE_SECONDS", 0.001)
    with pytest.raises(ExportError, match="qemu-system-arm did not end within 0.001 s"):
        deploy(SPACE, subnet(), tiny_data(), folder, board="cortex-m4", images=6)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["firmware"]


@needs_mcu
@pytest.mark.slow
@pytest.mark.parametrize("size", ["smallest", "middle", "largest"])
def test_the_shipped_supernet_on_all_test_images(tmp_path, size):
    """deploy compares every logit of all 10,000."""
    from labkit.supernet.evaluation import Evaluator

    trained = load("fmnist")
    space, dataset = trained.space, trained.dataset
    if size == "middle":
        archs = space.decode(space.sample(np.random.default_rng(0), 101))
        arch = sorted(archs, key=lambda arch: arch.resolution)[50]
    else:
        arch = getattr(space, size)()
    stats = Evaluator(trained.supernet, dataset, "val").recalibrate(arch)
    extracted = trained.supernet.extract(arch, stats)
    model = deploy(space, extracted, dataset, tmp_path / "firmware")
    assert model.images == 10_000 and model.int8_accuracy > model.accuracy - 1.5
