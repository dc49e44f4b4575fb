"""How much memory a training step takes on top of what was there before it, in the paper's space.

    python benchmarks/step_memory.py [--batch 16] [--archs 8] [--device cpu|cuda]

Each way to do the step runs in a fresh process: the largest subnet alone; the sandwich rule with
--archs subnets, each backward before the next forward, as labkit trains; the same with blocks'
activations computed again; and the naive way, one backward of the sum of all losses. On a CPU the
figure is the process's peak resident memory during the step minus the resident memory before it
(Linux: /proc/self), on a GPU torch's peak allocation likewise. The last line printed is one JSON
object.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from datetime import date
from pathlib import Path

import numpy as np
import torch

from labkit.data import datasets as data
from labkit.runtime.machine import machine
from labkit.space.presets import get_space
from labkit.supernet.supernet import Supernet
from labkit.train.recipes import RECIPES
from labkit.train.step import label_loss, training_step

SPACE = "ofa-mbv3"
WAYS = ("largest alone", "sandwich", "sandwich, recomputing", "naive sum")
LIMITS = {"sandwich": "at most 1.15", "naive sum": "at least 3"}


def resident(field: str) -> int:
    """Bytes of `VmRSS` (now) or `VmHWM` (peak) of this process."""
    return 1024 * int(
        re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text()).group(1)
    )


def measure(way: str, batch: int, count: int, device: torch.device) -> int:
    """Bytes that one step takes at its peak, beyond what was taken before it."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    supernet = Supernet(get_space(SPACE)).to(device)
    space = supernet.space
    random_archs = space.decode(space.sample(np.random.default_rng(0), count - 2))
    archs = (
        [space.largest(), space.smallest(), *random_archs]
        if way != "largest alone"
        else [space.largest()]
    )
    side = space.largest().resolution
    images = torch.randn(batch, space.in_channels, side, side, device=device)
    labels = torch.randint(0, space.num_classes, (batch,), device=device)
    training_step(
        supernet, RECIPES["sandwich"], [space.smallest()], images[:1], labels[:1], 0.1
    )  # kernels, caches
    supernet.zero_grad()
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
        before = resident("VmRSS")
    if way == "naive sum":
        sum(
            label_loss(supernet(data.resize(images, arch.resolution), arch), labels, 0.1)
            for arch in archs
        ).backward()
    else:
        training_step(
            supernet,
            RECIPES["sandwich"],
            archs,
            images,
            labels,
            0.1,
            recompute=way.endswith("recomputing"),
        )
    return (
        torch.cuda.max_memory_allocated() if device.type == "cuda" else resident("VmHWM")
    ) - before


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--archs", type=int, default=8)
    parser.add_argument(
        "--device", choices=["cpu", "cuda"], default="cuda" if torch.cuda.is_available() else "cpu"
    )
    parser.add_argument(
        "--way", choices=WAYS, help="measure this one in this process, and print bytes"
    )
    options = parser.parse_args()
    if options.way:
        print(measure(options.way, options.batch, options.archs, torch.device(options.device)))
        return
    peak_bytes = {}
    for way in WAYS:
        command = [
            sys.executable,
            __file__,
            "--way",
            way,
            "--batch",
            str(options.batch),
            "--archs",
            str(options.archs),
            "--device",
            options.device,
        ]
        peak_bytes[way] = int(
            subprocess.run(command, check=True, capture_output=True, text=True).stdout
        )
        ratio = peak_bytes[way] / peak_bytes[WAYS[0]]
        print(
            f"{way:24} {peak_bytes[way] / 1e9:6.2f} GB   {ratio:5.2f} times the largest alone  "
            f" {LIMITS.get(way, '')}",
            flush=True,
        )
    print(
        json.dumps(
            {
                "benchmark": Path(__file__).stem,
                "date": date.today().isoformat(),
                "space": SPACE,
                "batch": options.batch,
                "archs": options.archs,
                "device": options.device,
                "bytes": peak_bytes,
                "ratios": {way: peak_bytes[way] / peak_bytes[WAYS[0]] for way in WAYS},
                "machine": machine(options.device),
            }
        )
    )


if __name__ == "__main__":
    main()
