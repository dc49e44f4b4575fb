"""Exercises of 01_supernet: elastic kernel, elastic width, counting, BN recalibration."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

from labkit.lab.exercise import Exercise, Wrong
from labkit.lab.judging import array, close, parts, whole

# ---- 1.1 a small kernel from a large one -----------------------------------------------------------


def kernel_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    large, small = ((7, 5), (5, 3), (7, 3))[seed % 3]
    return {"weight": rng.normal(size=(4, 1, large, large)).astype(np.float32),
            "transform": rng.normal(size=(small ** 2, small ** 2)).astype(np.float32), "size": small}


def kernel_run(function: Callable, inputs: dict) -> object:
    return function(torch.tensor(inputs["weight"]), torch.tensor(inputs["transform"]), inputs["size"])


def kernel_asked(inputs: dict) -> np.ndarray:
    """The small kernel, tap by tap."""
    weight, transform, size = inputs["weight"], inputs["transform"], inputs["size"]
    edge = (weight.shape[-1] - size) // 2
    asked = np.zeros((len(weight), 1, size, size))
    for channel, row, column in itertools.product(range(len(weight)), range(size), range(size)):
        for i, j in itertools.product(range(size), range(size)):  # tap (row, column) from every tap of the centre
            asked[channel, 0, row, column] += (transform[row * size + column, i * size + j]
                                               * weight[channel, 0, edge + i, edge + j])
    return asked


def kernel_judge(inputs: dict, returned: object) -> None:
    weight, transform, size = inputs["weight"], inputs["transform"], inputs["size"]
    edge = (weight.shape[-1] - size) // 2
    expected = kernel_asked(inputs)
    result = array(returned, expected.shape, "the small kernel")
    centre = weight[:, :, edge:edge + size, edge:edge + size]
    if np.allclose(result, centre, atol=1e-5):
        raise Wrong("the small kernel is the plain centre of the large one; the transform has not been applied")
    if np.allclose(result, (transform.T @ centre.reshape(len(weight), -1).T).T.reshape(expected.shape), atol=1e-4):
        raise Wrong("the transform acts from the wrong side: row t of it makes tap t of the small kernel")
    close(result, expected, "the small kernel", atol=1e-4,
          hint=f"Taps {edge} to {edge + size - 1} of each side are the centre; flatten it row by row")


# ---- 1.2 the most important channels first ---------------------------------------------------------


def sort_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    middle, inside, out, kernel = 12 + seed % 3, 5, 6, 3
    scale = np.exp(rng.normal(size=middle))
    return {"expand": rng.normal(size=(middle, inside)).astype(np.float32),
            "depthwise": (scale[:, None, None] * rng.normal(size=(middle, kernel, kernel))).astype(np.float32),
            "project": (rng.permutation(scale) * rng.normal(size=(out, middle))).astype(np.float32)}


def sort_run(function: Callable, inputs: dict) -> object:
    return function(*(torch.tensor(inputs[name]) for name in ("expand", "depthwise", "project")))


def sort_judge(inputs: dict, returned: object) -> None:
    names = ("expand", "depthwise", "project")
    new = {name: array(value, inputs[name].shape, name)
           for name, value in zip(names, parts(returned, 3, "what sort_channels returns"))}
    before, after = _channels(inputs), _channels(new)
    for name in names:  # each tensor on its own first: a clearer message than about whole channels
        columns = inputs[name].T if name == "project" else inputs[name]
        moved = new[name].T if name == "project" else new[name]
        if not _same_rows(columns.reshape(len(columns), -1), moved.reshape(len(moved), -1)):
            raise Wrong(f"{name} no longer holds the same channels: only their order may change, along axis "
                        f"{1 if name == 'project' else 0}")
    if not _same_rows(before, after):
        raise Wrong("the block computes another function now: row m of expand, kernel m of depthwise and column m of "
                    "project belong to one channel and must move together")
    importance = np.abs(new["project"]).sum(0)
    rises = np.flatnonzero(np.diff(importance) > 1e-5 * importance.max())
    if len(rises):
        m = int(rises[0])
        raise Wrong(f"channel {m + 1} (importance {importance[m + 1]:.3g}) comes after channel {m} "
                    f"({importance[m]:.3g}); the most important comes first, by the sum of |project| over its outputs")


def _channels(weights: dict) -> np.ndarray:
    """(M, values) all that belongs to each middle channel."""
    middle = len(weights["expand"])
    return np.concatenate([weights["expand"], weights["depthwise"].reshape(middle, -1), weights["project"].T], 1)


def _same_rows(a: np.ndarray, b: np.ndarray) -> bool:
    return np.allclose(a[np.lexsort(a.T)], b[np.lexsort(b.T)], atol=1e-6)


# ---- 1.3 how many subnets --------------------------------------------------------------------------

OFA = {"resolutions": 25, "stages": [[[2, 3, 4], 3, 3]] * 5}  # more than 2**63: exact integers only


def count_inputs(seed: int) -> dict:
    if seed % 3 == 2:
        return OFA
    rng = np.random.default_rng(seed)
    stages = [[sorted(rng.choice(4, size=int(rng.integers(1, 4)), replace=False) + 1), int(rng.integers(1, 4)),
               int(rng.integers(1, 4))] for _ in range(3)]
    return {"resolutions": int(rng.integers(2, 6)),
            "stages": [[[int(d) for d in depths], kernels, expands] for depths, kernels, expands in stages]}


def count_run(function: Callable, inputs: dict) -> object:
    return function(inputs["resolutions"], [(tuple(d), k, e) for d, k, e in inputs["stages"]])


def count_judge(inputs: dict, returned: object) -> None:
    expected = inputs["resolutions"]
    for depths, kernels, expands in inputs["stages"]:
        blocks = list(itertools.product(range(kernels), range(expands)))
        expected *= sum(1 for depth in depths for _ in itertools.product(blocks, repeat=depth))
    result = whole(returned, "the number of subnets")
    if result != expected:
        more = "more" if result > expected else "fewer"
        raise Wrong(f"{more} subnets than there are in a space of {inputs['resolutions']} resolutions and stages "
                    f"{inputs['stages']}: got {result}. Each block of a stage has its own kernel and expand ratio; "
                    "stages are chosen one independently of another")


# ---- 1.4 statistics of one batch norm --------------------------------------------------------------


def stats_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    batches = [rng.normal(loc=rng.normal(size=(1, 3, 1, 1)), scale=1 + i, size=(n, 3, 2, 3)).astype(np.float32)
               for i, n in enumerate((4, 3, 2))]
    return {"batches": batches}


def stats_run(function: Callable, inputs: dict) -> object:
    return function([torch.tensor(batch) for batch in inputs["batches"]])


def stats_asked(inputs: dict) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, unbiased and biased variance of each channel, averaged over the batches."""
    by_channel = [[batch[:, c].ravel().astype(float) for c in range(3)] for batch in inputs["batches"]]
    mean = np.mean([[np.mean(values) for values in batch] for batch in by_channel], axis=0)
    squares = [[np.sum((values - values.mean()) ** 2) for values in batch] for batch in by_channel]
    unbiased = np.mean([[s / (len(v) - 1) for s, v in zip(*pair)] for pair in zip(squares, by_channel)], axis=0)
    biased = np.mean([[s / len(v) for s, v in zip(*pair)] for pair in zip(squares, by_channel)], axis=0)
    return mean, unbiased, biased


