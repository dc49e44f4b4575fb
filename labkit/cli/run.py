"""labkit run: what a deployed model sees in image files."""

from __future__ import annotations

from pathlib import Path

import click

from labkit.cli.options import json_option, show


@click.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@json_option
def run(model, images, as_json) -> None:
    """Classify IMAGES, image files, with MODEL, a file or a folder that `labkit deploy` wrote.

    They may be of any size, color or gray, and are prepared like the training images.
    """
    from labkit.formats.classification import classify

    results = classify(model, images)
    width = max(len(result.image) for result in results)
    lines = [
        f"{result.image:<{width}}  {result.name}  {100 * result.probabilities[result.name]:.1f} %"
        for result in results
    ]
    show({"model": str(model), "images": [r._asdict() for r in results]}, as_json, lines)
