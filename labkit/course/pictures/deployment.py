"""Pictures of notebook 5: one supernet's subnets for several devices, ranges of weights, memory
over a schedule.

As in `labkit.course.pictures.plots`, each function returns a figure and shows nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from labkit.course.pictures.ideas import draw_arch
from labkit.course.pictures.memory_schedule import Step
from labkit.course.pictures.plots import BLUE, GRAY, ORANGE, RED, SKY
from labkit.space import SearchSpace
from labkit.specialize.fleet import ALL, Choice, Target


def chosen_subnets(
    space: SearchSpace, targets: Sequence[Target], choices: Sequence[Choice]
) -> Figure:
    """One row for each device: its budget, and its subnet lit up in the outline of the supernet."""
    own = {choice.owner: choice for choice in choices if choice.owner != ALL}
    widest = max(max(stage.expands) for stage in space.stages)
    height = np.full(len(targets), widest + 0.4)
    height[-1] += 1.0  # below the last row stand the names of the stages
    figure = Figure(figsize=(8.2, 0.23 * height.sum() + 0.27 * len(targets)), layout="constrained")
    panels = np.atleast_1d(figure.subplots(len(targets), height_ratios=height))
    for panel, target in zip(panels, targets):
        choice, device = own[target.name], target.costs.device
        draw_arch(panel, space, choice.arch)
        panel.set_ylabel("")
        if panel is not panels[-1]:
            for text in panel.texts:
                text.set_visible(not text.get_text().startswith("stage"))
            panel.set_ylim(-widest / 2 - 0.2, widest / 2 + 0.2)
        panel.set_title(
            f"{device.title.partition(' (')[0]}: at most {target.budget_ms:g} ms ({device.label}); "
            f"{choice.arch.resolution} px, predicted {choice.predicted_accuracy:.1f} %",
            fontsize=9.5,
            loc="left",
        )
    return figure


def levels_of_channels(layers: Mapping[str, np.ndarray], bits: int) -> Figure:
    """How many steps of one scale for the whole layer each channel's range spans, widest channel
    first.

    `layers` are the largest absolute weights of each output channel.
    """
    figure = Figure(figsize=(4.2 * len(layers), 3.2), layout="constrained")
    largest = 2 ** (bits - 1) - 1
    for panel, (name, ranges) in zip(
        np.atleast_1d(figure.subplots(1, len(layers))), layers.items()
    ):
        steps = np.sort(ranges)[::-1] / ranges.max() * largest
        panel.bar(
            np.arange(len(steps)), steps, width=1.0, color=BLUE, label="one scale for the layer"
        )
        panel.axhline(largest, color=ORANGE, linewidth=2, label="a scale for each channel")
        panel.axhline(0.5, color=RED, linestyle="--", label="below: all weights become 0")
        panel.set(
            title=name,
            xlabel="output channel, sorted",
            ylabel=f"steps of the scale ({bits} bits)",
            ylim=(0, 1.35 * largest),
        )
        panel.legend(fontsize=8, loc="upper right")
    return figure


def memory_over_schedule(
    networks: Mapping[str, Sequence[Step]],
    bytes_per_value: int,
    limit_bytes: float,
    limit_name: str,
) -> Figure:
    """For each network, what is in memory while each operator runs, in KiB, and a limit."""
    figure = Figure(figsize=(8.2, 2.6 * len(networks)), layout="constrained")
    highest = (
        max(max(step.total for step in steps) for steps in networks.values())
        * bytes_per_value
        / 1024
    )
    panels = np.atleast_1d(figure.subplots(len(networks), sharey=True))
    for panel, (name, steps) in zip(panels, networks.items()):
        floor = np.zeros(len(steps))
        for part, color, hatch, label in (
            ("reads", BLUE, None, "read"),
            ("writes", SKY, None, "written"),
            ("kept", ORANGE, "///", "kept for the shortcut"),
        ):
            kib = np.array([getattr(step, part) for step in steps]) * bytes_per_value / 1024
            panel.bar(
                np.arange(len(steps)),
                kib,
                bottom=floor,
                width=0.9,
                color=color,
                hatch=hatch,
                edgecolor="white",
                linewidth=0,
                label=label,
            )
            floor += kib
        panel.axhline(limit_bytes / 1024, color=RED, linestyle="--", label=limit_name)
        starts = [i for i, step in enumerate(steps) if not i or step.place != steps[i - 1].place]
        for start in starts[1:]:
            panel.axvline(start - 0.5, color=GRAY, linewidth=0.5)
        panel.set_xticks(
            range(len(steps)), [step.operator for step in steps], rotation=90, fontsize=7
        )
        panel.set(
            ylabel="in memory, KiB",
            ylim=(0, 1.3 * max(highest, limit_bytes / 1024)),
            xlim=(-0.6, len(steps) - 0.4),
        )
        panel.set_title(name, fontsize=10, loc="left")
    panels[0].legend(fontsize=8, ncols=4, loc="upper right")
    panels[-1].set_xlabel("operator, in order of time")
    return figure
