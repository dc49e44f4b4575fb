"""What the authors of OFA published for phones, a CPU and a GPU, beside the exact optimum.

    labkit official fetch note10; labkit official fetch predictor
    python benchmarks/publish.py imagenet [--seeds 2] [--limits 20 30 40]

For every published subnet: its latency by a device of ours, its accuracy by the predictor of its
space, and the best arch at that very latency. Devices:

    Note10     the authors' table of blocks where it has the subnet, else the simulated note10-class
    Pixel 1    the simulated pixel1
    others     no device of ours: a simulated one times one factor, the mean ratio of the device's
               other published subnets

The predictor of `ofa-mbv3-w1.2` is a table fitted to that of the authors; the other spaces have the
same table. Of ProxylessNAS's 21 blocks it knows 20: the last one is as in the published subnet.
Where OFA's own predictor says something, evolution with it shows what it would have liked better.

The second part is a race at equal limits of the Note10's table, in one process on one thread, of
evolution by the package `ofa` with its predictor and table, of ours with the same predictor, of
ours with our table of accuracy, and of the exact search. Needs the extra `peers`. The last line
printed is the report as one JSON object.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from functools import cache
from importlib.metadata import version
from itertools import product
from typing import NamedTuple

import numpy as np
from fit_imagenet_predictor import between_resolutions, published_in
from matplotlib.figure import Figure
from page import table
from search_problems import cpu_time, require_one_thread

from labkit.comparison.published_subnets import PublishedSubnet, published_subnets
from labkit.course.pictures.style import BLUE, GRAY, ORANGE, log_axis, row_of_panels
from labkit.latency.devices import get_device
from labkit.official.accuracy_mlp import RESOLUTIONS, TRAINED_SPACE, AccuracyMlp, load_mlp
from labkit.official.published_files import fetched
from labkit.official.published_weights import read_pickle
from labkit.runtime.machine import machine
from labkit.search import Budget, InfeasibleBudget, best, evolve, front
from labkit.space import SearchSpace, get_space, network
from labkit.storage.provenance import code_revision
from labkit.supernet.folder import load
from labkit.tables.costs import AdditiveTable
from labkit.tables.predictor_quality import kendall_tau

PROXYLESS = "ofa-proxyless-w1.3"
MEASURED = "note10"  # the device whose table the authors publish, for TRAINED_SPACE


class Target(NamedTuple):
    """A device for which subnets were published, and the simulated one that stands for it."""

    title: str
    simulated: str
    stand_in: bool = True


# Times one factor, pixel1 is nearest to the published latencies of phones and of the TX2, and
# jetson-nano, which spends much time on each operator, to those of the CPU.
TARGETS = {
    "note10": Target("Samsung Note10", "note10-class", False),
    "pixel1": Target("Google Pixel 1", "pixel1", False),
    "pixel2": Target("Google Pixel 2", "pixel1"),
    "s7edge": Target("Samsung S7 edge", "pixel1"),
    "note8": Target("Samsung Note8", "pixel1"),
    "LG-G8": Target("LG G8", "pixel1"),
    "cpu": Target("Intel Xeon CPU", "jetson-nano"),
    "tx2": Target("Jetson TX2 GPU, 16 images", "pixel1"),
}


# ---- the published subnets -----------------------------------------------------------------------


def published_rows(mlp: AccuracyMlp) -> list[dict]:
    """Every published subnet of TARGETS beside the optimum, device by device, by latency."""
    subnets = [subnet for subnet in published_subnets() if subnet.finetuned_epochs]
    rows = []
    for device in TARGETS:
        group = [subnet for subnet in subnets if subnet.device == device]
        group.sort(key=lambda subnet: subnet.latency_ms)
        simulated = [simulated_ms(subnet) for subnet in group]
        ratios = np.log([subnet.latency_ms / ms for subnet, ms in zip(group, simulated)])
        for i, (subnet, ms) in enumerate(zip(group, simulated)):
            factor = np.exp(np.delete(ratios, i).mean()) if TARGETS[device].stand_in else 1.0
            rows.append(row(subnet, ms, float(factor), mlp))
            print(rows[-1], file=sys.stderr)
    return rows


def simulated_ms(subnet: PublishedSubnet) -> float:
    device = get_device(TARGETS[subnet.device].simulated)
    return device.roofline.latency_ms(network.operators(subnet.space, subnet.arch))


def row(subnet: PublishedSubnet, simulated: float, factor: float, mlp: AccuracyMlp) -> dict:
    accuracy = accuracy_of(subnet)
    space, arch = accuracy.space, subnet.arch
    cost, latency_ms = latency_table(TARGETS[subnet.device].simulated, space), simulated
    measured = subnet.device == MEASURED and subnet.supernet == TRAINED_SPACE
    if measured:
        table = latency_table(MEASURED, space)
        by_table = between_resolutions(table, arch)
        measured = by_table is not None
        if measured:
            cost, latency_ms = table, by_table
    limits = [Budget(cost, latency_ms, "latency", "ms")]
    optimum = searched(lambda: best(space, accuracy, limits))
    operators = network.operators(subnet.space, arch)
    fields = {
        "name": subnet.name,
        "device": subnet.device,
        "supernet": subnet.supernet,
        "arch": str(arch),
        "resolution": arch.resolution,
        "macs": sum(operator.macs for operator in operators),
        "published_ms": subnet.latency_ms,
        "latency_ms": factor * latency_ms,
        "latency_is": "measured" if measured else "simulated",
        "top1": subnet.top1,
        "finetuned_epochs": subnet.finetuned_epochs,
        "predicted": between_resolutions(accuracy, arch),
        "optimum": optimum and optimum.accuracy,
        "optimum_arch": optimum and str(optimum.arch),
        "optimum_ms": optimum and factor * float(optimum.costs["latency"]),
    }
    if space == mlp.space and fields["predicted"] is not None:
        liked = evolve(space, mlp, limits, rng=np.random.default_rng(0))
        fields["by_original"] = {
            "published": between_resolutions(mlp, arch),
            "optimum": float(mlp(optimum.genes[None])[0]),
            "evolution": liked.accuracy,
            "evolution_by_table": float(accuracy(liked.genes[None])[0]),
        }
    return fields


def searched(search: Callable):
    """What a search finds, None where no arch of the predictor's resolutions is that fast."""
    try:
        return search()
    except InfeasibleBudget:
        return None


