"""Inherited against stand-alone: what archs reach inside the supernet, and trained alone from
scratch.

    python benchmarks/stand_alone.py [--archs 10] [--seed 7] [--epochs 48] [--distil 3]
        [--out runs/stand-alone]

Archs are drawn at random, one in each of equal parts of the logarithmic MACs range. Each is
initialized afresh at its own size and trained by the supernet's own loop, data, augmentation and
averaging, on its own. The learning rate is chosen on short runs of the middle arch by val-search,
unless --rates names only one. The middle arch is trained a second time for twice the epochs, to see
whether the others were trained long enough, and --distil of the archs a second time with the
supernet's largest arch as a teacher.

It may be killed at any moment and goes on when started again with the same options; --report-only
writes the report of what is finished. A report holds which images each run's network names rightly,
so with --earlier FILE only what that report lacks is trained, though its networks are gone, and
another supernet's subnets can be compared with them. Runs on one thread. Writes stand_alone.json
and stand_alone.png in --out; the last line printed is the report as one JSON object.
"""

from __future__ import annotations

import argparse
import base64
import json
from dataclasses import asdict
from datetime import date
from pathlib import Path

import numpy as np
import page
from matplotlib.figure import Figure
from training_runs import finished, is_finished, one_thread, paired, right_answers

from labkit.accounting.records import add_record, records
from labkit.course.pictures.style import BLUE, GREEN, ORANGE, log_axis, save_figure
from labkit.data import datasets as data
from labkit.runtime.machine import machine
from labkit.space import Arch, SearchSpace
from labkit.storage.provenance import code_revision, sha256
from labkit.supernet import weights_file as pretrained
from labkit.supernet.folder import load
from labkit.tables.costs import macs_table
from labkit.tables.predictor_quality import kendall_tau
from labkit.train import TrainConfig
from labkit.train.config import arch_text

SAMPLE = 20_000  # random archs of which the ones to train are taken
RESAMPLES = 10_000  # for the confidence interval of Kendall's tau


def draw_archs(space: SearchSpace, count: int, seed: int) -> list[Arch]:
    """`count` random archs, one in each of equal parts of the range of log MACs, by rising MACs."""
    rng = np.random.default_rng(seed)
    genes = space.sample(rng, SAMPLE)
    size = np.log(macs_table(space)(genes))
    edges = np.linspace(size.min(), size.max(), count + 1)
    part = np.clip(np.searchsorted(edges, size, side="right") - 1, 0, count - 1)
    rows = [rng.choice(np.flatnonzero(part == i)) for i in range(count)]
    return space.decode(genes[rows])


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


def packed(right: np.ndarray) -> str:
    """(N,) bool as text: eight images a byte, in base64."""
    return base64.b64encode(np.packbits(right)).decode()


