"""Pictures of 03_latency_lut: one call timed many times, predicted against measured, a roofline.

As in `labkit.course.pictures.plots`, each function returns a figure and shows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from labkit.course.pictures.plots import BLUE, GRAY, ORANGE, RED, SKY, log_axis, nice_ticks
from labkit.latency.devices import SimulatedDevice
from labkit.latency.simulated.layers import Layer

SERIES = ((ORANGE, "s"), (BLUE, "o"))  # before, after
KINDS = {"dense": "D", "pointwise": "o", "depthwise": "^"}


def trace(ms: Sequence[float]) -> Figure:
    """Every single time of one call, from the first on, with their median."""
    figure = Figure(figsize=(7.0, 3.4), layout="constrained")
    panel, times = figure.subplots(), np.asarray(ms)
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
    panel.set_yscale("log")
    panel.set_yticks(nice_ticks(times.min(), times.max()))
    panel.yaxis.set_major_formatter("{x:g}")
    panel.yaxis.set_minor_formatter("")
    panel.set(xlabel="call number", ylabel="time of the call, ms")
    figure.legend(loc="outside upper right", fontsize=9, ncols=2)
    return figure


def predicted_and_measured(
    measured: np.ndarray, predictions: Mapping[str, np.ndarray], unit: str
) -> Figure:
    """Predicted latency over measured latency (N,), for two ways to predict; on the line they
    agree.

    `unit` says how the latency was come by, such as 'ms (ONNX Runtime, 1 thread)'.
    """
    figure = Figure(figsize=(5.6, 5.0), layout="constrained")
    panel = figure.subplots()
    values = np.concatenate([measured, *predictions.values()])
    low, high = values.min() - 0.06 * np.ptp(values), values.max() + 0.06 * np.ptp(values)
    panel.plot([low, high], [low, high], color=GRAY, linewidth=1, linestyle="--")
    at = low + 0.93 * (high - low)
    panel.text(
        at,
        at,
        "predicted = measured",
        rotation=45,
        rotation_mode="anchor",
        ha="right",
        va="bottom",
        fontsize=9,
        color=GRAY,
    )
    for (name, predicted), (color, marker) in zip(predictions.items(), SERIES):
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
    panel.set(
        xlabel=f"measured latency, {unit}",
        ylabel=f"predicted latency, {unit}",
        xlim=(low, high),
        ylim=(low, high),
        aspect="equal",
    )
    panel.grid(alpha=0.25)
    panel.legend(loc="best", fontsize=10)
    return figure


def roofline(device: SimulatedDevice, networks: Mapping[str, Sequence[Layer]]) -> Figure:
    """What the layers of some networks reach on a simulated device, under its roof.

    Horizontal: MACs for each byte moved. Vertical: 10^9 MACs a second, the layer's overhead
    included.
    """
    roof = device.roofline
    figure = Figure(figsize=(7.2, 4.6), layout="constrained")
    panel = figure.subplots()
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
    for (name, layers), (color, _) in zip(networks.items(), SERIES):
        for kind, marker in KINDS.items():
            own = [layer for layer in layers if layer.kind == kind and layer.macs]
            panel.scatter(
                [layer.macs / (layer.values * roof.bytes_per_value) for layer in own],
                [layer.macs / roof.layer_us(layer) / 1e3 for layer in own],
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
        ylim=(0.01, 2 * roof.peak_gmacs),
        ylabel="10⁹ MACs a second",
        title=f"{device.title.partition(' (')[0]}, {device.label}",
    )
    panel.yaxis.set_major_formatter("{x:g}")
    panel.legend(loc="lower right", fontsize=8, ncols=2)
    return figure
