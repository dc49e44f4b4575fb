import csv
import json

import numpy as np
import pytest

from labkit.demo import PERCENTILES, as_text, choose, demo
from labkit.latency.devices import get_device
from labkit.space import Arch
from labkit.spaces import FMNIST
from labkit.specialise import Costs, accuracy_model


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
            assert row["sram_bytes"] <= device.sram_bytes and row["flash_bytes"] <= device.flash_bytes
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
