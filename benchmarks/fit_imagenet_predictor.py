"""The ImageNet predictors of `ofa-mbv3-w1.2` and `ofa-mbv3`, from OFA's own.

    python benchmarks/fit_imagenet_predictor.py [--mlp acc_predictor.pth]

OFA's predictor (`labkit official fetch predictor`) is asked for the accuracy of random archs, and a
table of points for each block is fitted to its answers by least squares, one for each resolution.
Searches end at archs that are nothing like random ones, so it is then asked about neighbors of the
table's own optima over the range of MACs, and the table is fitted again, several times.
The table is lowered by its mean excess over the accuracies that others measured of a few subnets
with inherited weights. The same subnets judge it, each with the shift that the others give. The
other width gets the same table: its rank agreement with the published accuracies of that width,
which are fine-tuned, is part of the file. Writes data/supernets/SPACE/additive-predictor.json and
prints the figures as one JSON object.
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from labkit.comparison.published_subnets import PublishedSubnet, published_subnets
from labkit.official.accuracy_mlp import TRAINED_SPACE, AccuracyMlp, load_mlp, trained_space
from labkit.official.published_files import FILES
from labkit.search import Budget, best
from labkit.space import Arch, SearchSpace
from labkit.storage.paths import data_dir
from labkit.storage.provenance import code_revision
from labkit.supernet.additive_predictor import write_additive_predictor
from labkit.tables.costs import AdditiveTable, macs_table
from labkit.tables.predictor_quality import agreement
from labkit.tables.separable import Separable, highest, lowest

TRANSFERRED_SPACE = "ofa-mbv3"
ARCHS, HELD_OUT, SEED = 50_000, 5_000, 0
ROUNDS, BUDGETS, NEIGHBORS, CHANGED = 8, 40, 1000, 0.15  # of a fit where searches end


def fit(space: SearchSpace, genes: np.ndarray, accuracy: np.ndarray) -> AdditiveTable:
    """The table of least squares to accuracies (N,) of archs (N, G).

    Its base is what the smallest arch has, a block's entry what the block adds to that.
    """
    columns, choices = space.kernel_columns, space.stages[0].block_choices
    ratios = len(space.stages[0].expands)
    present = space.gene_mask(genes)[:, columns, None]
    one_hot = np.eye(choices)[genes[:, columns] * ratios + genes[:, columns + 1]] * present
    design = np.concatenate([np.ones((len(genes), 1)), one_hot.reshape(len(genes), -1)], axis=1)
    bases, blocks = [], []
    for r in range(len(space.global_choices)):
        rows = genes[:, 0] == r
        base, *terms = np.linalg.lstsq(design[rows], accuracy[rows], rcond=None)[0]
        terms = np.reshape(terms, (len(space.blocks), choices))  # (B, choices)
        for shape, term in zip(space.blocks, terms):
            if shape.index < space.stages[shape.stage].depths[0]:  # a block that is always there
                base += term[0]
                term -= term[0]
        bases.append(base)
        blocks.append(terms.reshape(len(space.blocks), -1, ratios))
    return AdditiveTable(space, np.array(bases), np.array(blocks))


def fit_where_searches_end(
    mlp: AccuracyMlp, genes: np.ndarray, rng: np.random.Generator
) -> AdditiveTable:
    """The table of archs (N, G), fitted again and again with neighbors of its own optima added.

    An optimum of a table is where the table says too much rather than too little: among random
    archs alone, nothing corrects that.
    """
    space = mlp.space
    macs = macs_table(space)
    limits = np.linspace(1.05 * lowest(macs), 0.8 * highest(macs), BUDGETS)
    table = fit(space, genes, mlp(genes))
    for _ in range(ROUNDS):
        optima = [best(space, table, [Budget(macs, limit, "MACs", "")]).arch for limit in limits]
        near = space.encode(optima).repeat(NEIGHBORS, axis=0)
        changed = rng.random(near.shape) < CHANGED
        near = space.canonical(np.where(changed, space.sample(rng, len(near)), near))
        genes = np.concatenate([genes, near])
        table = fit(space, genes, mlp(genes))
    return table


def between_resolutions(table: Separable | AccuracyMlp, arch: Arch) -> float | None:
    """What `table` says of an arch at any resolution, by linear interpolation between two of its
    own; None outside of them.
    """
    sides = table.space.resolutions
    if not sides[0] <= arch.resolution <= sides[-1]:
        return None
    genes = table.space.encode([Arch(side, arch.stages) for side in sides])
    return float(np.interp(arch.resolution, sides, table(genes)))


def against(predicted: np.ndarray, measured: np.ndarray) -> dict:
    """RMSE, Kendall's tau and Spearman's rank correlation of two samples (N,)."""
    scores = agreement(predicted, measured)
    spearman = float(spearmanr(predicted, measured).statistic)
    rounded = {name: round(value, 4) for name, value in scores.items()}
    return {**rounded, "spearman": round(spearman, 4), "archs": len(measured)}


def leave_one_out_rmse(excess: np.ndarray) -> float:
    """RMSE of predictions (N,) that are `excess` too high, each lowered by the others' mean."""
    others = (excess.sum() - excess) / (len(excess) - 1)
    return float(np.sqrt(np.mean((excess - others) ** 2)))


