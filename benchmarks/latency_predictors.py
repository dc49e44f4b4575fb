"""Two ways to predict latency, and MACs: `python benchmarks/latency_predictors.py`

A lookup table calibrated on 20 subnets, a regression on 50, 200 and 800 measured subnets, and
latency as a line over MACs, on the same held-out subnets of this machine. All subnets are measured
in turns, in rounds; what was measured is kept in results/latency/, so that an interrupted run goes
on when it is started again, and --fresh measures everything once more. Run it on an idle machine.

Writes benchmarks/results/latency_predictors-SPACE.json, docs/latency_predictors.png and its section
of benchmarks/LATENCY.md; with --page these are made again from the JSON and nothing is measured.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence

import page
from latency_error import TITLE
from matplotlib.figure import Figure
from tqdm import tqdm

from labkit.comparison.prediction_error import SAMPLES, compare_predictors
from labkit.course.pictures.style import BLUE, GREEN, RED, row_of_panels, save_figure
from labkit.latency.measured.lookup_table import calibrate, load_table, write_table
from labkit.latency.measured.measurement import CALIBRATION_SUBNETS, measure
from labkit.latency.measured.runtimes import get_runtime
from labkit.latency.measured.subnet_sample import measure_sample
from labkit.space import SearchSpace
from labkit.space.presets import get_space
from labkit.storage.provenance import code_revision

SEED = 1  # calibration of tables that are kept draws from seed 0
MEASUREMENTS = page.FOLDER.parent / "results" / "latency"
FIGURE = page.FOLDER.parent / "docs" / "latency_predictors.png"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--space", default="fmnist")
    parser.add_argument("--held-out", type=int, default=100, help="held-out subnets (default: 100)")
    parser.add_argument(
        "--train", type=int, default=max(SAMPLES), help="subnets to learn from (default: 800)"
    )
    parser.add_argument(
        "--thread-time", action="store_true", help="CPU time of the thread instead of wall time"
    )
    parser.add_argument("--fresh", action="store_true", help="measure everything again")
    parser.add_argument("--page", action="store_true", help="only make page and picture again")
    arguments = parser.parse_args()
    name = f"latency_predictors-{arguments.space}"
    path = page.FOLDER / "results" / f"{name}.json"
    if not arguments.page:
        clock = time.thread_time if arguments.thread_time else time.perf_counter
        page.save(
            path,
            run(
                get_space(arguments.space),
                arguments.held_out,
                arguments.train,
                clock,
                arguments.fresh,
            ),
        )
    report = json.loads(path.read_text())
    page.put(page.FOLDER / "LATENCY.md", name, text(report), TITLE)
    save_figure(picture(report["rows"]), FIGURE)
    print(text(report))


def run(
    space: SearchSpace, held_out: int, train: int, clock: Callable[[], float], remeasure: bool
) -> dict:
    """Measure what is not there yet, and judge."""
    runtime, blocks = get_runtime("onnxruntime"), MEASUREMENTS / f"{space.name}-blocks.json"
    if remeasure or not blocks.is_file():
        with tqdm(total=100, unit="%", desc="blocks") as bar:
            value = measure(
                space,
                runtime,
                subnets=4,
                clock=clock,
                progress=lambda share: bar.update(round(100 * share) - bar.n),
            )
        write_table(value, blocks, space)
    with tqdm(total=100, unit="%", desc=f"{held_out + train} subnets") as bar:
        measured = measure_sample(
            space,
            MEASUREMENTS / f"{space.name}-subnets.json",
            held_out + train,
            seed=SEED,
            runtime=runtime,
            remeasure=remeasure,
            clock=clock,
            progress=lambda share: bar.update(round(100 * share) - bar.n),
        )
    genes, milliseconds = measured.genes, measured.milliseconds
    raw, first = (
        load_table(blocks, space).uncalibrated,
        slice(held_out, held_out + CALIBRATION_SUBNETS),
    )
    calibration = calibrate(raw, genes[first], milliseconds[first])
    table = raw.scaled(calibration.factor, calibration.intercept_ms, calibration.per_block_ms)
    rows = compare_predictors(
        space,
        table,
        CALIBRATION_SUBNETS,
        (genes[held_out:], milliseconds[held_out:]),
        (genes[:held_out], milliseconds[:held_out]),
        [n for n in SAMPLES if n <= train],
    )
    return {
        "space": space.name,
        "revision": code_revision(),
        "made": dict(measured.provenance),
        "clock": clock.__name__,
        "held_out": held_out,
        "drifted": measured.drifted,
        "rows": [row._asdict() for row in rows],
    }


def text(report: dict) -> str:
    """The section of the page."""
    rows = [
        (
            row["method"],
            row["samples"],
            f"{100 * row['mean_error']:.2f} %",
            f"{100 * row['max_error']:.2f} %",
            f"{row['spearman']:.4f}",
        )
        for row in report["rows"]
    ]
    return "\n".join(
        [
            f"## Two ways to predict latency in `{report['space']}`, and MACs",
            "",
            (
                f"On {report['held_out']} held-out subnets, measured end to end in turns with those"
                f" that were learned from (`latency_predictors.py`, revision {report['revision']})."
            ),
            "",
            page.table(
                ("method", "measured subnets", "mean error", "largest error", "Spearman"), rows
            ),
            "",
            (
                "![Error and rank correlation over the number of measured"
                " subnets](../docs/latency_predictors.png)"
            ),
            "",
            f"{page.machine(report['made'])}. {report['drifted']} subnets were timed while the"
            " machine changed speed"
            + (
                "."
                if report["clock"] == "perf_counter"
                else f". Clock: {report['clock']}, not wall time."
            ),
        ]
    )


def picture(rows: Sequence[dict]) -> Figure:
    """Mean error and rank correlation of three predictors, over the number of measured subnets.

    `rows` are fields of `labkit.comparison.prediction_error.PredictionError`.
    """
    figure, (error, rank) = row_of_panels(2, 4.5, 3.8)
    styles = {"MACs only": (RED, "s"), "regression": (BLUE, "o"), "table": (GREEN, "D")}
    for method, (color, marker) in styles.items():
        method_rows = [row for row in rows if row["method"] == method]
        samples = [row["samples"] for row in method_rows]
        for panel, values, form in (
            (error, [100 * row["mean_error"] for row in method_rows], "{:.1f} %"),
            (rank, [row["spearman"] for row in method_rows], "{:.3f}"),
        ):
            panel.plot(samples, values, color=color, marker=marker, label=method)
            for point in zip(samples, values):
                panel.annotate(
                    form.format(point[1]),
                    point,
                    (0, 7),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                    color=color,
                )
    error.set_title("mean error, %: lower is better")
    rank.set_title("Spearman's rank correlation: 1 is best")
    counts = sorted({row["samples"] for row in rows})
    for panel in (error, rank):
        panel.set(xscale="log", xlabel="whole subnets measured")
        panel.set_xticks(counts, counts, minor=False)
        panel.xaxis.set_minor_formatter("")
        panel.margins(0.12, 0.15)
        panel.grid(alpha=0.25)
    error.set_ylim(bottom=0)
    low, _ = rank.get_ylim()
    rank.set_ylim(low, 1 + 0.1 * (1 - low))  # room for a number above a dot
    handles, labels = error.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9)
    return figure


if __name__ == "__main__":
    main()
