"""Pictures of what searches cost: total hours over the number of devices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.accounting.search_cost import Method, break_even
from labkit.course.pictures.style import GRAY, PALETTE, log_height, one_panel, row_of_panels

LABEL_GAP = 0.055  # of the panel's height, between two labels


def cost_figure(
    published: Sequence[Method], measured: Sequence[Method], devices: int = 40
) -> Figure:
    """Total hours over up to `devices` devices: published methods, and this package's own records.

    Each kind of hours has its own panel. Methods of which a part is not measured, or that took no
    time, are named below the panel instead of drawn.
    """
    groups = [("Published, ImageNet", published)]
    for unit in dict.fromkeys(method.unit for method in measured):
        of_unit = [method for method in measured if method.unit == unit]
        groups.append(("Measured by this package", of_unit))
    figure, panels = row_of_panels(len(groups), 7.4, 4.6)
    for panel, (title, methods) in zip(panels, groups):
        draw_totals(panel, methods, devices)
        panel.set_title(title)
    return figure


def total_costs(
    methods: Sequence[Method], devices: int, reference: Method, title: str = ""
) -> Figure:
    """Total hours of a few methods over the number of devices.

    A dot is where `reference` becomes the cheaper one.
    """
    figure, panel = one_panel(8.2, 4.2)
    draw_totals(panel, methods, devices, reference)
    panel.set_title(title, fontsize=10)
    return figure


def draw_totals(
    panel: Axes, methods: Sequence[Method], devices: int, reference: Method | None = None
) -> None:
    """One line for each method, with its name at the end; dashed where no cost is paid once.

    A dot on a line, with its N at the bottom, is where `reference` becomes the cheaper one.
    """
    devices = max(devices, 2)  # a line has two ends
    counts = np.unique(np.geomspace(1, devices, 80).round().astype(int)).tolist()
    measured = [method for method in methods if not method.missing and method.total(1)]
    # Names and colors by the value at which a line ends; several lines may end at one value.
    ends: dict[float, list[tuple[str, str]]] = {}
    for i, method in enumerate(measured):
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
        if reference and method is not reference:
            _mark_break_even(panel, reference, method, devices, color)
    notes = []
    for method in methods:
        if method.missing:
            notes.append(f"{method.name}: {', '.join(method.missing)} not measured")
        elif method not in measured:
            notes.append(f"{method.name}: 0 hours, which no logarithmic axis shows")
    panel.set_ylabel(f"total {methods[0].unit}" if methods else "")
    panel.set_xlabel("\n".join(["number of devices N", *notes]), fontsize=9)
    panel.set_xlim(1, devices)
    panel.set_xticks([n for n in (1, 2, 5, 10, 20, 40, 100, 200, 500, 1000) if n <= devices])
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_formatter("")
    panel.grid(alpha=0.3)
    if measured:
        if panel.get_ylim()[1] < 1e4:
            log_height(panel, *panel.get_ylim())
        _end_labels(panel, ends)
    else:
        panel.set(xticks=[], yticks=[])
        center = {"transform": panel.transAxes, "ha": "center"}
        panel.text(0.5, 0.5, "nothing to draw yet", color=GRAY, **center)


def _mark_break_even(
    panel: Axes, reference: Method, method: Method, devices: int, color: str
) -> None:
    """A dot and its number of devices where `reference` becomes cheaper than `method`."""
    count = break_even(reference, method)
    if count is None or not 1 < count <= devices:
        return
    panel.plot(count, method.total(count), color=color, marker="o", markersize=7, zorder=5)
    panel.axvline(count, color=color, linestyle=":", linewidth=1)
    bottom = {"transform": panel.get_xaxis_transform(), "weight": "bold"}
    panel.text(count, 0.02, f" {count}", color=color, **bottom)


def _end_labels(panel: Axes, ends: Mapping[float, Sequence[tuple[str, str]]]) -> None:
    """Names beside the ends of their lines, moved apart where they would cover each other."""
    low, high = map(math.log, panel.get_ylim())
    labels = [(value, *label) for value in sorted(ends) for label in ends[value]]
    # As shares of the panel's height.
    heights = [(math.log(value) - low) / (high - low) for value, _, _ in labels]
    for height, at, (_, name, color) in zip(heights, moved_apart(heights, LABEL_GAP), labels):
        panel.annotate(
            name,
            (1, height),
            xycoords="axes fraction",
            xytext=(1.06, at),
            textcoords="axes fraction",
            va="center",
            fontsize=9,
            arrowprops={
                "arrowstyle": "-",
                "color": color,
                "linewidth": 2,
                "relpos": (0, 0.5),
                "shrinkB": 0,
            },
        )


def moved_apart(heights: Sequence[float], gap: float) -> list[float]:
    """Ascending heights moved at least `gap` apart, each as little as the others allow: groups that
    would overlap are spread around the mean of where they belong.

    >>> [round(height, 2) for height in moved_apart([0.1, 0.5, 0.5, 0.52], 0.1)]
    [0.1, 0.41, 0.51, 0.61]
    """
    groups: list[list[float]] = []  # of what would be the heights if labels took no room
    for i, height in enumerate(heights):
        groups.append([height - i * gap])
        while len(groups) > 1 and fmean(groups[-2]) > fmean(groups[-1]):
            groups[-2:] = [groups[-2] + groups[-1]]
    places = [fmean(group) for group in groups for _ in group]
    return [place + i * gap for i, place in enumerate(places)]
