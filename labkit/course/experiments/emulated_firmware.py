"""A subnet as firmware, run on an emulated microcontroller where the tools for it are installed."""

from __future__ import annotations

import tempfile
from pathlib import Path

from labkit.course.exercises.message_lines import print_lines
from labkit.data.datasets import DataSet
from labkit.firmware.deployment import FirmwareDeployment, deploy, require_packages
from labkit.firmware.emulated_board import find_board
from labkit.firmware.host_build import compiler
from labkit.space import SearchSpace
from labkit.storage.errors import LabError
from labkit.supernet.subnet import Subnet

IMAGES = 200


def run_firmware(
    space: SearchSpace, subnet: Subnet, dataset: DataSet, core: str = "cortex-m4"
) -> FirmwareDeployment | None:
    """Write `subnet` as C, run it on an emulated `core`, and print what was measured there.

    Where something that this needs is not installed, a sentence says what, and None is returned.
    """
    try:
        require_packages()
        compiler()
        find_board(core)
    except LabError as error:
        print_lines(f"The firmware was not built here: {error}")
        return None
    with tempfile.TemporaryDirectory() as name:
        firmware = deploy(
            space, subnet, dataset, Path(name) / "firmware", board=core, split="val", images=IMAGES
        )
    board, interpreter = firmware.board, firmware.interpreter_arena_bytes
    print(
        f"{board.images} images on an emulated {core.title()}: every logit is the one of TensorFlow"
        f" Lite Micro\n{firmware.int8_accuracy:.1f} % right of {IMAGES} images in int8,"
        f" {firmware.accuracy:.1f} % in PyTorch\n{board.sram_bytes / 1024:.1f} KiB of SRAM, stack"
        f" and all; the interpreter's arena takes {interpreter / 1024:.1f} KiB\n"
        f"{board.flash_bytes / 1024:.1f} KiB of flash, {board.code_bytes / 1024:.1f} of them code\n"
        f"{board.total_instructions / 1e6:.2f} million instructions a picture,"
        f" {board.total_instructions / firmware.macs:.2f} for a multiply-add"
    )
    return firmware