def published_in(name: str, *, finetuned: bool) -> list[PublishedSubnet]:
    """The published subnets of a supernet that are between 160 and 224 px, each arch once."""
    sides = trained_space().resolutions
    subnets = {
        subnet.arch: subnet
        for subnet in published_subnets()
        if subnet.supernet == name
        and (subnet.finetuned_epochs > 0) == finetuned
        and sides[0] <= subnet.arch.resolution <= sides[-1]
    }
    return list(subnets.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mlp", type=Path, help="acc_predictor.pth, if it was not fetched")
    mlp, space = load_mlp(parser.parse_args().mlp), trained_space()
    rng = np.random.default_rng(SEED)
    genes, unseen = space.sample(rng, ARCHS), space.sample(rng, HELD_OUT)
    table, truth = fit_where_searches_end(mlp, genes, rng), mlp(unseen)
    original = {
        "all": against(table(unseen), truth),
        **{
            f"{side} px": against(table(unseen[rows]), truth[rows])
            for r, side in enumerate(space.resolutions)
            for rows in [unseen[:, 0] == r]
        },
    }
    inherited = published_in(TRAINED_SPACE, finetuned=False)
    measured = np.array([subnet.top1 for subnet in inherited])
    archs = space.encode([subnet.arch for subnet in inherited])
    excess = table(archs) - measured
    shift = float(excess.mean())
    lowered = table.scaled(1.0, -shift)
    sides = ", ".join(map(str, space.resolutions))
    header = {
        "made": {
            "script": "benchmarks/fit_imagenet_predictor.py",
            "seed": SEED,
            "archs": ARCHS + ROUNDS * BUDGETS * NEIGHBORS,
            "from": FILES["predictor"][0]._asdict(),
            "date": date.today().isoformat(),
            "revision": code_revision(),
        },
        "against_original": original,
    }
    header_here = {
        "label": f"fitted to OFA's own predictor, {original['all']['rmse']:.2f} points RMSE from"
        f" it, less the {shift:.2f} points that it is above {len(inherited)} measured subnets; for"
        f" {sides} px; with each of the {len(inherited)} left out in turn",
        "rmse": round(leave_one_out_rmse(excess), 4),
        "measured": {
            "note": f"the same {len(inherited)} subnets set the shift and judge it: rmse leaves out"
            " the one that it judges",
            "original_excess": round(float((mlp(archs) - measured).mean()), 4),
            "shift": round(shift, 4),
            "shift_range": [round(float(end), 4) for end in (excess.min(), excess.max())],
            "subnets": {s.name: [s.top1, round(p, 2)] for s, p in zip(inherited, lowered(archs))},
        },
    }
    write_additive_predictor(
        data_dir() / "supernets" / TRAINED_SPACE, lowered, header | header_here
    )

    transferred = AdditiveTable(trained_space(TRANSFERRED_SPACE), lowered.base, lowered.blocks)
    tuned = published_in(TRANSFERRED_SPACE, finetuned=True)
    predicted = np.array([between_resolutions(transferred, subnet.arch) for subnet in tuned])
    top1 = np.array([subnet.top1 for subnet in tuned])
    published = against(predicted, top1) | {
        "mean_excess": round(float((predicted - top1).mean()), 4)
    }
    del published["rmse"]
    header_there = {
        "label": f"transferred from {TRAINED_SPACE}: good for the order of archs, whose Kendall tau"
        f" with {len(tuned)} published subnets is {published['kendall_tau']:.2f}; for {sides} px",
        "rmse": None,
        "against_published": published,
    }
    write_additive_predictor(
        data_dir() / "supernets" / TRANSFERRED_SPACE, transferred, header | header_there
    )
    print(json.dumps({**header, TRAINED_SPACE: header_here, TRANSFERRED_SPACE: header_there}))


if __name__ == "__main__":
    main()
