import csv
import json

import numpy as np
import pytest

from labkit.latency.devices import get_device
from labkit.space import Arch
from labkit.space.presets import FMNIST, get_space
from labkit.specialize.demo import PERCENTILES, as_text, choose, demo
from labkit.specialize.device_search import Costs, accuracy_model
from labkit.storage.tensor_file import CheckpointError


@pytest.mark.parametrize("name", ["pi4", "mcu-64k"])
def test_every_chosen_subnet_meets_its_budget_and_the_devices_memory(name):
    device = get_device(name)
    costs, model = Costs(FMNIST, device), accuracy_model(FMNIST)
    rows = choose(FMNIST, model, costs, seed=1)
    assert [row["percentile"] for row in rows] == list(PERCENTILES)
    latency = costs.latency_ms(FMNIST.sample(np.random.default_rng(5), 4000))
    for row in rows:
        share = (latency <= row["budget_ms"]).mean()
        assert abs(share - row["percentile"] / 100) < 0.04
        assert row["latency_ms"] <= row["budget_ms"] and row["gap_to_optimum"] >= 0
        if device.sram_bytes:
            assert (
                row["sram_bytes"] <= device.sram_bytes and row["flash_bytes"] <= device.flash_bytes
            )
    predicted = [row["predicted_accuracy"] for row in rows]
    assert predicted == sorted(predicted)  # a looser budget is never worse


@pytest.mark.slow
def test_demo_writes_table_and_picture(tmp_path):
    rows = demo(FMNIST, tmp_path, ["pi4"])
    as_json = json.loads((tmp_path / "demo.json").read_text())
    table = list(csv.DictReader(open(tmp_path / "demo.csv")))
    assert len(rows) == len(as_json) == len(table) == 3
    for row, line in zip(as_json, table):
        FMNIST.validate(Arch.from_json(row["arch"]))
        assert float(line["test_accuracy"]) == row["test_accuracy"] > 85
        assert abs(row["predicted_accuracy"] - row["val_accuracy"]) < 2
    assert (tmp_path / "pareto.png").read_bytes().startswith(b"\x89PNG")
    assert as_text(rows).count("\n") == 3 and "simulated" in as_text(rows)


def test_a_boards_latency_is_not_called_simulated():
    """It was measured there, and by table; only this machine's subnets are measured whole."""
    costs = {
        "budget_ms": 1.0,
        "latency_ms": 1.0,
        "predicted_accuracy": 90.0,
        "val_accuracy": 90.0,
        "test_accuracy": 90.0,
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
    host, board, pi4, mcu = as_text(rows).splitlines()[1:]
    assert "0.987 ms" in host and "by table" in board and "simulated" in pi4 and "simulated" in mcu
    assert "simulated" not in board


def test_a_space_without_weights_is_refused_before_anything_is_measured(tmp_path, monkeypatch):
    monkeypatch.setattr("labkit.specialize.demo.Costs", lambda *_: pytest.fail("measured first"))
    with pytest.raises(CheckpointError, match="ofa-mbv3.safetensors does not exist"):
        demo(get_space("ofa-mbv3"), tmp_path, ["pi4"])
