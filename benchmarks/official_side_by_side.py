"""The official package and labkit on the same weights and archs, one after the other in one
process.

    python benchmarks/official_side_by_side.py [--repeats 7] [--quick]

Needs the extra `peers`. Runs on one CPU thread and counts CPU seconds, which other processes
disturb less than wall time; ours and theirs alternate, and each figure is the median over the
repeats. Before anything is timed the two are shown to compute the same. The last line printed is
one JSON object.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import re
import statistics
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3
from ofa.imagenet_classification.elastic_nn.utils import set_running_statistics

from labkit.official import conversion as official
from labkit.official.arch_dicts import arch_from_official, arch_to_official
from labkit.runtime.machine import machine
from labkit.space.presets import get_space
from labkit.supernet.evaluation import recalibrate
from labkit.supernet.supernet import Supernet

SPACE = "ofa-mbv3"
RECALIBRATION_BATCHES, RECALIBRATION_BATCH = 2, 16


def seconds(call: Callable[[], object], times: int) -> float:
    """CPU seconds of one call. Results are dropped at once: keeping them would measure fresh
    memory.
    """
    gc.collect()
    gc.disable()  # as timeit does: a collection would fall on either side by chance
    start = time.process_time()
    for _ in range(times):
        call()
    elapsed = time.process_time() - start
    gc.enable()
    return elapsed / times


def compare(
    lab_calls: list[Callable[[], object]],
    official_calls: list[Callable[[], object]],
    repeats: int,
    inner: int = 1,
) -> dict:
    """Median milliseconds of one call, over the archs: each pair in turn, then the next repeat."""
    for call in (*lab_calls, *official_calls):
        call()
    samples: tuple[list[float], list[float]] = ([], [])
    for repeat in range(repeats):
        totals = [0.0, 0.0]
        for pair in zip(lab_calls, official_calls):
            for side in (0, 1) if repeat % 2 else (1, 0):  # neither always comes second
                totals[side] += seconds(pair[side], inner)
        for side in (0, 1):
            samples[side].append(1e3 * totals[side] / len(lab_calls))
    ratios = [t / o for o, t in zip(*samples)]
    return {
        "ours_ms": statistics.median(samples[0]),
        "official_ms": statistics.median(samples[1]),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
    }


def networks(seed: int = 0) -> tuple[OFAMobileNetV3, Supernet]:
    """Their network with weights under which subnets differ, and ours with the same."""
    torch.manual_seed(seed)
    official_net = (
        OFAMobileNetV3(
            dropout_rate=0,
            width_mult=1.0,
            ks_list=[3, 5, 7],
            expand_ratio_list=[3, 4, 6],
            depth_list=[2, 3, 4],
        )
        .eval()
        .requires_grad_(False)
    )
    for name, parameter in official_net.named_parameters():
        if name.endswith("_matrix"):
            parameter += 0.1 * torch.randn_like(parameter)
        elif re.search(r"\bbn\.weight", name):
            parameter.uniform_(0.5, 1.5)
        elif name.startswith("classifier"):
            parameter *= 10
    supernet = Supernet(get_space(SPACE)).requires_grad_(False)
    official.load(supernet, official_net.state_dict())
    return official_net, supernet


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--archs", type=int, default=6)
    parser.add_argument(
        "--quick", action="store_true", help="two archs, two repeats: to see that it runs"
    )
    options = parser.parse_args()
    if options.quick:
        options.archs, options.repeats = 2, 2
    torch.set_num_threads(1)
    repeats = options.repeats

    official_net, supernet = networks()
    space = supernet.space
    archs = space.decode(space.sample(np.random.default_rng(0), options.archs))
    configs = [
        {k: v for k, v in arch_to_official(space, arch).items() if k != "r"} for arch in archs
    ]
    batches = [
        [
            (torch.randn(RECALIBRATION_BATCH, 3, arch.resolution, arch.resolution), None)
            for _ in range(RECALIBRATION_BATCHES)
        ]
        for arch in archs
    ]
    stats, subnets, difference, contrast = [], [], 0.0, math.inf
    for arch, config, calibration in zip(archs, configs, batches):
        official_net.set_active_subnet(**config)
        set_running_statistics(official_net, calibration)
        running = official.from_official(space, official_net.state_dict())[1]
        stats.append(official.stats_for(space, arch, running))
        subnets.append(official_net.get_active_subnet(preserve_weight=True).eval())
        images = calibration[0][0][:4]
        expected = official_net(images)
        difference = max(
            difference, (expected - supernet(images, arch, stats[-1])).abs().max().item()
        )
        contrast = min(contrast, (expected[0] - expected[1]).abs().max().item())
    if difference > 1e-4 or contrast < 1e-2:
        raise SystemExit(
            f"the two networks differ by {difference} (two images by {contrast}); nothing was timed"
        )

    def active(config: dict, call: Callable[[], object]) -> Callable[[], object]:
        def run() -> object:
            official_net.set_active_subnet(**config)
            return call()

        return run

    rows = {}
    for batch, inner in ((1, 5), (16, 1)):
        images = [torch.randn(batch, 3, arch.resolution, arch.resolution) for arch in archs]
        rows[f"forward, batch {batch}"] = compare(
            [lambda x=x, a=a, s=s: supernet(x, a, s) for x, a, s in zip(images, archs, stats)],
            [active(c, lambda x=x: official_net(x)) for x, c in zip(images, configs)],
            repeats,
            inner,
        )
    rows["extraction"] = compare(
        [lambda a=a, s=s: supernet.extract(a, s) for a, s in zip(archs, stats)],
        [active(c, lambda: official_net.get_active_subnet(preserve_weight=True)) for c in configs],
        repeats,
        3,
    )
    rows["recalibration"] = compare(
        [
            lambda a=a, b=b: recalibrate(supernet, a, (x for x, _ in b))
            for a, b in zip(archs, batches)
        ],
        [lambda n=n, b=b: set_running_statistics(n, b) for n, b in zip(subnets, batches)],
        repeats,
    )
    with_resolution = [{**c, "r": arch.resolution} for c, arch in zip(configs, archs)]
    rows["switching"] = compare(
        [lambda c=c: arch_from_official(space, c) for c in with_resolution],
        [lambda c=c: official_net.set_active_subnet(**c) for c in configs],
        repeats,
        200,
    )

    for what, row in rows.items():
        print(
            f"{what:20} ours {row['ours_ms']:9.3f} ms   official {row['official_ms']:9.3f} ms   "
            f"{row['ratio']:.2f} times as fast ({row['ratio_min']:.2f} to {row['ratio_max']:.2f})"
        )
    print(
        json.dumps(
            {
                "benchmark": Path(__file__).stem,
                "date": date.today().isoformat(),
                "unit": "CPU milliseconds, one thread",
                "space": SPACE,
                "archs": options.archs,
                "repeats": repeats,
                "largest_difference": difference,
                "smallest_difference_of_images": contrast,
                "rows": rows,
                "geometric_mean_ratio": statistics.geometric_mean(
                    row["ratio"] for row in rows.values()
                ),
                "machine": {**machine(), "ofa": version("ofa")},
            }
        )
    )


if __name__ == "__main__":
    main()
