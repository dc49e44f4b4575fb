"""Commands about latency tables: measure this machine, pack a kit for a board, import, share, and
compare.
"""

from __future__ import annotations

from pathlib import Path

import click

from labkit.cli.common import device_option, json_option, show, space_option
from labkit.storage.paths import data_dir


@click.group()
def lut() -> None:
    """Latency tables: of this machine, and of your own boards by a kit that runs there."""


@lut.command()
@space_option
@json_option
def measure(space, as_json) -> None:
    """Measure this machine, again if it was measured before.

    Stop other programs first. The table is kept in the cache folder and used wherever the device is
    `host`.
    """
    from tqdm.auto import tqdm

    from labkit.latency.measured.lookup_table import HOST, host_table, table_path

    with tqdm(total=100, unit="%", desc="measuring this machine") as bar:
        found = host_table(
            space, remeasure=True, progress=lambda share: bar.update(round(100 * share) - bar.n)
        )
    made, path = found.provenance, table_path(HOST, space)
    show(
        {
            "space": space.name,
            "path": str(path),
            "made": dict(made),
            "calibration": found.calibration._asdict(),
            "drifted": list(found.drifted),
        },
        as_json,
        [
            (
                f"measured in {made['seconds']} s: {made['cpu']}, {made['runtime']}"
                f" {made['runtime_version']}, {made['threads']} thread(s), batch {made['batch']},"
                f" load {made['load']}, governor {made['governor']}"
            ),
            f"{len(found.drifted)} blocks were measured while the machine changed speed"
            + ("; stop other programs and measure again" if found.drifted else ""),
            f"table kept in {path}",
        ],
    )


@lut.command()
@space_option
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="Zip file to write.",
)
@click.option(
    "--subnets",
    type=click.IntRange(min=8),
    default=20,
    show_default=True,
    help=(
        "Whole subnets in the kit. 20 calibrate the table; `--latency regression` learns from more,"
        " such as 200."
    ),
)
def pack(space, out, subnets) -> None:
    """Write a kit that measures a board with nothing but Python 3.8+, numpy and onnxruntime.

    Copy the zip to the board, run `python3 kit.zip` there, and import the latency.json that it
    leaves.
    """
    from labkit.latency.kit.packing import pack as run

    click.echo(
        f"kit written to {run(space, out, subnets=subnets)}; on the board: python3 {out.name}"
    )


@lut.command(name="import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--name", required=True, help="What to call the board, such as my-pi.")
def import_(file, name) -> None:
    """Make a board's latency.json a device like any other, after validating all of it.

    A table that the board has for the same space is replaced.
    """
    from labkit.latency.kit.packing import import_table, kept_tables

    before = kept_tables(name)
    space = import_table(file, name).table.space.name
    if space in before:
        click.echo(
            f"this replaces the table that {name!r} had for space {space!r} ({before[space]})"
        )
    click.echo(
        f"device {name!r} is ready for space {space!r}: labkit search --space {space} --device"
        f" {name}"
    )


@lut.command()
@space_option
@device_option("Measured device whose latency file to write")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="JSON file to write.",
)
def export(space, device, out) -> None:
    """Write a measured device's latency file, for others to import."""
    from labkit.latency.comparison import export_table

    taken = (
        device.name == "host" or (data_dir() / "latency" / device.name).is_dir()
    )  # there under that name already
    click.echo(
        f"written to {export_table(space, device, out)}; on another machine: labkit lut import"
        f" {out.name} --name {'NAME' if taken else device.name}"
    )


@lut.command()
@space_option
@click.argument("names", nargs=-1)
@json_option
def compare(space, names, as_json) -> None:
    """Show devices side by side: the same subnets' latency, and how each was measured.

    Without NAMES: every device whose measured table is here. Ratios and rank correlation are to the
    first.
    """
    from labkit.latency.comparison import as_text, measured_names, side_by_side
    from labkit.latency.devices import get_device

    names = names or measured_names(space)
    if not names:
        raise ValueError(
            f"no device was measured for space {space.name!r}; run `labkit lut measure`, or name"
            " devices"
        )
    compared = side_by_side(space, [get_device(name) for name in names])
    show(compared, as_json, [as_text(compared)])