@cache
def latency_table(device: str, space: SearchSpace) -> AdditiveTable:
    return get_device(device).latency_table(space)


def accuracy_of(subnet: PublishedSubnet) -> AdditiveTable:
    """The predictor of the subnet's space, at the resolutions of which it says something."""
    if subnet.supernet != PROXYLESS:
        return load(subnet.supernet).predictor.predict
    trained, ((kernel, expand),) = load(TRAINED_SPACE).predictor.predict, subnet.arch.stages[-1]
    *stages, last = get_space(PROXYLESS).stages
    last = replace(last, kernels=(kernel,), expands=(expand,))
    space = replace(get_space(PROXYLESS), resolutions=RESOLUTIONS, stages=(*stages, last))
    blocks = np.full((len(trained.base), 1, *trained.blocks.shape[2:]), np.nan)
    blocks[..., 0, 0] = 0.0
    return AdditiveTable(space, trained.base, np.concatenate([trained.blocks, blocks], axis=1))


def order(supernet: str) -> dict:
    """How the predictor orders the published subnets of a supernet, beside their top-1."""
    subnets = published_in(supernet, finetuned=True)
    predicted = [between_resolutions(accuracy_of(subnet), subnet.arch) for subnet in subnets]
    top1 = [subnet.top1 for subnet in subnets]
    return {
        "kendall_tau": kendall_tau(np.array(predicted), np.array(top1)),
        "subnets": len(subnets),
    }


# ---- the race ------------------------------------------------------------------------------------


def race(mlp: AccuracyMlp, limits_ms: list[float], seeds: int) -> dict:
    """CPU seconds and accuracy of four searches under equal limits of the Note10's table."""
    # Importing the peer here lets the page be written where it is not installed.
    import torch
    from ofa.tutorial import AccuracyPredictor
    from search_speed import OfaLatency, check_equal, search_with_ofa

    torch.set_num_threads(1)
    space, accuracy = mlp.space, load(TRAINED_SPACE).predictor.predict
    cost = latency_table(MEASURED, space)
    ofa_table, ofa_mlp = OfaLatency(cost), AccuracyPredictor(pretrained=False, device="cpu")
    ofa_mlp.model.load_state_dict(read_pickle(fetched("predictor")))
    check_equal(space, cost, ofa_table, mlp, ofa_mlp)

    def by_ofa(limits: list[Budget], seed: int) -> np.ndarray:
        return space.encode([search_with_ofa(ofa_table, ofa_mlp, limits[0].limit, seed)])[0]

    def by_evolution(predictor: Callable) -> Callable:
        return lambda limits, seed: (
            evolve(space, predictor, limits, rng=np.random.default_rng(seed)).genes
        )

    methods = {
        "`ofa`'s evolution, its predictor": by_ofa,
        "our evolution, its predictor": by_evolution(mlp),
        "our evolution, our table": by_evolution(accuracy),
        "exact search, our table": lambda limits, _: best(space, accuracy, limits).genes,
    }
    rows = []
    for limit, (name, search) in product(limits_ms, methods.items()):
        limits = [Budget(cost, limit, "latency", "ms")]
        results = [cpu_time(search, limits, seed) for seed in range(seeds)]
        genes = np.stack([genes for _, genes in results])
        rows.append(
            {
                "limit_ms": limit,
                "method": name,
                "seconds": float(np.median([seconds for seconds, _ in results])),
                "original": mlp(genes).tolist(),
                "table": accuracy(genes).tolist(),
                "latency_ms": cost(genes).tolist(),
            }
        )
        print(rows[-1], file=sys.stderr)
    return {"peer": f"ofa {version('ofa')}", "seeds": seeds, "rows": rows}


