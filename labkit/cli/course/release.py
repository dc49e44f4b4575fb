"""The instructor's command that makes the students' repository. Not part of a release itself."""

from __future__ import annotations

from pathlib import Path

import click

from labkit.cli.options import LARGEST_SEED


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help=(
        "Folder to write: a new one, an empty one, or an earlier release, whose files are replaced."
    ),
)
@click.option("--repo", help="Where students will find it, such as https://github.com/OWNER/REPO.")
@click.option("--tag", help="The tag or branch there that their notebooks fetch on Colab.")
@click.option(
    "--gradescope",
    "archive",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write an autograder for Gradescope, in addition or alone: a zip to upload there.",
)
@click.option(
    "--notebook",
    type=click.IntRange(1, 99),
    help="The one that the autograder grades; left out, whichever is submitted.",
)
@click.option(
    "--seed",
    type=click.IntRange(0, LARGEST_SEED),
    help="Of the autograder's hidden inputs; left out, a new one, which is reported.",
)
def release(out, repo, tag, archive, notebook, seed) -> None:
    """Write the students' repository: no solutions, no tests, no graders.

    With --repo and --tag its notebooks run on Colab; push the folder to that repository and tag.
    """
    if archive is not None:
        from labkit.course.release.gradescope import write_autograder

        seed = write_autograder(archive, notebook, seed)
        size_mib = archive.stat().st_size / 2**20
        click.echo(f"{archive}: {size_mib:.0f} MiB; hidden inputs of seed {seed}")
    elif notebook is not None or seed is not None:
        raise click.UsageError("--notebook and --seed are of an autograder: give --gradescope")
    if out is None:
        if archive is None:
            raise click.UsageError("give --out, --gradescope, or both")
        return
    from labkit.course.release.contents import badge
    from labkit.course.release.release import release as write_release

    files = write_release(out, repository=repo, tag=tag)
    click.echo(
        f"{out}: {len(files)} files, {sum(name.endswith('.ipynb') for name in files)} notebooks"
    )
    if repo is None:
        click.echo(
            "without --repo and --tag the notebooks run on a computer that has the folder, not on"
            " Colab"
        )
    elif not badge("", repo, tag):
        click.echo(f"no badges: Colab opens notebooks from GitHub only, not from {repo}")
