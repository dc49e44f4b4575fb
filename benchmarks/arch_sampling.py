"""How should the archs between the ends of the sandwich be drawn? Two ways at equal CPU time.

    python benchmarks/arch_sampling.py [--space fmnist] [--dataset fashion-mnist] [--minutes 15]
        [--out runs/arch-sampling]

With every choice uniform most archs are of middle size; with log MACs uniform all sizes are as
frequent (`labkit.train.arch_sampling`). Both train the same sandwich with three archs between its
ends, for the same CPU time (`equal_time.py`), at learning rates that short runs choose. Each way
would win on archs that are drawn as it draws them, so archs of both kinds are judged, by a seed
that no training has: as many of each, and by parts of the range of log MACs.

It may be killed at any moment and goes on when started again with the same options. The last line
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
from answers import Gain, mean_gain, right_answers, show
from equal_time import Contender, EqualTime, add_options, trained_macs
from training_runs import finished, one_thread

from labkit.course.pictures.style import BLUE, GRAY
from labkit.runtime.machine import machine
from labkit.space import Arch, SearchSpace
from labkit.space.presets import get_space
from labkit.storage.provenance import code_revision
from labkit.tables.costs import macs_table
from labkit.train.arch_sampling import SAMPLINGS

TITLES = {"choices": "every choice uniform", "log-macs": "log MACs uniform"}
CONTENDERS = tuple(
    Contender(name, TITLES[name], color, {"sampling": name, "random_archs": 3})
    for name, color in (("choices", GRAY), ("log-macs", BLUE))
)
JUDGES_SEED = 1_000_003
PARTS = 5  # of the range of log MACs


def judged_archs(space: SearchSpace, count: int) -> dict[str, list[Arch]]:
    """`count` archs drawn in each way, and the two ends."""
    rng = np.random.default_rng(JUDGES_SEED)
    return {
        **{name: SAMPLINGS[name](space, rng, count) for name in TITLES},
        "ends": [space.smallest(), space.largest()],
    }


def part_of(space: SearchSpace, archs: list[Arch]) -> np.ndarray:  # (A,)
    """The part of the range of log MACs that each arch lies in."""
    macs = macs_table(space)
    edges = np.geomspace(*macs(space.encode([space.smallest(), space.largest()])), PARTS + 1)
    return np.searchsorted(edges[1:-1], macs(space.encode(archs)), side="right")


def compared(space: SearchSpace, groups: dict[str, list[Arch]], right: dict) -> list[dict]:
    """Accuracies and their difference on each group of archs, and in each part of the range.

    `right` holds, for each way of drawing, which images each arch names rightly, (A, images), in
    the order of the groups.
    """
    archs = [arch for members in groups.values() for arch in members]
    names = [name for name, members in groups.items() for _ in members]
    parts, macs = part_of(space, archs), macs_table(space)(space.encode(archs))
    drawn = np.array([name != "ends" for name in names])
    masks = {
        "the smallest": np.arange(len(archs)) == len(archs) - 2,
        **{
            f"{macs[mask].min() / 1e6:.2f}M to {macs[mask].max() / 1e6:.2f}M MACs": mask
            for mask in (drawn & (parts == part) for part in range(PARTS))
            if mask.any()
        },
        "the largest": np.arange(len(archs)) == len(archs) - 1,
        **{f"drawn with {TITLES[group]}": np.array(names) == group for group in TITLES},
    }
    return [
        {
            "archs": title,
            "count": int(mask.sum()),
            "accuracy": {name: 100 * float(right[name][mask].mean()) for name in TITLES},
            "difference": mean_gain([Gain.of(right["log-macs"][mask], right["choices"][mask])]),
        }
        for title, mask in masks.items()
    ]


def text(report: dict) -> str:
    rows = [
        (
            row["archs"],
            row["count"],
            *(f"{row['accuracy'][name]:.2f}" for name in TITLES),
            show(row["difference"]),
        )
        for row in report["compared"]
    ]
    runs = "; ".join(
        f"{TITLES[run['recipe']]}: {run['steps']:,} steps at learning rate"
        f" {run['learning_rate']:g}, {run['macs'] / 1e12:.1f} * 10^12 MACs"
        for run in report["rows"]
    )
    return (
        f"**Which archs should a step train?** (`arch_sampling.py`; the sandwich in"
        f" `{report['base']['space']}` with three archs between its ends, drawn in two ways,"
        f" {report['minutes']:g} CPU minutes each; accuracy on {report['split']}, %; the difference"
        " in points on the same images, ± one standard error, with that of which archs were"
        " judged)\n\n"
        + page.table(("archs", "number", *TITLES.values(), "second less first"), rows)
        + f"\n\n{runs}."
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser, rates=[0.12, 0.25])
    parser.add_argument("--archs", type=int, default=20, help="judged, of each way of drawing")
    parser.add_argument("--out", type=Path, default=Path("runs/arch-sampling"))
    options = parser.parse_args()
    one_thread()
    space = get_space(options.space)
    groups = judged_archs(space, options.archs)
    archs = [arch for members in groups.values() for arch in members]
    study = EqualTime(CONTENDERS, archs, options)
    right, runs = {}, []
    for contender in CONTENDERS:
        config, folder = study.run(contender)
        net, record = finished(config, folder)
        answers = [right_answers(net, arch, study.dataset, options.split) for arch in archs]
        right[contender.name] = np.array(answers)
        runs.append(
            {
                "recipe": contender.name,
                "learning_rate": config.learning_rate,
                "phase_schedules": config.phase_schedules,
                "steps": config.epochs * config.steps_per_epoch,
                "cpu_hours": record["cpu_hours"],
                "macs": trained_macs(config),
            }
        )
    report = {
        "benchmark": "arch_sampling",
        "date": date.today().isoformat(),
        "revision": code_revision(),
        "machine": machine(),
        "minutes": options.minutes,
        "split": options.split,
        "base": asdict(study.base),
        "rows": runs,
        "compared": compared(space, groups, right),
    }
    for row in report["compared"]:
        print(f"{row['archs']}: {show(row['difference'])}")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
