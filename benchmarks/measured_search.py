"""Is the predicted optimum better when it is measured? Exact, evolutionary and random search at
five budgets.

Each subnet is chosen with the predictor, which saw val-search, and measured on val, which no search
saw. Random search draws as many archs as evolution scores. Prints a table, then one JSON object.

    python benchmarks/measured_search.py --device host
"""

from __future__ import annotations

import argparse
import json
from datetime import date

import numpy as np

from labkit.latency.devices import get_device
from labkit.runtime.timing import machine_state
from labkit.space.presets import FMNIST
from labkit.specialize.device_costs import DeviceCosts
from labkit.specialize.subnet_search import search_subnet
from labkit.supernet.evaluation import Evaluator
from labkit.supernet.folder import load

PERCENTILES = (5, 25, 50, 75, 95)  # of the latency of random archs


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="host")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    trained = load("fmnist")
    costs, model = DeviceCosts(FMNIST, get_device(arguments.device)), trained.predictor
    latency = costs.latency_ms(FMNIST.sample(np.random.default_rng(arguments.seed), 10_000))
    evaluator = Evaluator(trained.supernet, trained.dataset, "val")

    rows = []
    print(f"{'budget':>10} {'method':<10} {'latency':>10} {'predicted':>10} {'measured':>9}")
    for percentile in PERCENTILES:
        limit = float(np.percentile(latency, percentile))
        for method in ("exact", "evolution", "random"):
            result = search_subnet(
                FMNIST,
                model.predict,
                costs.budgets(latency_ms=limit),
                method=method,
                seed=arguments.seed,
            )
            row = {
                "percentile": percentile,
                "budget_ms": limit,
                "method": method,
                "predicted": result.accuracy,
                "measured": evaluator.accuracy(result.arch),
                **costs.of(result.arch),
            }
            rows.append(row)
            print(
                f"{limit:7.4g} ms {method:<10} {row['latency_ms']:7.4g} ms {row['predicted']:8.2f}"
                f" % {row['measured']:7.2f} %"
            )
    mean = {
        method: float(np.mean([r["measured"] for r in rows if r["method"] == method]))
        for method in ("exact", "evolution", "random")
    }
    share = np.array([r["measured"] for r in rows]) / 100
    standard_error = 100 * float(np.sqrt(np.mean(share * (1 - share)) / len(evaluator.labels)))
    print(
        "mean measured accuracy:"
        f" {', '.join(f'{name} {value:.2f} %' for name, value in mean.items())}; one accuracy on"
        f" 5,000 images has a standard error of {standard_error:.2f}"
    )
    print(
        json.dumps(
            {
                "benchmark": "measured_search",
                "device": arguments.device,
                "rows": rows,
                "mean_measured": mean,
                "predictor_rmse": model.rmse,
                "machine": machine_state(),
                "date": date.today().isoformat(),
            }
        )
    )


if __name__ == "__main__":
    main()
