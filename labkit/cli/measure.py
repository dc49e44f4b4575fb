"""labkit measure: accuracy pairs and an accuracy predictor for a trained supernet."""

from __future__ import annotations

import click

from labkit.cli.options import json_option, show


@click.command()
@click.argument("folder")
@click.option(
    "--pairs",
    type=click.IntRange(min=1),
    default=2000,
    show_default=True,
    help="Random archs whose accuracy is measured.",
)
@json_option
def measure(folder, pairs, as_json) -> None:
    """Measure random subnets of the supernet in FOLDER, and fit an accuracy predictor to them.

    FOLDER is one that `labkit train --out` wrote, or the name of a supernet that ships. Writes
    pairs.npz and predictor.npz beside the weights; an interrupted run goes on with the same
    command.
    """
    from labkit.supernet.accuracy_measurement import measure as measure_accuracy
    from labkit.supernet.folder import load

    trained = load(folder)
    errors = measure_accuracy(trained, pairs)
    lines = [
        f"{name:<12} RMSE {scores['rmse']:.3f} points, Kendall tau {scores['kendall_tau']:.3f}"
        for name, scores in errors.items()
    ]
    lines.append(f"pairs and predictor are in {trained.path}")
    show({"path": str(trained.path), "held_out": errors}, as_json, lines)
