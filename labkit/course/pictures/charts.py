"""Charts of any numbers: named lines, bars, and ranges; and the images of a data set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from labkit.course.pictures.style import BLUE, GRAY, GREEN, ORANGE, RED, log_axis, one_panel

if TYPE_CHECKING:
    from labkit.data.datasets import DataSet

LINE_STYLES = ((BLUE, "o"), (RED, "s"), (ORANGE, "D"), (GREEN, "^"))  # color and marker


def lines(
    x: Sequence[float],
    series: Mapping[str, Sequence[float]],
    *,
    x_label: str,
    y_label: str,
    title: str = "",
    log_x: bool = False,
    errors: Mapping[str, Sequence[float]] | None = None,
) -> Figure:
    """Named series over a common horizontal axis, those in `errors` with bars that reach this far
    up and down.
    """
    figure, panel = one_panel(6.4, 3.6)
    for (name, values), (color, marker) in zip(series.items(), LINE_STYLES):
        panel.plot(x, values, color=color, marker=marker, markersize=4, label=name)
        if errors and name in errors:
            panel.errorbar(x, values, errors[name], color=color, linestyle="none", capsize=2)
    panel.set(xlabel=x_label, ylabel=y_label, title=title)
    if log_x:
        log_axis(panel, min(x), max(x))
    panel.grid(alpha=0.25)
    panel.legend(fontsize=9)
    return figure


def training_curve(curve: Sequence[Mapping[str, float]], y_label: str) -> Figure:
    """The accuracies of a supernet's largest and smallest subnet after each epoch of a training."""
    ends = {f"{name} subnet": [row[name] for row in curve] for name in ("largest", "smallest")}
    return lines([row["epoch"] for row in curve], ends, x_label="epoch", y_label=y_label)


def predicted_against_measured(
    subnets: Mapping[str, tuple[Sequence[float], Sequence[float]]], error: float
) -> Figure:
    """Measured accuracies over predicted ones, in percent, and the line on which they agree.

    `subnets` are (predicted, measured) under each name; `error` is a standard error of what was
    measured, in points.
    """
    figure, panel = one_panel(5.4, 4.6)
    values = np.concatenate([np.ravel(pair) for pair in subnets.values()])
    ends = np.array([values.min(), values.max()]) + 2 * error * np.array([-1, 1])
    panel.plot(ends, ends, color=GRAY, linewidth=1, linestyle="--", label="as predicted")
    for (name, (predicted, measured)), (color, marker) in zip(subnets.items(), LINE_STYLES):
        style = {"color": color, "marker": marker, "markersize": 4, "linestyle": "none"}
        panel.errorbar(predicted, measured, error, elinewidth=0.8, alpha=0.8, label=name, **style)
    panel.set(xlabel="predicted accuracy, %", xlim=ends, ylim=ends, aspect="equal")
    panel.set_ylabel("measured accuracy, % (± one standard error)")
    panel.grid(alpha=0.25)
    panel.legend(fontsize=9)
    return figure


def bars(
    values: Mapping[str, float],
    *,
    y_label: str,
    title: str = "",
    errors: Sequence[float] | None = None,
) -> Figure:
    """Named values as horizontal bars, with the numbers on them and, where there are some, their
    standard errors.
    """
    figure, panel = one_panel(6.4, 0.5 * len(values) + 1.0)
    colors = [LINE_STYLES[i % len(LINE_STYLES)][0] for i in range(len(values))]
    rectangles = panel.barh(list(values), list(values.values()), color=colors)
    labels = [f"{value:.1f}" for value in values.values()]
    if errors is not None:
        labels = [f"{label} ± {error:.1f}" for label, error in zip(labels, errors)]
    panel.bar_label(rectangles, labels, padding=3)
    panel.invert_yaxis()
    panel.set(xlabel=y_label, title=title, xlim=(0, 1.2 * max(values.values())))
    panel.spines[["top", "right"]].set_visible(False)  # a number may reach beyond
    return figure


def spreads(
    samples: Mapping[str, np.ndarray], truth: float, *, x_label: str, y_label: str
) -> Figure:
    """The middle 95 % and the median of the values under each name, and `truth` as a line."""
    figure, panel = one_panel(7.0, 3.8)
    positions = np.arange(len(samples))
    quantiles = [np.quantile(values, (0.025, 0.5, 0.975)) for values in samples.values()]
    low, median, high = np.transpose(quantiles)
    panel.axhline(truth, color=GRAY, linestyle=":", label="from all of them")
    panel.vlines(
        positions, low, high, color=BLUE, linewidth=7, alpha=0.4, label="95 % of the samples"
    )
    panel.plot(positions, median, color=RED, marker="o", linestyle="none", label="median")
    panel.set_xticks(positions, list(samples))
    panel.set(xlabel=x_label, ylabel=y_label)
    panel.grid(axis="y", alpha=0.25)
    panel.legend(loc="lower right", fontsize=9)
    return figure


def sample_images(dataset: DataSet, split: str = "train", columns: int = 8) -> Figure:
    """The first images of each class of a split, a row a class; of ten classes at most."""
    images, labels = dataset.splits[split]
    classes = dataset.classes[:10]
    figure = Figure(figsize=(1.6 + 0.8 * columns, 0.8 * len(classes)), layout="constrained")
    grid = figure.subplots(len(classes), columns, squeeze=False)
    for label, (row, name) in enumerate(zip(grid, classes)):
        indices = (labels == label).nonzero().flatten()[:columns]
        for panel in row:
            panel.set_axis_off()
        for panel, image in zip(row, images[indices]):
            panel.imshow(image.permute(1, 2, 0), cmap="gray", vmin=0, vmax=255)
        row[0].set_title(name, fontsize=9, loc="left")
    return figure
