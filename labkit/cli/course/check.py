"""labkit check: how a notebook would be graded, on the student's own machine."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from labkit.cli.options import json_option, show


@click.command()
@click.argument("notebook", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@json_option
@click.pass_context
def check(ctx: click.Context, notebook: Path, as_json: bool) -> None:
    """Run the exercises of a NOTEBOOK and say which are right, and what is wrong with the others.

    It is run just as a grader runs it. The exit code is 0 if everything is right, else 1.
    """
    from labkit.course.checking.requirements import require_packages

    require_packages()
    from labkit.course.checking.check import check_file, table

    marks = check_file(notebook)
    show(
        {
            "notebook": str(notebook),
            "points": sum(mark.points or 0 for mark in marks),
            "of": sum(mark.of for mark in marks),
            "exercises": [asdict(mark) for mark in marks],
        },
        as_json,
        table(marks),
    )
    ctx.exit(0 if all(mark.passed for mark in marks) else 1)