def stats_judge(inputs: dict, returned: object) -> None:
    mean, unbiased, biased = stats_asked(inputs)
    got_mean, got_variance = parts(returned, 2, "what batch_norm_stats returns")
    close(got_mean, mean, "the mean", hint="Average the means of the batches, each batch with the same weight")
    got_variance = array(got_variance, (3,), "the variance")
    if np.allclose(got_variance, biased, rtol=1e-4) and not np.allclose(biased, unbiased, rtol=1e-4):
        raise Wrong("the variance is the biased one: divide by the number of values less one, as torch does")
    close(got_variance, unbiased, "the variance",
          hint="It is the average of the batches' variances, each around its own batch's mean")


# ---- 1.5 recalibrate a whole model -----------------------------------------------------------------


def model_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)

    def draw(*shape: int) -> np.ndarray:
        return rng.normal(size=shape).astype(np.float32)

    return {"conv1": draw(4, 1, 3, 3), "scale1": draw(4), "offset1": draw(4), "conv2": draw(5, 4, 1, 1),
            "scale2": draw(5), "offset2": draw(5), "junk": draw(9),
            "batches": [draw(n, 1, 6, 6) * (1 + i) + i for i, n in enumerate((6, 5, 4))]}


def _model(inputs: dict) -> nn.Sequential:
    # Nested, so that only an answer that looks into modules of modules finds the batch norms.
    model = nn.Sequential(nn.Sequential(nn.Conv2d(1, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU()),
                          nn.Sequential(nn.Conv2d(4, 5, 1, bias=False), nn.BatchNorm2d(5)))
    names = ("conv1", "scale1", "offset1", "conv2", "scale2", "offset2")
    with torch.no_grad():
        for parameter, name in zip(model.parameters(), names):
            parameter.copy_(torch.tensor(inputs[name]))
        for norm, junk in zip(_norms(model), (inputs["junk"][:4], inputs["junk"][4:])):
            norm.running_mean.copy_(torch.tensor(junk))
            norm.running_var.copy_(torch.tensor(junk).exp())
            norm.num_batches_tracked.fill_(17)
    return model.eval()


def _norms(model: nn.Sequential) -> list[nn.BatchNorm2d]:
    return [model[0][1], model[1][1]]


def model_run(function: Callable, inputs: dict) -> object:
    model = _model(inputs)
    function(model, [torch.tensor(batch) for batch in inputs["batches"]])
    return {"norms": [[norm.running_mean, norm.running_var] for norm in _norms(model)],
            "parameters": list(model.parameters()), "training": any(m.training for m in model.modules())}


def model_judge(inputs: dict, returned: object) -> None:
    if not isinstance(returned, dict) or set(returned) != {"norms", "parameters", "training"}:
        raise Wrong("the model could not be read after the call")
    names = ("conv1", "scale1", "offset1", "conv2", "scale2", "offset2")
    for name, now in zip(names, parts(returned["parameters"], 6)):
        close(now, inputs[name], f"the weight {name}", rtol=0, atol=0, hint="No weight may change")
    seen: list[list[tuple[np.ndarray, np.ndarray]]] = [[], []]
    for batch in inputs["batches"]:
        x = np.stack([_correlate(image[0], inputs["conv1"][:, 0]) for image in batch.astype(float)])  # (N, 4, 4, 4)
        x = _normalised(x, inputs["scale1"], inputs["offset1"], seen[0])
        x = np.einsum("oc,nchw->nohw", inputs["conv2"][:, :, 0, 0].astype(float), np.maximum(x, 0))
        _normalised(x, inputs["scale2"], inputs["offset2"], seen[1])
    for i, (got, batches) in enumerate(zip(parts(returned["norms"], 2), seen)):
        where = f"of the model's {('first', 'second')[i]} batch norm, averaged over {len(batches)} batches,"
        mean, variance = parts(got, 2)
        close(mean, np.mean([m for m, _ in batches], axis=0), f"the running mean {where}", rtol=1e-3, atol=1e-4,
              hint="Forget the old statistics first, let the model see each batch once in training mode, and give "
                   "every batch the same weight (`momentum=None`)")
        close(variance, np.mean([v for _, v in batches], axis=0), f"the running variance {where}", rtol=1e-3, atol=1e-4)
    if returned["training"]:
        raise Wrong("the statistics are right, but the model is left in training mode; end with model.eval()")


def _correlate(image: np.ndarray, kernels: np.ndarray) -> np.ndarray:
    windows = np.lib.stride_tricks.sliding_window_view(image, (3, 3))
    return np.einsum("hwij,cij->chw", windows, kernels.astype(float))


def _normalised(x: np.ndarray, scale: np.ndarray, offset: np.ndarray, seen: list) -> np.ndarray:
    """Normalise (N, C, H, W) by the batch and note its mean and unbiased variance."""
    axes, count = (0, 2, 3), x.size // x.shape[1]
    mean, variance = x.mean(axes), x.var(axes)
    seen.append((mean, variance * count / (count - 1)))
    centred = (x - mean[:, None, None]) / np.sqrt(variance + 1e-5)[:, None, None]
    return centred * scale[:, None, None] + offset[:, None, None]


EXERCISES = (
    Exercise("1.1", 4, "small_kernel", kernel_inputs, kernel_run, kernel_judge,
             ("labkit.elastic.ElasticDepthwise.active",)),
    Exercise("1.2", 4, "sort_channels", sort_inputs, sort_run, sort_judge,
             ("labkit.train.shrinking.channel_orders", "labkit.train.shrinking.sort_channels")),
    Exercise("1.3", 3, "count_subnets", count_inputs, count_run, count_judge,
             tuple(f"labkit.space.SearchSpace.{name}" for name in (
                 "size", "enumerate", "stage_configs", "valid_codes", "_stages_enumerated"))),
    Exercise("1.4", 3, "batch_norm_stats", stats_inputs, stats_run, stats_judge,
             ("labkit.elastic.Recorder.normalise", "labkit.evaluate.recalibrate")),
    Exercise("1.5", 4, "recalibrate_model", model_inputs, model_run, model_judge),
)
