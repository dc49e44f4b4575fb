"""The pages SEARCH.md, TRAINING.md and IMAGENET.md.

    python benchmarks/publish.py exact_front --budgets 50

Runs the script of one of the sections below (what follows its name is passed on), keeps the JSON
object that it prints last as benchmarks/results/NAME.json, and writes the section on its page, and
its picture in docs/ if it has one. Without a name, all sections whose results are there are written
again, and nothing is run.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass

import answers
import arch_sampling
import explorer_latency
import fine_tuning
import image_memory
import imagenet
import measured_search
import page
import recipes
import stand_alone
import step_profile
import thompson
from matplotlib.figure import Figure

from labkit.course.pictures.style import save_figure

SEARCH, TRAINING, IMAGENET = "SEARCH.md", "TRAINING.md", "IMAGENET.md"
TITLES = {
    SEARCH: "Search: speed, exactness, Pareto fronts, and what searching gains",
    TRAINING: "Training: what a supernet is worth, how archs are drawn, and the cost of a step",
    IMAGENET: "The paper's own subnets beside the exact optimum",
}


@dataclass(frozen=True)
class Section:
    """What is written about a script's report, on which page, and the picture drawn from it."""

    page: str
    text: Callable[[dict], str]
    picture: Callable[[dict], Figure] | None = None
    caption: str = ""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("name", nargs="?", choices=sorted(SECTIONS), help="the section to measure")
    arguments, passed_on = parser.parse_known_args()
    if arguments.name:
        page.save(
            page.FOLDER / "results" / f"{arguments.name}.json",
            run(arguments.name, passed_on),
        )
    for name in [arguments.name] if arguments.name else SECTIONS:
        path = page.FOLDER / "results" / f"{name}.json"
        if path.is_file():
            write(name, json.loads(path.read_text(encoding="utf-8")))


