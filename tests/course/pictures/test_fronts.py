"""Pictures of fronts: axes that span hundreds, and dots that stand with their errors."""

import numpy as np
from spaces_for_tests import WIDE

from labkit.course.pictures.fronts import device_fronts, front_and_cloud
from labkit.latency.devices import get_device
from labkit.search import front
from labkit.specialize.device_costs import DeviceCosts
from labkit.tables.synthetic_accuracy import synthetic_accuracy


def test_measured_dots_stand_with_one_standard_error():
    costs, accuracy = DeviceCosts(WIDE, get_device("pi4")), synthetic_accuracy(WIDE)
    exact = front(WIDE, accuracy, costs.latency_ms)
    dots = [(exact.cost[0], 72.0, 0.4), (exact.cost[-1], 76.0, 0.3)]
    rows = [
        {
            "device": "pi4",
            "budget_ms": ms,
            "latency_ms": ms,
            "val_accuracy": percent,
            "val_error": error,
        }
        for ms, percent, error in dots
    ]
    panel = device_fronts([costs], [exact], rows).axes[0]
    bars = panel.containers[0].lines[2][0].get_segments()
    ends = [(bar[0][1], bar[1][1]) for bar in bars]
    np.testing.assert_allclose(ends, [(71.6, 72.4), (75.7, 76.3)])
    assert panel.get_xscale() == "log"


def test_a_cloud_of_all_sizes_has_a_logarithmic_axis():
    latency = np.geomspace(0.1, 40, 50)
    exact = front(WIDE, synthetic_accuracy(WIDE), DeviceCosts(WIDE, get_device("pi4")).latency_ms)
    cloud, is_best = (latency, np.linspace(70, 74, 50)), np.arange(50) % 10 == 0
    panel = front_and_cloud(exact, cloud, {}, [], "latency, ms", is_best).axes[0]
    assert panel.get_xscale() == "log" and panel.get_xlim()[1] > 40
    steps = next(line for line in panel.lines if line.get_label() == "front of the random subnets")
    np.testing.assert_array_equal(steps.get_xydata(), np.transpose(cloud)[is_best])
