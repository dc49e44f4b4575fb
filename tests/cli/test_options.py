"""Options that commands share."""

import click
import pytest
from click.testing import CliRunner

from labkit.cli.options import default_devices
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
