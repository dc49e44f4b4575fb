"""The instructor's command that makes the students' repository. Not part of a release itself."""

from __future__ import annotations

from pathlib import Path

import click


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help=(
        "Folder to write: a new one, an empty one, or an earlier release, whose files are replaced."
    ),
)
@click.option("--repo", help="Where students will find it, such as https://github.com/OWNER/REPO.")
@click.option("--tag", help="The tag or branch there that their notebooks fetch on Colab.")
def release(out, repo, tag) -> None:
    """Write the students' repository: no solutions, no tests, no graders.

    With --repo and --tag its notebooks run on Colab; push the folder there under that tag.
    """
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
