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
import math
import time
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
import page
from answers import right_answers
from matplotlib.figure import Figure
from tqdm.auto import tqdm
from training_runs import (
    archs_of_step,
    finished,
    is_finished,
    one_thread,
    random_batch,
    take_gradients,
)

from labkit.course.pictures.style import BLUE, GRAY, GREEN, ORANGE, save_figure
from labkit.data import datasets as data
from labkit.runtime.machine import machine
from labkit.space import Arch, SearchSpace
from labkit.space.presets import get_space
from labkit.storage.provenance import code_revision
from labkit.tables.costs import macs_table
from labkit.train import TrainConfig
from labkit.train.train_state import TrainState

TIMED_STEPS = 24  # of each recipe
STEPS_OF_A_RUN = 1000  # over which these are spread
ARCHS = ("smallest", "middle", "largest")


@dataclass(frozen=True)
class Contender:
    """A recipe, what a student calls it, and what may be tuned besides the learning rate."""

    recipe: str
    title: str
    color: str
    variants: tuple[dict, ...] = ({},)


CONTENDERS = (
    Contender("single-path", "one random subnet a step", GRAY),
    Contender("sandwich-labels", "sandwich rule", ORANGE),
    Contender(
        "progressive",
        "progressive shrinking",
        GREEN,
        ({"phase_schedules": True}, {"phase_schedules": False}),
    ),
    Contender("sandwich", "sandwich rule and in-place distillation", BLUE),
)


