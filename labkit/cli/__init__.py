"""The command line. Commands parse, call one function of the package, and print.

With --json a command prints one JSON object on standard output and nothing else there; progress
goes to standard error. Errors of use are one line and exit code 2. Imports sit inside the commands:
torch takes seconds to import, and a search does not need it.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import click

from labkit import __version__
from labkit.cli.check import check
from labkit.cli.devices import deploy, devices
from labkit.cli.lut import lut
from labkit.cli.search import cost, demo, pareto, search
from labkit.cli.specialize import specialize
from labkit.cli.supernet import evaluate, train, weights
from labkit.storage.errors import LabError


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="labkit")
def cli() -> None:
    """The Once-for-All lab: train one supernet, then give every device its own subnet."""


for command in (
    search,
    pareto,
    demo,
    specialize,
    devices,
    lut,
    deploy,
    evaluate,
    train,
    weights,
    cost,
    check,
):
    cli.add_command(command)
if (
    Path(__file__).parent / "release.py"
).is_file():  # the instructor's commands stay out of a student's copy
    from labkit.cli.grade import grade
    from labkit.cli.release import release

    cli.add_command(release)
    cli.add_command(grade)


# What click 8.2 and later raise for a group without a command, to show its help; earlier versions
# print it themselves.
NO_COMMAND = getattr(click.exceptions, "NoArgsIsHelpError", ())


def main() -> None:
    """Entry point: one line and exit code 2 for what the user can mend."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(
            errors="replace"
        )  # a board's name that the terminal's encoding lacks is no error
    try:
        code = cli(standalone_mode=False)
    except (
        BrokenPipeError
    ):  # whoever read the output has seen enough, as in `labkit pareto | head -1`
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # Python flushes once more when it ends
        code = 1
    except NO_COMMAND as error:
        click.echo(error.format_message(), err=True)
        code = 2
    except click.ClickException as error:
        code = _fail(error.format_message())
    except (LabError, ValueError, OSError) as error:
        code = _fail(str(error))
    except click.Abort:
        code = 130
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> int:
    click.echo(f"labkit: {' '.join(message.split())}", err=True)
    return 2
