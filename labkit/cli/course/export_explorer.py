"""labkit export-explorer: the explorer as one HTML file for any browser."""

from __future__ import annotations

from pathlib import Path

import click

from labkit.cli.options import SupernetType
from labkit.supernet.folder import shipped_supernets

UNTRAINED = "ofa-mbv3"  # the paper's space


def _supernets() -> list[str]:
    """Every supernet that ships."""
    return [*shipped_supernets(), UNTRAINED]


def _devices() -> list[str]:
    from labkit.course.explorer.recommendations import DEVICE_NAMES

    return list(DEVICE_NAMES)


@click.command("export-explorer")
@click.argument("out", type=click.Path(dir_okay=False, path_type=Path))
@click.option(
    "--supernet",
    "supernets",
    type=SupernetType(),
    multiple=True,
    default=_supernets,
    help=(
        "Folder of a training, a supernet that ships, or a space; repeatable. Left"
        f" out, all that ship and {UNTRAINED}."
    ),
)
@click.option(
    "--device",
    "devices",
    multiple=True,
    default=_devices,
    help="A device's name; repeatable. Left out, those of the notebooks' explorer.",
)
def export_explorer(out: Path, supernets, devices: tuple[str, ...]) -> None:
    """Write the explorer to OUT, an HTML file that needs no Python and no network.

    Whoever opens it chooses a space, a device and a latency limit, sees the best subnet, and can
    drop a board's latency.json into it. `host` is this machine, which is measured now if need be.
    """
    from labkit.course.explorer.html_page import html_page
    from labkit.storage.atomic_write import write_atomic

    page = html_page(supernets, devices)
    write_atomic(out, lambda path: path.write_text(page, encoding="utf-8", newline="\n"))
    click.echo(f"{out}: {len(page) / 1e6:.1f} MB; open it in a browser")
