"""Pictures. Each function returns a matplotlib figure and shows nothing; colors are safe for
color-blind readers.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from labkit.search import Front, SearchResult
from labkit.specialize.device_search import Costs
from labkit.specialize.fleet import ALL
from labkit.specialize.matrix import Matrix
from labkit.storage.atomic_write import write_atomic

# Okabe and Ito's palette, told apart with every common kind of color blindness.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GRAY = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#CC79A7",
    "#56B4E9",
    "#777777",
)
PALETTE = (
    BLUE,
    ORANGE,
    GREEN,
    RED,
    PURPLE,
    SKY,
    "#000000",
    GRAY,
)  # in the order in which lines take them


def device_fronts(costs: Sequence[Costs], fronts: Sequence[Front], rows: Sequence[dict]) -> Figure:
    """One panel for each device: its exact front, budgets as vertical lines, chosen subnets as
    measured.
    """
    columns = min(2, len(costs))
    lines = -(-len(costs) // columns)
    figure = Figure(figsize=(5.2 * columns, 3.6 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for panel, device_costs, front in zip(panels.flat, costs, fronts):
        device = device_costs.device
        own = [row for row in rows if row["device"] == device.name]
        panel.plot(front.cost, front.accuracy, color=BLUE, label="best possible (predicted)")
        for row in own:
            panel.axvline(
                row["budget_ms"],
                color=GRAY,
                linestyle=":",
                linewidth=1,
                label="budget" if row is own[0] else None,
            )
        panel.scatter(
            [r["latency_ms"] for r in own],
            [r["val_accuracy"] for r in own],
            color=RED,
            zorder=3,
            label="chosen subnet, measured on other images",
        )
        log_axis(panel, front.cost[0], front.cost[-1])
        panel.set_title(device.title.partition(" (")[0], fontsize=11)
        panel.set_xlabel(f"latency, ms ({device.label})")
    for panel in panels.flat[len(costs) :]:
        panel.set_visible(False)
    for panel in panels[:, 0]:
        panel.set_ylabel("top-1 accuracy, %")
    panels.flat[0].legend(loc="lower right", fontsize=8)
    return figure


def front_and_searches(costs: Costs, front: Front, found: dict[str, list[SearchResult]]) -> Figure:
    """One device's exact front, and the archs that each search method found at some budgets."""
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    panel = figure.subplots()
    panel.plot(front.cost, front.accuracy, color=BLUE, label="exact front")
    for (method, results), color, marker in zip(found.items(), (RED, ORANGE, GREEN), "osD"):
        latency = [float(costs.latency_ms(result.genes[None])[0]) for result in results]
        panel.scatter(
            latency,
            [result.accuracy for result in results],
            color=color,
            marker=marker,
            zorder=3,
            label=f"{method} search",
        )
    log_axis(panel, front.cost[0], front.cost[-1])
    panel.set(
        title=f"{costs.space.name} on {costs.device.title}",
        ylabel="predicted top-1 accuracy, %",
        xlabel=f"latency, ms ({costs.device.label})",
    )
    panel.legend(loc="lower right")
    return figure


