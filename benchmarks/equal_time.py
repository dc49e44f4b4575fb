"""Ways to train that get the same compute: the same CPU time on one thread.

Before anything is trained, steps of all contenders are timed in turns, and each gets as many steps
as fit into the minutes.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import page
from tqdm.auto import tqdm
from training_runs import archs_of_step, finished, random_batch, take_gradients

from labkit.data import datasets as data
from labkit.runtime.machine import machine
from labkit.space import Arch
from labkit.space.presets import get_space
from labkit.supernet.evaluation import Evaluator
from labkit.tables.costs import macs_table
from labkit.train import TrainConfig
from labkit.train.train_state import TrainState

TIMED_STEPS = 24  # of each contender
STEPS_OF_A_RUN = 1000  # over which these are spread


@dataclass(frozen=True)
class Contender:
    """A way to train, what a student calls it, and what may be tuned besides the learning rate."""

    name: str
    title: str
    color: str
    settings: dict  # fields of the training's configuration
    variants: tuple[dict, ...] = ({},)


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
    total, macs = config.epochs * config.steps_per_epoch, macs_table(space)
    archs = [arch for step in range(total) for arch in archs_of_step(config, step, total)]
    taught = total - recipe.teacher_from(total) if recipe.phases else 0
    return config.batch * float(
        3 * macs(space.encode(archs)).sum() + taught * macs(space.encode([space.largest()]))[0]
    )


class EqualTime:
    """The runs: short ones to choose a learning rate by how well `judged` do, then a long one for
    each contender.
    """

    def __init__(
        self, contenders: Sequence[Contender], judged: Sequence[Arch], options: argparse.Namespace
    ) -> None:
        self.contenders, self.judged = contenders, judged
        self.options, self.out = options, options.out
        fields = ("space", "dataset", "seed", "erase")
        self.base = TrainConfig(**{field: getattr(options, field) for field in fields})
        self.dataset = data.load(self.base.dataset)
        self.step_seconds = self._plan()

    def _plan(self) -> dict[str, float]:
        """CPU seconds of a step of each contender: measured once, then read from the folder."""
        path, settings = self.out / "plan.json", {"base": asdict(self.base)}
        settings |= {name: getattr(self.options, name) for name in ("minutes", "pilot_minutes")}
        if path.exists():
            plan = json.loads(path.read_text(encoding="utf-8"))
            if {key: plan[key] for key in settings} != settings:
                raise SystemExit(
                    f"{path} was made with other options; use the same ones or another --out"
                )
            return plan["step_seconds"]
        seconds = time_steps(
            [self.config(c, **c.variants[0]) for c in self.contenders], TIMED_STEPS
        )
        plan = {c.name: s for c, s in zip(self.contenders, seconds)}
        page.save(path, {**settings, "step_seconds": plan, "machine": machine()})
        return plan

    def config(self, contender: Contender, **changes: object) -> TrainConfig:
        return replace(self.base, **{**contender.settings, **changes})

    def sized(self, contender: Contender, minutes: float, **changes: object) -> TrainConfig:
        """A run of `minutes` of CPU time, in epochs of equal length."""
        steps = max(8, round(60 * minutes / self.step_seconds[contender.name]))
        steps_per_epoch = len(self.dataset.splits["train"].images) // self.base.batch
        epochs = math.ceil(steps / steps_per_epoch)
        return self.config(contender, epochs=epochs, steps_per_epoch=steps // epochs, **changes)

    def pilots(self, contender: Contender) -> list[tuple[Path, dict]]:
        return [
            (
                self.out / f"pilot-{contender.name}-{v}-{rate:g}",
                {**variant, "learning_rate": rate},
            )
            for v, variant in enumerate(contender.variants)
            for rate in self.options.rates
        ]

    def choice(self, contender: Contender) -> dict:
        """The learning rate and variant whose short run is best on val-search, by the mean of the
        archs.

        Those of an earlier report with --rates-of, which were found in the same way.
        """
        if self.options.rates_of:
            return self._earlier_choice(contender)

        def score(folder: Path, changes: dict) -> float:
            net, _ = finished(self.sized(contender, self.options.pilot_minutes, **changes), folder)
            return np.mean(Evaluator(net, self.dataset, "val-search").accuracies(self.judged))

        pilots = self.pilots(contender)
        return max(pilots, key=lambda pilot: score(*pilot))[1] if len(pilots) > 1 else pilots[0][1]

    def _earlier_choice(self, contender: Contender) -> dict:
        path = self.options.rates_of
        report = json.loads(path.read_text(encoding="utf-8"))
        row = {row["recipe"]: row for row in report["rows"]}.get(contender.name)
        if row is None:
            raise SystemExit(f"{path} has no {contender.name!r}; leave --rates-of out")
        return {key: row[key] for key in ("learning_rate", "phase_schedules")}

    def folder(self, contender: Contender) -> Path:
        return self.out / f"run-{contender.name}"

    def run(self, contender: Contender) -> tuple[TrainConfig, Path]:
        return (
            self.sized(contender, self.options.minutes, **self.choice(contender)),
            self.folder(contender),
        )


def add_options(parser: argparse.ArgumentParser, rates: list[float]) -> None:
    """The options that `EqualTime` reads, but for --out."""
    minutes = "CPU minutes for each contender (default: %(default)s)"
    parser.add_argument("--minutes", type=float, default=15, help=minutes)
    parser.add_argument("--pilot-minutes", type=float, default=2)
    parser.add_argument("--rates", type=float, nargs="+", default=rates)
    earlier = "the report of an earlier run, whose learning rates to take: no short runs"
    parser.add_argument("--rates-of", type=Path, metavar="FILE", help=earlier)
    parser.add_argument("--space", default="fmnist")
    parser.add_argument("--dataset", default="fashion-mnist")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--erase", type=float, default=0.0)
    parser.add_argument("--split", choices=["test", "val"], default="test")
