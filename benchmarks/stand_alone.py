"""Inherited against stand-alone: what archs reach inside the supernet, and trained alone from
scratch.

    python benchmarks/stand_alone.py [--supernet fmnist] [--archs 12] [--seed 7] [--epochs 48]
        [--out runs/stand-alone]

The archs are the smallest, the largest and random ones between, at even distances in log MACs. Each
is initialized afresh at its own size and trained by the supernet's own loop, data, augmentation and
averaging, on its own; small ones first. Learning rates are chosen by val-search on short runs of
the middle and a large arch, for the archs around each; for small archs, which train quickly, on
whole runs of one of them, which also choose whether rectangles are erased. The middle arch is
trained a second time for twice the epochs, to see whether the others were trained long enough, and
--distil of the archs a second time with the supernet's largest arch as a teacher.

It may be killed at any moment and goes on when started again with the same options; --report-only
writes the report of what is finished. A report holds which images each run's network names rightly,
so with --earlier FILE only what that report lacks is trained, though its networks are gone, and
another supernet's subnets can be compared with them. Runs on one thread. Writes stand_alone.json
and stand_alone.png in --out; the last line printed is the report as one JSON object.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from datetime import date
from pathlib import Path

import numpy as np
import page
from answers import InheritedAnswers, packed, paired, right_answers, unpacked
from matplotlib.figure import Figure
from training_runs import alone, finished, is_finished, one_thread

from labkit.accounting.records import add_record, records
from labkit.course.pictures.style import BLUE, GREEN, ORANGE, log_axis, save_figure
from labkit.runtime.machine import machine
from labkit.space import Arch, SearchSpace
from labkit.storage.provenance import code_revision, sha256
from labkit.supernet.folder import load
from labkit.tables.costs import macs_table
from labkit.tables.predictor_quality import kendall_tau
from labkit.train import TrainConfig

SAMPLE = 100_000  # random archs of which the ones to train are taken
NEAREST = 20  # of them, around the MACs that an arch should have: one is drawn
RESAMPLES = 10_000  # for the confidence interval of Kendall's tau


def draw_archs(space: SearchSpace, count: int, seed: int) -> list[Arch]:
    """The smallest arch, the largest and random ones between, at even distances in log MACs."""
    rng, macs = np.random.default_rng(seed), macs_table(space)
    ends = [space.smallest(), space.largest()]
    genes = space.sample(rng, SAMPLE)
    distances = abs(np.log(macs(genes)[:, None] / np.geomspace(*macs(space.encode(ends)), count)))
    nearest = np.argsort(distances, axis=0)[:NEAREST]  # (NEAREST, count)
    rows = [rng.choice(nearest[:, i]) for i in range(1, count - 1)]
    return [ends[0], *space.decode(genes[rows]), ends[1]]


def tau_interval(a: np.ndarray, b: np.ndarray, seed: int) -> tuple[float, float, float]:
    """Kendall's tau of two samples, and the ends of its 95 % bootstrap interval over the archs."""
    rng = np.random.default_rng(seed)
    picks = rng.integers(0, len(a), (RESAMPLES, len(a)))
    taus = [kendall_tau(a[pick], b[pick]) for pick in picks]
    return (kendall_tau(a, b), *map(float, np.percentile(taus, [2.5, 97.5])))


def figure(report: dict) -> Figure:
    """Accuracy over MACs: one line for each arch, from stand-alone to inherited."""
    rows = report["rows"]
    drawing = Figure(figsize=(7, 4.4), layout="constrained")
    panel = drawing.subplots()
    macs = [row["macs"] / 1e6 for row in rows]
    for x, row in zip(macs, rows):
        panel.plot([x, x], [row["alone"], row["inherited"]], color="0.75", lw=2, zorder=1)
    panel.scatter(
        macs,
        [row["inherited"] for row in rows],
        color=BLUE,
        s=55,
        zorder=3,
        label="cut out of the supernet, no training of its own",
    )
    panel.scatter(
        macs,
        [row["alone"] for row in rows],
        color=ORANGE,
        marker="s",
        s=45,
        zorder=2,
        label="trained alone, from scratch",
    )
    taught = [(x, row["distilled"]) for x, row in zip(macs, rows) if "distilled" in row]
    if taught:
        panel.scatter(
            *zip(*taught),
            color=GREEN,
            marker="D",
            s=40,
            zorder=2,
            label="trained alone, with a teacher",
        )
    log_axis(panel, min(macs), max(macs))
    ahead = sum(row["inherited"] >= row["alone"] for row in rows)
    panel.set(
        xlabel="million MACs",
        ylabel="test accuracy, %" if rows[0]["split"] == "test" else "accuracy, %",
        title=f"{ahead} of {len(rows)} subnets are at least as good as if trained alone",
    )
    panel.legend(loc="best", fontsize=9)
    return drawing


