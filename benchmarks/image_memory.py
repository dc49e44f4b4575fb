"""Memory of a process that trains on a folder of many images.

    python benchmarks/image_memory.py [--images 2000 20000 200000]

Generates small pictures (two classes, each of its own content), reads them as `labkit train` would,
streamed, draws batches for some steps, and prints the peak resident memory of the process for each
number of images. The images themselves would take images x 3 x side^2 bytes in memory. The last
line printed is the report as one JSON object.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path

import page

from labkit.runtime.machine import machine

SIDE, BATCH, STEPS = 32, 128, 100


def generate(folder: Path, images: int) -> None:
    """Pictures in the simplest of formats, so that generating them takes no time."""
    head = b"P6 %d %d 255\n" % (SIDE, SIDE)
    for i in range(images):
        place = folder / ("even" if i % 2 == 0 else "odd") / f"{i % 500:03}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{i}.ppm").write_bytes(head + os.urandom(3) * SIDE**2)


def read(folder: Path) -> None:
    """In a process of its own: the data set, and batches of it; prints peak memory in MB."""
    import torch

    from labkit.data import datasets, image_index
    from labkit.data.record import ImageForm
    from labkit.runtime.distributed import World
    from labkit.train.batches import Batches

    image_index.RESIDENT_BYTES = 0  # as if the set were too large for memory
    dataset = datasets.load(folder, ImageForm(3, SIDE))
    world = World(0, 1, torch.device("cpu"))
    batches = Batches(dataset, dataset.splits["train"], BATCH, 0, world)
    for step in range(min(STEPS, batches.steps_per_epoch)):
        batches.augmented(step)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000)


def text(report: dict) -> str:
    """The report as a section of a page."""
    rows = [
        (f"{row['images']:,}", f"{row['pixels_mb']:.0f}", f"{row['peak_mb']:.0f}")
        for row in report["rows"]
    ]
    return (
        f"**Memory of a process that trains on a folder of images** (`image_memory.py`; pictures of"
        f" {report['side']} pixels in color, streamed as sets that are too large for memory are;"
        f" peak after {report['steps']} batches of {report['batch']}, torch itself included)\n\n"
        + page.table(("images", "their pixels, MB", "peak of the process, MB"), rows)
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--images", type=int, nargs="*", default=[2_000, 20_000, 200_000])
    parser.add_argument("--read", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.read:
        read(arguments.read)
        return
    rows = []
    for count in arguments.images:
        with tempfile.TemporaryDirectory() as place:
            generate(Path(place) / "pictures", count)
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, __file__, "--read", str(Path(place) / "pictures")],
                env={**os.environ, "LABKIT_CACHE": str(Path(place) / "cache")},
                stdout=subprocess.PIPE,
                text=True,
                check=True,
            )
            seconds = time.perf_counter() - start
        pixels, peak = count * 3 * SIDE**2 / 1e6, float(done.stdout)
        rows.append({"images": count, "pixels_mb": pixels, "peak_mb": peak})
        print(
            f"{count:>9,} images: {peak:.0f} MB at most, {seconds:.0f} s; their pixels alone are"
            f" {pixels:.0f} MB"
        )
    report = {
        "benchmark": "image_memory",
        "date": date.today().isoformat(),
        "machine": machine(),
        "side": SIDE,
        "batch": BATCH,
        "steps": STEPS,
        "rows": rows,
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
