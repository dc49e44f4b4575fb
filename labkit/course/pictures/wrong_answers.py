"""The picture beside a wrong answer: for each exercise where it helps, which tensors it shows.

Only `check` in a notebook draws it, for the inputs that the student sees. Graders do not, and this
module is not in the copy of labkit that answers run with, since it knows what is expected.

A function here takes the inputs and whatever the answer returned. It may fail on what it cannot
read: then nothing is drawn.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from matplotlib.figure import Figure

from labkit.course.exercises.exercise import Plain, Wrong
from labkit.course.exercises.judging import as_array, as_items
from labkit.course.exercises.trial import UNJUDGEABLE
from labkit.course.judges.budgets import accuracies_within, expected_bests
from labkit.course.judges.darts import expected_node, latency_gradient
from labkit.course.judges.deployment import expected_codes
from labkit.course.judges.predictors import expected_fit
from labkit.course.judges.shrinking import distill_gradient, expected_gradients, expected_steps
from labkit.course.judges.supernet import expected_kernel, expected_stats
from labkit.course.pictures.wrong_tensors import InputPanels, Panel, compare, draw


def picture(id: str, inputs: dict[str, Plain], returned: Plain) -> Figure | None:
    """What is wrong with this answer to exercise `id`; None where a picture would not help."""
    if id not in PANELS or returned is None:
        return None
    try:
        panels = PANELS[id](inputs, returned)
    except (*UNJUDGEABLE, Wrong):  # anything may have been returned
        return None
    return draw(panels) if panels else None


def small_kernel(inputs: dict, returned: object) -> list[Panel]:
    weight, transform, size = inputs["weight"], inputs["transform"], inputs["size"]
    side = weight.shape[-1]
    edge = (side - size) // 2

    def input_panels(at: tuple[int, ...]) -> list[Panel]:
        channel = at[0]
        return [
            Panel(
                f"weight, channel {channel}: {side}×{side}\nframed: its center",
                weight[channel, 0],
                frame=(edge, edge, size, size),
            ),
            Panel(
                f"transform {size**2}×{size**2}",
                transform,
                rows="tap of the small kernel",
                columns="tap of the center",
            ),
        ]

    return compare(
        f"your {size}×{size} kernel", returned["kernel"], expected_kernel(inputs), input_panels
    )


def sort_channels(inputs: dict, returned: object) -> list[Panel]:
    """Which channel of the input is where in the result, for each of the three tensors."""
    names = ("expand", "depthwise", "project")
    new = [
        as_array(value, inputs[name].shape)
        for name, value in zip(names, as_items(returned["sorted"], 3))
    ]
    before = [_by_channel(inputs[name], name) for name in names]
    after = [_by_channel(value, name) for value, name in zip(new, names)]
    importance = np.abs(before[2]).sum(1)
    holds = np.array(
        [[_matching_row(row, rows) for row in moved] for moved, rows in zip(after, before)]
    )
    rank = np.argsort(-importance, kind="stable")
    wrong = (holds != holds[:1]).any(0)[None] | np.isnan(holds) | (holds != rank)
    if not wrong.any():
        return []
    return [
        Panel("importance of each channel", importance[None], columns="channel 0, 1, 2, …"),
        Panel(
            f"where you put which channel\n{int(wrong.sum())} of {wrong.size} places are wrong",
            holds,
            wrong=wrong,
            rows="project  depthwise  expand",
            columns="place, the most important first",
        ),
        Panel(
            "importance, by your places",
            np.abs(_by_channel(new[2], "project")).sum(1)[None],
            columns="should fall from left to right",
        ),
    ]


def _by_channel(tensor: np.ndarray, name: str) -> np.ndarray:
    return tensor.T if name == "project" else tensor.reshape(len(tensor), -1)


def _matching_row(row: np.ndarray, rows: np.ndarray) -> float:
    distance = np.abs(rows - row).max(1)
    return float(distance.argmin()) if distance.min() < 1e-5 else np.nan


def batch_norm_stats(inputs: dict, returned: object) -> list[Panel]:
    mean, variance, _ = expected_stats(inputs)
    result = np.stack([as_array(value, mean.shape) for value in as_items(returned["stats"], 2)])
    rows = np.concatenate([batch.reshape(len(batch), -1) for batch in inputs["batches"]])
    sizes = [len(batch) for batch in inputs["batches"]]

    def input_panels(_: tuple[int, ...]) -> list[Panel]:
        return [
            Panel(
                f"batches of {', '.join(map(str, sizes))} images\nframed: the second",
                rows,
                frame=(sizes[0], 0, sizes[1], rows.shape[1]),
                rows="image",
                columns="channel " + "   |   ".join(map(str, range(len(mean)))),
            )
        ]

    return compare(
        "your statistics",
        result,
        np.stack([mean, variance]),
        input_panels,
        rows="variance      mean",
        columns="channel",
    )


def soft_loss(inputs: dict, returned: object) -> list[Panel]:
    def input_panels(_: tuple[int, ...]) -> list[Panel]:
        return [
            Panel(f"{name}'s logits", inputs[name], rows="image", columns="class")
            for name in ("student", "teacher")
        ]

    return compare(
        "your loss's gradient\nat the student's logits",
        returned["student"],
        distill_gradient(inputs),
        input_panels,
        rows="image",
        columns="class",
    )


def add_gradients(inputs: dict, returned: object) -> list[Panel]:
    expected = expected_gradients(inputs)
    for name, result, want in zip(("first", "second"), returned["gradients"], expected):

        def input_panels(_: tuple[int, ...], name: str = name) -> list[Panel]:
            return [Panel(f"weights of the {name} layer\nwidths {inputs['widths']}", inputs[name])]

        if result is not None:
            panels = compare(f"gradient of the {name} layer", result, want, input_panels)
            if panels:
                return panels
    return []


def train_step(inputs: dict, returned: object) -> list[Panel]:
    """The losses, or a layer after the step, of the first step that goes wrong."""
    for case, answer in zip(inputs["cases"], returned):
        before, widths = {name: case[name] for name in ("first", "second")}, case["widths"]
        of_widths = f"subnets of width {', '.join(map(str, widths))}"
        for number, (losses, weights) in enumerate(expected_steps(case)):
            got = np.array(as_items(answer["losses"][number], len(widths)), float)
            title = f"your losses, step {number}\n{of_widths}"
            panels = compare(title, got, losses, _always(), columns="subnet")
            for name, got, want in zip(before, answer["weights"][number], weights):
                layer = Panel(f"{name} layer before step {number}\n{of_widths}", before[name])
                title = f"{name} layer after\nyour step"
                panels = panels or compare(title, got, want, _always(layer))
                before[name] = want
            if panels:
                return panels
    return []


def one_hot(inputs: dict, returned: object) -> list[Panel]:
    kernels, expands, depths = inputs["kernels"], inputs["expands"], inputs["depths"]
    width = len(kernels) + len(expands)
    result = as_array(returned, (sum(depths) * width,)).reshape(-1, width)
    blocks = [
        block
        for depth, of_stage in zip(depths, inputs["stages"])
        for block in of_stage + [[np.nan, np.nan]] * (depth - len(of_stage))
    ]
    expected = np.array(
        [
            [float(kernel == k) for k in kernels] + [float(expand == e) for e in expands]
            for kernel, expand in blocks
        ]
    )
    return compare(
        "your vector, one block a row",
        result,
        expected,
        _always(
            Panel(
                "blocks; blank: not there",
                np.array(blocks, dtype=float),
                columns="kernel    expand ratio",
            )
        ),
        columns=f"kernels {kernels}, expand {expands}",
    )


def fit_predictor(inputs: dict, returned: object) -> list[Panel]:
    return compare(
        "your predicted\naccuracy, %",
        as_array(returned["predicted"][0], (len(inputs["others"]),))[:, None],
        expected_fit(inputs)[:, None],
        _always(Panel("subnets to predict", inputs["others"], rows="subnet", columns="feature")),
        rows="subnet",
    )


def better_space(inputs: dict, returned: object) -> list[Panel]:
    for case, answer in zip(inputs["cases"], returned):
        k, within = case["k"], accuracies_within(case)
        count = np.array([[float(len(accuracies))] for accuracies in within])
        best = _padded([accuracies[: -1 - max(k, 5) : -1] for accuracies in within])
        yours, expected = (
            np.where(np.isneginf(column), np.nan, column)[:, None]
            for column in (as_array(as_items(answer, 2)[1], (len(within),)), expected_bests(case))
        )
        panels = compare(
            f"your expected best of {k}\nblank: −∞",
            yours,
            expected,
            _always(
                Panel("subnets within\nthe limit", count, rows="space"),
                Panel("the most accurate of them, %", best, rows="space"),
            ),
            rows="space",
        )
        if panels:
            return panels
    return []


def int8_layer(inputs: dict, returned: object) -> list[Panel]:
    expected = np.clip(np.round(expected_codes(inputs)[1]), 0, 255)

    def input_panels(_: tuple[int, ...]) -> list[Panel]:
        return [
            Panel(
                f"x: {inputs['x'].shape}, zero point {inputs['x_zero']}",
                inputs["x"].astype(float),
                rows="image",
                columns="input",
            ),
            Panel(
                f"weight: {inputs['weight'].shape}",
                inputs["weight"].astype(float),
                rows="output",
                columns="input",
            ),
        ]

    return compare(
        "your codes",
        returned,
        expected,
        input_panels,
        rows="image",
        columns="output",
        tolerance=2e-3,
    )


def mixed_node(inputs: dict, returned: object) -> list[Panel]:
    def input_panels(at: tuple[int, ...]) -> list[Panel]:
        image, channel = at
        return [
            Panel("alphas", inputs["alphas"], rows="edge", columns="operation"),
            *(
                Panel(f"state {e}, image {image}, channel {channel}", state[image, channel])
                for e, state in enumerate(inputs["states"])
            ),
        ]

    return compare("your node's output", returned["output"], expected_node(inputs)[2], input_panels)


def expected_latency(inputs: dict, returned: object) -> list[Panel]:
    axes = {"rows": "block", "columns": "choice"}
    for case, answer in zip(inputs["cases"], returned):
        alphas, latencies = case["alphas"], case["latencies"]
        result = _padded(as_items(answer["answer"], 2)[1])
        expected = _padded(list(map(latency_gradient, alphas, latencies)))
        input_panels = [
            Panel("alphas", _padded(alphas), **axes),
            Panel("latencies, ms", _padded(latencies), **axes),
        ]
        panels = compare("your gradient", result, expected, _always(*input_panels), **axes)
        if panels:
            return panels
    return []


def _always(*panels: Panel) -> InputPanels:
    return lambda _: list(panels)


def _padded(rows: list) -> np.ndarray:
    """Rows of different lengths as a matrix, filled up with NaN."""
    longest = max(map(len, rows))
    padded = np.full((len(rows), longest), np.nan)
    for i, row in enumerate(rows):
        padded[i, : len(row)] = row
    return padded


PANELS: dict[str, Callable[[dict, object], list[Panel]]] = {
    "1.1": small_kernel,
    "1.2": sort_channels,
    "1.4": batch_norm_stats,
    "2.1": soft_loss,
    "2.4": add_gradients,
    "2.5": train_step,
    "4.1": one_hot,
    "4.2": fit_predictor,
    "5.3": int8_layer,
    "6.1": mixed_node,
    "6.4": expected_latency,
    "7.5": better_space,
}
