"""Make the lookup table that ships: `python -m labkit.latency NAME --space fmnist`.

Measures this machine (it should be idle) and writes data/latency/NAME/SPACE.json, so that results
which must be the same everywhere have a measured device under a name of its own.
"""

from __future__ import annotations

import argparse
import sys

from labkit.latency.kit.packing import check_board_name
from labkit.latency.measured.lookup_table import write_table
from labkit.latency.measured.measurement import get_runtime, measure
from labkit.space.presets import get_space
from labkit.storage.errors import LabError
from labkit.storage.paths import data_dir


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m labkit.latency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", help="name of the device, such as epyc-1core")
    parser.add_argument("--space", default="fmnist", help="search space (default: fmnist)")
    parser.add_argument("--runtime", choices=("onnxruntime", "torch"), default="onnxruntime")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if arguments.threads < 1:
        parser.error(f"--threads is {arguments.threads}, want 1 or more")
    try:
        check_board_name(arguments.name)
        space = get_space(arguments.space)
        runtime = get_runtime(arguments.runtime, arguments.threads)
    except (LabError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    value = measure(
        space,
        runtime,
        progress=lambda share: print(
            f"\r{100 * share:3.0f} % of {space.name}", end="", file=sys.stderr, flush=True
        ),
    )
    path = data_dir() / "latency" / arguments.name / f"{space.name}.json"
    table = write_table(value, path, space)
    print(
        f"\nwrote {path}: {table.calibration}, {len(table.drifted)} of {len(value['pieces'])}"
        f" blocks drifted, {value['made']['seconds']} s",
        file=sys.stderr,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