def deployment_matrix(found: Matrix) -> Figure:
    """Every subnet (rows) on every device (columns): its own is framed; elsewhere it is too slow,
    too big, or worse.
    """
    rows, columns = found.latency_ms.shape
    figure = Figure(figsize=(3.6 + 1.5 * columns, 2.4 + 0.72 * rows), layout="constrained")
    panel = figure.subplots()
    blues = LinearSegmentedColormap.from_list("loss", ["#F1F8FD", "#5AAEE0"])
    worst = max(0.1, float(found.loss.max()))
    for s in range(rows):
        for d in range(columns):
            over, own = f"{found.over_budget[s, d]:.2f}× budget", found.own(s, d)
            if not found.fits[s, d]:
                color, hatch, text = "#C4C4C4", "xx", ("too big", over)
            elif found.too_slow[s, d]:
                color, hatch, text = "#F2A67C", "//", ("too slow", over)
            elif own:
                color, hatch, text = "white", None, (f"{found.accuracy[s, d]:.1f} %", over)
            else:
                points = f"{-found.loss[s, d]:+.1f} points".replace("-", "−")
                color = blues(min(1.0, max(0.0, found.loss[s, d]) / worst))
                hatch, text = None, ("same accuracy" if points[1:4] == "0.0" else points, over)
            panel.add_patch(
                Rectangle(
                    (d + 0.03, s + 0.04),
                    0.94,
                    0.92,
                    facecolor=color,
                    hatch=hatch,
                    edgecolor="black" if own else "white",
                    linewidth=2.5 if own else 0,
                )
            )
            behind = {"facecolor": color, "edgecolor": "none", "pad": 1.5} if hatch else None
            panel.text(
                d + 0.5,
                s + 0.38,
                text[0],
                ha="center",
                va="center",
                fontsize=12,
                bbox=behind,
                fontweight="bold" if own or hatch else "normal",
            )
            panel.text(
                d + 0.5, s + 0.72, text[1], ha="center", va="center", fontsize=8.5, bbox=behind
            )
        panel.text(
            columns + 0.08,
            s + 0.5,
            found.verdict(s).replace(", ", ",\n"),
            va="center",
            fontsize=9.5,
        )
    names = [
        "one network\nfor all" if c.owner == ALL else f"subnet of\n{c.owner}" for c in found.choices
    ]
    panel.set_yticks(np.arange(rows) + 0.5, names, fontsize=10)
    heads = [
        f"{how.replace(', ', ',' + chr(10))}\n{target.name}\n≤ {target.budget_ms:.3g} ms"
        for target, how in zip(found.targets, found.latency_is)
    ]
    panel.set_xticks(np.arange(columns) + 0.5, heads, fontsize=10)
    panel.xaxis.tick_top()
    panel.tick_params(length=0)
    panel.set(xlim=(0, columns + 1.55), ylim=(rows, 0))
    panel.spines[:].set_visible(False)
    panel.text(
        columns + 0.08, -0.12, "as one network\nfor all devices", fontsize=9.5, fontweight="bold"
    )
    title = (
        "Here one network is as good for all devices as their own"
        if any(map(found.serves_all, range(rows)))
        else "One network for all devices is too slow somewhere, or worse somewhere"
    )
    figure.suptitle(title, fontsize=13, fontweight="bold")
    figure.supxlabel(
        "Rows: subnets of one supernet. Columns: the devices that they are put on, each with a"
        f" budget. Framed: the device's own subnet.\nAccuracy: {found.accuracy_is}; points are"
        " those above or below the device's own subnet.",
        fontsize=9,
    )
    return figure


def latency_predictors(rows: Sequence[dict]) -> Figure:
    """Mean error and rank correlation of ways to predict latency, over the number of subnets that
    were measured.

    `rows` are fields of `labkit.latency.measured.regression.Comparison`.
    """
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    error, rank = figure.subplots(1, 2)
    for method, color, marker in (
        ("MACs only", RED, "s"),
        ("regression", BLUE, "o"),
        ("table", GREEN, "D"),
    ):
        own = [row for row in rows if row["method"] == method]
        samples = [row["samples"] for row in own]
        for panel, values, form in (
            (error, [100 * row["mean_error"] for row in own], "{:.1f} %"),
            (rank, [row["spearman"] for row in own], "{:.3f}"),
        ):
            panel.plot(samples, values, color=color, marker=marker, label=method)
            for x, y in zip(samples, values):
                panel.annotate(
                    form.format(y),
                    (x, y),
                    (0, 7),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8,
                    color=color,
                )
    for panel, title in (
        (error, "mean error, %: lower is better"),
        (rank, "Spearman's rank correlation: 1 is best"),
    ):
        counts = sorted({row["samples"] for row in rows})
        panel.set(xscale="log", xlabel="whole subnets measured", title=title)
        panel.set_xticks(counts, counts, minor=False)
        panel.xaxis.set_minor_formatter("")
        panel.margins(0.12, 0.15)
        panel.grid(alpha=0.25)
    error.set_ylim(bottom=0)
    rank.set_ylim(top=1.003)
    figure.legend(
        *error.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=9
    )
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a picture in one step; the format follows the file's ending, PNG if it has none."""
    kind = (
        Path(path).suffix[1:] or "png"
    )  # said, because the temporary name of one without an ending has another
    write_atomic(path, lambda temporary: figure.savefig(temporary, dpi=120, format=kind))


def log_axis(panel: Axes, low: float, high: float) -> None:
    """A logarithmic horizontal axis with readable numbers on it."""
    panel.set_xscale("log")
    panel.set_xticks(nice_ticks(low, high))
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_formatter("")
    panel.grid(alpha=0.25)


def nice_ticks(low: float, high: float) -> np.ndarray:
    """Round numbers between `low` and `high` for a logarithmic axis, at least four where the span
    allows.
    """
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)):
        ticks = (10.0 ** decades[:, None] * np.array(steps)).ravel()
        ticks = ticks[(ticks >= low * 0.95) & (ticks <= high * 1.05)]
        if len(ticks) >= 4:
            break
    return ticks
