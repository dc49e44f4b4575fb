"""The arena that the search predicts beside the one that TensorFlow Lite Micro reports, on 20
subnets of fmnist.

Beside both stands what the planner's rule gives, which search goes by in the end. The 20 subnets
cover all resolutions, widths, depths, kernels and expand ratios of every stage, with the smallest
and the largest. Memory does not depend on the weights, so they are random. Flash is the size of the
.tflite file.

    python benchmarks/mcu_memory.py

It writes benchmarks/results/mcu_memory.json and its section of MCU.md.
"""

from __future__ import annotations

import argparse
from datetime import date
from importlib.metadata import version

import numpy as np
import page
import torch
from torch import nn
from tqdm.auto import tqdm

from labkit.deploy.litert.conversion import float_model, quantize
from labkit.deploy.litert.micro_interpreter import MicroInterpreter
from labkit.latency.devices import get_device
from labkit.runtime.timing import machine_state
from labkit.space import Arch, SearchSpace
from labkit.space.presets import FMNIST
from labkit.specialize.device_memory import flash_table
from labkit.supernet.subnet import Subnet
from labkit.tables.arena import arena_table, planned_bytes

PACKAGES = ("torch", "litert-torch", "ai-edge-quantizer", "tflite-micro")


def sampled_archs(space: SearchSpace, n: int, seed: int) -> list[Arch]:
    """The smallest, the largest and random archs, drawn until every choice of the space occurs."""
    rng = np.random.default_rng(seed)
    ends = space.encode([space.smallest(), space.largest()])
    for _ in range(10_000):
        genes = np.concatenate([ends, space.sample(rng, n - 2)])
        archs = space.decode(genes)
        seen = {arch.resolution for arch in archs}, {arch.width for arch in archs}
        counts = [len(np.unique(column)) for column in genes.T[1:]]
        if seen == (set(space.resolutions), set(space.widths)) and counts == [*space.choices[1:]]:
            return archs
    raise SystemExit(f"{n} archs of {space.name!r} cannot show every choice; take more")


def random_subnet(space: SearchSpace, arch: Arch) -> tuple[Subnet, torch.Tensor]:
    """A subnet whose biases all differ, as a trained one's do, and two images."""
    torch.manual_seed(0)
    subnet = Subnet(space, arch).eval()
    for module in subnet.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.uniform_(-0.5, 0.5)
    return subnet, torch.randn(2, space.in_channels, arch.resolution, arch.resolution)


def measure(space: SearchSpace, arch: Arch) -> dict:
    subnet, images = random_subnet(space, arch)
    model = quantize(float_model(space, subnet, images), images)
    arena, table, genes = (
        MicroInterpreter(model).arena(),
        arena_table(space),
        space.encode([arch]),
    )
    predicted = int(table(genes)[0])
    return {
        "arch": arch.to_json(),
        "subnet": str(arch),
        "activations": arena.activations,
        "predicted_activations": int(table.maximum(genes)[0]),
        "persistent": arena.persistent,
        "predicted_persistent": int(table.total(genes)[0]),
        "arena": arena.total,
        "predicted_arena": predicted,
        "planned_arena": planned_bytes(space, arch),
        "error": predicted / arena.total - 1,
        "flash": len(model),
        "predicted_flash": int(flash_table(space, get_device("mcu-64k"))(genes)[0]),
    }


def text(result: dict) -> str:
    rows = [
        (
            row["subnet"],
            *(
                f"{row[key]:,}"
                for key in (
                    "activations",
                    "predicted_activations",
                    "persistent",
                    "predicted_persistent",
                    "arena",
                    "predicted_arena",
                    "planned_arena",
                )
            ),
            f"{row['error']:+.2%}",
            f"{row['flash']:,}",
            f"{row['predicted_flash']:,}",
        )
        for row in result["rows"]
    ]
    errors = [abs(row["error"]) for row in result["rows"]]
    planned = sum(row["planned_arena"] == row["arena"] for row in result["rows"])
    flash = [row["predicted_flash"] / row["flash"] - 1 for row in result["rows"]]
    provenance = result["made"]
    return (
        page.table(
            (
                "subnet",
                "activations",
                "predicted",
                "persistent",
                "predicted",
                "arena",
                "predicted",
                "planned",
                "error",
                "flash",
                "predicted",
            ),
            rows,
        )
        + f"\n\nArena: planned to the byte for {planned} of {len(rows)}; largest error of the"
        f" prediction {max(errors):.2%}, mean {np.mean(errors):.2%}. Flash:"
        f" predicted {min(flash):+.1%} to {max(flash):+.1%} of the file. Bytes."
        f" {provenance['cpu']}, {provenance['date']}, "
        + ", ".join(f"{name} {number}" for name, number in provenance["versions"].items())
        + "."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--archs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    args = parser.parse_args()
    rows = [
        measure(FMNIST, arch)
        for arch in tqdm(sampled_archs(FMNIST, args.archs, args.seed), unit="subnet")
    ]
    result = {
        "schema": 1,
        "made": {
            "by": f"benchmarks/mcu_memory.py --archs {args.archs} --seed {args.seed}",
            "date": str(date.today()),
            "cpu": machine_state()["cpu"],
            "versions": {name: version(name) for name in PACKAGES},
        },
        "rows": rows,
    }
    page.save(page.FOLDER / "results" / "mcu_memory.json", result)
    page.put(page.FOLDER / "MCU.md", "mcu_memory", text(result), "A microcontroller for real")


if __name__ == "__main__":
    main()
