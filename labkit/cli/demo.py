"""labkit demo: the main job, end to end, in one command."""

from __future__ import annotations

from pathlib import Path

import click

from labkit.cli.options import (
    default_devices,
    images_option,
    json_option,
    seed_option,
    show,
    supernet_option,
)


@click.command()
@supernet_option
@images_option
@click.option(
    "--devices",
    default="host,pixel1,stm32h743,mcu-20k",
    show_default=True,
    help="Names, separated by commas.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), default="results", show_default=True
)
@seed_option
@json_option
def demo(trained, images, devices, out, seed, as_json) -> None:
    """From the pretrained supernet to a subnet for each device at three budgets, evaluated and
    measured.
    """
    from labkit.course.pictures.fronts import device_fronts
    from labkit.course.pictures.style import save_figure
    from labkit.latency.devices import get_device
    from labkit.search import front
    from labkit.specialize.subnet_table import PERCENTILES, subnet_table
    from labkit.specialize.targets import Request

    # What is wrong with a device's name or with the folder shows before any work.
    names = [name.strip() for name in devices.split(",")]
    for name in names:
        get_device(name)
    names = default_devices(trained.space, "devices", names)
    out.mkdir(parents=True, exist_ok=True)
    trained = trained.using(images=images)
    requests = [Request(name, p, percent=True) for name in names for p in PERCENTILES]
    table = subnet_table(trained, requests, seed=seed)
    show({"rows": table.to_json()}, as_json, [table.text()])  # which a full disk must not cost
    table.write(out)
    costs = list(dict.fromkeys(target.costs for target in table.targets))
    predict = trained.predictor.on("val").predict  # the picture has what was measured there
    fronts = [
        front(trained.space, predict, each.latency_ms, each.budgets(), progress=True)
        for each in costs
    ]
    save_figure(device_fronts(costs, fronts, table.rows), out / "pareto.png")
    click.echo(f"written to {out}: demo.csv, demo.json, pareto.png", err=as_json)
