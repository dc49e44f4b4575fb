"""labkit grade: hand-ins to grades."""

from __future__ import annotations

import json
from pathlib import Path

import click

from labkit.cli.options import json_option


@click.command()
@click.argument(
    "submissions", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("grades.csv"),
    show_default=True,
    help="The table. Beside it come a .json and a folder with feedback and a class report.",
)
@click.option(
    "--exercise",
    "only",
    multiple=True,
    metavar="ID",
    help="Regrade only this one, e.g. 1.2; repeatable.",
)
@click.option(
    "--jobs", type=click.IntRange(min=1), help="Submissions at a time; left out, one a core."
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    help=(
        "Of the hidden inputs. Left out: that of an earlier run into "
        "the same table, else a new one, which is reported."
    ),
)
@click.option(
    "--cell-limit",
    "cell_s",
    type=click.FloatRange(min=1),
    default=30,
    show_default=True,
    help="Seconds that one cell may take.",
)
@json_option
def grade(
    submissions: tuple[Path, ...],
    out: Path,
    only: tuple[str, ...],
    jobs: int | None,
    seed: int | None,
    cell_s: float,
    as_json: bool,
) -> None:
    """Grade SUBMISSIONS: notebooks, or folders of them.

    A run that was interrupted goes on when it is started again.
    """
    if out.suffix != ".csv":
        raise click.BadParameter(f"{out} should end with .csv", param_hint="--out")
    try:
        from labkit.course.confinement.walls import RunLimits
        from labkit.course.grading.grade import grade as grade_all
    except ImportError as error:
        if error.name not in ("resource", "fcntl"):
            raise
        raise click.ClickException("grading needs Linux or macOS; on Windows use WSL") from None

    limits = RunLimits(cell_s=cell_s)
    grades = grade_all(submissions, out, only=only, jobs=jobs, seed=seed, limits=limits)
    if as_json:
        click.echo(json.dumps(grades, allow_nan=False))
        return
    flagged = sum(bool(student["flags"]) for student in grades["students"])
    click.echo(
        f"{len(grades['students'])} students graded with seed {grades['seed']}, {flagged} of them"
        " flagged"
    )
    click.echo(f"{out}\n{out.with_suffix('')}/class.md\n{out.with_suffix('')}/feedback/")
