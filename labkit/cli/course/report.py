"""labkit report: a project as one HTML file."""

from __future__ import annotations

from pathlib import Path

import click

from labkit.cli.options import json_option, show


@click.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False, exists=True))
@click.option(
    "--notebook",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="The project's notebook, whose texts go into the report.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="HTML file to write (default: report.html in FOLDER).",
)
@json_option
def report(folder, notebook, out, as_json) -> None:
    """Collect a project's figures, pictures and texts in one HTML file.

    FOLDER is what notebook 08 or `labkit adopt` wrote: space.toml, supernet, networks and figures.
    The report opens without a network, and begins with what is missing from it.
    """
    from labkit.adopt.notebook_report import lines_on, texts_of
    from labkit.adopt.project_folder import REPORT
    from labkit.adopt.report import write_report

    out = out or folder / REPORT
    lacks = write_report(folder, out, texts_of(notebook) if notebook else ())
    show({"report": str(out), "lacks": lacks}, as_json, [lines_on(out, lacks)])
