"""Exercises of 01_supernet: elastic kernel, elastic width, counting, BN recalibration."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from labkit.course.exercises.exercise import Exercise, Size, Wrong
from labkit.course.exercises.judging import (
    as_array,
    as_integer,
    as_items,
    require_close,
    require_fields,
    require_unchanged,
)
from labkit.course.exercises.witness import Note, ask

# ---- 1.1 a small kernel from a large one ---------------------------------------------------------


def kernel_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    large, small = ((7, 5), (5, 3), (7, 3))[seed % 3]
    channels = large + int(rng.integers(2, 8))  # more than a side: no two axes are of one length
    return {
        "weight": rng.normal(size=(channels, 1, large, large)).astype(np.float32),
        "transform": rng.normal(size=(small**2, small**2)).astype(np.float32),
        "size": small,
    }


def kernel_run(function: Callable, inputs: dict) -> object:
    weight, transform = torch.tensor(inputs["weight"]), torch.tensor(inputs["transform"])
    return {
        "kernel": function(weight, transform, inputs["size"]),
        "weight": weight,
        "transform": transform,
    }


def expected_kernel(inputs: dict) -> np.ndarray:
    """The small kernel, tap by tap."""
    weight, transform, size = inputs["weight"], inputs["transform"], inputs["size"]
    edge = (weight.shape[-1] - size) // 2
    kernel = np.zeros((len(weight), 1, size, size))
    for channel, row, column in itertools.product(range(len(weight)), range(size), range(size)):
        # Tap (row, column) is a weighted sum of all taps of the center.
        for i, j in itertools.product(range(size), range(size)):
            kernel[channel, 0, row, column] += (
                transform[row * size + column, i * size + j]
                * weight[channel, 0, edge + i, edge + j]
            )
    return kernel


def kernel_judge(inputs: dict, returned: object) -> None:
    weight, transform, size = inputs["weight"], inputs["transform"], inputs["size"]
    edge = (weight.shape[-1] - size) // 2
    expected = expected_kernel(inputs)
    require_fields(
        returned, {"kernel", "weight", "transform"}, "the small kernel could not be read"
    )
    result = as_array(returned["kernel"], expected.shape, "the small kernel")
    for name in ("weight", "transform"):
        require_unchanged(returned[name], inputs[name], f"`{name}`")
    center = weight[:, :, edge : edge + size, edge : edge + size]
    if np.allclose(result, center, atol=1e-5):
        raise Wrong(
            "the small kernel is the plain center of the large one; the transform has not been"
            " applied"
        )
    if np.allclose(
        result,
        (transform.T @ center.reshape(len(weight), -1).T).T.reshape(expected.shape),
        atol=1e-4,
    ):
        raise Wrong(
            "the transform acts from the wrong side: row t of it makes tap t of the small kernel"
        )
    require_close(
        result,
        expected,
        "the small kernel",
        atol=1e-4,
        hint=f"Taps {edge} to {edge + size - 1} of each side are the center; flatten it row by row",
    )


# ---- 1.2 the most important channels first -------------------------------------------------------


def sort_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    middle, in_channels, out_channels, kernel = 12 + seed % 3, 5, 6, (3, 5, 7)[seed % 3]
    scale = np.exp(rng.normal(size=middle))
    return {
        "expand": rng.normal(size=(middle, in_channels)).astype(np.float32),
        "depthwise": (
            (scale[:, None, None] * rng.normal(size=(middle, kernel, kernel))).astype(np.float32)
        ),
        "project": (rng.permutation(scale) * rng.normal(size=(out_channels, middle))).astype(
            np.float32
        ),
    }


def sort_run(function: Callable, inputs: dict) -> object:
    tensors = {name: torch.tensor(inputs[name]) for name in ("expand", "depthwise", "project")}
    return {"sorted": function(*tensors.values()), **tensors}


def sort_judge(inputs: dict, returned: object) -> None:
    names = ("expand", "depthwise", "project")
    require_fields(returned, {"sorted", *names}, "the result could not be read")
    new = {
        name: as_array(value, inputs[name].shape, name)
        for name, value in zip(names, as_items(returned["sorted"], 3, "what sort_channels returns"))
    }
    for name in names:
        require_unchanged(returned[name], inputs[name], f"`{name}`")
    before, after = _channels(inputs), _channels(new)
    for name in names:  # each tensor on its own first: a clearer message than about whole channels
        columns = inputs[name].T if name == "project" else inputs[name]
        moved = new[name].T if name == "project" else new[name]
        if not _equal_up_to_order(columns.reshape(len(columns), -1), moved.reshape(len(moved), -1)):
            raise Wrong(
                f"{name} no longer holds the same channels: only their order may change, along axis"
                f" {1 if name == 'project' else 0}"
            )
    if not _equal_up_to_order(before, after):
        raise Wrong(
            "the block computes another function now: row m of expand, kernel m of depthwise and"
            " column m of project belong to one channel and must move together"
        )
    importance = np.abs(new["project"]).sum(0)
    rises = np.flatnonzero(np.diff(importance) > 1e-5 * importance.max())
    if len(rises):
        m = int(rises[0])
        raise Wrong(
            f"channel {m + 1} (importance {importance[m + 1]:.3g}) comes after channel {m}"
            f" ({importance[m]:.3g}); the most important comes first, by the sum of |project| over"
            " its outputs"
        )


def _channels(weights: dict) -> np.ndarray:
    """(M, values): all weights of each middle channel in one row."""
    middle = len(weights["expand"])
    return np.concatenate(
        [weights["expand"], weights["depthwise"].reshape(middle, -1), weights["project"].T], 1
    )


def _equal_up_to_order(a: np.ndarray, b: np.ndarray) -> bool:
    return np.allclose(a[np.lexsort(a.T)], b[np.lexsort(b.T)], atol=1e-6)


# ---- 1.3 how many subnets ------------------------------------------------------------------------

# The paper's space has more than 2**63 subnets, which only Python's own integers count exactly.
OFA = {"resolutions": 25, "stages": [[[2, 3, 4], 3, 3]] * 5}


def count_inputs(seed: int) -> dict:
    if seed % 3 == 2:
        return OFA
    rng = np.random.default_rng(seed)
    stages = [
        [
            sorted(rng.choice(4, size=int(rng.integers(1, 4)), replace=False) + 1),
            int(rng.integers(1, 4)),
            int(rng.integers(1, 4)),
        ]
        for _ in range(3)
    ]
    stages[0][0] = [1 + seed % 2, 3 + seed % 2]  # the depth in between is not allowed
    return {
        "resolutions": int(rng.integers(2, 6)),
        "stages": [
            [[int(d) for d in depths], kernels, expands] for depths, kernels, expands in stages
        ],
    }


def count_run(function: Callable, inputs: dict) -> object:
    return function(inputs["resolutions"], [(tuple(d), k, e) for d, k, e in inputs["stages"]])


def count_judge(inputs: dict, returned: object) -> None:
    expected = inputs["resolutions"]
    for depths, kernels, expands in inputs["stages"]:
        blocks = list(itertools.product(range(kernels), range(expands)))
        expected *= sum(1 for depth in depths for _ in itertools.product(blocks, repeat=depth))
    result = as_integer(returned, "the number of subnets")
    if result != expected:
        more = "more" if result > expected else "fewer"
        raise Wrong(
            f"{more} subnets than there are in a space of {inputs['resolutions']} resolutions and"
            f" stages {inputs['stages']}: got {result}. Each block of a stage has its own kernel"
            " and expand ratio; stages are chosen one independently of another"
        )


# ---- 1.4 statistics of one batch norm ------------------------------------------------------------


def stats_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    channels, sizes = ((3, (4, 3, 2)), (4, (5, 2)), (2, (3, 1, 4, 2)))[seed % 3]
    batches = [
        rng.normal(
            loc=rng.normal(size=(1, channels, 1, 1)), scale=1 + i, size=(n, channels, 2, 3)
        ).astype(np.float32)
        for i, n in enumerate(sizes)
    ]
    return {"batches": batches}


def stats_run(function: Callable, inputs: dict) -> object:
    batches = [torch.tensor(batch) for batch in inputs["batches"]]
    return {"stats": function(batches), "batches": batches}


def expected_stats(inputs: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, unbiased and biased variance of each channel, averaged over the batches."""
    by_channel = [
        [batch[:, c].ravel().astype(float) for c in range(batch.shape[1])]
        for batch in inputs["batches"]
    ]
    mean = np.mean([[np.mean(values) for values in batch] for batch in by_channel], axis=0)
    squares = [[np.sum((values - values.mean()) ** 2) for values in batch] for batch in by_channel]
    unbiased = np.mean(
        [[s / (len(v) - 1) for s, v in zip(*pair)] for pair in zip(squares, by_channel)], axis=0
    )
    biased = np.mean(
        [[s / len(v) for s, v in zip(*pair)] for pair in zip(squares, by_channel)], axis=0
    )
    return mean, unbiased, biased


