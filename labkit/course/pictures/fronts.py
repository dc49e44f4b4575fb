"""Pictures of searches: exact fronts, the subnets that searches find, and how quickly they do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from labkit.course.pictures.charts import LINE_STYLES
from labkit.course.pictures.style import (
    BLUE,
    GRAY,
    GREEN,
    ORANGE,
    RED,
    log_axis,
    mark_limit,
    one_panel,
)
from labkit.latency.devices import Device
from labkit.search import Front, SearchResult
from labkit.search import front as exact_front
from labkit.specialize.deployment_matrix import DeploymentMatrix
from labkit.specialize.device_costs import DeviceCosts
from labkit.specialize.targets import milliseconds
from labkit.tables.separable import Separable


def device_fronts(
    costs: Sequence[DeviceCosts], fronts: Sequence[Front], rows: Sequence[dict]
) -> Figure:
    """One panel for each device: its exact front, budgets as vertical lines, subnets as measured.

    `rows` are dicts with device, budget_ms, latency_ms, val_accuracy and its standard error
    val_error.
    """
    columns = min(2, len(costs))
    num_rows = -(-len(costs) // columns)
    figure = Figure(figsize=(5.2 * columns, 3.6 * num_rows), layout="constrained")
    panels = figure.subplots(num_rows, columns, squeeze=False, sharey=True)
    for panel, device_costs, front in zip(panels.flat, costs, fronts):
        device = device_costs.device
        device_rows = [row for row in rows if row["device"] == device.name]
        # Beyond the end of the front, more latency gains nothing.
        right = max([front.cost[-1], *(row["budget_ms"] for row in device_rows)])
        best = [*front.accuracy, front.accuracy[-1]]
        panel.plot([*front.cost, right], best, color=BLUE, label="best possible (predicted)")
        for i, row in enumerate(device_rows):
            label = None if i else "latency limit"
            panel.axvline(row["budget_ms"], color=GRAY, linestyle=":", linewidth=1, label=label)
        panel.errorbar(
            [row["latency_ms"] for row in device_rows],
            [row["val_accuracy"] for row in device_rows],
            [row["val_error"] for row in device_rows],
            color=RED,
            fmt="o",
            capsize=3,
            zorder=3,
            label="chosen subnet, measured on other images (± one standard error)",
        )
        log_axis(panel, front.cost[0], right)
        panel.set_title(device.title.partition(" (")[0], fontsize=11)
        panel.set_xlabel(f"latency, ms ({device.label})")
    for panel in panels.flat[len(costs) :]:
        panel.set_visible(False)
    for panel in panels[:, 0]:
        panel.set_ylabel("top-1 accuracy, %")
    # Below the panels: inside, it would cover lines.
    entries = panels.flat[0].get_legend_handles_labels()
    figure.legend(*entries, loc="outside lower center", ncols=3, fontsize=9)
    return figure


def fronts_of_matrix(matrix: DeploymentMatrix, predict: Separable) -> Figure:
    """The exact front of each device of `matrix`, its budget, and its subnet as it was measured.

    `predict` says accuracies for the images on which the matrix has them.
    """
    rows = [
        {
            "device": target.name,
            "budget_ms": target.budget_ms,
            "latency_ms": matrix.latency_ms[s, d],
            "val_accuracy": matrix.accuracy[s, d],
            "val_error": matrix.accuracy_error[s, d],
        }
        for s in range(len(matrix.choices))
        for d, target in enumerate(matrix.targets)
        if matrix.is_owner(s, d) and matrix.accuracy_error is not None  # measured
    ]
    costs = [target.costs for target in matrix.targets]
    fronts = [exact_front(matrix.space, predict, each.latency_ms, each.budgets()) for each in costs]
    return device_fronts(costs, fronts, rows)


def front_and_searches(
    costs: DeviceCosts, front: Front, results: Mapping[str, Sequence[SearchResult]]
) -> Figure:
    """One device's exact front, and the subnets that each search method found at some budgets."""
    figure, panel = one_panel(7, 4.2)
    panel.plot(front.cost, front.accuracy, color=BLUE, label="exact front")
    for (method, subnets), color, marker in zip(results.items(), (RED, ORANGE, GREEN), "osD"):
        latency = [float(costs.latency_ms(subnet.genes[None])[0]) for subnet in subnets]
        accuracy = [subnet.accuracy for subnet in subnets]
        label = f"{method} search"
        panel.scatter(latency, accuracy, color=color, marker=marker, zorder=3, label=label)
    log_axis(panel, front.cost[0], front.cost[-1])
    panel.set(
        title=f"{costs.space.name} on {costs.device.title}",
        ylabel="predicted top-1 accuracy, %",
        xlabel=f"latency, ms ({costs.device.label})",
    )
    panel.legend(loc="lower right")
    return figure


