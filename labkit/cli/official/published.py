"""labkit official: what others publish about the official supernets, beyond their weights."""

from __future__ import annotations

import click


@click.group()
def official() -> None:
    """What others publish about OFA's supernets and labkit does not ship: for machines with
    internet.
    """


@official.command()
@click.argument("name", metavar="predictor|note10|i7-8700k")
def fetch(name) -> None:
    """Download OFA's accuracy predictor, or a table of latencies, which becomes a device; resumes.

    The file's hash must be the one that labkit knows.
    """
    from labkit.official.published_files import TABLES, fetch, fetch_table

    if name not in TABLES:
        click.echo(f"files are in {fetch(name)}")
        return
    for table in fetch_table(name):
        space = table.table.space
        click.echo(
            f"device {name!r} is ready for space {space.name!r} at"
            f" {', '.join(map(str, space.resolutions))} px: labkit search --supernet {space.name}"
            f" --device {name}"
        )
