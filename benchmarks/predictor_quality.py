"""Does separability cost accuracy? Predictors compared on measured pairs that they were not fitted
to.

The stage-separable predictor beside OFA's 3-layer MLP (400 wide, on one-hot genes; arXiv
1908.09791, section 3.4), gradient-boosted trees (scikit-learn), MACs-only and a constant, at 100,
300 and 600 pairs, mean over 5 random splits into fitted and judged pairs. Prints a table, then
one JSON object.

    python benchmarks/predictor_quality.py
"""

from __future__ import annotations

import json
from datetime import date

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.neural_network import MLPRegressor

from labkit.runtime.timing import machine_state
from labkit.space.presets import FMNIST
from labkit.supernet.folder import load
from labkit.tables.accuracy_link import accuracy_of, log_error
from labkit.tables.predictor_quality import MODELS, cross_validate

SIZES, SPLITS, JUDGED = (100, 300, 600), 5, 400


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


def main() -> None:
    genes, accuracy, header, _ = load("fmnist").pairs
    models = {
        "separable": MODELS["separable"],
        **PEERS,
        "macs-only": MODELS["macs-only"],
        "constant": MODELS["constant"],
    }
    table = {}
    print(f"{'pairs':>6} {'model':<14} {'RMSE':>6} {'Kendall tau':>12}")
    for size in SIZES:
        if size + JUDGED > len(genes):
            raise SystemExit(f"{len(genes)} pairs are too few for {size} + {JUDGED}")
        orders = [np.random.default_rng(split).permutation(len(genes)) for split in range(SPLITS)]
        folds = [(order[:size], order[-JUDGED:]) for order in orders]
        table[size] = cross_validate(FMNIST, genes, accuracy, folds, models=models)
        for name, scores in table[size].items():
            print(f"{size:>6} {name:<14} {scores['rmse']:6.3f} {scores['kendall_tau']:12.3f}")
    deviation = float(np.sqrt(np.mean(accuracy * (100 - accuracy)) / 5000))
    print(f"sampling error of one measured accuracy on 5,000 images: about {deviation:.2f} points")
    print(
        json.dumps(
            {
                "benchmark": "predictor_quality",
                "space": "fmnist",
                "pairs": len(genes),
                "splits": SPLITS,
                "judged": JUDGED,
                "scores": table,
                "made_from": header["inputs"],
                "machine": machine_state(),
                "date": date.today().isoformat(),
            }
        )
    )


if __name__ == "__main__":
    main()