# ---- the page ------------------------------------------------------------------------------------


def text(report: dict) -> str:
    rows, original = report["subnets"], report["original_excess"]
    gaps = [r["optimum"] - r["predicted"] for r in rows if has_gap(r)]
    stands_in = [TARGETS[r["device"]].stand_in for r in rows if has_gap(r)]
    own, others = (
        [gap for gap, each in zip(gaps, stands_in) if each == which] for which in (False, True)
    )
    tau = {
        name: f"{order['kendall_tau']:.2f} ({order['subnets']} subnets)"
        for name, order in report["order"].items()
    }
    return "\n\n".join(
        [
            f"**Published subnets beside the optimum** (`imagenet.py`; {len(rows)} subnets of"
            f" {len(TARGETS)} devices, all but those for two server GPUs and for limits on MACs;"
            " top-1 is as published, after fine-tuning for so many epochs; predicted is what an"
            " arch has with the supernet's weights, by the predictor that ships; the optimum is"
            " that of the same supernet at 160 to 224 px and at most our latency of the published"
            " subnet, exactly)",
            table(
                (
                    "published for",
                    "ms",
                    "our ms",
                    "off by",
                    "supernet",
                    "px",
                    "MACs, M",
                    "top-1, % (epochs)",
                    "predicted, %",
                    "optimum, %",
                    "left, points",
                ),
                [cells(row) for row in rows],
            ),
            f"Where both are predicted ({len(gaps)} subnets), the optimum is"
            f" {np.median(gaps):.2f} points better in the median, {min(gaps):.2f} to"
            f" {max(gaps):.2f}; {np.median(own):.2f} for the {len(own)} on devices of which there"
            f" is a model, {np.median(others):.2f} for the others. Nothing is predicted below 160"
            " and above 224 px, and an empty optimum means that no arch of 160 px is that fast.\n\n"
            "Our latency: † measured, the authors' table of blocks (between two of its resolutions"
            " at 220 px; its layers that are the same at several resolutions have their mean), else"
            " simulated. `note10-class` was fitted to that table's layers below 224 px, `pixel1` to"
            " these subnets of the Pixel 1 (each left out in turn in [DEVICES.md](DEVICES.md)). *"
            f" We have none of the device: {stand_ins()}, times the mean ratio of the device's"
            " other published subnets. Which device stands in was chosen by how little these very"
            " ratios vary, so their errors are not held out. (The i7-8700K's published table has"
            " no blocks of ProxylessNAS, which the CPU's subnets are of.)\n\n"
            "The predictor was fitted for `ofa-mbv3-w1.2`. Of the others it gives the order, not"
            f" the level: the Kendall tau with published top-1 is {tau['ofa-mbv3']} for `ofa-mbv3`,"
            f" {tau[PROXYLESS]} for `{PROXYLESS}`, of whose 21 blocks it knows 20 (the last one is"
            " as in the published subnet).",
            "**What their search left by their own predictor** (the authors' network, less the"
            f" {original:.2f} points that it is above 4 measured subnets; it is for"
            " `ofa-mbv3-w1.2` at 160 to 224 px; evolution has at most the published subnet's"
            " latency)",
            table(
                (
                    "published for",
                    "ms",
                    "published subnet, %",
                    "evolution with it, %",
                    "left, points",
                    "our table's optimum, by it, %",
                    "evolution's subnet, by our table, %",
                    "our table's optimum, by our table, %",
                ),
                [original_cells(row, original) for row in rows if "by_original" in row],
            ),
            f"On random archs the network and the table differ by {report['rmse']:.2f} points"
            " (RMSE), on archs that were searched with either by more: each prefers its own, and"
            " the exact optimum is one by the table. Which is right, ImageNet's images would have"
            " to tell.",
            race_text(report["race"], original),
        ]
    )


def has_gap(row: dict) -> bool:
    return row["predicted"] is not None and row["optimum"] is not None


def stand_ins() -> str:
    titles: dict[str, list[str]] = {}
    for target in TARGETS.values():
        if target.stand_in:
            titles.setdefault(target.simulated, []).append(target.title)
    return "; ".join(f"`{name}` for {', '.join(each)}" for name, each in titles.items())