def middle(space: SearchSpace) -> Arch:
    """The arch of the middle choice in everything."""
    return space.decode(space.canonical((space.choices // 2).astype(np.int8)[None]))[0]


def time_steps(configs: list[TrainConfig], count: int) -> list[float]:
    """CPU seconds of a step of each configuration, the mean over steps spread evenly over its run,
    in turns.
    """
    states, totals = [TrainState(config) for config in configs], [0.0] * len(configs)
    for state in states:
        state.take_teacher()
    for i in tqdm(range(-1, count), desc="timing steps"):  # the first round warms up
        for k, (config, state) in enumerate(zip(configs, states)):
            step = round((max(i, 0) + 0.5) / count * STEPS_OF_A_RUN)
            images, labels = random_batch(state)
            begin = time.process_time()
            take_gradients(state, images, labels, step, STEPS_OF_A_RUN)
            state.update(1e-3, config.ema_decay)
            if i >= 0:
                totals[k] += time.process_time() - begin
    return [seconds / count for seconds in totals]


def trained_macs(config: TrainConfig) -> float:
    """Multiply-adds of a run: forward once and backward twice for each arch, forward once for a
    teacher.
    """
    space, recipe = get_space(config.space), config.resolved_recipe
    total, macs = config.epochs * config.steps_per_epoch, macs_table(get_space(config.space))
    archs = [arch for step in range(total) for arch in archs_of_step(config, step, total)]
    taught = total - recipe.teacher_from(total) if recipe.phases else 0
    return config.batch * float(
        3 * macs(space.encode(archs)).sum() + taught * macs(space.encode([space.largest()]))[0]
    )


class Study:
    """The runs: short ones to choose a learning rate, then a long one for each recipe."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.out = options, options.out
        self.base = TrainConfig(space=options.space, seed=options.seed, erase=options.erase)
        self.dataset = data.load(self.base.dataset)
        space = get_space(options.space)
        self.archs = {
            "smallest": space.smallest(),
            "middle": middle(space),
            "largest": space.largest(),
        }
        self.step_seconds = self._plan()

    def _plan(self) -> dict[str, float]:
        """CPU seconds of a step of each recipe: measured once, then read from the folder."""
        path, settings = (
            self.out / "plan.json",
            {
                "base": asdict(self.base),
                "minutes": self.options.minutes,
                "pilot_minutes": self.options.pilot_minutes,
            },
        )
        if path.exists():
            plan = json.loads(path.read_text(encoding="utf-8"))
            if {key: plan[key] for key in settings} != settings:
                raise SystemExit(
                    f"{path} was made with other options; use the same ones or another --out"
                )
            return plan["step_seconds"]
        seconds = time_steps([self.config(c, **c.variants[0]) for c in CONTENDERS], TIMED_STEPS)
        plan = {c.recipe: s for c, s in zip(CONTENDERS, seconds)}
        page.save(path, {**settings, "step_seconds": plan, "machine": machine()})
        return plan

    def config(self, contender: Contender, **changes: object) -> TrainConfig:
        return replace(self.base, recipe=contender.recipe, **changes)

    def sized(self, contender: Contender, minutes: float, **changes: object) -> TrainConfig:
        """A run of `minutes` of CPU time, in epochs of equal length."""
        steps = max(8, round(60 * minutes / self.step_seconds[contender.recipe]))
        steps_per_epoch = len(self.dataset.splits["train"].images) // self.base.batch
        epochs = math.ceil(steps / steps_per_epoch)
        return self.config(contender, epochs=epochs, steps_per_epoch=steps // epochs, **changes)

    def pilots(self, contender: Contender) -> list[tuple[Path, dict]]:
        return [
            (
                self.out / f"pilot-{contender.recipe}-{v}-{rate:g}",
                {**variant, "learning_rate": rate},
            )
            for v, variant in enumerate(contender.variants)
            for rate in self.options.rates
        ]

    def choice(self, contender: Contender) -> dict:
        """The learning rate and variant whose short run is best on val-search, by the mean of the
        three archs.

        Those of an earlier report with --rates-of, which were found in the same way.
        """
        if self.options.rates_of:
            return self._earlier_choice(contender)

        def score(folder: Path, changes: dict) -> float:
            net, _ = finished(self.sized(contender, self.options.pilot_minutes, **changes), folder)
            return np.mean(
                [
                    right_answers(net, arch, self.dataset, "val-search").mean()
                    for arch in self.archs.values()
                ]
            )

        return max(self.pilots(contender), key=lambda pilot: score(*pilot))[1]

    def _earlier_choice(self, contender: Contender) -> dict:
        path = self.options.rates_of
        report = json.loads(path.read_text(encoding="utf-8"))
        row = {row["recipe"]: row for row in report["rows"]}.get(contender.recipe)
        if row is None:
            raise SystemExit(f"{path} has no recipe {contender.recipe!r}; leave --rates-of out")
        return {key: row[key] for key in ("learning_rate", "phase_schedules")}

    def run(self, contender: Contender) -> tuple[TrainConfig, Path]:
        return (
            self.sized(contender, self.options.minutes, **self.choice(contender)),
            self.out / f"run-{contender.recipe}",
        )

    def rows(self) -> list[dict]:
        rows = []
        for contender in CONTENDERS:
            folder = self.out / f"run-{contender.recipe}"
            if not is_finished(folder):
                continue
            config, _ = self.run(contender)
            net, record = finished(config, folder)
            accuracy = {
                name: 100 * float(right_answers(net, arch, self.dataset, self.options.split).mean())
                for name, arch in self.archs.items()
            }
            rows.append(
                {
                    "recipe": contender.recipe,
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
    colors = {c.recipe: c.color for c in CONTENDERS}
    for row in sorted(rows, key=lambda row: -row["accuracy"]["smallest"]):
        best = row["recipe"] == "sandwich"
        panel.plot(
            ARCHS,
            [row["accuracy"][name] for name in ARCHS],
            "o-",
            color=colors[row["recipe"]],
            lw=3.5 if best else 2,
            ms=8,
            label=row["title"],
            zorder=3 if best else 2,
        )
    winner = max(rows, key=lambda row: row["accuracy"]["smallest"])
    panel.set(
        ylabel=f"{report['split']} accuracy, %",
        xlabel="subnet",
        title=f"{report['minutes']:g} CPU minutes each; best smallest subnet: {winner['title']}",
    )
    panel.margins(x=0.08)
    panel.grid(axis="y", alpha=0.25)
    panel.legend(fontsize=9, title="trained with")
    return drawing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--minutes",
        type=float,
        default=15,
        help="CPU minutes for each recipe (default: %(default)s)",
    )
    parser.add_argument("--pilot-minutes", type=float, default=2)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.08, 0.16, 0.32])
    parser.add_argument(
        "--rates-of",
        type=Path,
        metavar="FILE",
        help="recipes.json of an earlier run: no short runs",
    )
    parser.add_argument("--space", default="fmnist")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--erase", type=float, default=0.0)
    parser.add_argument("--split", choices=["test", "val"], default="test")
    parser.add_argument("--out", type=Path, default=Path("runs/recipes"))
    parser.add_argument(
        "--report-only", action="store_true", help="train nothing, report what is finished"
    )
    options = parser.parse_args()
    one_thread()
    if options.report_only and not (options.out / "plan.json").exists():
        raise SystemExit(f"nothing was run in {options.out} yet")
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
