"""labkit measure: accuracy pairs and an accuracy predictor for a trained supernet."""

from __future__ import annotations

import os

import click

from labkit.cli.options import (
    SupernetType,
    images_option,
    json_option,
    processor_option,
    show,
    threads_option,
)


@click.command()
@click.option(
    "--supernet",
    "trained",
    type=SupernetType(),
    required=True,
    help="Folder of a training, or name of a supernet that ships.",
)
@images_option
@click.option(
    "--pairs",
    type=click.IntRange(1, 10**6),
    default=1000,
    show_default=True,
    help="Random archs whose accuracy is measured.",
)
@processor_option
@threads_option
@json_option
def measure(trained, images, pairs, device, threads, as_json) -> None:
    """Measure random subnets of a supernet, and fit an accuracy predictor to them.

    Writes pairs.npz and predictor.npz beside the weights; an interrupted run resumes with the same
    command. Several processes, on one machine or on many that share the folder, split the work:

        torchrun --nproc-per-node 2 -m labkit measure --supernet runs/first
    """
    import torch

    from labkit.supernet.accuracy_measurement import measure as measure_accuracy

    if threads:
        torch.set_num_threads(threads)
    errors = measure_accuracy(trained.using(images=images), pairs, device=device)
    if int(os.environ.get("RANK", 0)):  # the first process of a torchrun says it
        return
    lines = [
        f"{name:<12} RMSE {scores['rmse']:.3f} points, Kendall tau {scores['kendall_tau']:.3f}"
        for name, scores in errors.items()
    ]
    if errors["separable"]["rmse"] >= errors["constant"]["rmse"]:
        lines.append(
            "the predictor knows no more than the mean: train longer, or measure more pairs"
        )
    count = min(pairs, trained.space.size())
    lines.append(
        f"{count:,} pairs and the predictor, which is the separable one, are in {trained.path}"
    )
    show({"path": str(trained.path), "pairs": count, "held_out": errors}, as_json, lines)
