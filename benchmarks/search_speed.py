"""Evolution on the paper's space: ours and that of the `ofa` package, in one process, one thread.

    OMP_NUM_THREADS=1 python benchmarks/search_speed.py [--seeds 3]

Both run population 100 and 500 generations under a latency limit at the 20th percentile of random
archs, on the space of OFA's tutorial. `ofa` runs its own `EvolutionFinder` with its own predictor
(a 3x400 MLP; randomly initialized, its weights are a download) and its own table code, whose 96
keys per resolution are filled from our table. Ours runs with the stage-separable predictor and with
the same MLP. Quality is compared under the same predictor. Needs the extra `peers`; prints one JSON
object last.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import sys

import numpy as np
import torch
from ofa.tutorial import AccuracyPredictor, EvolutionFinder, LatencyTable
from ofa.tutorial.latency_table import LatencyEstimator
from search_problems import cpu_time, latency_budget, record, require_one_thread, tutorial_space

from labkit.official.accuracy_mlp import AccuracyMlp
from labkit.search import evolve
from labkit.space import Arch, Block, SearchSpace
from labkit.tables.costs import AdditiveTable
from labkit.tables.separable import Separable
from labkit.tables.synthetic_accuracy import synthetic_accuracy

QUANTILE = 0.2


class OfaLatency(LatencyTable):
    """`ofa`'s latency table with values of ours; its constructor would download them."""

    def __init__(self, table: AdditiveTable) -> None:
        space = table.space
        self.latency_tables = {
            resolution: self._estimator(table, r, resolution)
            for r, resolution in enumerate(space.resolutions)
        }

    @staticmethod
    def _estimator(table: AdditiveTable, r: int, resolution: int) -> LatencyEstimator:
        estimator = object.__new__(LatencyEstimator)
        space, side, wide = table.space, (resolution + 1) // 2, table.space.stem_width
        entries = {
            f"Conv-input:{resolution}x{resolution}x3-output:{side}x{side}x{wide}": table.base[r],
            OfaLatency._block(side, side, wide, wide, wide, 3, 1, 1, 0, 0): 0.0,
        }
        for b, shape in enumerate(space.blocks):
            stage = space.stages[shape.stage]
            out = (side - 1) // shape.stride + 1
            for k, kernel in enumerate(stage.kernels):
                for e, expand in enumerate(stage.expands):
                    key = OfaLatency._block(
                        side,
                        out,
                        shape.in_channels,
                        shape.out_channels,
                        round(shape.in_channels * expand),
                        kernel,
                        shape.stride,
                        int(shape.has_shortcut),
                        int(stage.se),
                        int(stage.act == "h_swish"),
                    )
                    value = table.blocks[r, b, k, e]
                    assert entries.setdefault(key, value) == value, (
                        "blocks of one key have one latency"
                    )
            side = out
        width, final, feature = space.stages[-1].width, space.final_width, space.feature_width
        entries |= dict.fromkeys(
            (
                f"Conv_1-input:{side}x{side}x{width}-output:{side}x{side}x{final}",
                f"AvgPool2D-input:{side}x{side}x{final}-output:1x1x{final}",
                f"Conv_2-input:1x1x{final}-output:1x1x{feature}",
                f"Logits-input:1x1x{feature}-output:1000",
            ),
            0.0,
        )
        estimator.lut = {key: {"mean": value} for key, value in entries.items()}
        return estimator

    @staticmethod
    def _block(
        side: int,
        out: int,
        inputs: int,
        outputs: int,
        middle: int,
        kernel: int,
        stride: int,
        skip: int,
        se: int,
        swish: int,
    ) -> str:
        return (
            f"expanded_conv-input:{side}x{side}x{inputs}-output:{out}x{out}x{outputs}-expand:{middle}-"
            f"kernel:{kernel}-stride:{stride}-idskip:{skip}-se:{se}-hs:{swish}"
        )


class OurPredictorForOfa:
    """A predictor of ours behind `ofa`'s interface, to compare results under the same predictor."""

    def __init__(self, predictor: Separable) -> None:
        self.predictor = predictor

    def predict_accuracy(self, population: list[dict]) -> np.ndarray:
        space = self.predictor.space
        return self.predictor(space.encode([arch_of(spec) for spec in population]))


