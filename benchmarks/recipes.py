"""Four recipes, the same compute, and what the smallest, middle and largest subnet reach.

    python benchmarks/recipes.py [--minutes 15] [--pilot-minutes 2] [--out runs/recipes]
        [--split test]

The same compute is the same CPU time on one thread: before anything is trained, steps of all
recipes are timed in turns, spread over their phases, and each recipe gets as many steps as fit into
--minutes (55 for the figure of the report). Each recipe runs at the learning rate that ended best
on val-search in runs of --pilot-minutes, so that none loses for want of tuning, or, with
--rates-of, at the one that an earlier report of this script chose. The MACs that a recipe trained
with are noted too.

It may be killed at any moment and goes on when started again with the same options; --report-only
writes the report of what is finished. Writes recipes.json and recipes.png in --out; the last line
printed is the report as one JSON object.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from datetime import date
from pathlib import Path

import numpy as np
import page
from answers import right_answers
from equal_time import Contender, EqualTime, add_options, trained_macs
from matplotlib.figure import Figure
from training_runs import finished, is_finished, one_thread

from labkit.course.pictures.style import BLUE, GRAY, GREEN, ORANGE, save_figure
from labkit.runtime.machine import machine
from labkit.space import Arch, SearchSpace
from labkit.space.presets import get_space
from labkit.storage.provenance import code_revision

ARCHS = ("smallest", "middle", "largest")
CONTENDERS = (
    Contender("single-path", "one random subnet a step", GRAY, {"recipe": "single-path"}),
    Contender("sandwich-labels", "sandwich rule", ORANGE, {"recipe": "sandwich-labels"}),
    Contender(
        "progressive",
        "progressive shrinking",
        GREEN,
        {"recipe": "progressive"},
        ({"phase_schedules": True}, {"phase_schedules": False}),
    ),
    Contender("sandwich", "sandwich rule and in-place distillation", BLUE, {"recipe": "sandwich"}),
)


def middle(space: SearchSpace) -> Arch:
    """The arch of the middle choice in everything."""
    return space.decode(space.canonical((space.choices // 2).astype(np.int8)[None]))[0]


class Study(EqualTime):
    """The runs of the four recipes, and what came of those that are finished."""

    def __init__(self, options: argparse.Namespace) -> None:
        if options.report_only and not (options.out / "plan.json").exists():
            raise SystemExit(f"nothing was run in {options.out} yet")
        space = get_space(options.space)
        archs = (space.smallest(), middle(space), space.largest())
        self.archs = dict(zip(ARCHS, archs))
        super().__init__(CONTENDERS, archs, options)

    def rows(self) -> list[dict]:
        rows = []
        for contender in CONTENDERS:
            if not is_finished(self.folder(contender)):
                continue
            config, folder = self.run(contender)
            net, record = finished(config, folder)
            accuracy = {
                name: 100 * float(right_answers(net, arch, self.dataset, self.options.split).mean())
                for name, arch in self.archs.items()
            }
            rows.append(
                {
                    "recipe": contender.name,
                    "title": contender.title,
                    "accuracy": accuracy,
                    "learning_rate": config.learning_rate,
                    "phase_schedules": config.phase_schedules,
                    "steps": config.epochs * config.steps_per_epoch,
                    "cpu_hours": record["cpu_hours"],
                    "macs": trained_macs(config),
                }
            )
        return rows

    def publish(self) -> dict:
        """Write and print what the finished runs show, and return it."""
        rows = self.rows()
        if not rows:
            raise SystemExit("no recipe is finished yet")
        report = {
            "benchmark": "recipes",
            "date": date.today().isoformat(),
            "revision": code_revision(),
            "machine": machine(),
            "minutes": self.options.minutes,
            "split": self.options.split,
            "base": asdict(self.base),
            "complete": len(rows) == len(CONTENDERS),
            "archs": {name: arch.to_json() for name, arch in self.archs.items()},
            "rows": rows,
        }
        page.save(self.out / "recipes.json", report)
        save_figure(figure(report), self.out / "recipes.png")
        print(
            f"{'recipe':<42}"
            + "".join(f"{name:>10}" for name in ARCHS)
            + "   steps  core-min   TMACs"
        )
        for row in rows:
            print(
                f"{row['title']:<42}"
                + "".join(f"{row['accuracy'][name]:>10.2f}" for name in ARCHS)
                + f"{row['steps']:>8}{60 * row['cpu_hours']:>10.1f}{row['macs'] / 1e12:>8.1f}"
            )
        return report


def figure(report: dict) -> Figure:
    """One line for each recipe over the three subnets, its name at the smallest, where they differ
    most.
    """
    rows = report["rows"]
    drawing = Figure(figsize=(7.5, 4.2), layout="constrained")
    panel = drawing.subplots()
    colors = {c.name: c.color for c in CONTENDERS}
    rows = sorted(rows, key=lambda row: -row["accuracy"]["smallest"])
    for i, row in enumerate(rows):
        best = row is rows[0]
        panel.plot(
            np.arange(len(ARCHS)) + 0.03 * (i - (len(rows) - 1) / 2),  # none hides another
            [row["accuracy"][name] for name in ARCHS],
            "o-",
            color=colors[row["recipe"]],
            lw=3.5 if best else 2,
            ms=8,
            label=row["title"],
            zorder=3 if best else 2,
        )
    panel.set_xticks(range(len(ARCHS)), ARCHS)
    panel.set(
        ylabel=f"accuracy on {report['split']}, %",
        xlabel="subnet",
        title=f"One run of {report['minutes']:g} CPU minutes each; best smallest subnet:\n"
        + rows[0]["title"],
    )
    panel.margins(x=0.08)
    panel.grid(axis="y", alpha=0.25)
    panel.legend(fontsize=9, title="trained with")
    return drawing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_options(parser, rates=[0.08, 0.16, 0.32])
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"))
    report_only = "train nothing, report what is finished"
    parser.add_argument("--report-only", action="store_true", help=report_only)
    options = parser.parse_args()
    one_thread()
    study = Study(options)
    if options.report_only:
        report = study.publish()
    else:
        for contender in CONTENDERS:
            finished(*study.run(contender))
            report = study.publish()
    print(json.dumps(report))


if __name__ == "__main__":
    main()