def stats_judge(inputs: dict, returned: object) -> None:
    mean, unbiased, biased = expected_stats(inputs)
    require_fields(returned, {"stats", "batches"}, "the statistics could not be read")
    got_mean, got_variance = as_items(returned["stats"], 2, "what batch_norm_stats returns")
    for i, (now, batch) in enumerate(
        zip(
            as_items(returned["batches"], len(inputs["batches"]), "`batches` after the call"),
            inputs["batches"],
        )
    ):
        require_unchanged(now, batch, f"batch {i}")
    require_close(
        got_mean,
        mean,
        "the mean",
        hint="Average the means of the batches, each batch with the same weight",
    )
    got_variance = as_array(got_variance, unbiased.shape, "the variance")
    if np.allclose(got_variance, biased, rtol=1e-4) and not np.allclose(
        biased, unbiased, rtol=1e-4
    ):
        raise Wrong(
            "the variance is the biased one: divide by the number of values less one, as torch does"
        )
    require_close(
        got_variance,
        unbiased,
        "the variance",
        hint="It is the average of the batches' variances, each around its own batch's mean",
    )


# ---- 1.5 recalibrate a whole model ---------------------------------------------------------------


def model_inputs(seed: int) -> dict:
    """A chain of convolutions, each with a batch norm; the first one is 3×3, the others are 1×1."""
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    count = int(rng.integers(2, 5))
    channels = [1, *(int(c) for c in rng.integers(4, 7, size=count))]
    layers = [
        {
            "conv": draw(out_channels, in_channels, *((1, 1) if i else (3, 3))),
            "scale": draw(out_channels),
            "offset": draw(out_channels),
            "old_mean": draw(out_channels),
            "old_variance": np.exp(draw(out_channels)),
        }
        for i, (in_channels, out_channels) in enumerate(zip(channels, channels[1:]))
    ]
    return {
        "layers": layers,
        "deeper": int(rng.integers(count)),
        "batches": [draw(n, 1, 6, 6) * (1 + i) + i for i, n in enumerate((6, 5, 4))],
    }


