"""What subnets for a microcontroller get right in its interpreter: `python
benchmarks/mcu_accuracy.py [--images 2000]`

Takes the exact best subnets of the shipped supernet within the SRAM and flash of `mcu-64k` under
three limits on its simulated latency, converts each as `labkit deploy --to NAME.tflite` does, and
runs it in TensorFlow Lite Micro on the first test images. Needs the extra `mcu` (`make test-mcu`
makes an environment that has it).

Writes benchmarks/results/mcu_accuracy.json and its section of benchmarks/MCU.md.
"""

from __future__ import annotations

import argparse
import tempfile
from datetime import date
from pathlib import Path

import page
from tqdm import tqdm

from labkit.deploy.litert.deployment import deploy
from labkit.latency.devices import get_device
from labkit.runtime.machine import machine
from labkit.specialize.device_costs import DeviceCosts
from labkit.specialize.subnet_search import search_subnet
from labkit.storage.provenance import code_revision, sha256
from labkit.supernet.evaluation import Evaluator
from labkit.supernet.folder import load

LIMITS_MS = (150, 250, None)


def text(report: dict) -> str:
    rows = [
        (
            "none" if row["limit_ms"] is None else f"{row['limit_ms']} ms",
            row["subnet"],
            f"{row['accuracy']:.2f}",
            f"{row['int8_accuracy']:.2f}",
            f"{row['arena_bytes']:,}",
            f"{row['predicted_arena_bytes']:,}",
            f"{row['file_bytes']:,}",
        )
        for row in report["rows"]
    ]
    return (
        f"The exact best subnets of `fmnist` within SRAM ({report['sram_bytes']:,} bytes of arena)"
        f" and flash ({report['flash_bytes']:,} bytes) of `mcu-64k`, under three limits on its"
        f" simulated latency; on the first {report['images']:,} test images, float32 by torch, int8"
        " by TensorFlow Lite Micro (`mcu_accuracy.py`):\n\n"
        + page.table(
            ("latency limit", "subnet", "float32", "int8", "arena", "predicted", "flash"), rows
        )
        + f"\n\n{report['machine']['cpu']}, torch {report['machine']['torch']}, {report['date']},"
        f" revision {report['revision']}. One image is {100 / report['images']:.2f} points."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=2000)
    options = parser.parse_args()
    trained, device = load("fmnist"), get_device("mcu-64k")
    space, supernet, dataset = trained.space, trained.supernet, trained.dataset
    costs, model = DeviceCosts(space, device), trained.predictor
    evaluator, rows = Evaluator(supernet, dataset, "val"), []
    with tempfile.TemporaryDirectory() as folder:
        for limit in tqdm(LIMITS_MS, unit="subnet"):
            result = search_subnet(
                space, model.predict, costs.budgets(latency_ms=limit), method="exact"
            )
            subnet = supernet.extract(result.arch, evaluator.recalibrate(result.arch))
            deployment = deploy(
                space, subnet, dataset, Path(folder) / "subnet.tflite", images=options.images
            )
            rows.append({"limit_ms": limit, "subnet": str(result.arch), **deployment.to_json()})
            del rows[-1]["path"]
    report = {
        "date": date.today().isoformat(),
        "revision": code_revision(),
        "machine": machine(),
        "weights_sha256": sha256(trained.weights_path),
        "images": options.images,
        "sram_bytes": device.sram_bytes,
        "flash_bytes": device.flash_bytes,
        "rows": rows,
    }
    page.save(page.FOLDER / "results" / "mcu_accuracy.json", report)
    page.put(page.FOLDER / "MCU.md", "mcu_accuracy", text(report), "A microcontroller for real")


if __name__ == "__main__":
    main()
