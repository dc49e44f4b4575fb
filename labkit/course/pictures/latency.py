"""Pictures of latency: calls over time, predicted against measured, a roofline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from labkit.course.pictures.style import (
    BLUE,
    GRAY,
    ORANGE,
    RED,
    SKY,
    log_axis,
    log_height,
    one_panel,
)
from labkit.latency.devices import SimulatedDevice
from labkit.latency.simulated.roofline import RATE_KINDS, values_moved
from labkit.space.operators import Operator

BEFORE_AND_AFTER = ((ORANGE, "s"), (BLUE, "o"))  # color and marker, before and after
KINDS = {"dense": "D", "pointwise": "o", "depthwise": "^"}


def call_times(ms: Sequence[float]) -> Figure:
    """The times of repeated calls, from the first on, with their median."""
    figure, panel = one_panel(7.0, 3.4)
    times = np.asarray(ms)
    panel.scatter(1 + np.arange(len(times)), times, s=9, color=SKY, label="one call")
    panel.axhline(np.median(times), color=BLUE, label=f"median, {np.median(times):.3g} ms")
    panel.annotate(
        "first call",
        (1, times[0]),
        xytext=(12, -3),
        textcoords="offset points",
        fontsize=9,
        color=RED,
    )
    panel.scatter([1], times[:1], s=30, color=RED, zorder=3)
    log_axis(panel, 1, len(times))
    log_height(panel, times.min(), times.max())
    panel.set(xlabel="call number", ylabel="time of the call, ms")
    figure.legend(loc="outside upper right", fontsize=9, ncols=2)
    return figure


def predicted_and_measured(
    measured: np.ndarray, predictions: Mapping[str, np.ndarray], unit: str
) -> Figure:
    """Predicted latency over measured latency (N,), for two predictors; on the line they agree.

    Both axes are logarithmic: what is off by as many percent lies as far from the line.

    `unit` says how latency was measured as well, such as 'ms (ONNX Runtime, 1 thread)'.
    """
    figure, panel = one_panel(5.6, 5.0)
    values = np.concatenate([measured, *predictions.values()])
    margin = (values.max() / values.min()) ** 0.06
    low, high = values.min() / margin, values.max() * margin
    for (name, predicted), (color, marker) in zip(predictions.items(), BEFORE_AND_AFTER):
        error = 100 * np.mean(np.abs(predicted / measured - 1))
        panel.scatter(
            measured,
            predicted,
            s=34,
            color=color,
            marker=marker,
            edgecolor="white",
            linewidth=0.5,
            zorder=3,
            label=f"{name}: off by {error:.1f} %",
        )
    line = {"color": GRAY, "linewidth": 1, "linestyle": "--", "label": "predicted = measured"}
    panel.plot([low, high], [low, high], **line)
    log_axis(panel, low, high)
    log_height(panel, low, high)
    panel.set(
        xlabel=f"measured latency, {unit}",
        ylabel=f"predicted latency, {unit}",
        xlim=(low, high),
        ylim=(low, high),
        aspect="equal",
    )
    panel.legend(loc="best", fontsize=10)
    return figure


def roofline(device: SimulatedDevice, networks: Mapping[str, Sequence[Operator]]) -> Figure:
    """The rate that each layer of some networks reaches on a simulated device, under its roof.

    Horizontal: MACs for each byte moved. Vertical: 10^9 MACs a second; the time of a layer includes
    its overhead.
    """
    roof = device.roofline
    figure, panel = one_panel(7.2, 4.6)
    x = np.geomspace(0.05, 100, 200)
    panel.plot(x, np.minimum(roof.peak_gmacs, roof.bandwidth_gb * x), color=GRAY, linewidth=2)
    panel.text(
        x[-1],
        1.06 * roof.peak_gmacs,
        f"peak, {roof.peak_gmacs:g} GMAC/s",
        ha="right",
        va="bottom",
        fontsize=9,
        color=GRAY,
    )
    panel.text(
        0.6,
        1.25 * 0.6 * roof.bandwidth_gb,
        f"memory, {roof.bandwidth_gb:g} GB/s",
        fontsize=9,
        color=GRAY,
        ha="right",
        va="bottom",
    )
    for kind in ("pointwise", "depthwise"):
        reach = roof.peak_gmacs * roof.efficiency[kind]
        panel.plot(
            [reach / roof.bandwidth_gb, x[-1]],
            [reach, reach],
            color=GRAY,
            linewidth=1,
            linestyle=":",
        )
        panel.text(x[-1], reach, kind, ha="right", va="bottom", fontsize=8, color=GRAY)
    lowest = roof.peak_gmacs
    for (name, operators), (color, _) in zip(networks.items(), BEFORE_AND_AFTER):
        for kind, marker in KINDS.items():
            layers = [o for o in operators if o.macs and RATE_KINDS[o.kind] == kind]
            rates = [o.macs / roof.operator_us(o) / 1e3 for o in layers]
            lowest = min([lowest, *rates])
            panel.scatter(
                [o.macs / (values_moved(o) * roof.bytes_per_value) for o in layers],
                rates,
                color=color,
                marker=marker,
                s=26,
                alpha=0.8,
                edgecolor="white",
                linewidth=0.4,
                label=f"{name}, {kind}",
            )
    log_axis(panel, x[0], x[-1])
    panel.set(
        yscale="log",
        xlabel="MACs for each byte moved",
        ylim=(0.7 * lowest, 2 * roof.peak_gmacs),
        ylabel="10⁹ MACs a second",
        title=f"{device.title.partition(' (')[0]}, {device.label}",
    )
    panel.yaxis.set_major_formatter("{x:g}")
    figure.legend(loc="outside lower center", fontsize=8, ncols=2)
    return figure
