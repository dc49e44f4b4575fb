"""How long a training step takes beside the official package's, and a forward pass beside an
extracted subnet's.

    python benchmarks/step_speed.py [--quick] [--skip-peer]

Needs the extra `peers`, unless --skip-peer. One CPU thread, CPU seconds; the sides alternate, each
figure is a median over archs of medians over repeats. Before anything is timed, both sides are
shown to compute the same.

Training step: the paper's space, 16 images of 224 pixels, one random subnet; forward, cross
entropy, backward and SGD with momentum. Forward: an active subnet inside the supernet against the
extracted one, which is timed with its images in both memory formats and counts with the faster. The
last line printed is one JSON object.
"""

from __future__ import annotations

import argparse
import gc
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from labkit.official import conversion as official
from labkit.official.arch_dicts import arch_to_official
from labkit.runtime.machine import machine
from labkit.space import Arch
from labkit.space.presets import get_space
from labkit.supernet.batch_norm import ElasticBatchNorm
from labkit.supernet.evaluation import recalibrate
from labkit.supernet.supernet import Supernet
from labkit.train.recipes import RECIPES
from labkit.train.step import training_step

PEER_SPACE = "ofa-mbv3"
FORWARDS = (("fmnist", 128), (PEER_SPACE, 16), ("fmnist", 1), (PEER_SPACE, 1))
Call = Callable[[], object]


def cpu_seconds(call: Call, times: int = 1) -> float:
    gc.collect()
    gc.disable()
    begin = time.process_time()
    for _ in range(times):
        call()
    elapsed = (time.process_time() - begin) / times
    gc.enable()
    return elapsed


def alternate(calls: list[Call], repeats: int, times: int = 1) -> list[float]:
    """Median CPU seconds of each call; the order turns round with every repeat."""
    samples: list[list[float]] = [[] for _ in calls]
    for call in calls:
        call()
    for repeat in range(repeats):
        for i in range(len(calls)) if repeat % 2 else reversed(range(len(calls))):
            samples[i].append(cpu_seconds(calls[i], times))
    return [statistics.median(sample) for sample in samples]


@torch.no_grad()
def network(space_name: str) -> Supernet:
    """A supernet with weights under which subnets and images differ."""
    torch.manual_seed(0)
    supernet = Supernet(get_space(space_name))
    for module in supernet.modules():
        if isinstance(module, ElasticBatchNorm):
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_(std=0.1)
    supernet.classifier.weight *= 10
    return supernet


def random_archs(supernet: Supernet, count: int, resolution: int | None = None) -> list[Arch]:
    archs = supernet.space.decode(supernet.space.sample(np.random.default_rng(0), count))
    return archs if resolution is None else [replace(arch, resolution=resolution) for arch in archs]


def training_steps(count: int, repeats: int) -> dict:
    """Ours against the official package's, one random subnet after another."""
    from ofa.imagenet_classification.elastic_nn.networks import OFAMobileNetV3

    supernet = network(PEER_SPACE)
    official_net = OFAMobileNetV3(
        dropout_rate=0,
        width_mult=1.0,
        ks_list=[3, 5, 7],
        expand_ratio_list=[3, 4, 6],
        depth_list=[2, 3, 4],
    ).train()
    torch.manual_seed(1)
    for parameter in official_net.parameters():
        if parameter.ndim == 1:
            torch.nn.init.uniform_(parameter, 0.5, 1.5)
    official.load(supernet, official_net.state_dict())
    images, labels = torch.randn(16, 3, 224, 224), torch.randint(0, 1000, (16,))
    kind = {"lr": 1e-3, "momentum": 0.9, "nesterov": True}
    optimizers = [torch.optim.SGD(net.parameters(), **kind) for net in (supernet, official_net)]

    def our_step(arch: Arch) -> None:
        optimizers[0].zero_grad()
        training_step(supernet, RECIPES["single-path"], [arch], images, labels, 0.1)
        optimizers[0].step()

    def their_step(config: dict) -> None:
        optimizers[1].zero_grad()
        official_net.set_active_subnet(**config)
        F.cross_entropy(official_net(images), labels, label_smoothing=0.1).backward()
        optimizers[1].step()

    rows, archs = [], random_archs(supernet, count, 224)
    for arch in archs:
        config = {k: v for k, v in arch_to_official(supernet.space, arch).items() if k != "r"}
        official.load(supernet, official_net.state_dict())
        with torch.no_grad():
            official_net.set_active_subnet(**config)
            gap = (supernet(images[:4], arch) - official_net(images[:4])).abs().max().item()
        if gap > 1e-3:
            raise SystemExit(f"the two networks differ by {gap} on {arch}; nothing was timed")
        rows.append(
            alternate([lambda a=arch: our_step(a), lambda c=config: their_step(c)], repeats)
        )
    ratios = [lab_seconds / official_seconds for lab_seconds, official_seconds in rows]
    return {
        "ours_ms": 1e3 * statistics.median(row[0] for row in rows),
        "official_ms": 1e3 * statistics.median(row[1] for row in rows),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "archs": count,
        "repeats": repeats,
    }


