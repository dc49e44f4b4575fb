"""labkit adopt: from a folder of images to a network for each device."""

from __future__ import annotations

import time
from pathlib import Path

import click

from labkit.cli.options import (
    Number,
    augment_option,
    json_option,
    processor_option,
    seed_option,
    show,
)
from labkit.specialize.targets import Request

HALF = "50%"  # the budget of a device for which none is said


@click.command()
@click.argument("photos", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--minutes",
    type=Number(1, 43_200),  # a month
    default=60,
    show_default=True,
    help="Time for everything together.",
)
@click.option(
    "--devices",
    default="host,pi4,stm32h743",
    show_default=True,
    help="Names, separated by commas; a budget follows a colon, as in pi4:4.5 or pi4:30%.",
)
@augment_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder to write (default: adopted/NAME, after the folder of images).",
)
@processor_option
@seed_option
@json_option
def adopt(photos, minutes, devices, augment, out, device, seed, as_json) -> None:
    """Choose a space for the images in PHOTOS, train, measure, search and deploy within a time.

    PHOTOS has a sub-folder of images for each class. Writes space.toml, the supernet, a network for
    each device and report.html. If it is interrupted, the same command resumes where it stopped.
    """
    since = time.monotonic()  # importing torch takes its time as well
    from labkit.adopt.adoption import adopt as run
    from labkit.adopt.adoption_report import write_adoption_report

    requests = [
        Request.parse(text if ":" in text else f"{text}:{HALF}")
        for text in map(str.strip, devices.split(","))
    ]
    out = out or Path("adopted") / photos.resolve().name
    adoption = run(
        photos,
        out,
        requests,
        minutes,
        augment=augment,
        seed=seed,
        device=device,
        say=lambda text: click.echo(f"labkit: {text}", err=True),
        since=since,
    )
    report = write_adoption_report(adoption, out)
    show(
        {
            **adoption.matrix.to_json(),
            "seconds": adoption.seconds,
            "epochs": adoption.epochs,
            "pairs": adoption.pairs,
        },
        as_json,
        [
            adoption.matrix.text(),
            f"{adoption.total_seconds / 60:.1f} of {minutes:g} minutes; report in {report}",
        ],
    )