def _model(inputs: dict) -> tuple[nn.Sequential, list[nn.BatchNorm2d]]:
    """The model and its batch norms.

    One block is nested more deeply than the others, so an answer has to look at all modules.
    """
    blocks, norms = [], []
    for i, layer in enumerate(inputs["layers"]):
        out_channels, in_channels, side, _ = layer["conv"].shape
        conv, norm = (
            nn.Conv2d(in_channels, out_channels, side, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        with torch.no_grad():
            for tensor, name in (
                (conv.weight, "conv"),
                (norm.weight, "scale"),
                (norm.bias, "offset"),
                (norm.running_mean, "old_mean"),
                (norm.running_var, "old_variance"),
            ):
                tensor.copy_(torch.tensor(layer[name]))
            norm.num_batches_tracked.fill_(17)
        block = nn.Sequential(conv, norm, *([nn.ReLU()] if i < len(inputs["layers"]) - 1 else []))
        blocks.append(nn.Sequential(block) if i == inputs["deeper"] else block)
        norms.append(norm)
    # Its dtype is that of the images, whatever an answer has set for new tensors.
    return nn.Sequential(*blocks).float().eval(), norms


def model_run(function: Callable, inputs: dict) -> object:
    model, norms = _model(inputs)
    function(model, [torch.tensor(batch) for batch in inputs["batches"]])
    after = {
        "norms": [[norm.running_mean.clone(), norm.running_var.clone()] for norm in norms],
        "parameters": list(model.parameters()),
        "training": any(m.training for m in model.modules()),
    }
    with torch.no_grad():  # what the model does says in which mode it is
        after["outputs"] = model(_probe_scale(ask("probe")) * torch.tensor(inputs["batches"][0]))
    return after


def _probe_scale(number: float) -> float:
    return 0.5 + number


def model_judge(inputs: dict, returned: object, notes: Sequence[Note]) -> None:
    require_fields(
        returned,
        {"norms", "parameters", "training", "outputs"},
        "the model could not be read after the call",
    )
    layers = inputs["layers"]
    weights = [(i, name) for i in range(len(layers)) for name in ("conv", "scale", "offset")]
    for (i, name), now in zip(weights, as_items(returned["parameters"], len(weights))):
        require_close(
            now,
            layers[i][name],
            f"the weight {name} of layer {i}",
            rtol=0,
            atol=0,
            hint="No weight may change",
        )
    batch_stats: list[list[tuple[np.ndarray, np.ndarray]]] = [[] for _ in layers]
    for batch in inputs["batches"]:
        x = batch.astype(float)  # (N, C, H, W)
        for layer, layer_stats in zip(layers, batch_stats):
            x = _convolved(x, layer["conv"].astype(float))
            x = _normalized(x, layer["scale"], layer["offset"], layer_stats)
    norms = [as_items(got, 2) for got in as_items(returned["norms"], len(layers))]
    old = [[layer["old_mean"], layer["old_variance"]] for layer in layers]
    if all(np.array_equal(a, b) for got, was in zip(norms, old) for a, b in zip(got, was)):
        raise Wrong(
            "the running statistics of the given model are still the old ones, all of them: it is"
            " this model that has to change, not a copy of it, and it has to see the batches in"
            " training mode"
        )
    for i, ((mean, variance), batches) in enumerate(zip(norms, batch_stats)):
        where = (
            f"of batch norm {i + 1} of {len(layers)} in the model, averaged over {len(batches)}"
            " batches,"
        )
        require_close(
            mean,
            np.mean([m for m, _ in batches], axis=0),
            f"the running mean {where}",
            rtol=1e-3,
            atol=1e-4,
            hint=(
                "Forget the old statistics first, let the model see each batch once in training"
                " mode, and give every batch the same weight (`momentum=None`)"
            ),
        )
        require_close(
            variance,
            np.mean([v for _, v in batches], axis=0),
            f"the running variance {where}",
            rtol=1e-3,
            atol=1e-4,
        )
    number = next((note.number for note in notes if note.text == "probe"), None)
    if number is None:
        raise Wrong("the model could not be called after the call")
    x = _probe_scale(number) * inputs["batches"][0].astype(float)
    for layer, stats in zip(layers, batch_stats):
        x = _convolved(x, layer["conv"].astype(float))
        mean, variance = (np.mean([batch[i] for batch in stats], axis=0) for i in (0, 1))
        x = _affine(x, mean, variance, layer["scale"], layer["offset"])
    outputs = as_array(returned["outputs"], x.shape, "the model's output")
    if returned["training"] or np.abs(outputs - x).max() > 1e-3 * (1 + np.abs(x).max()):
        raise Wrong(
            "the statistics are right, but the model is left in training mode; end with"
            " model.eval()",
            points=5,
        )


def _convolved(x: np.ndarray, conv: np.ndarray) -> np.ndarray:
    """The first layer's 3×3 convolution of one channel, or a 1×1 one after a ReLU."""
    if conv.shape[-1] == 3:
        return np.stack([_correlate(image[0], conv[:, 0]) for image in x])
    return np.einsum("oc,nchw->nohw", conv[:, :, 0, 0], np.maximum(x, 0))


def _correlate(image: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3))
    return np.einsum("hwij,cij->chw", windows, kernels)


def _normalized(
    x: np.ndarray, scale: np.ndarray, offset: np.ndarray, batch_stats: list
) -> np.ndarray:
    """Normalize (N, C, H, W) by its own statistics; append mean and unbiased variance."""
    axes, count = (0, 2, 3), x.size // x.shape[1]
    mean, variance = x.mean(axes), x.var(axes)
    batch_stats.append((mean, variance * count / (count - 1)))
    return _affine(x, mean, variance, scale, offset)


def _affine(
    x: np.ndarray, mean: np.ndarray, variance: np.ndarray, scale: np.ndarray, offset: np.ndarray
) -> np.ndarray:
    """Batch norm of (N, C, H, W) with these statistics."""
    centered = (x - mean[:, None, None]) / np.sqrt(variance + 1e-5)[:, None, None]
    return centered * scale[:, None, None] + offset[:, None, None]


EXERCISES = (
    Exercise(
        "1.1",
        4,
        "small_kernel",
        kernel_inputs,
        kernel_run,
        kernel_judge,
        ("labkit.supernet.elastic.ElasticDepthwise.active",),
        sizes=(Size({"weight": 0}),),
    ),
    Exercise(
        "1.2",
        2,
        "sort_channels",
        sort_inputs,
        sort_run,
        sort_judge,
        (
            "labkit.train.progressive_shrinking.channel_orders",
            "labkit.train.progressive_shrinking.by_importance",
            "labkit.train.progressive_shrinking.sort_channels",
        ),
        sizes=(
            Size({"expand": 0, "depthwise": 0, "project": 1}, least=2),
            Size({"expand": 1}),
            Size({"project": 0}),
        ),
    ),
    Exercise(
        "1.3",
        3,
        "count_subnets",
        count_inputs,
        count_run,
        count_judge,
        (
            "labkit.space.SearchSpace.size",
            "labkit.space.SearchSpace.enumerate",
            "labkit.space.stage_codes.StageCodes.canonical_codes",
            "labkit.space.stage_codes.StageCodes.stage_configs",
            "labkit.space.stage_codes.StageCodes.valid_codes",
            "labkit.space.stage_codes.StageCodes._configurations",
        ),
        sizes=(Size({"stages": 0}),),
    ),
    Exercise(
        "1.4",
        3,
        "batch_norm_stats",
        stats_inputs,
        stats_run,
        stats_judge,
        ("labkit.supernet.batch_norm.Recorder.normalize", "labkit.supernet.evaluation.recalibrate"),
        sizes=(Size({"batches": 0}),),
    ),
    Exercise(
        "1.5",
        6,
        "recalibrate_model",
        model_inputs,
        model_run,
        model_judge,
        witnessed=True,
        sizes=(Size({"batches": 0}),),
    ),
)