def run(script: str, arguments: list[str]) -> dict:
    """What the script prints last, on one thread; its progress goes to the terminal."""
    completed = subprocess.run(
        [sys.executable, page.FOLDER / f"{script}.py", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=True,
    )
    return json.loads(completed.stdout.splitlines()[-1])


def write(name: str, report: dict) -> None:
    """A script's section: its picture, its table, and where and when that was measured."""
    section, machine = SECTIONS[name], report["machine"]
    text = section.text(report)
    if section.picture and report.get("complete", True):  # a few dots of many mislead
        picture = page.FOLDER.parent / "docs" / f"{name}.png"
        save_figure(section.picture(report), picture)
        text = f"![{section.caption}](../docs/{picture.name})\n\n{text}"
    text += f"\n\n{machine['cpu'] or 'unknown processor'}, one thread, {report['date'][:10]}."
    page.put(page.FOLDER / section.page, name, text, TITLES[section.page])


def search_speed(report: dict) -> str:
    rows = [
        (
            name,
            f"{figures['seconds']:.3f}",
            f"{figures['ratio']:.0f}",
            f"{figures['better_by']['median']:.3f} ({figures['better_by']['worst']:.3f})",
        )
        for name, figures in report["ours"].items()
    ]
    return (
        "**Evolution against `ofa`** (`search_speed.py`; population 100, 500 generations, limit at"
        f" the 20th percentile, the space of OFA's tutorial; medians of {report['seeds']} seeds)."
        f" The peer is {report['peer']}; with its own MLP and table it takes"
        f" {report['ofa_seconds']:.1f} CPU s. Its MLP has random weights: its figures compare with"
        " themselves only.\n\n"
        + page.table(
            (
                "our predictor",
                "CPU s",
                "`ofa`'s time with its MLP, times ours",
                "our result better by, points, median (worst), same predictor",
            ),
            rows,
        )
    )


def exact_front(report: dict) -> str:
    rows = [
        (
            name,
            f"{figures['front']['points']:,} archs, {figures['front']['seconds']:.2f} s",
            f"{figures['evolution_gap']['median']:.3f} / {figures['evolution_gap']['worst']:.3f}",
            f"{figures['random_search_gap']['median']:.2f}",
            (
                f"{figures['pairs_of_budgets']['seconds']['median']:.2f} / "
                f"{figures['pairs_of_budgets']['seconds']['worst']:.2f} s"
            ),
        )
        for name, figures in report["ours"].items()
    ]
    return (
        f"**Exact search** (`exact_front.py`; {report['budgets']} random latency budgets,"
        f" {2 * report['pairs']} random pairs of budgets; gaps in points, CPU seconds; latencies of"
        " the simulated Raspberry Pi 4)\n\n"
        + page.table(
            (
                "space, predictor",
                "whole front",
                "evolution's gap, median / worst",
                "random search's gap, median",
                "pair of budgets, median / worst",
            ),
            rows,
        )
    )


def pareto_quality(report: dict) -> str:
    rows = [
        (
            name,
            f"{row['ours']:.4f}",
            f"{row['pymoo']:.4f}",
            f"{row['pymoo_all_evaluated']:.4f}",
            f"{row['our_seconds']:.3f} / {row['pymoo_seconds']:.2f}",
            f"{row['ratio']:.0f}",
        )
        for name, row in report["medians"].items()
    ]
    return (
        f"**NSGA-II against pymoo** (`pareto_quality.py`; {report['peer']}; as many evaluations"
        f" each; medians of {report['seeds']} seeds). Hypervolume is the share of the exact"
        " front's. Ours is that of the archive of all archs it evaluated, so it compares with"
        " pymoo's last column.\n\n"
        + page.table(
            (
                "predictor",
                "ours",
                "pymoo, last population",
                "pymoo, all it evaluated",
                "CPU s, ours / pymoo",
                "ratio",
            ),
            rows,
        )
    )


def predictor_quality(report: dict) -> str:
    studies = report["studies"]
    sizes = list(studies[0]["scores"])
    rows = [
        (
            study["supernet"],
            name,
            *(
                f"{study['scores'][size][name]['rmse']:.3f},"
                f" {study['scores'][size][name]['kendall_tau']:.3f}"
                for size in sizes
            ),
        )
        for study in studies
        for name in study["scores"][sizes[0]]
    ]
    pairs = " and ".join(f"{study['pairs']:,} of `{study['supernet']}`" for study in studies)
    text = (
        f"**Does separability cost accuracy?** (`predictor_quality.py`; measured pairs, {pairs};"
        f" RMSE in points and Kendall tau on {report['judged']} held-out pairs, mean of"
        f" {report['splits']} splits)\n\n"
        + page.table(("supernet", "predictor", *(f"{int(size):,} pairs" for size in sizes)), rows)
    )
    residuals = [
        (
            study["supernet"],
            f"{sample['archs']} {name}",
            *(
                answers.show(sample[split]) if split in sample else "not measured"
                for split in ("val", "test")
            ),
        )
        for study in studies
        for name, sample in study["residuals"].items()
    ]
    return (
        f"{text}\n\nMeasured accuracy less the predicted one, which is shifted to these images, in"
        " points: mean ± one standard error, over the random nets of `measured_search.py`, which"
        " nobody chose and which are not among the pairs, and over the exact optima, which the"
        " predictor chose from all archs. The first says whether predictions are biased; what the"
        " second adds is selection's luck.\n\n"
        + page.table(("supernet", "archs", "val", "test"), residuals)
    )


def stand_alone_text(report: dict) -> str:
    head = [
        "MACs",
        "cut out of the supernet, %",
        "trained alone, %",
        "difference, points",
        "core-hours alone",
    ]
    rows = [
        [
            f"{row['macs'] / 1e6:.2f}M",
            f"{row['inherited']:.2f}",
            f"{row['alone']:.2f}",
            "{points:+.2f} ± {standard_error:.2f}".format(**row["inherited_minus_alone"]),
            f"{row['cpu_hours']:.2f}",
        ]
        for row in report["rows"]
    ]
    if any("distilled" in row for row in report["rows"]):
        head.append("alone, with a teacher, %")
        for cells, row in zip(rows, report["rows"]):
            cells.append(f"{row['distilled']:.2f}" if "distilled" in row else "")
    sample = (
        f"{report['archs']} archs of `{report['config']['space']}`, seed {report['seed']}, spread"
        " evenly over the range of log MACs"
    )
    rates, erase = (
        ", ".join(
            f"{value:g}" for value in sorted({setting[key] for setting in report["settings"]})
        )
        for key in ("learning_rate", "erase")
    )
    if not report["complete"]:
        sample += f", of which {len(rows)} are trained so far"
    text = (
        f"**As good as if trained alone?** (`stand_alone.py`; {sample}; accuracy on"
        f" {report['split']}; trained from scratch for {report['config']['epochs']} epochs at"
        f" learning rate {rates}, share of images with an erased rectangle {erase}; ± is one"
        " standard error of the difference)\n\n"
        + page.table(head, rows)
        + f"\n\nCut out of the supernet they are {report['mean_gap']:+.2f} points from those"
        " trained alone on average"
        + (f" (± {report['mean_gap_error']:.2f})" if "mean_gap_error" in report else "")
        + f", {report['worst_gap']:+.2f} where it is worst."
    )
    if "doubling_the_epochs" in report:
        double = report["doubling_the_epochs"]
        text += (
            f" Twice the epochs gain the middle arch {double['points']:.2f} points (standard error "
            f"{double['standard_error']:.2f})."
        )
    if "kendall_tau" in report and report["complete"]:  # of three or four nets it says nothing
        tau = report["kendall_tau"]
        text += (
            f" Kendall tau between the two columns is {tau['tau']:.2f}, 95 % interval"
            f" {tau['low']:.2f} to {tau['high']:.2f}."
        )
    return (
        text + f" The runs took {report['cpu_hours']:.1f} core-hours. The supernet is the one with"
        f" SHA-256 {report['weights_sha256'][:12]}."
    )


def recipes_text(report: dict) -> str:
    rows = [
        (
            row["title"],
            *(f"{row['accuracy'][name]:.2f}" for name in recipes.ARCHS),
            f"{row['steps']:,}",
            f"{row['learning_rate']:g}",
            f"{row['macs'] / 1e12:.1f}",
        )
        for row in report["rows"]
    ]
    return (
        f"**Four recipes at equal CPU time** (`recipes.py`; {report['minutes']:g} minutes of"
        " training for each, learning rates chosen on short runs; accuracy after BN recalibration,"
        f" on {report['split']}, %)\n\n"
        + page.table(
            ("recipe", *recipes.ARCHS, "steps", "learning rate", "MACs trained with, 10^12"), rows
        )
    )


def step_memory(report: dict) -> str:
    rows = [
        (way, f"{peak / 1e9:.2f}", f"{report['ratios'][way]:.2f}")
        for way, peak in report["bytes"].items()
    ]
    return (
        f"**Memory of a step** (`step_memory.py`; the space `{report['space']}`, {report['archs']}"
        f" subnets, batch {report['batch']}, {report['device']}; peak minus what was in use before"
        " the step, in fresh processes)\n\n"
        + page.table(("step", "GB", "times the largest alone"), rows)
    )


def step_speed(report: dict) -> str:
    step = report["training_step"]
    text = (
        "**Time of a step and of a forward pass** (`step_speed.py`; CPU time, the sides in turns)"
    )
    if step:
        text += (
            "\n\nOne training step of a subnet in the paper's space, 16 images of 224 pixels: "
            f"{step['ratio']:.2f} of the time of the package `ofa` ({step['ratio_min']:.2f} to "
            f"{step['ratio_max']:.2f} over {step['archs']} archs)."
        )
    rows = [
        (
            row["space"],
            row["batch"],
            f"{row['ratio']:.3f}",
            f"{row['ratio_min']:.2f} to {row['ratio_max']:.2f}",
            row["archs"],
        )
        for row in report["forward"]
    ]
    return (
        text
        + "\n\n"
        + page.table(
            (
                "space",
                "batch",
                "forward in the supernet, times the extracted subnet's",
                "range",
                "archs",
            ),
            rows,
        )
    )


def shared_prefixes(report: dict) -> str:
    names = {
        "random": "of many random archs, some that begin alike",
        "families": "families, alike up to the last stage",
    }
    rows = [
        (names[name], row["archs"], f"{row['speed_up']:.2f}", f"{row['macs_ratio']:.2f}")
        for name, row in report["rows"].items()
    ]
    return (
        f"**Evaluating many archs together** (`shared_prefixes.py`; {report['images']:,} images,"
        " identical accuracies; the first sample is as dense as the many are)\n\n"
        + page.table(("sample", "archs", "times as fast", "MACs allow"), rows)
    )


SECTIONS = {
    "search_speed": Section(SEARCH, search_speed),
    "exact_front": Section(SEARCH, exact_front),
    "pareto_quality": Section(SEARCH, pareto_quality),
    "predictor_quality": Section(SEARCH, predictor_quality),
    "measured_search": Section(
        SEARCH,
        measured_search.text,
        measured_search.figure,
        "Measured accuracy over the latency budget: searched, scaled by hand and random nets",
    ),
    "thompson": Section(
        SEARCH,
        thompson.text,
        thompson.figure,
        "Regret over the number of measured archs, of four searches on three known truths",
    ),
    "explorer_latency": Section(SEARCH, explorer_latency.text),
    "imagenet": Section(
        IMAGENET,
        imagenet.text,
        imagenet.figure,
        "Accuracy over the Note10's latency: subnets of OFA's authors below the exact fronts",
    ),
    "stand_alone": Section(
        TRAINING,
        stand_alone_text,
        stand_alone.figure,
        "Accuracy over multiply-adds of subnets, cut out of the supernet and trained alone",
    ),
    "recipes": Section(
        TRAINING,
        recipes_text,
        recipes.figure,
        "Accuracy of the smallest, middle and largest subnet after four recipes of equal CPU time",
    ),
    "fine_tuning": Section(TRAINING, fine_tuning.text),
    "arch_sampling": Section(TRAINING, arch_sampling.text),
    "step_memory": Section(TRAINING, step_memory),
    "image_memory": Section(TRAINING, image_memory.text),
    "step_speed": Section(TRAINING, step_speed),
    "step_profile": Section(TRAINING, step_profile.text),
    "shared_prefixes": Section(TRAINING, shared_prefixes),
}


if __name__ == "__main__":
    main()