def front_and_cloud(
    front: Front,
    cloud: tuple[np.ndarray, np.ndarray],
    budgets: Mapping[str, float],
    evolved: Sequence[tuple[float, float]],
    latency_label: str,
    on_cloud_front: np.ndarray,
) -> Figure:
    """The exact front above a cloud of random subnets, budgets as lines, evolved subnets as dots.

    Subnets are (latency, accuracy): two arrays of the `cloud`, a pair for each one evolved.
    `on_cloud_front` says which subnets of the cloud are on the front of the cloud, drawn as steps.
    """
    figure, panel = one_panel(6.8, 4.2)
    panel.scatter(*cloud, s=4, color=GRAY, alpha=0.35, label="random subnets", rasterized=True)
    latency, accuracy = (np.sort(values[on_cloud_front]) for values in cloud)
    label = "front of the random subnets"
    panel.step(latency, accuracy, where="post", color=ORANGE, linewidth=1.2, label=label)
    panel.plot(front.cost, front.accuracy, color=BLUE, label="exact front")
    for name, limit in budgets.items():
        mark_limit(panel, limit, name)
    if evolved:
        panel.scatter(*zip(*evolved), color=RED, zorder=3, label="found by evolution")
    log_axis(panel, min(front.cost[0], cloud[0].min()), max(front.cost[-1], cloud[0].max()))
    panel.set(xlabel=latency_label, ylabel="predicted top-1 accuracy, %")
    panel.legend(loc="lower right", fontsize=9)
    return figure


def searches_on_front(
    front: Front,
    subnets: Mapping[str, tuple[float, float]],
    limit: float,
    history: Sequence[dict],
    device: Device,
) -> Figure:
    """Two panels: the exact front with the subnets of several searches, and a gradient search.

    `subnets` are the (latency, accuracy) that each search ended with under `limit`; `history` has
    expected cost and price of latency at each step of the gradient search. Latency is that of
    `device`.
    """
    figure = Figure(figsize=(9.6, 3.8), layout="constrained")
    panel, steps_panel = figure.subplots(1, 2, width_ratios=(1.35, 1))
    panel.plot(front.cost, front.accuracy, color=GRAY, label="exact front")
    mark_limit(panel, limit, f"limit {milliseconds(limit, device.label)} ms")
    styles = ((GREEN, "*", 15), (BLUE, "o", 7), (RED, "s", 7))
    for (name, (latency, accuracy)), (color, marker, size) in zip(subnets.items(), styles):
        panel.plot(
            latency,
            accuracy,
            color=color,
            marker=marker,
            markersize=size,
            linestyle="none",
            label=f"{name}: {accuracy:.2f} %",
            zorder=3 if marker == "*" else 4,
        )
    log_axis(panel, front.cost[0], front.cost[-1])
    name = device.title.partition(" (")[0]
    panel.set(xlabel=f"latency, ms ({name}, {device.label})", ylabel="predicted accuracy, %")
    panel.legend(loc="lower right", fontsize=9)
    expected, prices = ([entry[key] for entry in history] for key in ("cost", "price"))
    steps_panel.plot(expected, color=RED, label="expected latency")
    steps_panel.plot([], color=ORANGE, linestyle="--", label="price")  # for the legend
    steps_panel.axhline(limit, color=GRAY, linestyle=":", linewidth=1.2, label="limit")
    steps_panel.set(
        xlabel="step of gradient search", ylabel=f"expected latency, ms ({device.label})"
    )
    steps_panel.grid(alpha=0.25)
    steps_panel.legend(loc="upper center", fontsize=8, ncols=3, handlelength=1.4, columnspacing=1.2)
    steps_panel.set_ylim(top=1.12 * max(expected))  # room for the legend
    price_axis = steps_panel.twinx()
    price_axis.plot(prices, color=ORANGE, linestyle="--")
    price_axis.set_ylabel("price of latency")
    price_axis.set_ylim(0, 1.6 * max(*prices, 1e-3))
    return figure


def search_histories(
    runs: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]], optimum: float
) -> Figure:
    """The best accuracy so far of several runs of each method, and the exact optimum.

    A run is (subnets looked at, best accuracy so far): two arrays of one length.
    """
    figure, panel = one_panel(6.6, 3.8)
    panel.axhline(optimum, color=GRAY, linestyle=":", label="exact optimum")
    for (name, histories), (color, _) in zip(runs.items(), LINE_STYLES):
        for i, (subnets, history) in enumerate(histories):
            label = None if i else name
            style = {"color": color, "alpha": 0.8, "linewidth": 1.2, "where": "post"}
            panel.step(subnets, history, label=label, **style)
    looked_at = np.concatenate([subnets for histories in runs.values() for subnets, _ in histories])
    log_axis(panel, looked_at.min(), looked_at.max())
    panel.set(xlabel="subnets looked at", ylabel="best predicted accuracy, %")
    panel.legend(loc="lower right", fontsize=9)
    return figure