@torch.inference_mode()
def forwards(space_name: str, batch: int, count: int, repeats: int) -> dict:
    """An active subnet inside the supernet against the extracted one."""
    supernet, ratios, inside = network(space_name), [], []
    for arch in random_archs(supernet, count):
        images = torch.randn(batch, supernet.space.in_channels, arch.resolution, arch.resolution)
        stats = recalibrate(supernet, arch, [torch.randn(8, *images.shape[1:])])
        extracted = supernet.extract(arch, stats)
        turned = (
            extracted.to(memory_format=torch.channels_last),
            images.to(memory_format=torch.channels_last),
        )
        plain = supernet.extract(arch, stats)
        if not torch.allclose(supernet(images, arch, stats), plain(images), rtol=1e-3, atol=1e-3):
            raise SystemExit(
                f"the extracted subnet computes something else than {arch}; nothing was timed"
            )
        times = max(1, 32 // batch)
        in_supernet, *alone = alternate(
            [
                lambda x=images, a=arch, s=stats: supernet(x, a, s),
                lambda x=images, n=plain: n(x),
                lambda t=turned: t[0](t[1]),
            ],
            repeats,
            times,
        )
        ratios.append(in_supernet / min(alone))
        inside.append(in_supernet)
    return {
        "space": space_name,
        "batch": batch,
        "inside_ms": 1e3 * statistics.median(inside),
        "ratio": statistics.median(ratios),
        "ratio_min": min(ratios),
        "ratio_max": max(ratios),
        "archs": count,
        "repeats": repeats,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--quick", action="store_true", help="few archs and repeats: to see that it runs"
    )
    parser.add_argument("--skip-peer", action="store_true", help="without the official package")
    options = parser.parse_args()
    torch.set_num_threads(1)
    step = None
    if not options.skip_peer:
        step = training_steps(*((2, 1) if options.quick else (6, 5)))
        print(
            f"training step: ours {step['ours_ms']:.0f} ms, official {step['official_ms']:.0f} ms, "
            f"{step['ratio']:.2f} of its time ({step['ratio_min']:.2f} to {step['ratio_max']:.2f})",
            flush=True,
        )
    rows = []
    for space_name, batch in FORWARDS:
        rows.append(forwards(space_name, batch, *((3, 3) if options.quick else (20, 7))))
        print(
            "forward inside the supernet, {space}, batch {batch}: {inside_ms:.1f} ms, {ratio:.3f}"
            " times the extracted subnet's ({ratio_min:.2f} to {ratio_max:.2f})".format(**rows[-1]),
            flush=True,
        )
    print(
        json.dumps(
            {
                "benchmark": Path(__file__).stem,
                "date": date.today().isoformat(),
                "unit": "CPU milliseconds, one thread",
                "training_step": step,
                "forward": rows,
                "machine": machine(),
            }
        )
    )


if __name__ == "__main__":
    main()
