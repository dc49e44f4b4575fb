"""labkit weights: the official Once-for-All checkpoints."""

from __future__ import annotations

import click

from labkit.cli.options import json_option, show


@click.group()
def weights() -> None:
    """The official Once-for-All checkpoints, for machines with internet."""


@weights.command(name="list")
@json_option
def list_(as_json) -> None:
    """List the official checkpoints and whether they are here."""
    from labkit.official.published_weights import available

    rows = available()
    show(
        {"weights": rows},
        as_json,
        [
            f"{row['name']:<20} {'here' if row['got'] else 'not fetched':<12} {row['urls'][0]}"
            for row in rows
        ],
    )


@weights.command()
@click.argument("name")
@click.option("--sha256", help="Accept only this hash.")
def fetch(name, sha256) -> None:
    """Download an official checkpoint, verify it and convert it to safetensors; resumes."""
    from labkit.official.published_weights import fetch as run

    click.echo(f"weights are in {run(name, sha256=sha256)}")
