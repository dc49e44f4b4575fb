"""Does separability cost accuracy, and are predictions unbiased?

    python benchmarks/predictor_quality.py [--supernet fmnist cifar10] [--out runs/measured-search]
        [--add-to FILE]

Predictors are compared on measured pairs that they were not fitted to: the stage-separable one
beside OFA's 3-layer MLP (400 wide, on one-hot genes; arXiv 1908.09791, section 3.4),
gradient-boosted trees (scikit-learn), MACs-only and a constant, at 100, 300 and 600 pairs, mean
over 5 random splits into fitted and judged pairs.

Then the archs of `measured_search.py`'s report, as measured on images that chose nothing, are
compared with what the predictor that ships, shifted to these images, says of them: the random ones,
which nobody chose and which are not among the pairs, and the predictor's own optima. Which images
an arch names rightly is taken from --out, where that script keeps it, or measured again. With
--add-to, an earlier report's supernets that are not measured now are part of the report. The last
line printed is the report as one JSON object.
"""

from __future__ import annotations

import argparse
import json
from datetime import date
from pathlib import Path

import numpy as np
import page
from answers import InheritedAnswers
from measured_search import OPTIMUM
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.neural_network import MLPRegressor
from tqdm.auto import tqdm
from training_runs import one_thread

from labkit.runtime.timing import machine_state
from labkit.space import Arch
from labkit.supernet.folder import TrainedSupernet, load
from labkit.tables.accuracy_link import accuracy_of, log_error
from labkit.tables.predictor_quality import MODELS, cross_validate

SIZES, SPLITS, JUDGED = (100, 300, 600), 5, 400
SAMPLES = {"that nobody chose": "random", "optima of the predictor": OPTIMUM}


def one_hot(space, genes):
    """(N, sum of choices): genes of absent blocks are all zero."""
    mask = space.gene_mask(genes)
    return np.concatenate(
        [(genes[:, [g]] == np.arange(n)) & mask[:, [g]] for g, n in enumerate(space.choices)],
        axis=1,
    )


def regressor(make):
    """A scikit-learn regressor on one-hot genes; it predicts the standardized log error, too."""

    def fit(space, genes, accuracy, seed):
        target = log_error(accuracy)
        mean, deviation = target.mean(), target.std()
        model = make(seed).fit(one_hot(space, genes).astype(float), (target - mean) / deviation)
        return lambda other: accuracy_of(
            mean + deviation * model.predict(one_hot(space, other).astype(float))
        )

    return fit


PEERS = {
    "mlp-3x400": regressor(
        lambda seed: MLPRegressor(
            hidden_layer_sizes=(400, 400, 400),
            alpha=1e-2,
            early_stopping=True,
            n_iter_no_change=30,
            max_iter=400,
            random_state=seed,
        )
    ),
    "boosted-trees": regressor(
        lambda seed: HistGradientBoostingRegressor(
            learning_rate=0.05,
            max_iter=400,
            max_leaf_nodes=8,
            early_stopping=False,
            random_state=seed,
        )
    ),
}


def scores(trained: TrainedSupernet) -> dict[int, dict]:
    """For each number of pairs, the `agreement` of each model with the judged ones."""
    genes, accuracy, _, _ = trained.pairs
    models = {
        "separable": MODELS["separable"],
        **PEERS,
        "macs-only": MODELS["macs-only"],
        "constant": MODELS["constant"],
    }
    if max(SIZES) + JUDGED > len(genes):
        raise SystemExit(f"{len(genes)} pairs are too few for {max(SIZES)} + {JUDGED}")
    orders = [np.random.default_rng(split).permutation(len(genes)) for split in range(SPLITS)]
    return {
        size: cross_validate(
            trained.space,
            genes,
            accuracy,
            [(order[:size], order[-JUDGED:]) for order in orders],
            models=models,
        )
        for size in SIZES
    }


def residuals(trained: TrainedSupernet, studies: list[dict], out: Path) -> dict[str, dict]:
    """Measured accuracy less the predicted one, in points, its mean over random archs and over the
    predictor's optima, for each image set. The standard error counts the archs and those that the
    shift to the image set was estimated on.
    """
    space, splits = trained.space, studies[0]["splits"]
    in_pairs = {row.tobytes() for row in trained.pairs.genes}
    answers = InheritedAnswers(trained, splits, out)
    begins = np.cumsum([trained.dataset_record.splits[split] for split in splits])[:-1]
    report = {}
    for name, method in SAMPLES.items():
        archs = dict.fromkeys(
            Arch.from_json(arch)
            for study in studies
            for row in study["rows"]
            if method in row["methods"]
            for arch in row["methods"][method]["archs"]
        )
        archs = [arch for arch in archs if space.encode([arch])[0].tobytes() not in in_pairs]
        right = np.array([answers(arch) for arch in tqdm(archs, desc=name, unit="arch")])
        report[name] = {"archs": len(archs)}
        for split, part in zip(splits, np.split(right, begins, axis=1)):  # (archs, images)
            model = trained.predictor.on(split)
            values = 100 * part.mean(1) - model.predict(space.encode(archs))
            of_archs = values.std(ddof=1) / len(values) ** 0.5
            of_shift = model.rmse / len(trained.pairs.unsearched[split]) ** 0.5
            report[name][split] = {
                "points": float(values.mean()),
                "standard_error": float(np.hypot(of_archs, of_shift)),
            }
    return report


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--supernet", nargs="+", default=["fmnist"])
    parser.add_argument("--out", type=Path, default=Path("runs/measured-search"))
    parser.add_argument("--add-to", type=Path, metavar="FILE", help="an earlier report")
    options = parser.parse_args()
    one_thread()
    report = json.loads((page.FOLDER / "results" / "measured_search.json").read_text("utf-8"))
    studies = []
    for name in options.supernet:
        trained = load(name)
        searched = [study for study in report["studies"] if study["supernet"] == name]
        studies.append(
            {
                "supernet": name,
                "pairs": len(trained.pairs.genes),
                "made_from": trained.pairs.header["inputs"],
                "scores": scores(trained),
                "residuals": residuals(trained, searched, options.out),
            }
        )
    print(
        json.dumps(
            {
                "benchmark": "predictor_quality",
                "studies": page.merged(options.add_to, "studies", studies, "supernet"),
                "splits": SPLITS,
                "judged": JUDGED,
                "machine": machine_state(),
                "date": date.today().isoformat(),
            }
        )
    )


if __name__ == "__main__":
    main()