def unpacked(text: str, images: int) -> np.ndarray:
    """The (images,) bool that `packed` made a text of."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=images).astype(bool)


class Study:
    """The runs, what they are called, and what came of those that are finished."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.out = options, options.out
        self.supernet, self.record = pretrained.load(options.weights)
        self.space = self.supernet.space
        self.dataset = data.load(self.record["dataset"]["name"])
        self.archs = draw_archs(self.space, options.archs, options.seed)
        self.middle = len(self.archs) // 2
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
        ) or self.config(self.middle, report["learning_rate"]).difference(report["config"])
        if other:
            raise SystemExit(
                f"{path} is of another study: its {other[0]} is {other[1]!r}, here it is"
                f" {other[2]!r}"
            )
        if "answers" not in report:
            raise SystemExit(
                f"{path} does not say which images its networks name rightly; train them again"
            )
        if report["weights_sha256"] != sha256(
            self.options.weights
        ):  # another supernet taught the taught ones
            report["answers"] = {
                name: text for name, text in report["answers"].items() if "distilled" not in name
            }
        return report

    def config(self, i: int, rate: float, **changes: object) -> TrainConfig:
        """The supernet's own configuration for arch i alone."""
        plain = {
            "steps_per_epoch": self.options.steps_per_epoch,
            "phase_schedules": False,
            "precision": "float32",
            "recompute": False,
            "teacher": None,
            "initial": None,
            "random_archs": None,
        }
        return TrainConfig.from_record(
            self.record,
            **{
                **plain,
                "recipe": "alone",
                "arch": arch_text(self.archs[i]),
                "learning_rate": rate,
                "seed": self.options.seed,
                "epochs": self.options.epochs,
                **changes,
            },
        )

    def knows_rate(self) -> bool:
        """Whether the learning rate is given, or the short runs that choose it are finished."""
        return (
            "learning_rate" in self.earlier
            or len(self.options.rates) == 1
            or all(is_finished(self.out / f"pilot-{rate:g}") for rate in self.options.rates)
        )

    def rate(self) -> float:
        """The learning rate with which short runs of the middle arch end best on val-search."""
        if "learning_rate" in self.earlier:
            return self.earlier["learning_rate"]
        if len(self.options.rates) == 1:
            return self.options.rates[0]
        scores = {}
        for rate in self.options.rates:
            net, _ = finished(
                self.config(self.middle, rate, epochs=self.options.pilot_epochs),
                self.out / f"pilot-{rate:g}",
            )
            scores[rate] = right_answers(
                net, self.archs[self.middle], self.dataset, "val-search"
            ).mean()
        return max(scores, key=scores.get)

    def runs(self, rate: float) -> list[tuple[str, int, TrainConfig]]:
        """Folder, arch and configuration of each run, the middle arch first; without what an
        earlier report has.
        """
        order = sorted(range(len(self.archs)), key=lambda i: abs(i - self.middle))
        runs = [(f"alone-{i}", i, self.config(i, rate)) for i in order]
        runs.insert(
            1,
            (
                f"double-{self.middle}",
                self.middle,
                self.config(self.middle, rate, epochs=2 * self.options.epochs),
            ),
        )
        teacher = str(self.options.weights)
        runs += [
            (f"distilled-{i}", i, self.config(i, rate, teacher=teacher)) for i in self.distilled
        ]
        return [run for run in runs if run[0] not in self.earlier["answers"]]

    def report(self, rate: float) -> dict | None:
        """What the finished runs show; None while no arch is finished."""
        images = len(self.dataset.splits[self.options.split].images)
        right = {name: unpacked(text, images) for name, text in self.earlier["answers"].items()}
        hours = {name: self.earlier["hours"][name] for name in right}
        for name, i, config in self.runs(rate):
            if is_finished(self.out / name):
                net, record = finished(config, self.out / name)
                right[name] = right_answers(net, self.archs[i], self.dataset, self.options.split)
                hours[name] = record["cpu_hours"]
        macs, rows = macs_table(self.space)(self.space.encode(self.archs)), []
        for i, arch in enumerate(self.archs):
            alone, taught = right.get(f"alone-{i}"), right.get(f"distilled-{i}")
            if alone is None:
                continue
            inherited = right_answers(self.supernet, arch, self.dataset, self.options.split)
            rows.append(
                {
                    "arch": arch.to_json(),
                    "macs": int(macs[i]),
                    "split": self.options.split,
                    "inherited": 100 * float(inherited.mean()),
                    "alone": 100 * float(alone.mean()),
                    "inherited_minus_alone": paired(inherited, alone),
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
            "learning_rate": rate,
            "split": self.options.split,
            "weights_sha256": sha256(self.options.weights),
            "config": asdict(self.config(self.middle, rate)),
            "archs": len(self.archs),
            "complete": len(rows) == len(self.archs),
            "rows": rows,
            "mean_gap": float(gaps.mean()),
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

    def publish(self, rate: float) -> None:
        result = self.report(rate)
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
        print(f"gap: mean {result['mean_gap']:.2f} points, worst {result['worst_gap']:.2f}")
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

    def add_records(self, rate: float) -> None:
        """What each stand-alone run cost, into data/records.json, once."""
        recorded = {record["source"] for record in records(self.space.name)}
        for name, i, config in self.runs(rate):
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
    parser.add_argument("--archs", type=int, default=10)
    parser.add_argument(
        "--seed", type=int, default=7, help="draws the archs, and seeds their training"
    )
    parser.add_argument("--epochs", type=int, default=48)
    parser.add_argument("--steps-per-epoch", type=int, help="shorten epochs: to see that it runs")
    parser.add_argument("--pilot-epochs", type=int, default=4)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.06, 0.12, 0.25])
    parser.add_argument(
        "--distil", type=int, default=3, help="archs that are trained with a teacher as well"
    )
    parser.add_argument("--weights", type=Path, default=load("fmnist").weights_path)
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
    if options.report_only and not study.knows_rate():
        raise SystemExit("the short runs that choose the learning rate are not finished")
    rate = study.rate()
    if not options.report_only:
        for name, _, config in study.runs(rate):
            finished(config, options.out / name)
    study.publish(rate)
    if options.record:
        study.add_records(rate)


if __name__ == "__main__":
    main()
