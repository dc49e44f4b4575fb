"""Pictures. Each function returns a matplotlib figure and shows nothing; colours are safe for colour-blind readers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from labkit.paths import write_atomic
from labkit.search import Front, SearchResult
from labkit.specialise import Costs

# Okabe and Ito's palette, told apart with every common kind of colour blindness.
BLUE, ORANGE, GREEN, RED, PURPLE, SKY, GREY = ("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9",
                                               "#777777")


def device_fronts(costs: Sequence[Costs], fronts: Sequence[Front], rows: Sequence[dict]) -> Figure:
    """One panel for each device: its exact front, budgets as vertical lines, chosen subnets as measured."""
    columns = min(2, len(costs))
    lines = -(-len(costs) // columns)
    figure = Figure(figsize=(5.2 * columns, 3.6 * lines), layout="constrained")
    panels = figure.subplots(lines, columns, squeeze=False, sharey=True)
    for panel, device_costs, front in zip(panels.flat, costs, fronts):
        device = device_costs.device
        own = [row for row in rows if row["device"] == device.name]
        panel.plot(front.cost, front.accuracy, color=BLUE, label="best possible (predicted)")
        for row in own:
            panel.axvline(row["budget_ms"], color=GREY, linestyle=":", linewidth=1,
                          label="budget" if row is own[0] else None)
        panel.scatter([r["latency_ms"] for r in own], [r["val_accuracy"] for r in own], color=RED, zorder=3,
                      label="chosen subnet (accuracy measured)")
        log_axis(panel, front.cost[0], front.cost[-1])
        panel.set_title(device.title.partition(" (")[0], fontsize=11)
        panel.set_xlabel(f"latency, ms ({device.label})")
    for panel in panels.flat[len(costs):]:
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
        panel.scatter(latency, [result.accuracy for result in results], color=color, marker=marker, zorder=3,
                      label=f"{method} search")
    log_axis(panel, front.cost[0], front.cost[-1])
    panel.set(title=f"{costs.space.name} on {costs.device.title}", ylabel="predicted top-1 accuracy, %",
              xlabel=f"latency, ms ({costs.device.label})")
    panel.legend(loc="lower right")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a picture in one step; the format follows the file's ending."""
    write_atomic(path, lambda temporary: figure.savefig(temporary, dpi=120))


def log_axis(panel: Axes, low: float, high: float) -> None:
    """A logarithmic horizontal axis with readable numbers on it."""
    panel.set_xscale("log")
    panel.set_xticks(nice_ticks(low, high))
    panel.xaxis.set_major_formatter("{x:g}")
    panel.xaxis.set_minor_formatter("")
    panel.grid(alpha=0.25)


def nice_ticks(low: float, high: float) -> np.ndarray:
    """Round numbers between `low` and `high` for a logarithmic axis, at least four where the span allows."""
    decades = np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8)):
        ticks = (10.0 ** decades[:, None] * np.array(steps)).ravel()
        ticks = ticks[(ticks >= low * 0.95) & (ticks <= high * 1.05)]
        if len(ticks) >= 4:
            break
    return ticks