class Study:
    """The runs, what they are called, and what came of those that are finished."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.out = options, options.out
        self.trained = load(options.supernet)
        self.space, self.dataset = self.trained.space, self.trained.dataset
        self.inherited = InheritedAnswers(self.trained, [options.split], self.out / "inherited")
        self.archs = draw_archs(self.space, options.archs, options.seed)
        self.middle = len(self.archs) // 2
        self.trials = (1, self.middle, len(self.archs) - 2)
        ends = np.linspace(0, len(self.archs) - 1, options.distil) if options.distil else []
        self.distilled = sorted({round(i) for i in ends})
        self.earlier = (
            self._earlier(options.earlier) if options.earlier else {"answers": {}, "hours": {}}
        )

    def _earlier(self, path: Path) -> dict:
        """The report in `path`; leaves with a message unless it is of this study."""
        report = json.loads(path.read_text(encoding="utf-8"))
        # Its networks stay what they are when a supernet with another decay is compared with them.
        decay = report["config"]["weight_decay"]
        report["settings"] = [{**chosen, "weight_decay": decay} for chosen in report["settings"]]
        settings = {
            "seed": self.options.seed,
            "archs": len(self.archs),
            "split": self.options.split,
        }
        other = next(
            (
                (field, report[field], value)
                for field, value in settings.items()
                if report[field] != value
            ),
            None,
        ) or self.config(self.middle, report["settings"][self.middle]).difference(report["config"])
        if other:
            raise SystemExit(
                f"{path} is of another study: its {other[0]} is {other[1]!r}, here it is"
                f" {other[2]!r}"
            )
        if "answers" not in report:
            raise SystemExit(
                f"{path} does not say which images its networks name rightly; train them again"
            )
        if report["weights_sha256"] != sha256(self.trained.weights_path):
            # Another supernet taught those that were taught.
            report["answers"] = {
                name: text for name, text in report["answers"].items() if "distilled" not in name
            }
        return report

    def config(self, i: int, settings: dict, **changes: object) -> TrainConfig:
        """The training of arch i alone, as the supernet was trained but for `settings`."""
        names = ("seed", "epochs", "steps_per_epoch", "precision")
        options = {name: getattr(self.options, name) for name in names}
        return alone(self.trained, self.archs[i], **{**options, **settings, **changes})

    def variants(self, i: int) -> list[dict]:
        """The settings among which a trial of arch i chooses: learning rates, and for small archs,
        which cannot learn images by heart, whether rectangles are erased at all.
        """
        recorded = self.trained.record["config"]
        erase, decay = recorded.get("erase", 0.0), {"weight_decay": recorded["weight_decay"]}
        shares = sorted({erase, 0.0}) if i == self.trials[0] else [erase]
        return [
            {"learning_rate": r, "erase": e, **decay} for r in self.options.rates for e in shares
        ]

    def trial(self, i: int, settings: dict) -> tuple[TrainConfig, Path]:
        """A run of arch i that helps to choose its settings: a short one, unless it is small."""
        epochs = self.options.epochs if i == self.trials[0] else self.options.trial_epochs
        name = "trial-{}-{learning_rate:g}-{erase:g}".format(i, **settings)
        return self.config(i, settings, epochs=epochs), self.out / name

    def is_settled(self) -> bool:
        """Whether the settings are known, or the trials that choose them are finished."""
        return "settings" in self.earlier or all(
            is_finished(self.trial(i, settings)[1])
            for i in self.trials
            for settings in self.variants(i)
            if len(self.variants(i)) > 1
        )

    def settings(self) -> list[dict]:
        """Of each arch: those with which trials of the nearest of three archs end best on
        val-search.
        """
        if "settings" in self.earlier:
            return self.earlier["settings"]

        def score(i: int, settings: dict) -> float:
            net, _ = finished(*self.trial(i, settings))
            return right_answers(net, self.archs[i], self.dataset, "val-search").mean()

        best = {}
        for i in self.trials:
            variants = self.variants(i)
            best[i] = max(variants, key=lambda v: score(i, v)) if len(variants) > 1 else variants[0]
        nearest = (min(self.trials, key=lambda t: abs(t - i)) for i in range(len(self.archs)))
        return [best[trial] for trial in nearest]

    def runs(self, settings: list[dict]) -> list[tuple[str, int, TrainConfig]]:
        """Folder, arch and configuration of each run, small archs first; without what an earlier
        report has.
        """
        runs = [(f"alone-{i}", i, self.config(i, chosen)) for i, chosen in enumerate(settings)]
        middle, teacher = self.middle, str(self.trained.weights_path)
        double = self.config(middle, settings[middle], epochs=2 * self.options.epochs)
        runs.insert(middle + 1, (f"double-{middle}", middle, double))
        runs += [
            (f"distilled-{i}", i, self.config(i, settings[i], teacher=teacher))
            for i in self.distilled
        ]
        return [run for run in runs if run[0] not in self.earlier["answers"]]

    def report(self, settings: list[dict]) -> dict | None:
        """What the finished runs show; None while no arch is finished."""
        images = len(self.dataset.splits[self.options.split].images)
        right = {name: unpacked(text, images) for name, text in self.earlier["answers"].items()}
        hours = {name: self.earlier["hours"][name] for name in right}
        for name, i, config in self.runs(settings):
            if is_finished(self.out / name):
                net, record = finished(config, self.out / name)
                right[name] = right_answers(net, self.archs[i], self.dataset, self.options.split)
                hours[name] = record["cpu_hours"]
        macs, rows = macs_table(self.space)(self.space.encode(self.archs)), []
        answers = []  # (2, images) of each row
        for i, arch in enumerate(self.archs):
            alone, taught = right.get(f"alone-{i}"), right.get(f"distilled-{i}")
            if alone is None:
                continue
            inherited = self.inherited(arch)
            answers.append((inherited, alone))
            rows.append(
                {
                    "arch": arch.to_json(),
                    "macs": int(macs[i]),
                    "split": self.options.split,
                    "inherited": 100 * float(inherited.mean()),
                    "alone": 100 * float(alone.mean()),
                    "inherited_minus_alone": paired(inherited, alone),
                    **settings[i],
                    "cpu_hours": hours[f"alone-{i}"],
                }
            )
            if taught is not None:
                rows[-1] |= {
                    "distilled": 100 * float(taught.mean()),
                    "inherited_minus_distilled": paired(inherited, taught),
                }
        if not rows:
            return None
        gaps = np.array([row["inherited_minus_alone"]["points"] for row in rows])
        result = {
            "benchmark": "stand_alone",
            "date": date.today().isoformat(),
            "revision": code_revision(),
            "machine": machine(),
            "seed": self.options.seed,
            "settings": settings,
            "split": self.options.split,
            "weights_sha256": self.inherited.weights_sha256,
            "config": asdict(self.config(self.middle, settings[self.middle])),
            "archs": len(self.archs),
            "complete": len(rows) == len(self.archs),
            "rows": rows,
            "mean_gap": float(gaps.mean()),
            "mean_gap_error": paired(*np.mean(answers, axis=0))["standard_error"],
            "worst_gap": float(gaps.min()),
            "cpu_hours": sum(hours.values()),
            "hours": hours,
            "answers": {name: packed(answers) for name, answers in right.items()},
        }
        double, alone = f"double-{self.middle}", f"alone-{self.middle}"
        if double in right and alone in right:
            result["doubling_the_epochs"] = paired(right[double], right[alone])
        if len(rows) > 2:
            columns = (np.array([row[key] for row in rows]) for key in ("inherited", "alone"))
            result["kendall_tau"] = dict(
                zip(("tau", "low", "high"), tau_interval(*columns, self.options.seed))
            )
        return result

    def publish(self, settings: list[dict]) -> None:
        result = self.report(settings)
        if result is None:
            raise SystemExit("no arch is finished yet")
        page.save(self.out / "stand_alone.json", result)
        save_figure(figure(result), self.out / "stand_alone.png")
        print(
            f"{'MACs':>10} {'inherited':>10} {'alone':>8} {'gap':>6} {'+-':>5} {'distilled':>10}"
            f" {'core-hours':>11}"
        )
        for row in result["rows"]:
            gap, taught = row["inherited_minus_alone"], row.get("distilled")
            print(
                f"{row['macs']:>10,} {row['inherited']:>10.2f} {row['alone']:>8.2f}"
                f" {gap['points']:>6.2f} {gap['standard_error']:>5.2f}"
                f" {'' if taught is None else format(taught, '.2f'):>10} {row['cpu_hours']:>11.2f}"
            )
        print(
            f"gap: mean {result['mean_gap']:.2f} points (standard error"
            f" {result['mean_gap_error']:.2f}), worst {result['worst_gap']:.2f}"
        )
        if "doubling_the_epochs" in result:
            double = result["doubling_the_epochs"]
            print(
                f"twice the epochs gain the middle arch {double['points']:.2f} points (standard"
                f" error {double['standard_error']:.2f})"
            )
        if "kendall_tau" in result:
            print(
                "Kendall tau {tau:.3f}, 95 % interval {low:.3f} to {high:.3f}".format(
                    **result["kendall_tau"]
                )
            )
        print(json.dumps(result))

    def add_records(self, settings: list[dict]) -> None:
        """What each stand-alone run cost, into data/records.json, once."""
        recorded = {record["source"] for record in records(self.space.name)}
        for name, i, config in self.runs(settings):
            source = (
                f"benchmarks/stand_alone.py --epochs {self.options.epochs} --seed"
                f" {self.options.seed}, arch {i}"
            )
            if name == f"alone-{i}" and source not in recorded and is_finished(self.out / name):
                record = finished(config, self.out / name)[1]
                add_record(
                    {
                        "what": "stand-alone",
                        "space": self.space.name,
                        "source": source,
                        **{key: record[key] for key in ("cpu_hours", "machine", "date")},
                    }
                )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--supernet", default="fmnist", help="name or folder")
    parser.add_argument("--archs", type=int, default=12)
    parser.add_argument(
        "--seed", type=int, default=7, help="draws the archs, and seeds their training"
    )
    parser.add_argument("--epochs", type=int, default=48)
    parser.add_argument("--steps-per-epoch", type=int, help="shorten epochs: to see that it runs")
    parser.add_argument("--trial-epochs", type=int, default=4)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.12, 0.25, 0.5])
    parser.add_argument("--precision", default="float32", help="of the arithmetic of training")
    parser.add_argument(
        "--distil", type=int, default=0, help="archs that are trained with a teacher as well"
    )
    parser.add_argument("--split", choices=["test", "val"], default="test")
    parser.add_argument("--out", type=Path, default=Path("runs/stand-alone"))
    parser.add_argument(
        "--earlier", type=Path, metavar="FILE", help="an earlier report of the same study to add to"
    )
    parser.add_argument(
        "--report-only", action="store_true", help="train nothing, report what is finished"
    )
    parser.add_argument(
        "--record", action="store_true", help="note the core-hours in data/records.json at the end"
    )
    options = parser.parse_args()
    one_thread()
    study = Study(options)
    if options.report_only and not study.is_settled():
        raise SystemExit("the runs that choose the learning rates are not finished")
    settings = study.settings()
    if not options.report_only:
        for name, _, config in study.runs(settings):
            finished(config, options.out / name)
    study.publish(settings)
    if options.record:
        study.add_records(settings)


if __name__ == "__main__":
    main()
