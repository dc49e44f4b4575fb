"""The least and the most that subnets cost, against every one of them."""

import pytest
from hypothesis import given, settings
from spaces_for_tests import small_spaces

from labkit.latency.devices import get_device
from labkit.space.presets import FMNIST
from labkit.specialize.space_ranges import bounds, space_ranges
from labkit.supernet.folder import load
from labkit.tables.costs import activation_table, macs_table, params_table
from labkit.tables.separable import lowest


@settings(max_examples=15, deadline=None)
@given(space=small_spaces)
def test_bounds_are_those_of_all_subnets(space):
    genes = space.encode(list(space.enumerate()))
    tables = [macs_table(space), params_table(space), activation_table(space, 4)]
    for table in [*tables, get_device("pi4").latency_table(space)]:
        costs = table(genes)
        assert bounds(table) == pytest.approx((costs.min(), costs.max()), rel=1e-12)


def test_a_link_has_no_least_of_terms():
    with pytest.raises(ValueError, match="link"):
        lowest(load("fmnist").predictor.predict)


def test_ranges_say_what_a_space_costs_on_devices(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    ranges = space_ranges(FMNIST)
    rows = {row["name"]: row for row in ranges["devices"]}
    assert "host" not in rows and rows["epyc-1core"]["latency_is"] == "measured"
    assert (rows["mcu-64k"]["largest_fits"], rows["mcu-64k"]["smallest_fits"]) == (False, True)
    assert rows["pi4"]["largest_fits"] is None
    memory = ranges["peak_memory_bytes"]
    assert memory["fp32"] == tuple(4 * value for value in memory["int8"])
