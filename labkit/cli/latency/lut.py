"""labkit lut: measure this machine, pack a kit for a board, import, export and compare tables."""

from __future__ import annotations

from pathlib import Path
from pkgutil import resolve_name

import click

from labkit.cli.options import (
    MOST_THREADS,
    SupernetType,
    device_option,
    json_option,
    show,
    supernet_option,
)
from labkit.space.presets import spaces
from labkit.storage.paths import data_dir

MEASURED = (
    "measured in {seconds} s: {cpu}, {runtime} {runtime_version}, {threads} thread(s), batch"
    " {batch}, load {load}, governor {governor}"
)


subnets_option = click.option(
    "--subnets",
    type=click.IntRange(8, 1000),
    default=20,
    show_default=True,
    help=(
        "Whole subnets in the kit. 20 calibrate the table; `--latency regression` takes 100 at"
        " least, 200 for a good one."
    ),
)


def out_option(kind: str):
    """The file that a command writes, of a `kind` such as "CSV"."""
    return click.option(
        "--out",
        type=click.Path(path_type=Path, dir_okay=False),
        required=True,
        help=f"{kind} file to write.",
    )


# Forms of tables of other programs, and what reads each: MODULE:FUNCTION(path, space) gives
# milliseconds by block key.
FORMATS = {
    "csv": "labkit.latency.kit.block_times:read_csv",
    "json": "labkit.latency.kit.block_times:read_object",
    "ofa": "labkit.official.latency_tables:read_ofa",
}


@click.group()
def lut() -> None:
    """Latency tables of this machine, and of your own boards, measured by a kit that runs there."""


@lut.command()
@supernet_option
@click.option(
    "--board",
    metavar="CORE",
    help=(
        "Instead of this machine: cycles of labkit's firmware on an emulated cortex-m3 or -m4, or"
        " on the core of a device such as mcu-20k."
    ),
)
@click.option(
    "--ship",
    metavar="NAME",
    help="Write the table into labkit's data folder instead, as the device NAME.",
)
@click.option(
    "--runtime", type=click.Choice(["onnxruntime", "torch"]), help="Runtime of a table that ships."
)
@click.option(
    "--threads",
    type=click.IntRange(1, MOST_THREADS),
    help="Threads of a table that ships (default: 1).",
)
@json_option
def measure(trained, board, ship, runtime, threads, as_json) -> None:
    """Measure this machine, again if it was measured before.

    Stop other programs first. The table is kept in the cache folder and used wherever the device is
    `host`. With --ship it becomes a device of its own that comes with labkit, for results that must
    be the same on every machine.

    With --board nothing is timed: an emulator executes the firmware of every block, and cycles are
    counted by Arm's rules. The table is that of the core, at 100 MHz, and of every device of that
    core whose engine is firmware, at its clock. An interrupted count goes on where it stopped.
    """
    from tqdm.auto import tqdm

    from labkit.firmware.cycles.latency_table import core_table
    from labkit.firmware.emulated_board import find_board
    from labkit.latency.kit.board_import import ship_table
    from labkit.latency.measured.runtimes import get_runtime
    from labkit.latency.measured.table_files import HOST, host_table, shipped_path, table_path

    if not ship and (runtime or threads):
        raise click.UsageError(
            "--runtime and --threads are for a table that ships; add --ship NAME"
        )
    if board and ship:
        raise click.UsageError("--ship is for a table of this machine; leave out --board or --ship")
    space, core = trained.space, board and find_board(board).core
    path = shipped_path(ship, space) if ship else table_path(core or HOST, space)
    with tqdm(total=100, unit="%", desc=f"measuring {core or 'this machine'}") as bar:

        def progress(share: float) -> None:
            bar.update(round(100 * share) - bar.n)

        if core:
            table = core_table(space, core, progress=progress)
        elif ship:
            runtime = get_runtime(runtime or "onnxruntime", threads or 1)
            table = ship_table(space, ship, runtime, progress=progress)
        else:
            table = host_table(space, remeasure=True, progress=progress)
    provenance = table.provenance
    show(
        {
            "space": space.name,
            "path": str(path),
            "made": dict(provenance),
            "calibration": table.calibration._asdict(),
            "drifted": list(table.drifted),
        },
        as_json,
        [
            MEASURED.format_map({"load": None, "governor": None, **provenance}),
            f"{len(table.drifted)} blocks were measured while the machine changed speed"
            + ("; stop other programs and measure again" if table.drifted else ""),
            f"table kept in {path}" + (f"; labkit search --device {board}" if board else ""),
        ],
    )


@lut.command()
@supernet_option
@out_option("Zip")
@subnets_option
def pack(trained, out, subnets) -> None:
    """Write a kit that measures a board with nothing but Python 3.8+, numpy and onnxruntime.

    Copy the zip to the board, run `python3 kit.zip` there, and import the latency.json that it
    leaves.
    """
    from labkit.latency.kit.packing import pack as run

    path = run(trained.space, out, subnets=subnets)
    click.echo(f"kit written to {path}; on the board: python3 {out.name}")