def arch_of(spec: dict) -> Arch:
    blocks = [Block(kernel, expand) for kernel, expand in zip(spec["ks"], spec["e"])]
    return Arch(
        spec["r"][0],
        tuple(tuple(blocks[4 * s : 4 * s + depth]) for s, depth in enumerate(spec["d"])),
    )


def search_with_ofa(table: OfaLatency, predictor: object, limit: float, seed: int) -> Arch:
    random.seed(seed)
    np.random.seed(seed)
    EvolutionFinder.valid_constraint_range = {
        "note10": [0, 1e9]
    }  # another limit would make it ask for input
    finder = EvolutionFinder("note10", limit, table, predictor)
    with contextlib.redirect_stderr(open(os.devnull, "w")):  # its progress bar
        return arch_of(finder.run_evolution_search()[1][1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    args = parser.parse_args()
    require_one_thread()
    torch.set_num_threads(1)
    space = tutorial_space()
    budget = latency_budget(space, QUANTILE)
    table = OfaLatency(budget.cost)
    torch.manual_seed(0)
    ofa_mlp = AccuracyPredictor(pretrained=False, device="cpu")
    mlp = AccuracyMlp(space, ofa_mlp.model.state_dict(), "ofa")
    check_equal(space, budget.cost, table, mlp, ofa_mlp)

    predictors = {
        "rough": synthetic_accuracy(space, "rough"),
        "concave": synthetic_accuracy(space, "concave"),
        "ofa MLP": mlp,
    }
    for predictor in predictors.values():
        evolve(
            space, predictor, [budget], rng=np.random.default_rng(0), generations=2
        )  # tables are built once
    seconds, differences = (
        {"ofa": [], **{name: [] for name in predictors}},
        {name: [] for name in predictors},
    )
    for seed in range(args.seeds):
        for name, predictor in predictors.items():
            ofa_predictor = ofa_mlp if name == "ofa MLP" else OurPredictorForOfa(predictor)
            ofa_seconds, arch = cpu_time(search_with_ofa, table, ofa_predictor, budget.limit, seed)
            if name == "ofa MLP":
                seconds["ofa"].append(ofa_seconds)
            our_seconds, result = cpu_time(
                evolve, space, predictor, [budget], rng=np.random.default_rng(seed)
            )
            seconds[name].append(our_seconds)
            differences[name].append(result.accuracy - float(predictor(space.encode([arch]))[0]))
            print(
                f"seed {seed}, {name}: ofa {ofa_seconds:.2f} s, ours {our_seconds:.3f} s, ours is"
                f" better by {differences[name][-1]:.4f}",
                file=sys.stderr,
            )
    median = {name: statistics.median(values) for name, values in seconds.items()}
    print(
        json.dumps(
            record(
                "evolution, population 100, 500 generations, at least 60 times (MLP: 15 times) less"
                " CPU than ofa",
                peer="ofa",
                ofa_seconds=median["ofa"],
                ours={
                    name: {
                        "seconds": median[name],
                        "ratio": median["ofa"] / median[name],
                        "better_by": {
                            "median": statistics.median(differences[name]),
                            "worst": min(differences[name]),
                        },
                    }
                    for name in predictors
                },
                seeds=args.seeds,
                latency_limit_ms=budget.limit,
            )
        )
    )


def check_equal(
    space: SearchSpace,
    latency: AdditiveTable,
    table: OfaLatency,
    mlp: AccuracyMlp,
    ofa_mlp: AccuracyPredictor,
) -> None:
    """Both sides answer alike, arch by arch, or the comparison means nothing."""
    genes = space.sample(np.random.default_rng(1), 50)
    specs = []
    for arch in space.decode(genes):
        padded = [list(blocks) + [blocks[-1]] * (4 - len(blocks)) for blocks in arch.stages]
        flat = [block for blocks in padded for block in blocks]
        specs.append(
            {
                "r": [arch.resolution],
                "d": list(arch.depths),
                "ks": [b.kernel for b in flat],
                "e": [b.expand for b in flat],
            }
        )
    np.testing.assert_allclose(
        [table.predict_efficiency(spec) for spec in specs], latency(genes), rtol=1e-9
    )
    np.testing.assert_allclose(
        100 * ofa_mlp.predict_accuracy(specs)[:, 0], mlp(genes), rtol=1e-4, atol=1e-3
    )


if __name__ == "__main__":
    main()
