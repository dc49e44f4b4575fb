"""What another device costs once there is a supernet: `python benchmarks/device_costs.py
[--record]`

The CPU time of measuring and calibrating this machine's lookup table, and of an evolutionary search
with the shipped predictor (the median over five latency budgets). --record adds both to
data/records.json, from which `labkit cost` and notebook 7 read them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from datetime import date

import numpy as np

from labkit.accounting.records import add_record
from labkit.latency.measured.lookup_table import build_table
from labkit.latency.measured.measurement import CALIBRATION_SUBNETS, measure
from labkit.latency.measured.runtimes import get_runtime
from labkit.runtime.machine import machine
from labkit.search import Budget
from labkit.space.presets import get_space
from labkit.specialize.subnet_search import search_subnet
from labkit.supernet.folder import TrainedSupernet

PERCENTILES = (10, 30, 50, 70, 90)  # of the latency of random archs: where the budgets are


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", default="fmnist")
    parser.add_argument(
        "--record", action="store_true", help="add what was measured to data/records.json"
    )
    options = parser.parse_args()
    space = get_space(options.space)

    started = time.process_time()
    table = build_table(
        measure(space, get_runtime("onnxruntime"), subnets=CALIBRATION_SUBNETS), space
    ).table
    hours = {"table": (time.process_time() - started) / 3600}

    model, seconds = TrainedSupernet(space).predictor, []
    latencies = table(space.sample(np.random.default_rng(0), 2000))
    for limit in np.percentile(latencies, PERCENTILES):
        started = time.process_time()
        search_subnet(space, model.predict, [Budget(table, float(limit), "latency", "ms")])
        seconds.append(time.process_time() - started)
    hours["search"] = statistics.median(seconds) / 3600

    for what, value in hours.items():
        print(f"{what:<8}{3600 * value:8.3f} CPU seconds")
        if options.record:
            add_record(
                {
                    "what": what,
                    "space": space.name,
                    "cpu_hours": round(value, 6),
                    "machine": machine(),
                    "date": date.today().isoformat(),
                    "source": "benchmarks/device_costs.py",
                }
            )


if __name__ == "__main__":
    main()
