"""Options that commands share."""

import click
import pytest
from click.testing import CliRunner

from labkit.cli import cli
from labkit.cli.options import augment_option, default_devices
from labkit.space import get_space
from labkit.specialize.targets import with_room


@click.command()
@click.option("--devices", default="pi4,mcu-64k")
def command(devices):
    click.echo(",".join(default_devices(get_space("ofa-mbv3"), "devices", devices.split(","))))


@pytest.mark.parametrize(
    "arguments, devices", [([], "pi4"), (["--devices", "pi4,mcu-64k"], "pi4,mcu-64k")]
)
def test_only_a_default_leaves_out_devices_that_hold_no_subnet(arguments, devices):
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 0 and result.stdout == f"{devices}\n"
    note = "mcu-64k is left out, because its memory holds no subnet of ofa-mbv3"
    assert (note in result.stderr) == (not arguments)


def test_a_device_without_limits_of_memory_has_room_and_is_not_measured():
    assert with_room(get_space("fmnist"), ["host", "mcu-64k"]) == ["host", "mcu-64k"]


@click.command()
@augment_option
def augmentations(augment):
    click.echo(repr(augment))


@pytest.mark.parametrize(
    "text, augment", [("crop, flip", "crop,flip"), ("none", ""), ("zoom", "zoom")]
)
def test_augmentations_may_have_spaces_between_and_none_is_none(text, augment):
    result = CliRunner().invoke(augmentations, ["--augment", text])
    assert result.stdout == f"{augment!r}\n"


def numeric_options(group=cli, path=()):
    """(arguments that lead to a command, option) for each option that takes a number."""
    for name, child in group.commands.items():
        if isinstance(child, click.Group):
            yield from numeric_options(child, (*path, name))
        else:
            for option in child.params:
                if option.type.name.split()[0] in ("integer", "float"):
                    yield pytest.param(
                        (*path, name), option, id=" ".join((*path, name, option.name))
                    )


@pytest.mark.parametrize("path, option", list(numeric_options()))
def test_every_number_has_bounds(path, option):
    """What is absurd is refused at once, with the range, and before anything is read."""
    for value in ("1e400", "nan", "-1", str(10**12), "-1e99", str(option.type.max * 1.5)):
        with pytest.raises(click.BadParameter, match="range|not a valid|no number"):
            option.type.convert(value, option, None)
    option.type.convert(str(option.type.max), option, None)
    assert option.type.convert(str(option.type.min + 1), option, None)
    if option.default is not None and isinstance(option.default, (int, float)):
        assert option.type.convert(option.default, option, None) == option.default
    result = CliRunner().invoke(cli, [*path, option.opts[0], str(10**12)])
    assert result.exit_code == 2 and f"Invalid value for '{option.opts[0]}'" in result.output
