"""Firmware beside TensorFlow Lite Micro: arena, flash and instructions of 20 subnets of fmnist.

The subnets are those of mcu_memory.py, and so are the interpreter's figures: the arena that it
reported, and the size of the .tflite file. Memory does not depend on the weights, so they are
random, in models that the tests' writer makes in the converter's form. The firmware's figures are
those of the linked image on an emulated board, whose logits must equal the interpreter's.
Instructions are counted, so the load of this machine does not matter.

    python benchmarks/firmware_cost.py

It writes benchmarks/results/firmware_cost.json and its section of MCU.md.
"""

from __future__ import annotations

import argparse
import json
import sys
from datetime import date
from importlib.metadata import version

import numpy as np
import page
from tqdm.auto import tqdm

from labkit.deploy.litert.micro_interpreter import MicroInterpreter
from labkit.firmware.deployment import check_board
from labkit.firmware.emulated_board import COMPILER, EMULATOR, tool_version
from labkit.firmware.memory import firmware_flash, planned_sram
from labkit.space import Arch, network
from labkit.space.presets import FMNIST

sys.path.insert(0, str(page.FOLDER.parent / "tests" / "support"))
from firmware_for_tests import random_library, random_pixels  # noqa: E402

BOARD_IMAGES = 5


def measure(row: dict, core: str) -> dict:
    """The firmware of the subnet of `row`, a row of mcu_memory.json."""
    arch = Arch.from_json(row["arch"])
    operators = network.operators(FMNIST, arch)
    library, model = random_library(FMNIST, arch)
    pixels = random_pixels(arch.resolution, FMNIST.in_channels, BOARD_IMAGES)
    interpreter = MicroInterpreter(model)
    integers = library.quantized(pixels)
    expected = np.stack([interpreter.integers(image[None]) for image in integers])
    report = check_board(library, core, pixels, expected)
    return {
        "subnet": row["subnet"],
        "macs": sum(operator.macs for operator in operators),
        "interpreter_arena": row["arena"],
        "interpreter_model": row["flash"],
        "arena": report.arena_bytes,
        "stack": report.stack_bytes,
        "flash": report.flash_bytes,
        "code": report.code_bytes,
        "instructions": report.total_instructions,
        **predicted(arch, core),
    }


def predicted(arch: Arch, core: str) -> dict:
    """Bytes of flash and SRAM of an arch as search knows them."""
    return {
        "predicted_flash": int(firmware_flash(FMNIST, core).linked(FMNIST.encode([arch]))[0]),
        "predicted_sram": planned_sram(FMNIST, arch, core),
    }


def text(result: dict) -> str:
    rows, provenance = result["rows"], result["made"]
    arenas = [row["arena"] / row["interpreter_arena"] for row in rows]
    flash = [row["flash"] / row["interpreter_model"] for row in rows]
    counts = [row["instructions"] / row["macs"] for row in rows]
    flash_errors = [row["predicted_flash"] - row["flash"] for row in rows]
    sram_errors = [row["predicted_sram"] - row["arena"] - row["stack"] for row in rows]
    table = page.table(
        (
            "subnet",
            "arena",
            "TFLM's",
            "ratio",
            "flash",
            "TFLM's file",
            "M instructions",
            "for a MAC",
        ),
        [
            (
                row["subnet"],
                f"{row['arena']:,}",
                f"{row['interpreter_arena']:,}",
                f"{row['arena'] / row['interpreter_arena']:.2f}",
                f"{row['flash']:,}",
                f"{row['interpreter_model']:,}",
                f"{row['instructions'] / 1e6:.2f}",
                f"{row['instructions'] / row['macs']:.2f}",
            )
            for row in rows
        ],
    )
    return (
        f"{table}\n\nArena: {min(arenas):.2f} to {max(arenas):.2f} of the interpreter's on a"
        f" 64-bit machine, median {np.median(arenas):.2f}. Flash with all code:"
        f" {min(flash):.2f} to {max(flash):.2f} of the model file alone, median"
        f" {np.median(flash):.2f}. Instructions for a multiply-add:"
        f" {min(counts):.2f} to {max(counts):.2f}, median {np.median(counts):.2f}. Stack at most"
        f" {max(row['stack'] for row in rows)} bytes, code at most"
        f" {max(row['code'] for row in rows):,}. Search predicts {min(flash_errors)} to"
        f" {max(flash_errors)} bytes of flash more than the linked image has, and"
        f" {min(sram_errors)} to {max(sram_errors)} bytes of SRAM more than are used. Bytes;"
        f" {provenance['core']} emulated by"
        f" {provenance['emulator']}, {provenance['compiler']}; {provenance['date']}, tflite-micro"
        f" {provenance['tflite-micro']}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--core", default="cortex-m4")
    core = parser.parse_args().core
    memory = json.loads((page.FOLDER / "results" / "mcu_memory.json").read_text())
    result = {
        "schema": 1,
        "made": {
            "by": f"benchmarks/firmware_cost.py --core {core}",
            "date": str(date.today()),
            "core": core,
            "compiler": tool_version(COMPILER),
            "emulator": tool_version(EMULATOR),
            "tflite-micro": version("tflite-micro"),
        },
        "rows": [measure(row, core) for row in tqdm(memory["rows"], unit="subnet")],
    }
    page.save(page.FOLDER / "results" / "firmware_cost.json", result)
    page.put(page.FOLDER / "MCU.md", "firmware_cost", text(result), "A microcontroller for real")


if __name__ == "__main__":
    main()
