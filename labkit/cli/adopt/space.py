"""labkit space: write a search space to a file, or show what one contains and costs."""

from __future__ import annotations

from pathlib import Path

import click

from labkit.cli.options import SpaceType, json_option, picture_option, show

NUMBERS = (("MACs", "macs", 1e6, "M"), ("parameters", "params", 1e3, "k"))
# Whether a device's memory holds the largest and the smallest subnet, in words.
FITS = {
    (None, None): "",
    (True, True): "; the largest fits",
    (False, True): "; the largest does not fit, the smallest does",
    (True, False): "; the largest fits, the smallest does not",
    (False, False): "; not even the smallest fits",
}


@click.group()
def space() -> None:
    """Search spaces as TOML files, for networks and images of your own."""


@space.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--data",
    "images",
    metavar="NAME|FOLDER",
    help="Images to fit the space to (classes, colors, and without --like size), as in `labkit"
    " train`.",
)
@click.option("--like", type=SpaceType(), help="Start from this space instead of a proposed one.")
@click.option(
    "--side",
    type=click.IntRange(8, 1024),
    help="Pixels of the largest resolution (with --data, the images' own size, at most 224).",
)
@click.option(
    "--width",
    type=click.IntRange(8, 1024),
    help="Channels of the first stage; MACs grow with its square.  [default: 16]",
)
def new(file, images, like, side, width) -> None:
    """Write a commented space to FILE, for you to edit.

    Without --like, it is a space that suits images of the given size.
    """
    from dataclasses import replace

    from labkit.adopt.space_proposal import propose
    from labkit.adopt.space_template import write_space

    classes, channels, described = 10, 3, ""
    if like is not None and (side or width):
        option = "--side" if side else "--width"
        raise click.UsageError(
            f"{option} is for a space that is proposed, not for one like {like.name!r}; leave it"
            f" out, and edit {file} afterwards"
        )
    if images is not None:
        count, classes, channels, usual_side = _described(images)
        side = side or usual_side
        described = f" for {count} images in {classes} classes"
    if like is None:
        shape = {"classes": classes, "channels": channels, "side": side or 64, "width": width or 16}
        value = propose(file.stem, **shape)
    else:
        fields = {"in_channels": channels, "num_classes": classes} if images is not None else {}
        value = replace(like, name=file.stem, **fields)
    write_space(file, value)
    click.echo(f"space written to {file}{described}; `labkit space show {file}` says what it costs")


@space.command(name="show")
@click.argument("space", type=SpaceType())
@picture_option("Draw the largest and the smallest subnet here (PNG, SVG or PDF).")
@json_option
def show_(space, picture, as_json) -> None:
    """Show what SPACE, a TOML file or a name, contains: its subnets and what they cost.

    Latencies are those of all devices that do not have to be measured first.
    """
    from labkit.specialize.space_ranges import space_ranges

    ranges = space_ranges(space)
    lines = [
        f"space {space.name} ({space.digest[:12]}): {space.size():.4g} subnets,"
        f" {', '.join(map(str, space.resolutions))} px, {space.in_channels} channel(s),"
        f" {space.num_classes} classes",
        *_layers(space),
        "",
        f"{'':<14} {'least':>12} {'most':>12}",
    ]
    for name, key, unit, letter in NUMBERS:
        low, high = ranges[key]
        lines.append(f"{name:<14} {low / unit:>11.4g}{letter} {high / unit:>11.4g}{letter}")
    for name, bounds in ranges["peak_memory_bytes"].items():
        low, high = (value / 1000 for value in bounds)
        lines.append(f"{f'memory, {name}':<14} {low:>9.4g} kB {high:>9.4g} kB")
    lines.append("")
    width = max([14, *(len(row["name"]) for row in ranges["devices"])])
    for row in ranges["devices"]:
        low, high = row["latency_ms"]
        fits = FITS[row["largest_fits"], row["smallest_fits"]]
        line = f"{row['name']:<{width}} {low:>9.4g} ms {high:>9.4g} ms  {row['latency_is']}{fits}"
        lines.append(line)
    show(
        {"space": space.name, "digest": space.digest, "subnets": space.size(), **ranges},
        as_json,
        lines,
    )
    if picture:
        from labkit.course.pictures.style import save_figure
        from labkit.course.pictures.supernet import lit_supernet

        archs = {"largest": space.largest(), "smallest": space.smallest()}
        save_figure(lit_supernet(space, archs), picture)


def _described(images: str) -> tuple[int, int, int, int]:
    """Images, classes, channels and side of a folder or of a data set that torchvision knows."""
    if Path(images).is_dir():
        from labkit.data.picture_folder import PictureFolder, survey

        folder = PictureFolder(images)
        return len(folder), len(folder.classes), *survey(folder)
    from labkit.data import datasets

    record = (dataset := datasets.load(images)).record
    side = dataset.splits["train"].images.shape[-1]
    return sum(record.splits.values()), len(record.classes), record.channels, side


def _layers(space) -> list[str]:
    """The network as text: a line for each part, with the sides of its maps."""
    from labkit.space import network

    side = space.resolutions[-1]
    sides = [*network.block_sides(space, side), network.final_side(space, side)]

    def maps(before: int, after: int) -> str:
        return f"{before:>4} -> {after:<4}"

    lines = [f"  stem     {maps(side, sides[0])} {space.stem_width:>4} channels {space.stem_act}"]
    if space.first_width is not None:
        block = f"{space.first_width:>4} channels {space.first_act}"
        lines.append(f"  first    {maps(sides[0], sides[0])} {block}")
    for s, stage in enumerate(space.stages):
        begin, end = space.first_block(s), space.first_block(s + 1)
        depths, kernels, expands = (
            "/".join(map(str, values)) for values in (stage.depths, stage.kernels, stage.expands)
        )
        lines.append(
            f"  stage {s}  {maps(sides[begin], sides[end])} {stage.width:>4} channels"
            f" {stage.act}{' se' if stage.se else ''}: {depths} blocks, kernel {kernels}, expand"
            f" {expands}"
        )
    widths = [width for width in (space.final_width, space.feature_width) if width is not None]
    layers = " -> ".join(map(str, [*widths, space.num_classes]))
    return [*lines, f"  head     {maps(sides[-1], 1)} {layers} classes"]
