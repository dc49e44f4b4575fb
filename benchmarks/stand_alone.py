"""Inherited against stand-alone: what archs reach inside the supernet, and trained alone from
scratch.

    python benchmarks/stand_alone.py [--supernet fmnist] [--archs 12] [--seed 7] [--epochs 48]
        [--out runs/stand-alone]

The archs are the smallest, the largest and random ones between, at even distances in log MACs. Each
is initialized afresh at its own size and trained by the supernet's own loop, data, augmentation and
averaging, on its own; small ones first. Learning rates are chosen by val-search on short runs of a
small, the middle and a large arch, for the archs around each, unless --rates names only one. The
middle arch is trained a second time for twice the epochs, to see whether the others were trained
long enough, and --distil of the archs a second time with the supernet's largest arch as a teacher.

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
    panel.legend(loc="lower right", fontsize=9)
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
        self.pilots = (1, self.middle, len(self.archs) - 2)
        ends = np.linspace(0, len(self.archs) - 1, options.distil) if options.distil else []
        self.distilled = sorted({round(i) for i in ends})
        self.earlier = (
            self._earlier(options.earlier) if options.earlier else {"answers": {}, "hours": {}}
        )

    def _earlier(self, path: Path) -> dict:
        """The report in `path`; leaves with a message unless it is of this study."""
        report = json.loads(path.read_text(encoding="utf-8"))
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
        ) or self.config(self.middle, report["learning_rates"][self.middle]).difference(
            report["config"]
        )
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

    def config(self, i: int, rate: float, **changes: object) -> TrainConfig:
        """The training of arch i alone, as the supernet was trained."""
        options = {
            "learning_rate": rate,
            **{
                field: getattr(self.options, field)
                for field in ("seed", "epochs", "steps_per_epoch", "precision")
            },
        }
        return alone(self.trained, self.archs[i], **{**options, **changes})

    def pilot(self, i: int, rate: float) -> Path:
        """The folder of a short run of arch i."""
        return self.out / f"pilot-{i}-{rate:g}"

    def knows_rates(self) -> bool:
        """Whether the learning rates are given, or the short runs that choose them are finished."""
        return (
            "learning_rates" in self.earlier
            or len(self.options.rates) == 1
            or all(
                is_finished(self.pilot(i, rate)) for i in self.pilots for rate in self.options.rates
            )
        )

    def rates(self) -> list[float]:
        """The learning rate of each arch: the one with which short runs of the nearest of three
        archs end best on val-search.
        """
        if "learning_rates" in self.earlier:
            return self.earlier["learning_rates"]
        if len(self.options.rates) == 1:
            return self.options.rates * len(self.archs)

        def score(i: int, rate: float) -> float:
            config = self.config(i, rate, epochs=self.options.pilot_epochs)
            net, _ = finished(config, self.pilot(i, rate))
            return right_answers(net, self.archs[i], self.dataset, "val-search").mean()

        best = {i: max(self.options.rates, key=lambda rate: score(i, rate)) for i in self.pilots}
        nearest = (min(self.pilots, key=lambda p: abs(p - i)) for i in range(len(self.archs)))
        return [best[pilot] for pilot in nearest]

    def runs(self, rates: list[float]) -> list[tuple[str, int, TrainConfig]]:
        """Folder, arch and configuration of each run, small archs first; without what an earlier
        report has.
        """
        runs = [(f"alone-{i}", i, self.config(i, rate)) for i, rate in enumerate(rates)]
        middle, teacher = self.middle, str(self.trained.weights_path)
        double = self.config(middle, rates[middle], epochs=2 * self.options.epochs)
        runs.insert(middle + 1, (f"double-{middle}", middle, double))
        runs += [
            (f"distilled-{i}", i, self.config(i, rates[i], teacher=teacher)) for i in self.distilled
        ]
        return [run for run in runs if run[0] not in self.earlier["answers"]]

    def report(self, rates: list[float]) -> dict | None:
        """What the finished runs show; None while no arch is finished."""
        images = len(self.dataset.splits[self.options.split].images)
        right = {name: unpacked(text, images) for name, text in self.earlier["answers"].items()}
        hours = {name: self.earlier["hours"][name] for name in right}
        for name, i, config in self.runs(rates):
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
                    "learning_rate": rates[i],
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
            "learning_rates": rates,
            "split": self.options.split,
            "weights_sha256": self.inherited.weights_sha256,
            "config": asdict(self.config(self.middle, rates[self.middle])),
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

    def publish(self, rates: list[float]) -> None:
        result = self.report(rates)
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

    def add_records(self, rates: list[float]) -> None:
        """What each stand-alone run cost, into data/records.json, once."""
        recorded = {record["source"] for record in records(self.space.name)}
        for name, i, config in self.runs(rates):
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
    parser.add_argument("--pilot-epochs", type=int, default=4)
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
    if options.report_only and not study.knows_rates():
        raise SystemExit("the short runs that choose the learning rates are not finished")
    rates = study.rates()
    if not options.report_only:
        for name, _, config in study.runs(rates):
            finished(config, options.out / name)
    study.publish(rates)
    if options.record:
        study.add_records(rates)


if __name__ == "__main__":
    main()
