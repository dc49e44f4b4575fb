"""Cycles of the firmware's engine: beside CMSIS-NN's published times, and of a whole space.

The networks of MLPerf Tiny are written as operators (`labkit.comparison.reference_networks`). Each
is executed by the emulator and its cycles on a Cortex-M4 counted by Arm's rules; published
milliseconds times the board's clock are cycles, too, waits for memory included. What differs is one
factor: it is fitted on image classification (ResNet-8) and judged on the others, beside the
roofline of the same board, fitted on that network alone.

The table of fmnist (`labkit lut measure --board cortex-m4`) is judged on whole libraries of the
subnets of mcu_memory.py: generated, compiled and executed as a whole. Counts are exact, so the load
of this machine does not matter.

    python benchmarks/firmware_cycles.py

It writes benchmarks/results/firmware_cycles.json and its section of MCU.md.
"""

from __future__ import annotations

import json
import sys
import tempfile
from datetime import date
from pathlib import Path

import numpy as np
import page
from tqdm.auto import tqdm

from labkit.comparison.device_fit import Timings, fit, simulate
from labkit.comparison.reference_networks import macs_of, operators_of
from labkit.firmware.cycles.latency_table import core_table
from labkit.firmware.cycles.operator_cycles import executed_operators
from labkit.firmware.cycles.rules import RULES
from labkit.firmware.cycles.trace import traced
from labkit.firmware.emulated_board import (
    COMPILER,
    EMULATOR,
    MACHINES,
    build_image,
    find_board,
    tool_version,
)
from labkit.latency.devices import EMULATED_MHZ, get_device
from labkit.space import Arch
from labkit.space.presets import FMNIST

sys.path.insert(0, str(page.FOLDER.parent / "tests" / "support"))
from firmware_for_tests import random_library, random_pixels  # noqa: E402

CORE = "cortex-m4"
PUBLISHED = {  # device, clock in MHz, what the source of its figures is called
    "NUCLEO-L4R5ZI, microTVM with CMSIS-NN": ("l4r5zi-cmsis-nn", 120, "L4R5ZI_MICROTVM-CMSIS-NN"),
    "NUCLEO-L4R5ZI, Skymizer": ("l4r5zi-cmsis-nn", 120, "Skymizer, NUCLEO_L4R5ZI-mbed_os"),
    "nRF5340 DK, microTVM with CMSIS-NN": ("nrf5340-cmsis-nn", 128, "NRF5340-DK_MICROTVM-CMSIS-NN"),
}
FITTED = "mlperf-tiny-ic"
NAMES = {
    "mlperf-tiny-ic": "image classification (ResNet-8)",
    "mlperf-tiny-vww": "visual wake words (MobileNetV1 0.25)",
    "mlperf-tiny-kws": "keyword spotting (DS-CNN)",
    "mlperf-tiny-ad": "anomaly detection (linear layers)",
}


def engine_cost(name: str) -> dict:
    operators = operators_of({"network": name})
    executed = executed_operators(operators, CORE)
    return {
        "network": name,
        "macs": macs_of(operators),
        "instructions": sum(each.instructions for each in executed),
        "cycles": sum(each.cycles for each in executed),
    }


def beside_published(title: str, costs: dict[str, dict]) -> dict:
    """Published cycles by network, the factor, and errors of it and of the roofline, in percent."""
    name, clock_mhz, source = PUBLISHED[title]
    device = get_device(name)
    times = {
        reference["network"]: reference["latency_ms"]
        for reference in device.references
        if source in reference["source"]
    }
    factor = times[FITTED] * clock_mhz * 1e3 / costs[FITTED]["cycles"]
    timings = Timings.of([operators_of({"network": each}) for each in times], times.values())
    seen = np.array([each == FITTED for each in times])
    values = fit(device.parameters, device.bytes_per_value, [timings.only(seen)])
    roofline = simulate(values, device.bytes_per_value, timings)
    rows = {}
    for network, ms, simulated in zip(times, times.values(), roofline):
        published = ms * clock_mhz * 1e3
        rows[network] = {
            "cycles": round(published),
            "ratio": costs[network]["cycles"] / published,
            "error": 100 * (factor * costs[network]["cycles"] / published - 1),
            "roofline_error": 100 * (float(simulated) / ms - 1),
        }
    return {"board": title, "clock_mhz": clock_mhz, "factor": factor, "networks": rows}


