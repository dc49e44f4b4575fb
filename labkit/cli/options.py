"""Parameter types and options that commands share, and how an answer is printed."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import click
from click.core import ParameterSource

from labkit.space import Arch, SearchSpace
from labkit.space.presets import get_space, spaces
from labkit.storage.errors import LabError
from labkit.storage.json_fields import parse_json
from labkit.supernet.folder import PREDICTORS, TrainedSupernet, load

MOST_THREADS = 1024
LARGEST_SEED = 2**32 - 1


class Number(click.FloatRange):
    """A number in a range; what is no number at all, click takes for one in any range."""

    def convert(self, value, param, ctx) -> float:
        number = super().convert(value, param, ctx)
        if math.isnan(number):
            self.fail(f"{value!r} is no number", param, ctx)
        return number


class SpaceType(click.ParamType):
    name = "space or file"

    def convert(self, value, param, ctx) -> SearchSpace:
        try:
            return value if isinstance(value, SearchSpace) else get_space(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class SupernetType(click.ParamType):
    name = "name or folder"

    def convert(self, value, param, ctx) -> TrainedSupernet:
        try:
            return value if isinstance(value, TrainedSupernet) else load(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class _Device(click.ParamType):
    name = "device"

    def convert(self, value, param, ctx):
        from labkit.latency.devices import get_device

        return get_device(value) if isinstance(value, str) else value


class _Picture(click.Path):
    def convert(self, value, param, ctx) -> Path:
        """A path that can be drawn to; what is wrong with it shows before the work, not after."""
        path = super().convert(value, param, ctx)
        if path.suffix.lower() not in (".png", ".svg", ".pdf"):
            self.fail(
                f"{str(path)!r} is no picture; name it like picture.png, .svg or .pdf", param, ctx
            )
        # Folders below the first that exists are made later.
        folder = next(parent for parent in path.absolute().parents if parent.exists())
        if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
            self.fail(
                f"cannot write {str(path)!r}: {str(folder)!r} is no folder that can be written;"
                " choose another",
                param,
                ctx,
            )
        return path


def read_arch(space: SearchSpace, text: str) -> Arch:
    """`largest`, `smallest`, JSON text, or a file that holds an arch (or an object with an "arch"
    field).
    """
    if text in ("largest", "smallest"):
        return getattr(space, text)()
    source = "arch"
    if not text.lstrip().startswith("{"):
        if not os.path.isfile(text):
            excerpt = text if len(text) <= 100 else text[:100] + "..."
            raise ValueError(
                f"arch {excerpt!r} is neither 'largest', 'smallest', JSON nor a file that is there"
            )
        try:
            source, text = text, Path(text).read_text(encoding="utf-8-sig")
        except UnicodeDecodeError:
            raise ValueError(
                f"{text} is not a text file; an arch file holds JSON, as `labkit search --json`"
                " prints it"
            ) from None
    value = parse_json(text, source, LabError, "it is what `labkit search --json` prints")
    if isinstance(value, dict) and "arch" in value:
        value = value["arch"]
    if isinstance(value, dict) and "ks" in value:  # the official package's form
        from labkit.official.arch_dicts import arch_from_official

        return arch_from_official(space, value)
    arch = Arch.from_json(value)
    space.validate(arch)
    return arch


def default_devices(space: SearchSpace, option: str, names: list[str]) -> list[str]:
    """`names`; where `option` was left to its default, those whose memory holds a subnet of
    `space`, with a line for each other one.
    """
    from labkit.specialize.targets import with_room

    source = click.get_current_context().get_parameter_source(option)
    if source is not ParameterSource.DEFAULT:
        return names
    roomy = with_room(space, names)
    for name in names:
        if name not in roomy:
            text = f"labkit: {name} is left out, because its memory holds no subnet of {space.name}"
            click.echo(text, err=True)
    return roomy


def resolutions_line(trained: TrainedSupernet, space: SearchSpace) -> list[str]:
    """What to say where `space`, which was searched, has not all of the supernet's resolutions."""
    others = [r for r in trained.space.resolutions if r not in space.resolutions]
    if not others:
        return []
    searched, rest = (", ".join(map(str, sides)) for sides in (space.resolutions, others))
    silent = "predictor" if trained.predictor.space == space else "device's table"
    return [f"resolution  {searched} px; the {silent} says nothing of {rest} px"]


def show(result: dict, as_json: bool, lines: list[str]) -> None:
    click.echo(json.dumps(result, allow_nan=False) if as_json else "\n".join(lines))


def picture_option(what: str) -> Callable:
    return click.option("--picture", type=_Picture(path_type=Path, dir_okay=False), help=what)


def device_option(what: str) -> Callable:
    return click.option(
        "--device",
        type=_Device(),
        default="host",
        show_default=True,
        help=(
            f"{what}: a name (`labkit devices` lists them) or a device file; `host` is this"
            " machine, which is measured at first use."
        ),
    )


supernet_option = click.option(
    "--supernet",
    "trained",
    type=SupernetType(),
    default="fmnist",
    show_default=True,
    help=(
        "Folder of a training, or name of a supernet that ships; for costs alone, a space: its name"
        " or TOML file."
    ),
)
images_option = click.option(
    "--data",
    "images",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="Folder of the supernet's images, if it has moved since training.",
)
predictor_option = click.option(
    "--predictor",
    type=click.Choice(PREDICTORS),
    default=PREDICTORS[0],
    show_default=True,
    help="Fitted to measured accuracies; or synthetic, which are invented, for a space without.",
)
space_option = click.option(
    "--space",
    type=SpaceType(),
    default="fmnist",
    show_default=True,
    help=f"Search space: {', '.join(spaces)}, or a TOML file (`labkit space new` writes one).",
)
arch_option = click.option(
    "--arch", required=True, help="largest, smallest, a file with an arch, or its JSON text."
)
json_option = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object instead of text."
)
augment_option = click.option(
    "--augment",
    default="crop,flip",
    show_default=True,
    callback=lambda context, parameter, text: "" if text == "none" else text.replace(" ", ""),
    help=(
        "What is done to training images at random, with commas between: crop, flip, zoom, rotate,"
        " color, trivial; or none. A flip is wrong for digits and signs."
    ),
)
processor_option = click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    help="Where to compute (default: a GPU if there is one).",
)
threads_option = click.option(
    "--threads",
    type=click.IntRange(1, MOST_THREADS),
    help="CPU threads; all cores by default.",
)
seed_option = click.option(
    "--seed",
    type=click.IntRange(0, LARGEST_SEED),
    default=0,
    show_default=True,
    help="The same seed gives the same result.",
)
