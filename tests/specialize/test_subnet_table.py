import csv
import json

import numpy as np
import pytest
from click.testing import CliRunner

from labkit.cli import cli
from labkit.latency.devices import get_device
from labkit.space import Arch
from labkit.space.presets import FMNIST
from labkit.specialize.device_costs import DeviceCosts
from labkit.specialize.subnet_table import PERCENTILES, SubnetTable, predicted_row, subnet_table
from labkit.specialize.targets import Request, targets
from labkit.storage.tensor_file import CheckpointError
from labkit.supernet.folder import TrainedSupernet, load


@pytest.mark.parametrize("name", ["pi4", "mcu-64k"])
def test_every_chosen_subnet_meets_its_budget_and_the_devices_memory(name):
    device = get_device(name)
    costs, model = DeviceCosts(FMNIST, device), TrainedSupernet(FMNIST).predictor
    requests = [Request(name, percentile, percent=True) for percentile in PERCENTILES]
    rows = [predicted_row(target, model, 1) for target in targets(FMNIST, requests, seed=1)]
    assert [row["percentile"] for row in rows] == list(PERCENTILES)
    genes = FMNIST.sample(np.random.default_rng(5), 8000)
    holds = [memory.cost(genes) <= memory.limit for memory in costs.budgets()]
    latency = costs.latency_ms(genes[np.all(holds, axis=0)] if holds else genes)
    for row in rows:
        share = (latency <= row["budget_ms"]).mean()
        assert abs(share - row["percentile"] / 100) < 0.04  # of those that the memory holds
        assert row["latency_ms"] <= row["budget_ms"] and row["gap_to_optimum"] >= 0
        if device.sram_bytes:
            assert (
                row["sram_bytes"] <= device.sram_bytes and row["flash_bytes"] <= device.flash_bytes
            )
    predicted = [row["predicted_accuracy"] for row in rows]
    assert predicted == sorted(predicted)  # a looser budget is never worse


@pytest.mark.slow
def test_demo_writes_table_and_picture(tmp_path):
    result = CliRunner().invoke(cli, ["demo", "--devices", "pi4", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    as_json = json.loads((tmp_path / "demo.json").read_text())
    table = list(csv.DictReader(open(tmp_path / "demo.csv")))
    assert len(as_json) == len(table) == 3
    for row, line in zip(as_json, table):
        FMNIST.validate(Arch.from_json(row["arch"]))
        assert float(line["test_accuracy"]) == row["test_accuracy"] > 85
        assert abs(row["predicted_accuracy"] - row["val_accuracy"]) < 2
    assert (tmp_path / "pareto.png").read_bytes().startswith(b"\x89PNG")
    lines = result.stdout.splitlines()
    assert len(lines) == 8 and lines[0].startswith("device ") and "simulated" in lines[1]
    assert lines[4].startswith("One standard error")
    for row in as_json:  # of 5,000 and of 10,000 images
        share = row["val_accuracy"] / 100
        assert row["val_error"] == pytest.approx(100 * (share * (1 - share) / 5000) ** 0.5)
        assert row["test_error"] < row["val_error"]
    points = [row["predicted_accuracy"] - row["val_accuracy"] for row in as_json]
    assert lines[6].startswith(f"Measured on val they are {np.mean(points):.2f} points below")


def test_a_boards_latency_is_not_called_simulated():
    """It was measured there, and by table; only this machine's subnets are measured whole."""
    costs = {
        "budget_ms": 1.0,
        "latency_ms": 1.0,
        "predicted_accuracy": 90.0,
        "val_accuracy": 90.0,
        "val_error": 0.424,
        "test_accuracy": 90.0,
        "test_error": 0.3,
        "macs": 1e6,
        "params": 1e5,
        "peak_memory_bytes": 1e5,
        "arch": FMNIST.smallest(),
    }
    rows = [
        {**costs, "device": "host", "latency is": "measured", "measured_ms": 0.987},
        {**costs, "device": "my-board", "latency is": "measured"},
        {**costs, "device": "pi4", "latency is": "simulated"},
        {**costs, "device": "mcu-64k", "latency is": "simulated, order of magnitude"},
    ]
    host, board, pi4, mcu, errors = SubnetTable([], rows).text().splitlines()[1:]
    assert errors.endswith("up to 0.42 points on val and 0.30 on test.")
    assert "0.987 ms" in host and "by table" in board and "simulated" in pi4 and "simulated" in mcu
    assert "simulated" not in board


def test_a_space_without_weights_is_refused_before_anything_is_measured(monkeypatch):
    monkeypatch.setattr(
        "labkit.specialize.targets.DeviceCosts", lambda *_: pytest.fail("measured first")
    )
    with pytest.raises(CheckpointError, match="ofa-mbv3/supernet.safetensors does not exist"):
        subnet_table(load("ofa-mbv3"), [Request("pi4", 50, percent=True)])
