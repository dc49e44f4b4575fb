"""How much time many archs save by sharing their first blocks, beside how much work they share.

    python benchmarks/shared_prefixes.py [--archs 2000] [--measured 60] [--images 1000]
        [--calibration 400]

From --archs random archs, those of one resolution with the same first block, --measured at most,
are evaluated together and one at a time; how dense they lie is what matters, and that is as in the
whole sample. Then the same for a sample that is designed to share: families that differ in their
last stage only. Accuracies must be identical. One thread, CPU seconds. The last line printed is one
JSON object.
"""

from __future__ import annotations

import argparse
import json
import time
from datetime import date
from pathlib import Path

import numpy as np
import torch
from tqdm.auto import tqdm

from labkit.runtime.machine import machine
from labkit.space import SearchSpace, network
from labkit.supernet.accuracy_measurement import random_genes
from labkit.supernet.evaluation import Evaluator
from labkit.supernet.folder import load
from labkit.supernet.prefix_tree import global_choice, path_of

FAMILY = 8


def neighbors(space: SearchSpace, genes: np.ndarray, limit: int) -> np.ndarray:
    """The archs of a sample that share a resolution and a first block: the commonest such, `most`
    at most.

    Where there are more, those with the same second block stay together.
    """
    first = space.kernel_columns[0]
    keys, counts = np.unique(genes[:, [0, first, first + 1]], axis=0, return_counts=True)
    key = keys[np.argsort(counts)[len(counts) // 2]]  # neither the densest nor the thinnest
    neighborhood = genes[(genes[:, [0, first, first + 1]] == key).all(1)]
    return neighborhood[np.lexsort(neighborhood.T[::-1])][:limit]


def sample_families(
    space: SearchSpace, rng: np.random.Generator, count: int, size: int
) -> np.ndarray:
    """(count, G) random archs in families of `size` that differ only in their last stage, and so
    share the others.

    Each arch by itself is as likely as from `SearchSpace.sample`, so that averages over archs are
    unbiased; but the archs of a family are not independent: of the earlier stages there are only
    count / size different ones.
    """
    families = -(-count // size)
    genes = space.sample(rng, families).repeat(size, 0)[:count]
    last = space.depth_columns[-1]
    genes[:, last:] = space.sample(rng, count)[:, last:]
    return genes


def work(space: SearchSpace, genes: np.ndarray) -> tuple[float, float]:
    """MACs of an image through all archs (N, G), one at a time and with shared prefixes.

    What comes before and after the elastic blocks counts as not shared: a few percent, that only
    its first part is.
    """
    alone, shared, prefixes = 0, 0, set()
    for arch in space.decode(genes):
        path = path_of(arch)
        parts = network.parts(network.operators(space, arch))
        macs = {part: sum(o.macs for o in members) for part, members in parts.items()}
        alone += sum(macs.values())
        shared += sum(macs.values())
        for length, (name, _) in enumerate(path, 1):
            prefix = global_choice(arch), path[:length]
            if prefix in prefixes:
                shared -= macs[f"blocks.{name}"]
            prefixes.add(prefix)
    return float(alone), float(shared)


def compare(evaluator: Evaluator, space: SearchSpace, genes: np.ndarray) -> dict:
    archs = space.decode(genes)
    evaluator.accuracy(archs[0])
    begin = time.process_time()
    together = evaluator.accuracies(archs, progress=True)
    middle = time.process_time()
    separate = [evaluator.accuracy(arch) for arch in tqdm(archs, desc="one at a time")]
    end = time.process_time()
    if together != separate:
        raise SystemExit("accuracies differ between the two ways; no figure")
    separate_macs, shared_macs = work(space, genes)
    return {
        "archs": len(archs),
        "together_s": middle - begin,
        "one_at_a_time_s": end - middle,
        "speed_up": (end - middle) / (middle - begin),
        "macs_ratio": separate_macs / shared_macs,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archs", type=int, default=2000)
    parser.add_argument("--measured", type=int, default=60)
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--calibration", type=int, default=400)
    options = parser.parse_args()
    torch.set_num_threads(1)
    trained = load("fmnist")
    space, supernet, dataset = trained.space, trained.supernet, trained.dataset
    evaluator = Evaluator(
        supernet,
        dataset,
        "val-search",
        images=options.images,
        recalibration_images=options.calibration,
    )
    bounds = {
        n: separate / shared
        for n in (30, 100, 500, 2000, 5000)
        for separate, shared in [work(space, random_genes(space, n, 0))]
    }
    print(
        "work saved among random archs, in MACs: "
        + ", ".join(f"{n} archs {r:.2f}" for n, r in bounds.items())
    )
    samples = {
        "random": neighbors(space, random_genes(space, options.archs, 0), options.measured),
        "families": sample_families(space, np.random.default_rng(0), options.measured, FAMILY),
    }
    rows = {name: compare(evaluator, space, genes) for name, genes in samples.items()}
    for name, row in rows.items():
        print(
            f"{name}: {row['archs']} archs, {row['speed_up']:.2f} times as fast together; "
            f"MACs allow {row['macs_ratio']:.2f}"
        )
    print(
        json.dumps(
            {
                "benchmark": Path(__file__).stem,
                "date": date.today().isoformat(),
                "unit": "CPU seconds, one thread",
                "images": options.images,
                "calibration": options.calibration,
                "random_bounds": bounds,
                "rows": rows,
                "machine": machine(),
            }
        )
    )


if __name__ == "__main__":
    main()
