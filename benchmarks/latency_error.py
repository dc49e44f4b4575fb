"""How exact is predicted latency on this machine? `python benchmarks/latency_error.py [--json FILE]`

Measures the lookup table of a space (with 20 whole subnets for calibration), then held-out subnets end to
end, and reports the error of the calibrated table, of the uncalibrated one, and of a regression and MACs
alone at 50, 200 and 800 measured subnets. Run it on an idle machine: its state goes into the report.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace

import numpy as np

from labkit.latency.harness import DEFAULT, Limits
from labkit.latency.lut import build_table
from labkit.latency.measure import CALIBRATION_SUBNETS, get_runtime, measure, measure_archs
from labkit.latency.predictor import SAMPLES, compare, judge
from labkit.spaces import get_space

MANY = DEFAULT._replace(min_rounds=3, max_rounds=3, redo=0, max_repeats=50)  # for hundreds of subnets to learn from


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="fmnist")
    parser.add_argument("--resolution", type=int, help="only this resolution, such as 224 for ofa-mbv3")
    parser.add_argument("--runtime", choices=("onnxruntime", "torch"), default="onnxruntime")
    parser.add_argument("--held-out", type=int, default=60, help="held-out subnets (default: 60)")
    parser.add_argument("--train", type=int, default=max(SAMPLES),
                        help=f"subnets measured for the regression (default: {max(SAMPLES)}; 0 leaves it out)")
    parser.add_argument("--thread-time", action="store_true",
                        help="CPU time of the thread instead of wall time: on a busy machine, to see the model's error")
    parser.add_argument("--json", help="also write the figures to this file")
    arguments = parser.parse_args()
    space, runtime = get_space(arguments.space), get_runtime(arguments.runtime)
    if arguments.resolution:
        space = replace(space, resolutions=(arguments.resolution,))
    clock = time.thread_time if arguments.thread_time else time.perf_counter

    start = time.time()
    value = measure(space, runtime, clock=clock)
    table = build_table(value, space)
    seconds = time.time() - start
    rng = np.random.default_rng(1)  # calibration draws from seed 0

    def measured(count: int, limits: Limits = DEFAULT) -> tuple[np.ndarray, np.ndarray]:
        genes = space.sample(rng, count)
        timings = measure_archs(space, space.decode(genes), runtime, limits=limits, clock=clock)
        return genes, np.array([timing.median_ms for timing in timings])

    held_out = measured(arguments.held_out)
    train = measured(arguments.train, MANY) if arguments.train else None
    samples = [n for n in SAMPLES if n <= arguments.train]
    rows = [judge("table, uncalibrated", 0, table.uncalibrated, *held_out)]
    rows += (compare(space, table.table, CALIBRATION_SUBNETS, train, held_out, samples) if samples
             else [judge("table", CALIBRATION_SUBNETS, table.table, *held_out)])

    print(json.dumps(value["made"]), file=sys.stderr)
    print(f"{len(value['pieces'])} blocks and {len(value['subnets'])} subnets measured in {seconds:.0f} s; "
          f"{len(value['drifted'])} marked as drifted; {table.calibration}")
    print(f"held-out subnets: {len(held_out[1])}, {held_out[1].min():.3f} to {held_out[1].max():.3f} ms\n")
    print(f"{'method':22}{'subnets':>8}{'mean error':>12}{'max error':>12}{'Spearman':>10}")
    for row in rows:
        print(f"{row.method:22}{row.samples:8}{100 * row.mean_error:10.2f} %{100 * row.max_error:10.2f} %"
              f"{row.spearman:10.4f}")
    if arguments.json:
        report = {"space": space.name, "resolutions": space.resolutions, "made": value["made"], "seconds": seconds,
                  "drifted": len(value["drifted"]), "calibration": table.calibration._asdict(),
                  "held_out": len(held_out[1]), "rows": [row._asdict() for row in rows]}
        with open(arguments.json, "w") as file:
            json.dump(report, file, indent=1)


if __name__ == "__main__":
    main()
