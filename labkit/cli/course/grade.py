"""labkit grade: hand-ins to grades."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from labkit.cli.options import LARGEST_SEED, MOST_THREADS, Number, json_option

if TYPE_CHECKING:
    from labkit.course.gradebook.deadline import Deadline


@click.command()
@click.argument(
    "submissions", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path)
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("grades.csv"),
    show_default=True,
    help="The table. A .json and a folder with feedback and a class report go beside it.",
)
@click.option(
    "--exercise",
    "only",
    multiple=True,
    metavar="ID",
    help="Regrade only this one, e.g. 1.2; repeatable.",
)
@click.option(
    "--student",
    "students",
    multiple=True,
    metavar="NAME",
    help="Regrade only this one, as the table names him or her; repeatable.",
)
@click.option(
    "--notebook",
    type=click.IntRange(1, 99),
    help="Grade only this one, whatever else was handed in, e.g. 1.",
)
@click.option(
    "--roster",
    "roster_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=(
        "The class list: Canvas's exported gradebook, Moodle's grading worksheet, GitHub "
        "Classroom's grades, or a table with columns student, id, email, submitted."
    ),
)
@click.option(
    "--format",
    "formats",
    multiple=True,
    type=click.Choice(["csv", "canvas", "moodle"]),
    help="Also write a table for this platform; repeatable. labkit's own is always written.",
)
@click.option(
    "--assignment",
    default="Once-for-All lab",
    show_default=True,
    help="Its name in Canvas's gradebook.",
)
@click.option(
    "--deadline",
    metavar="TIME",
    help='Such as "2026-11-20 23:59", in this machine\'s time zone, or with an offset, +01:00.',
)
@click.option(
    "--late-penalty",
    "percent_per_day",
    type=Number(0, 100),
    default=0,
    show_default=True,
    help="Percent of its points that a hand-in loses for each day or part of a day it is late.",
)
@click.option(
    "--by-hand",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A table of points given by hand: student, exercise, points, comment, late_days.",
)
@click.option(
    "--per-student-inputs",
    is_flag=True,
    help="Draw different hidden inputs for each student.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, MOST_THREADS),
    help="Submissions graded at a time (default and maximum: one for each core).",
)
@click.option(
    "--seed",
    type=click.IntRange(0, LARGEST_SEED),
    help=(
        "Of the hidden inputs (default: that of an earlier run into the same table, else a "
        "new one, which is reported)."
    ),
)
@click.option(
    "--cell-limit",
    "cell_s",
    type=Number(1, 86_400),
    default=30,
    show_default=True,
    help="Seconds that one cell may take.",
)
@click.option(
    "--without-walls",
    is_flag=True,
    help="Grade even if this system cannot confine answers; they can then do whatever you can.",
)
@json_option
def grade(
    submissions: tuple[Path, ...],
    out: Path,
    only: tuple[str, ...],
    students: tuple[str, ...],
    notebook: int | None,
    roster_path: Path | None,
    formats: tuple[str, ...],
    assignment: str,
    deadline: str | None,
    percent_per_day: float,
    by_hand: Path | None,
    per_student_inputs: bool,
    jobs: int | None,
    seed: int | None,
    cell_s: float,
    without_walls: bool,
    as_json: bool,
) -> None:
    """Grade SUBMISSIONS: notebooks, folders or zips of them, as a platform lets you download them.

    An interrupted run resumes when it is started again.
    """
    if out.suffix != ".csv":
        raise click.BadParameter(f"{out} should end with .csv", param_hint="--out")
    try:
        from labkit.course.confinement.limits import RunLimits
        from labkit.course.grading.grade import grade as grade_all
    except ImportError as error:
        if error.name not in ("resource", "fcntl"):
            raise
        raise click.ClickException("grading needs Linux or macOS; on Windows use WSL") from None
    from labkit.course.gradebook.terms import Terms
    from labkit.course.hand_ins.roster import read_roster

    terms = Terms(
        roster=read_roster(roster_path) if roster_path else None,
        deadline=_deadline(deadline, percent_per_day),
        by_hand=by_hand,
        formats=tuple(name for name in formats if name != "csv"),
        assignment=assignment,
    )

    limits = RunLimits(cell_s=cell_s)
    grades = grade_all(
        submissions,
        out,
        only=only,
        students=students,
        notebook=notebook,
        per_student_inputs=per_student_inputs,
        terms=terms,
        jobs=jobs,
        seed=seed,
        limits=limits,
        without_walls=without_walls,
    )
    if as_json:
        click.echo(json.dumps(grades, allow_nan=False))
        return
    flagged = sum(bool(student["flags"]) for student in grades["students"])
    click.echo(
        f"{len(grades['students'])} students graded with seed {grades['seed']}, {flagged} of them"
        " flagged"
    )
    if grades["not_graded"]:
        click.echo(f"{len(grades['not_graded'])} files not graded: see class.md")
    if grades["missing"]:
        click.echo(f"{len(grades['missing'])} in the class list handed in nothing")
    folder = out.with_suffix("")
    click.echo(f"{out}\n{folder}/class.md\n{folder}/feedback/")
    for name in ("canvas.csv", "moodle.csv", "moodle-feedback.zip"):
        if name.partition(".")[0].partition("-")[0] in terms.formats:
            click.echo(f"{folder}/{name}")


def _deadline(text: str | None, percent_per_day: float) -> Deadline | None:
    from labkit.course.gradebook.deadline import Deadline

    if text is None:
        if percent_per_day:
            raise click.BadParameter("needs --deadline", param_hint="--late-penalty")
        return None
    try:
        return Deadline(datetime.fromisoformat(text), percent_per_day)
    except ValueError:
        raise click.BadParameter(
            f"{text!r} is no time such as 2026-11-20 23:59", param_hint="--deadline"
        ) from None
