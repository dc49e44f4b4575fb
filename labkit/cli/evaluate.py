"""labkit evaluate: the measured accuracy of one subnet."""

from __future__ import annotations

from pathlib import Path

import click

from labkit.cli.options import arch_option, json_option, read_arch, show, supernet_option
from labkit.space.binding import version_text


@click.command()
@supernet_option
@arch_option
@click.option(
    "--split", type=click.Choice(["val", "test", "val-search"]), default="val", show_default=True
)
@click.option(
    "--weights",
    type=click.Path(path_type=Path),
    help=(
        "A weights file of the same space, instead of the supernet's; left out, with --data"
        " imagenet, it is the official one that was fetched."
    ),
)
@click.option(
    "--data",
    "source",
    help=("Folder of the supernet's images, if it has moved since training; or imagenet."),
)
@click.option(
    "--path", type=click.Path(path_type=Path), help="ImageNet folder with train/ and val/."
)
@json_option
def evaluate(trained, arch, split, weights, source, path, as_json) -> None:
    """Measure the accuracy of one subnet of a supernet, after BN recalibration."""
    space, arch = trained.space, read_arch(trained.space, arch)
    if (source == "imagenet") != (path is not None):
        raise ValueError(
            "--data imagenet and --path, the folder that holds train/ and val/, go together"
        )
    if source == "imagenet" and split != "val":
        raise ValueError(
            f"an ImageNet folder has no split {split!r}: its val/ is judged, so leave --split out"
        )
    from labkit.supernet import weights_file

    if weights is not None:
        supernet, record = weights_file.load(weights)
    elif source == "imagenet":
        from labkit.official.published_weights import converted_path, find, load

        weights, supernet = converted_path(find(space.name)), load(space.name)
    else:
        weights, supernet, record = trained.weights_path, trained.supernet, trained.record
    if supernet.space != space:
        raise ValueError(
            f"{weights} holds a supernet of space {version_text(supernet.space)}, not"
            f" {version_text(space)}; give a supernet of this space, or other --weights"
        )
    result = {"space": space.name, "arch": arch.to_json(), "split": split, "weights": str(weights)}
    if source == "imagenet":
        from labkit.official.imagenet import evaluate as evaluate_imagenet

        scores = evaluate_imagenet(supernet, [arch], path)[0]
        show(
            {**result, "accuracy": scores.top1, "top5": scores.top5, "images": scores.images},
            as_json,
            [
                f"{scores.top1:.2f} % top-1, {scores.top5:.2f} % top-5 of {scores.images} images:"
                f" {arch}"
            ],
        )
        return
    from labkit.supernet.evaluation import Evaluator

    dataset = weights_file.dataset_of(weights, record, source and Path(source))
    accuracy = Evaluator(supernet, dataset, split).accuracy(arch)
    show(
        {**result, "accuracy": accuracy},
        as_json,
        [f"{accuracy:.2f} % of {split} images right: {arch}"],
    )
