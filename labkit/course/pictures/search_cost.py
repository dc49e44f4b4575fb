"""Pictures of what searches cost: total hours over the number of devices, and how sure a rank
agreement is.

As in `labkit.course.pictures.plots`, each function returns a figure and shows nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.accounting.search_cost import Method, break_even
from labkit.course.pictures.plots import BLUE, GRAY, PALETTE, RED

LABEL_GAP = 0.055  # of the panel's height, between two labels


def cost_figure(published: Sequence[Method], ours: Sequence[Method], devices: int = 40) -> Figure:
    """Total hours over the number of devices, up to `devices`: the published table beside our own
    records.

    Each kind of hours has its own axes. Methods of which a part is not measured, or that took no
    time, are named below them instead of drawn.
    """
    panels = [("Published, ImageNet", published)]
    for unit in dict.fromkeys(method.unit for method in ours):
        panels.append(
            ("Measured by this package", [method for method in ours if method.unit == unit])
        )
    figure = Figure(figsize=(7.4 * len(panels), 4.6), layout="constrained")
    for panel, (title, methods) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels):
        draw_totals(panel, methods, devices)
        panel.set_title(title)
    return figure


def totals(methods: Sequence[Method], devices: int, reference: Method, title: str = "") -> Figure:
    """Total hours of a few methods over the number of devices; a dot where `reference` becomes the
    cheaper one.
    """
    figure = Figure(figsize=(8.2, 4.2), layout="constrained")
    panel = figure.subplots()
    draw_totals(panel, methods, devices, reference)
    panel.set_title(title, fontsize=10)
    return figure


def draw_totals(
    panel: Axes, methods: Sequence[Method], devices: int, reference: Method | None = None
) -> None:
    """One line a method with its name at the end; dashed where nothing is paid once.

    A dot on a line, with its N at the bottom, is where `reference` becomes the cheaper one.
    """
    devices = max(devices, 2)  # a line has two ends
    counts = np.unique(np.geomspace(1, devices, 80).round().astype(int)).tolist()
    known = [method for method in methods if not method.missing and method.total(1)]
    ends: dict[
        float, list[tuple[str, str]]
    ] = {}  # lines that end at one place share a place for their names
    for i, method in enumerate(known):
        color, values = PALETTE[i % len(PALETTE)], [method.total(n) for n in counts]
        panel.loglog(
            counts,
            values,
            ls="-" if any(part.hours for part in method.once) else "--",
            color=color,
            linewidth=3 if method is reference else 1.6,
            label=method.name,
        )
        ends.setdefault(values[-1], []).append((method.name, color))
        since = break_even(reference, method) if reference and method is not reference else None
        if since and 1 < since <= devices:
            panel.plot(since, method.total(since), color=color, marker="o", markersize=7, zorder=5)
            panel.axvline(since, color=color, linestyle=":", linewidth=1)
            panel.text(
                since,
                0.02,
                f" {since}",
                transform=panel.get_xaxis_transform(),
                color=color,
                weight="bold",
            )
    undrawn = [
        f"{method.name}: "
        + (
            f"{', '.join(method.missing)} not measured"
            if method.missing
            else "0 hours, which no logarithmic axis shows"
        )
        for method in methods
        if method not in known
    ]
    panel.set_ylabel(f"total {methods[0].unit}" if methods else "")
    panel.set_xlabel("\n".join(["number of devices N", *undrawn]), fontsize=9)
    panel.set_xlim(1, devices)
    panel.set_xticks([n for n in (1, 2, 5, 10, 20, 40, 100, 200, 500, 1000) if n <= devices])
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_formatter("")
    panel.grid(alpha=0.3)
    if known:
        if panel.get_ylim()[1] < 1e4:
            panel.yaxis.set_major_formatter("{x:g}")
        _end_labels(panel, ends)
    else:
        panel.set(xticks=[], yticks=[])
        panel.text(
            0.5, 0.5, "nothing to draw yet", transform=panel.transAxes, ha="center", color=GRAY
        )


def _end_labels(panel: Axes, ends: Mapping[float, Sequence[tuple[str, str]]]) -> None:
    """Names beside the ends of their lines, moved apart where they would cover each other."""
    low, high = map(math.log, panel.get_ylim())
    place = -math.inf
    for value in sorted(ends):
        for name, color in ends[value]:
            place = max((math.log(value) - low) / (high - low), place + LABEL_GAP)
            panel.annotate(
                name,
                (1, (math.log(value) - low) / (high - low)),
                xycoords="axes fraction",
                xytext=(1.03, place),
                textcoords="axes fraction",
                va="center",
                fontsize=9,
                color=color,
                arrowprops={"arrowstyle": "-", "color": color, "linewidth": 0.6},
            )


def spreads(draws: Mapping[str, np.ndarray], truth: float, *, x_label: str, y_label: str) -> Figure:
    """For each name, where the middle 95 % of its values lie, and their median; `truth` as a line."""
    figure = Figure(figsize=(7.0, 3.8), layout="constrained")
    panel = figure.subplots()
    places = np.arange(len(draws))
    low, middle, high = np.array(
        [np.quantile(values, (0.025, 0.5, 0.975)) for values in draws.values()]
    ).T
    panel.axhline(truth, color=GRAY, linestyle=":", label="from all of them")
    panel.vlines(places, low, high, color=BLUE, linewidth=7, alpha=0.4, label="95 % of the samples")
    panel.plot(places, middle, color=RED, marker="o", linestyle="none", label="median")
    panel.set_xticks(places, list(draws))
    panel.set(xlabel=x_label, ylabel=y_label)
    panel.grid(axis="y", alpha=0.25)
    panel.legend(loc="lower right", fontsize=9)
    return figure
