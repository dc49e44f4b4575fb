"""The command that gives every device its own subnet and shows why."""

from __future__ import annotations

import json
from pathlib import Path

import click

from labkit.cli.common import json_option, seed_option, show, space_option
from labkit.specialize.fleet import DEFAULT, Request


class _Request(click.ParamType):
    name = "device:budget"

    def convert(self, value, param, ctx) -> Request:
        try:
            return value if isinstance(value, Request) else Request.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@space_option
@click.option(
    "--device",
    "requests",
    type=_Request(),
    multiple=True,
    default=DEFAULT,
    show_default=True,
    help=(
        "A device and its latency budget, once for each device: pi4:4.5 is 4.5 ms, host:30% what"
        " the fastest 30 % of random subnets reach."
    ),
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default="results/specialize",
    show_default=True,
    help="Folder for specialize.json, specialize.png and the deployed models.",
)
@seed_option
@json_option
def specialize(space, requests, out, seed, as_json) -> None:
    """Give every device its own subnet, then put every subnet on every device.

    Subnets are chosen exactly from predicted accuracy and the devices' tables, then exported,
    quantized and measured on val. The matrix shows what one network for all devices would cost.
    """
    from labkit.course.pictures.deployment import deployment_matrix
    from labkit.course.pictures.style import save_figure
    from labkit.specialize.matrix import as_text, specialize

    found = specialize(space, requests, out, seed=seed)
    save_figure(deployment_matrix(found), out / "specialize.png")
    show(
        json.loads((out / "specialize.json").read_text()),
        as_json,
        [as_text(found), f"written to {out}: specialize.json, specialize.png and the models"],
    )