@lut.command(name="import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="What to call the board, such as my-pi.")
@click.option(
    "--supernet",
    "trained",
    type=SupernetType(),
    help="Supernet that the kit was packed for (default: the one that the file names).",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["kit", *FORMATS]),
    default="kit",
    show_default=True,
    help=(
        "Form of FILE: latency.json of a kit, or a table of another program, for the space of"
        " --supernet: rows or fields of block keys (`labkit lut keys`) and milliseconds, or a table"
        " like those of OFA's authors, also a folder of such."
    ),
)
@click.option(
    "--board",
    metavar="TEXT",
    help="Processor, runtime and threads of another program's table, to be shown with it.",
)
def import_(file, name, trained, form, board) -> None:
    """Make a board's latency.json a device like any other, after validating all of it.

    A table that the board has for the same space is replaced, also one for other resolutions.
    """
    from labkit.latency.kit.board_import import described_tables, import_table
    from labkit.latency.kit.import_report import facts, nearest_device, warnings
    from labkit.latency.measured.table_files import table_path

    if form != "kit" and trained is None:
        raise click.UsageError(f"--format {form} does not say its space; add --supernet")
    if form == "kit" and board is not None:
        raise click.UsageError("a kit's file says its board itself; leave --board out")
    before, space = described_tables(name), trained and trained.space
    read_times = resolve_name(FORMATS[form]) if form in FORMATS else None
    table = import_table(file, name, space, read_times=read_times, board=board)
    whole, space = space, table.table.space
    for path, description in before.items():
        if path == table_path(name, space) or not path.is_file():
            click.echo(
                f"this replaces the table that {name!r} had for space {space.name!r}"
                f" ({description})"
            )
    nearest = nearest_device(table)
    for line in facts(table, nearest):
        click.echo(line)
    for line in warnings(table, nearest):
        click.echo(f"warning: {line}", err=True)
    if whole is not None and whole != space:
        sides = ", ".join(map(str, space.resolutions))
        click.echo(f"it covers {sides} px of the supernet's resolutions")
    supernet = space.name if space.name in spaces else "FOLDER"
    click.echo(
        f"device {name!r} is ready for space {space.name!r}: labkit search --supernet {supernet}"
        f" --device {name}"
    )


@lut.command()
@supernet_option
@out_option("CSV")
@subnets_option
def keys(trained, out, subnets) -> None:
    """Write the keys of a space's blocks and of some whole subnets, for another program's timings.

    Fill in the milliseconds, and import the table with `labkit lut import --format csv`. The models
    that the keys name lie in the kit of as many subnets.
    """
    from labkit.latency.kit.block_times import write_keys

    write_keys(trained.space, out, subnets)
    click.echo(
        f"keys written to {out}; with the milliseconds filled in: labkit lut import {out.name}"
        " --format csv --name NAME, and the same --supernet"
    )


@lut.command()
@click.argument("name")
@click.option("--supernet", "trained", type=SupernetType(), help="Only the table for its space.")
def remove(name, trained) -> None:
    """Remove the tables of an imported board, or of this machine (`host`)."""
    from labkit.latency.kit.board_import import remove_tables

    for path in remove_tables(name, trained and trained.space):
        click.echo(f"removed {path}")


@lut.command()
@supernet_option
@device_option("Measured device whose latency file to write")
@out_option("JSON")
def export(trained, device, out) -> None:
    """Write a measured device's latency file, so that others can import it."""
    from labkit.latency.table_export import export_table

    # Every machine has a `host`, and the tables that ship: those names cannot be imported.
    reserved = device.name == "host" or (data_dir() / "latency" / device.name).is_dir()
    space = device.known_part(trained.space)
    path, name = export_table(space, device, out), "NAME" if reserved else device.name
    click.echo(f"written to {path}; on another machine: labkit lut import {out.name} --name {name}")


@lut.command()
@supernet_option
@click.argument("names", nargs=-1)
@json_option
def compare(trained, names, as_json) -> None:
    """Show devices side by side: the same subnets' latency, and how each was measured.

    Without NAMES, it shows every device with a measured table here, at the resolutions that all
    have; it names those that it leaves out because they share none. Ratios and rank correlation are
    relative to the first.
    """
    from labkit.cli.latency.text import comparison_text
    from labkit.comparison.side_by_side import comparable_names, measured_names, side_by_side
    from labkit.latency.devices import get_device

    space = trained.space
    measured = names or measured_names(space)
    if not measured:
        raise ValueError(
            f"no device was measured for space {space.name!r}; run `labkit lut measure`, or name"
            " devices"
        )
    names = names or comparable_names(space, measured)
    if left_out := [name for name in measured if name not in names]:
        click.echo(
            f"left out, as no resolution is in their tables and in all of those shown:"
            f" {', '.join(left_out)}; name them to compare them with each other",
            err=True,
        )
    comparison = side_by_side(space, [get_device(name) for name in names])
    sides, lines = comparison["resolutions"], [comparison_text(comparison)]
    if len(sides) < len(space.resolutions):
        lines.append(f"at {', '.join(map(str, sides))} px, which all of these tables have")
    show(comparison, as_json, lines)
