"""Firmware beside TensorFlow Lite Micro: arena, flash and instructions of 20 subnets of fmnist.

The subnets are those of mcu_memory.py, with random weights. The interpreter's arena is what it
reports on this machine, its flash the size of the .tflite file, its code not included; the
firmware's are those of the linked image on an emulated board, its code included. Instructions are
counted, so the load of this machine does not matter.

    python benchmarks/firmware_cost.py [--models FOLDER]

It writes benchmarks/results/firmware_cost.json and its section of MCU.md. Converted models are kept
in FOLDER, if it is given, and read there by the next run.
"""

from __future__ import annotations

import argparse
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
import page
from mcu_memory import PACKAGES, random_subnet, sampled_archs
from tqdm.auto import tqdm

from labkit.deploy.litert.conversion import float_model, quantize
from labkit.deploy.litert.micro_interpreter import MicroInterpreter
from labkit.firmware.deployment import check_board, host_library
from labkit.firmware.emulated_board import BoardReport
from labkit.firmware.layers import quantized_network
from labkit.firmware.library import Library
from labkit.firmware.plan import arena_plan
from labkit.space import Arch, SearchSpace, network
from labkit.space.presets import FMNIST

BOARD_IMAGES = 5


def int8_model(space: SearchSpace, arch: Arch, folder: Path | None) -> bytes:
    """The converted model of random weights, from `folder` if it is there."""
    path = None if folder is None else folder / f"{space.encode([arch])[0].tobytes().hex()}.tflite"
    if path is not None and path.is_file():
        return path.read_bytes()
    subnet, images = random_subnet(space, arch)
    model = quantize(float_model(space, subnet, images, tolerance=1e-3), images)
    if path is not None:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(model)
    return model


def measure(space: SearchSpace, arch: Arch, core: str, folder: Path | None, build: Path) -> dict:
    model = int8_model(space, arch, folder)
    operators = network.operators(space, arch)
    classes, channels = space.num_classes, space.in_channels
    library = Library(
        title=f"a subnet of {space.name}",
        arch=arch,
        network=quantized_network(model, operators),
        plan=arena_plan(operators),
        classes=tuple(map(str, range(classes))),
        mean=(0.5,) * channels,
        std=(0.5,) * channels,
        pixels=np.tile(np.arange(-128, 128).astype(np.int8), (channels, 1)),
    )
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (BOARD_IMAGES, *library.input_shape)).astype(np.uint8)
    build.mkdir(exist_ok=True)
    expected = host_library(library, build)(library.quantized(pixels))
    interpreter = MicroInterpreter(model)
    reference = [interpreter.integers(image[None]) for image in library.quantized(pixels)]
    if not (expected == np.stack(reference)).all():
        raise SystemExit(f"{arch} differs from the interpreter")
    report: BoardReport = check_board(library, core, pixels, expected)
    return {
        "subnet": str(arch),
        "macs": sum(operator.macs for operator in operators),
        "interpreter_arena": interpreter.arena().total,
        "interpreter_model": len(model),
        "arena": report.arena_bytes,
        "stack": report.stack_bytes,
        "flash": report.flash_bytes,
        "code": report.code_bytes,
        "instructions": report.total_instructions,
    }


def text(result: dict) -> str:
    rows, provenance = result["rows"], result["made"]
    arenas = [row["arena"] / row["interpreter_arena"] for row in rows]
    flash = [row["flash"] / row["interpreter_model"] for row in rows]
    counts = [row["instructions"] / row["macs"] for row in rows]
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
        f"{table}\n\nArena: {min(arenas):.2f} to {max(arenas):.2f} of the interpreter's, median"
        f" {np.median(arenas):.2f}. Flash with all code: {min(flash):.2f} to {max(flash):.2f} of"
        f" the model file alone, median {np.median(flash):.2f}. Instructions for a multiply-add:"
        f" {min(counts):.2f} to {max(counts):.2f}, median {np.median(counts):.2f}. Stack at most"
        f" {max(row['stack'] for row in rows)} bytes, code at most"
        f" {max(row['code'] for row in rows):,}. Bytes; {provenance['core']} emulated by"
        f" {provenance['emulator']}, {provenance['compiler']}; {provenance['date']}, "
        + ", ".join(f"{name} {number}" for name, number in provenance["versions"].items())
        + "."
    )


def main() -> None:
    from tempfile import TemporaryDirectory

    from labkit.firmware.emulated_board import COMPILER, EMULATOR, tool_version

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--archs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--core", default="cortex-m4")
    parser.add_argument("--models", type=Path)
    args = parser.parse_args()
    rows = []
    with TemporaryDirectory() as folder:
        for i, arch in enumerate(tqdm(sampled_archs(FMNIST, args.archs, args.seed), unit="subnet")):
            rows.append(measure(FMNIST, arch, args.core, args.models, Path(folder) / str(i)))
    result = {
        "schema": 1,
        "made": {
            "by": f"benchmarks/firmware_cost.py --archs {args.archs} --seed {args.seed}",
            "date": str(date.today()),
            "core": args.core,
            "compiler": tool_version(COMPILER),
            "emulator": tool_version(EMULATOR),
            "versions": {name: version(name) for name in PACKAGES},
        },
        "rows": rows,
    }
    page.save(page.FOLDER / "results" / "firmware_cost.json", result)
    page.put(page.FOLDER / "MCU.md", "firmware_cost", text(result), "A microcontroller for real")


if __name__ == "__main__":
    main()