def whole_subnet(arch: Arch) -> int:
    """Cycles of a library of `arch` with random weights, on one image."""
    library, _ = random_library(FMNIST, arch)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build_image(folder, library.sources(), find_board(CORE))
        pixels = random_pixels(arch.resolution, FMNIST.in_channels, 1)
        (folder / "images.bin").write_bytes(pixels.tobytes())
        return sum(each.cycles for each in traced(folder, MACHINES[CORE]).executed(RULES[CORE]))


def table_rows() -> list[dict]:
    """Cycles of whole subnets, and by the table, the roofline of mcu-64k at its clock beside it."""
    table = core_table(FMNIST, CORE).table
    memory = json.loads((page.FOLDER / "results" / "mcu_memory.json").read_text())
    rows = []
    for row in tqdm(memory["rows"], unit="subnet"):
        arch = Arch.from_json(row["arch"])
        by_table = float(table(FMNIST.encode([arch]))[0]) * 1e3 * EMULATED_MHZ
        whole = whole_subnet(arch)
        rows.append({"subnet": row["subnet"], "whole": whole, "table": round(by_table)})
    return rows


def text(result: dict) -> str:
    costs, made = result["networks"], result["made"]
    cmsis = result["published"][0]["networks"]
    networks = page.table(
        (
            "network",
            "M MACs",
            "M instructions",
            "M cycles",
            "CMSIS-NN's, published",
            "ratio",
        ),
        [
            (
                NAMES[each["network"]],
                f"{each['macs'] / 1e6:.2f}",
                f"{each['instructions'] / 1e6:.2f}",
                f"{each['cycles'] / 1e6:.2f}",
                f"{cmsis[each['network']]['cycles'] / 1e6:.2f}",
                f"{cmsis[each['network']]['ratio']:.2f}",
            )
            for each in costs
        ],
    )
    judged = [name for name in NAMES if name != FITTED]
    boards = page.table(
        ("board and runtime", "factor", *(NAMES[name] for name in judged)),
        [
            (
                board["board"],
                f"{board['factor']:.2f}",
                *(
                    f"{board['networks'][name]['error']:+.1f} %, roofline"
                    f" {board['networks'][name]['roofline_error']:+.1f} %"
                    for name in judged
                ),
            )
            for board in result["published"]
        ],
    )
    errors = [100 * (row["table"] / row["whole"] - 1) for row in result["subnets"]]
    return (
        f"{networks}\n\nThe published times are of a NUCLEO-L4R5ZI (Cortex-M4 at 120 MHz, MLPerf"
        f" Tiny v1.1, microTVM with CMSIS-NN), in cycles, waits for flash included; those of the"
        f" engine are counted and know none.\n\n{boards}\n\nFactor: published cycles over counted"
        f" ones on {NAMES[FITTED]}, with which the other networks are predicted; beside it the"
        " error of the board's roofline, fitted on that network alone.\n\n"
        f"The table of `fmnist` beside {len(errors)} whole libraries: {min(errors):+.2f} to"
        f" {max(errors):+.2f} %, median {np.median(np.abs(errors)):.2f} %.\n\n"
        f"{made['emulator']}, {made['compiler']}; rules of `labkit/firmware/cycles/rules.py`;"
        f" {made['date']}."
    )


def main() -> None:
    costs = [engine_cost(name) for name in tqdm(NAMES, unit="network")]
    by_name = {each["network"]: each for each in costs}
    result = {
        "schema": 1,
        "made": {
            "by": "benchmarks/firmware_cycles.py",
            "date": str(date.today()),
            "core": CORE,
            "compiler": tool_version(COMPILER),
            "emulator": tool_version(EMULATOR),
        },
        "networks": costs,
        "published": [beside_published(title, by_name) for title in PUBLISHED],
        "subnets": table_rows(),
    }
    page.save(page.FOLDER / "results" / "firmware_cycles.json", result)
    page.put(page.FOLDER / "MCU.md", "firmware_cycles", text(result), "A microcontroller for real")


if __name__ == "__main__":
    main()
