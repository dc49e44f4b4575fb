"""Pictures of latency: predictions that are off by as many percent lie as far from the line."""

import numpy as np

from labkit.course.pictures.latency import predicted_and_measured


def test_equal_relative_errors_lie_equally_far_from_the_line():
    measured = np.array([0.03, 0.1, 0.7])
    figure = predicted_and_measured(measured, {"a quarter too high": 1.25 * measured}, "ms")
    panel = figure.axes[0]
    assert panel.get_xscale() == panel.get_yscale() == "log"
    assert panel.get_xlim() == panel.get_ylim()
    places = panel.transData.transform(np.stack([measured, 1.25 * measured], 1))
    line = panel.transData.transform(np.stack([measured, measured], 1))
    distance = places[:, 1] - line[:, 1]
    np.testing.assert_allclose(distance, distance[0])
    assert "off by 25.0 %" in panel.get_legend().get_texts()[0].get_text()
