"""labkit specialize: a subnet for every device, and every subnet on every device."""

from __future__ import annotations

from pathlib import Path

import click

from labkit.cli.options import (
    default_devices,
    images_option,
    json_option,
    predictor_option,
    seed_option,
    show,
    supernet_option,
)
from labkit.specialize.deployment_matrix import DEFAULT_REQUESTS
from labkit.specialize.targets import Request


class _Request(click.ParamType):
    name = "device:budget"

    def convert(self, value, param, ctx) -> Request:
        try:
            return value if isinstance(value, Request) else Request.parse(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@supernet_option
@predictor_option
@images_option
@click.option(
    "--device",
    "requests",
    type=_Request(),
    multiple=True,
    default=DEFAULT_REQUESTS,
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
def specialize(trained, predictor, images, requests, out, seed, as_json) -> None:
    """Find a subnet for every device, then put every subnet on every device.

    Subnets are chosen by exact search in predicted accuracies and the devices' tables, then
    deployed in the form that each device runs (ONNX, TFLite or firmware; ONNX everywhere without
    the extra `mcu`) and measured on val. The matrix shows what one network for all would cost.
    """
    from labkit.course.pictures.deployment import deployment_matrix
    from labkit.course.pictures.style import save_figure
    from labkit.specialize.deployment_matrix import specialize

    trained = trained.using(images=images, predictor=predictor)
    names = default_devices(trained.space, "requests", [each.device for each in requests])
    requests = [request for request in requests if request.device in names]
    matrix = specialize(trained, requests, out, seed=seed)
    save_figure(deployment_matrix(matrix), out / "specialize.png")
    show(
        {**matrix.to_json(), "seed": seed},
        as_json,
        [matrix.text(), f"written to {out}: specialize.json, specialize.png and the models"],
    )
