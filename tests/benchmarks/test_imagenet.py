"""The page on published subnets is of the subnets, predictors and devices that ship."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))
import imagenet  # noqa: E402
import page  # noqa: E402

from labkit.comparison.published_subnets import published_subnets  # noqa: E402
from labkit.latency.devices import get_device  # noqa: E402
from labkit.search import Budget, best  # noqa: E402
from labkit.tables.costs import macs_table  # noqa: E402

SUBNETS = {subnet.name: subnet for subnet in published_subnets()}


@pytest.fixture(scope="module")
def report() -> dict:
    return json.loads((page.FOLDER / "results" / "imagenet.json").read_text(encoding="utf-8"))


def test_every_published_subnet_is_there_with_its_macs(report):
    rows = report["subnets"]
    devices = {"note10", "cpu", "pixel1", "pixel2", "s7edge", "note8", "LG-G8", "tx2"}
    expected = {name for name, s in SUBNETS.items() if s.device in devices and s.latency_ms}
    assert len(rows) == 39 and {row["name"] for row in rows} == expected
    for row in rows:
        subnet = SUBNETS[row["name"]]
        genes = subnet.space.encode([subnet.arch])
        assert row["macs"] == macs_table(subnet.space)(genes)[0]
        assert (row["top1"], row["published_ms"]) == (subnet.top1, subnet.latency_ms)


def test_predictions_and_optima_are_those_of_what_ships(report):
    for row in report["subnets"]:
        subnet = SUBNETS[row["name"]]
        accuracy = imagenet.accuracy_of(subnet)
        space, side = accuracy.space, subnet.arch.resolution
        assert (row["predicted"] is None) == (not 160 <= side <= 224)
        if side in space.resolutions:
            (predicted,) = accuracy(space.encode([subnet.arch]))
            assert row["predicted"] == pytest.approx(predicted)
        if row["optimum"] is None:
            continue
        assert row["optimum_ms"] <= row["latency_ms"] * (1 + 1e-9)
        assert row["predicted"] is None or row["optimum"] > row["predicted"]
        if row["latency_is"] == "simulated":
            device = get_device(imagenet.TARGETS[subnet.device].simulated)
            limit = Budget(device.latency_table(space), imagenet.simulated_ms(subnet))
            assert row["optimum"] == pytest.approx(best(space, accuracy, [limit]).accuracy)


def test_the_authors_latencies_are_met_within_ten_percent(report):
    """A stand-in's factor comes from the device's other subnets only."""
    errors = [abs(row["latency_ms"] / row["published_ms"] - 1) for row in report["subnets"]]
    assert np.median(errors) < 0.02 and max(errors) < 0.1


def test_by_the_table_no_search_is_above_the_exact_one(report):
    rows = report["race"]["rows"]
    for limit in {row["limit_ms"] for row in rows}:
        group = {row["method"]: row for row in rows if row["limit_ms"] == limit}
        assert len(group) == 4
        assert all(max(row["latency_ms"]) <= limit for row in group.values())
        highest = max(max(row["table"]) for row in group.values())
        assert highest == pytest.approx(max(group["exact search, our table"]["table"]))


def test_the_last_block_of_proxylessnas_is_the_published_one():
    subnet = next(s for s in SUBNETS.values() if s.supernet == imagenet.PROXYLESS)
    table = imagenet.accuracy_of(subnet)
    ((kernel, expand),) = subnet.arch.stages[-1]
    assert (table.space.stages[-1].kernels, table.space.stages[-1].expands) == (
        (kernel,),
        (expand,),
    )
    assert (table.blocks[:, -1, 0, 0] == 0).all()


def test_the_page_and_its_picture_are_drawn_from_the_report(report):
    text = imagenet.text(report)
    assert text in (page.FOLDER / "IMAGENET.md").read_text(encoding="utf-8")
    panels = imagenet.figure(report).axes
    assert [len(panel.lines[1].get_xdata()) for panel in panels] == [3, 4]
