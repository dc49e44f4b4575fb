"""Device files of one's own: written from a device that ships, used wherever a device is named."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from labkit.cli import cli
from labkit.latency.devices import DeviceError, get_device
from labkit.space.presets import FMNIST
from labkit.specialize.targets import Request, targets

GENES = FMNIST.sample(np.random.default_rng(0), 20)


def new(path, *options: str):
    return CliRunner().invoke(cli, ["devices", "new", str(path), *options])


def test_without_options_it_is_the_device_that_it_begins_with(tmp_path):
    path = tmp_path / "my-board.json"
    assert new(path, "--like", "stm32h743").exit_code == 0
    device, like = get_device(str(path)), get_device("stm32h743")
    assert (device.name, device.label) == ("my-board", "simulated, order of magnitude")
    assert device.held_out is None and device.series is None and not device.references
    assert (device.sram_bytes, device.flash_bytes) == (like.sram_bytes, like.flash_bytes)
    tables = [each.latency_table(FMNIST)(GENES) for each in (device, like)]
    np.testing.assert_array_equal(*tables)
    assert all("stm32h743" in source for _, source, *_ in device.parameters.values())


def test_what_is_said_is_in_the_file_and_in_the_simulation(tmp_path):
    """All rates are doubled and overheads halved, so that everything takes half as long."""
    path, like = tmp_path / "fast.json", get_device("stm32h743")
    roofline = like.roofline
    options = ["--like", "stm32h743", "--precision", "int8", "--sram", "256", "--flash", "1024"]
    options += ["--clock", str(1000 * roofline.peak_gmacs), "--macs-per-cycle", "2"]
    options += ["--bandwidth", str(2 * roofline.bandwidth_gb)]
    options += ["--overhead", str(roofline.overhead_us / 2), "--title", "twice as fast"]
    assert new(path, *options).exit_code == 0
    device = get_device(str(path))
    half = like.latency_table(FMNIST)(GENES) / 2
    np.testing.assert_allclose(device.latency_table(FMNIST)(GENES), half)
    assert device.title == "twice as fast" and device.precision == "int8"
    assert device.sram_bytes == 256 * 1024 - 16384 and device.flash_bytes == 1024**2 - 131072
    assert device.parameters["peak_gmacs"].source == "said when this file was written"


@pytest.mark.parametrize("like", ["mcu-64k", "stm32h743", "pi4-int8"])
@pytest.mark.parametrize("said", [("depthwise",), ("dense", "pointwise", "depthwise")])
def test_a_share_that_is_said_is_what_is_used(tmp_path, like, said):
    """Whatever the runtime's factor, which takes copied shares of pi4-int8 above the peak."""
    options = [f"--{kind}={share}" for kind, share in zip(said, (1, 0.5, 0.25))]
    assert new(tmp_path / "mine.json", "--like", like, *options).exit_code == 0
    used = get_device(str(tmp_path / "mine.json")).roofline.efficiency
    expected = {**get_device(like).roofline.efficiency, **dict(zip(said, (1, 0.5, 0.25)))}
    assert used == pytest.approx(expected)


def test_a_device_like_one_of_firmware_has_its_engine_core_and_cycles(tmp_path):
    path, like = tmp_path / "my-board.json", get_device("mcu-20k")
    assert new(path, "--like", "mcu-20k", "--sram", "16").exit_code == 0
    device = get_device(str(path))
    for field in ("engine", "core", "precision", "cycles", "flash_bytes"):
        assert getattr(device, field) == getattr(like, field) is not None
    assert device.engine == "firmware" and device.sram_bytes == 16 * 1024 - 1024
    faster = tmp_path / "faster.json"
    new(faster, "--like", "mcu-20k", "--clock", "96", "--macs-per-cycle", "0.5")
    assert get_device(str(faster)).cycles.clock_mhz == 96


def test_a_memory_smaller_than_what_is_reserved_of_it_is_refused(tmp_path):
    path = tmp_path / "small.json"
    said = new(path, "--like", "mcu-64k", "--sram", "36", "--flash", "56")
    assert said.exit_code and not path.exists()
    assert "flash of 57344 bytes: mcu-64k reserves 57344 of it" in str(said.exception)


def test_a_device_file_is_taken_wherever_a_device_is_named(tmp_path):
    path = tmp_path / "my-board.json"
    new(path, "--like", "pixel1")
    (target,) = targets(FMNIST, [Request.parse(f"{path}:50%")])
    (like,) = targets(FMNIST, [Request.parse("pixel1:50%")])
    assert target.name == "my-board" and target.budget_ms == like.budget_ms
    command = ["search", "--device", str(path), "--max-latency-ms", "2", "--method", "exact"]
    answer = json.loads(CliRunner().invoke(cli, [*command, "--json"]).stdout)
    command[2] = "pixel1"
    expected = json.loads(CliRunner().invoke(cli, [*command, "--json"]).stdout)
    assert answer["arch"] == expected["arch"] and answer["latency_ms"] == expected["latency_ms"]


def test_what_cannot_be_written_or_read_is_named(tmp_path):
    path = tmp_path / "my-board.json"
    for options, message in (
        (["--like", "stm32h743", "--precision", "fp32"], "want one of int8"),
        (["--like", "toaster"], "unknown simulated device 'toaster', known: g0b1re-bosch"),
        (["--clock", "480"], "--clock and --macs-per-cycle together"),
    ):
        result = new(path, *options)
        assert result.exit_code != 0 and message in result.output + str(result.exception)
    assert not path.exists() and new(path).exit_code == 0
    assert "is no new .json file" in str(new(path).exception)
    with pytest.raises(DeviceError, match="unknown device 'toaster', known: .* or give a device"):
        get_device("toaster")
    with pytest.raises(DeviceError, match="nowhere.json is missing"):
        get_device("nowhere.json")