def cells(row: dict) -> tuple:
    target, error = TARGETS[row["device"]], row["latency_ms"] / row["published_ms"] - 1
    mark = "†" if row["latency_is"] == "measured" else "*" if target.stand_in else ""
    return (
        target.title,
        f"{row['published_ms']:g}",
        f"{row['latency_ms']:.1f}{mark}",
        f"{100 * error:+.0f} %",
        row["supernet"],
        row["resolution"],
        f"{row['macs'] / 1e6:.0f}",
        f"{row['top1']:.1f} ({row['finetuned_epochs']})",
        percent(row["predicted"]),
        percent(row["optimum"]),
        f"{row['optimum'] - row['predicted']:.2f}" if has_gap(row) else "",
    )


def original_cells(row: dict, excess: float) -> tuple:
    by = row["by_original"]
    return (
        TARGETS[row["device"]].title,
        f"{row['published_ms']:g}",
        percent(by["published"] - excess),
        percent(by["evolution"] - excess),
        f"{by['evolution'] - by['published']:.2f}",
        percent(by["optimum"] - excess),
        percent(by["evolution_by_table"]),
        percent(row["optimum"]),
    )


def percent(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def race_text(race: dict, excess: float) -> str:
    rows = [
        (
            f"{row['limit_ms']:g}",
            row["method"],
            f"{row['seconds']:.3f}",
            percent(float(np.median(row["original"])) - excess),
            percent(float(np.median(row["table"]))),
        )
        for row in race["rows"]
    ]
    return (
        "**Four searches under equal limits** (the Note10's table; population 100, 500 generations;"
        f" medians of {race['seeds']} seeds; both predictors judge every answer; the peer is"
        f" {race['peer']})\n\n"
        + table(
            ("limit, ms", "search", "CPU s", "by the authors' predictor, %", "by our table, %"),
            rows,
        )
    )


def figure(report: dict) -> Figure:
    """Accuracy over the Note10's latency: the published subnets below the exact fronts."""
    drawing, panels = row_of_panels(len(report["fronts"]), 4.8, 3.8)
    for panel, shown in zip(panels, report["fronts"]):
        rows = [
            row
            for row in report["subnets"]
            if has_gap(row)
            and (row["device"], row["supernet"]) == (MEASURED, shown["supernet"])
            and row["latency_is"] == shown["latency_is"]
        ]
        latency = [row["latency_ms"] for row in rows]
        predicted, optima = ([row[key] for row in rows] for key in ("predicted", "optimum"))
        panel.plot(shown["latency_ms"], shown["accuracy"], color=BLUE, lw=3, label="exact front")
        panel.vlines(latency, predicted, optima, color=GRAY, lw=1)
        panel.plot(latency, predicted, "o", color=ORANGE, ms=8, label="the authors' subnets")
        gap = np.median(np.subtract(optima, predicted))
        kind = f"{shown['supernet']}, {shown['latency_is']} latency"
        log_axis(panel, 0.8 * min(latency), 1.2 * max(latency))
        panel.set(
            title=f"{kind}:\ntheir choice is {gap:.1f} points below",
            xlabel="latency on the Note10, ms",
            ylabel="predicted ImageNet top-1, %",
            xlim=(0.8 * min(latency), 1.2 * max(latency)),
            ylim=(min(predicted) - 0.7, max(optima) + 0.5),
        )
        panel.title.set_fontsize(10)
    panels[0].legend(loc="lower right")
    return drawing


def note10_fronts() -> list[dict]:
    """The exact fronts of both widths over the Note10's latency, measured and simulated."""
    fronts = []
    for supernet, device in ((TRAINED_SPACE, MEASURED), ("ofa-mbv3", "note10-class")):
        accuracy = load(supernet).predictor.predict
        points = front(accuracy.space, accuracy, latency_table(device, accuracy.space))
        limits = np.geomspace(points.cost[0], points.cost[-1], 100)
        fronts.append(
            {
                "supernet": supernet,
                "latency_is": get_device(device).kind,
                "latency_ms": limits.tolist(),
                "accuracy": points.accuracy[[points.best(limit) for limit in limits]].tolist(),
            }
        )
    return fronts


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--limits", type=float, nargs="+", default=[20, 30, 40], help="in ms")
    options = parser.parse_args()
    require_one_thread()
    mlp, header = load_mlp(), load(TRAINED_SPACE).predictor.header
    report = {
        "benchmark": "imagenet",
        "date": date.today().isoformat(),
        "revision": code_revision(),
        "machine": machine(),
        "original_excess": header["measured"]["original_excess"],
        "rmse": header["against_original"]["all"]["rmse"],
        "order": {supernet: order(supernet) for supernet in ("ofa-mbv3", PROXYLESS)},
        "fronts": note10_fronts(),
        "race": race(mlp, options.limits, options.seeds),
        "subnets": published_rows(mlp),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
