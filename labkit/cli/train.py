"""labkit train: train a supernet into a folder."""

from __future__ import annotations

from pathlib import Path

import click

from labkit.cli.options import (
    Number,
    augment_option,
    processor_option,
    read_arch,
    seed_option,
    space_option,
    threads_option,
)
from labkit.data.record import FITS


@click.command()
@space_option
@click.option(
    "--recipe",
    default="sandwich",
    show_default=True,
    help=(
        "sandwich (in-place distillation), sandwich-labels, single-path, progressive (shrinking),"
        " alone (one --arch, from scratch or --initial weights)."
    ),
)
@click.option(
    "--arch", help="With --recipe alone: largest, smallest, a file with an arch, or its JSON text."
)
@click.option(
    "--teacher",
    metavar="SUPERNET",
    help="Name, folder or weights of a trained supernet; its largest arch teaches as well.",
)
@click.option(
    "--initial",
    metavar="SUPERNET",
    help=(
        "Name, folder or weights of a trained supernet to begin with, instead of random weights;"
        " --recipe alone takes those of its --arch."
    ),
)
@click.option(
    "--random-archs",
    type=click.IntRange(1, 64),
    help="Archs drawn at random in each step; 1 in every recipe that draws them.",
)
@click.option(
    "--sampling",
    type=click.Choice(["choices", "log-macs"]),
    help=(
        "How these are drawn: every choice uniform, or MACs uniform on a logarithmic scale. Unless"
        " said, log-macs with a sandwich recipe, else choices."
    ),
)
@click.option(
    "--width",
    "widths",
    multiple=True,
    type=Number(0, 100, min_open=True),
    help=(
        "Train archs of this width multiplier; may be repeated, all unless said. With --initial,"
        " the weights that narrower ones use stay as they are."
    ),
)
@click.option(
    "--label-share",
    type=Number(0, 1),
    default=0.0,
    show_default=True,
    help="The labels' part in the loss of the archs that learn from the step's largest.",
)
@click.option("--epochs", type=click.IntRange(1, 100_000), default=16, show_default=True)
@click.option(
    "--steps-per-epoch", type=click.IntRange(1, 10**6), help="Shorten epochs to this many steps."
)
@click.option(
    "--batch",
    type=click.IntRange(2, 65_536),
    default=128,
    show_default=True,
    help="Of all processes together.",
)
@click.option(
    "--learning-rate",
    type=Number(0, 100, min_open=True),
    default=0.25,
    show_default=True,
    help="The highest of the schedule.",
)
@click.option(
    "--weight-decay",
    type=Number(0, 10),
    default=5e-5,
    show_default=True,
    help="Pull toward zero, on weights that mix channels.",
)
@click.option(
    "--erase",
    type=Number(0, 1),
    default=0.0,
    show_default=True,
    help="Share of the images that have a rectangle erased.",
)
@click.option(
    "--crop-padding",
    type=click.IntRange(0, 64),
    default=2,
    show_default=True,
    help="Pixels by which a training image may be shifted, either way.",
)
@click.option(
    "--phase-schedules/--one-schedule",
    default=None,
    help=(
        "With --recipe progressive: a learning-rate schedule for each phase, as in OFA, or one for"
        " all."
    ),
)
@click.option(
    "--data",
    "--dataset",
    "dataset",
    default="fashion-mnist",
    show_default=True,
    metavar="NAME|FOLDER",
    help=(
        "Images: a folder with a sub-folder for each class (perhaps below train/, val/ and test/),"
        " or a name that torchvision knows, such as cifar100."
    ),
)
@augment_option
@click.option(
    "--fit",
    type=click.Choice(FITS),
    default="crop",
    show_default=True,
    help="How images that are not square are made square.",
)
@click.option(
    "--strict", is_flag=True, help="Stop at an image that cannot be read instead of skipping it."
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder for checkpoint, curve and weights.",
)
@click.option("--resume", is_flag=True, help="Continue from the checkpoint in --out.")
@processor_option
@click.option(
    "--precision",
    type=click.Choice(["float32", "float64", "bfloat16", "float16"]),
    help=(
        "Unless said, half precision for a supernet on a GPU (bfloat16 if it computes in it), else"
        " float32."
    ),
)
@click.option(
    "--recompute",
    is_flag=True,
    help="Less memory, more time: compute activations again when needed.",
)
@click.option(
    "--checkpoint-every",
    type=click.IntRange(1, 10**6),
    default=200,
    show_default=True,
    help="In steps.",
)
@threads_option
@seed_option
def train(
    space,
    recipe,
    arch,
    teacher,
    initial,
    random_archs,
    sampling,
    widths,
    label_share,
    epochs,
    steps_per_epoch,
    batch,
    learning_rate,
    weight_decay,
    erase,
    crop_padding,
    phase_schedules,
    dataset,
    augment,
    fit,
    strict,
    out,
    resume,
    device,
    precision,
    recompute,
    checkpoint_every,
    threads,
    seed,
) -> None:
    """Train a supernet.

    For a first run, which takes about three minutes on two cores and shows that subnets work:

        labkit train --out runs/first --epochs 3 --steps-per-epoch 150

    An interrupted run resumes with the same options and --resume. With several GPUs or machines:

        torchrun --nproc-per-node 2 -m labkit train --out runs/first

    With your own images, and a space for them:

        labkit space new my.toml --data photos

        labkit train --space my.toml --data photos --out runs/photos
    """
    import torch

    from labkit.train import TrainConfig
    from labkit.train import train as train_supernet
    from labkit.train.config import arch_text, quick_precision

    config = TrainConfig(
        space=space,
        # From wherever it is resumed, the folder is the same.
        dataset=str(Path(dataset).resolve()) if Path(dataset).is_dir() else dataset,
        augment=augment,
        fit=fit,
        recipe=recipe,
        epochs=epochs,
        steps_per_epoch=steps_per_epoch,
        batch=batch,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        seed=seed,
        arch=None if arch is None else arch_text(read_arch(space, arch)),
        teacher=teacher,
        initial=initial,
        random_archs=random_archs,
        sampling=sampling or ("log-macs" if recipe.startswith("sandwich") else "choices"),
        widths=",".join(f"{width:g}" for width in sorted({*widths})),
        label_share=label_share,
        erase=erase,
        crop_padding=crop_padding,
        phase_schedules=recipe == "progressive" if phase_schedules is None else phase_schedules,
        precision=precision or quick_precision(device, recipe),
        recompute=recompute,
    )
    if threads:
        torch.set_num_threads(threads)
    if resume and not (out / "checkpoint.safetensors").exists():
        click.echo(
            f"labkit: there is no checkpoint in {out}; this run starts from the beginning", err=True
        )
    try:
        options = {"resume": resume, "checkpoint_every": checkpoint_every, "strict": strict}
        train_supernet(config, out, device=device, **options)
    except KeyboardInterrupt:
        click.echo(
            "\nlabkit: stopped; the same command with --resume goes on from the last checkpoint in"
            f" {out}",
            err=True,
        )
        raise
    folder = out if len(out.parts) > 1 else f"./{out}"  # and not a supernet that ships
    click.echo(
        f"weights are in {out / 'supernet.safetensors'}; `labkit measure --supernet {folder}` adds"
        " pairs and an accuracy predictor"
    )
