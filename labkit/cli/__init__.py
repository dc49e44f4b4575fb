"""The command line. Commands parse, call one function of the package, and print.

With --json a command prints a single JSON object to standard output and nothing else; progress goes
to standard error. User errors are one line and exit code 2. Imports are inside the commands:
torch takes seconds to import, and a search does not need it.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import click

from labkit import __version__
from labkit.cli.adopt.adopt import adopt
from labkit.cli.adopt.space import space
from labkit.cli.cost import cost
from labkit.cli.course.check import check
from labkit.cli.course.export_explorer import export_explorer
from labkit.cli.course.report import report
from labkit.cli.demo import demo
from labkit.cli.deploy import deploy
from labkit.cli.evaluate import evaluate
from labkit.cli.latency.devices import devices
from labkit.cli.latency.lut import lut
from labkit.cli.measure import measure
from labkit.cli.official.published import official
from labkit.cli.official.weights import weights
from labkit.cli.pareto import pareto
from labkit.cli.run import run
from labkit.cli.search import search
from labkit.cli.specialize import specialize
from labkit.cli.train import train
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
    run,
    evaluate,
    adopt,
    report,
    space,
    train,
    measure,
    weights,
    official,
    cost,
    check,
    export_explorer,
):
    cli.add_command(command)
if (Path(__file__).parent / "course" / "release.py").is_file():
    # The instructor's commands, which stay out of a student's copy.
    from labkit.cli.course.grade import grade
    from labkit.cli.course.release import release

    cli.add_command(release)
    cli.add_command(grade)


# What click 8.2 and later raise for a group without a command, to show its help; earlier versions
# print it themselves.
NO_COMMAND = getattr(click.exceptions, "NoArgsIsHelpError", ())


def main() -> None:
    """Entry point: one line and exit code 2 for what the user can mend."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A board's name may have letters that the terminal's encoding lacks.
        sys.stdout.reconfigure(errors="replace")
    try:
        code = cli(standalone_mode=False)
    except BrokenPipeError:
        # The reader has closed the pipe, as in `labkit pareto | head -1`. Python flushes once more
        # when it ends, which must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
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
