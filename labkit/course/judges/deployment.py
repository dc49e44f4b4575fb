"""Exercises of 05_specialized_deployment: folding, int8, memory of a schedule. The capstone is in
capstone.py, the smallest budgets in budgets.py, Thompson sampling in predictors.py.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from labkit.course.exercises.exercise import Exercise, Size, Wrong
from labkit.course.exercises.judging import (
    as_array,
    as_integer,
    as_items,
    as_number,
    require_close,
    require_fields,
)
from labkit.course.judges.budgets import budgets_inputs, budgets_judge, budgets_run
from labkit.course.judges.capstone import choose_inputs, choose_judge
from labkit.course.judges.predictors import thompson_inputs, thompson_judge, thompson_run

# ---- 5.1 a batch norm disappears in a convolution ------------------------------------------------

FOLDED_CONVOLUTIONS = {  # channels in, channels out, side, groups, whether there is a bias
    "dense, without a bias": (4, 4, 3, 1, False),
    "depthwise, with a bias": (6, 6, 5, 6, True),
    "in 3 groups, with a bias": (6, 9, 1, 3, True),
}
NORM = ("gamma", "beta", "mean", "variance")


def fold_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    cases = []
    for in_channels, out_channels, side, groups, has_bias in FOLDED_CONVOLUTIONS.values():
        tensors = {
            "weight": rng.normal(size=(out_channels, in_channels // groups, side, side)),
            "bias": rng.normal(size=out_channels) if has_bias else None,
            "gamma": rng.normal(size=out_channels),
            "beta": rng.normal(size=out_channels),
            "mean": rng.normal(size=out_channels),
            "variance": np.exp(rng.normal(-3, 1.5, size=out_channels)),
            "image": rng.normal(size=(2, in_channels, 5, 5)),
        }
        cases.append(
            {
                name: value if value is None else value.astype(np.float32)
                for name, value in tensors.items()
            }
        )
    return {"cases": cases, "eps": 1e-2}


def fold_run(function: Callable, inputs: dict) -> object:
    answers = []
    for case, (in_channels, out_channels, side, groups, has_bias) in zip(
        inputs["cases"], FOLDED_CONVOLUTIONS.values()
    ):
        conv = nn.Conv2d(
            in_channels, out_channels, side, padding=1, groups=groups, bias=has_bias
        ).eval()
        norm = nn.BatchNorm2d(out_channels, eps=inputs["eps"]).eval()
        with torch.no_grad():
            for name, tensor in _tensors(conv, norm).items():
                if tensor is not None:
                    tensor.copy_(torch.tensor(case[name]))
        folded = function(conv, norm)
        # The tensors are read from the modules again, because an answer may have replaced them.
        answers.append({"folded": folded, "eps": norm.eps, "after": _tensors(conv, norm)})
    return answers


def _tensors(conv: nn.Conv2d, norm: nn.BatchNorm2d) -> dict[str, torch.Tensor | None]:
    return {
        "weight": conv.weight,
        "bias": conv.bias,
        "gamma": norm.weight,
        "beta": norm.bias,
        "mean": norm.running_mean,
        "variance": norm.running_var,
    }


def fold_judge(inputs: dict, returned: object) -> None:
    for answer, case, (kind, (_, out_channels, _, groups, _)) in zip(
        as_items(returned, len(FOLDED_CONVOLUTIONS)), inputs["cases"], FOLDED_CONVOLUTIONS.items()
    ):
        require_fields(answer, {"folded", "eps", "after"})
        weight, bias = as_items(answer["folded"], 2, "what fold returns")
        weight = as_array(
            weight, case["weight"].shape, f"the folded weight of a convolution ({kind})"
        )
        bias = as_array(bias, (out_channels,), f"the folded bias of a convolution ({kind})")
        require_fields(answer["after"], {"weight", "bias", *NORM})
        if answer["eps"] != inputs["eps"] or not all(
            np.array_equal(now, case[name]) for name, now in answer["after"].items()
        ):
            raise Wrong("conv or norm was changed; return new tensors and leave both as they are")
        _name_folding_mistake(kind, case, inputs["eps"], weight, bias)
        image = torch.tensor(case["image"], dtype=torch.float64)
        tensors = {
            name: None if case[name] is None else torch.tensor(case[name], dtype=torch.float64)
            for name in ("weight", "bias", *NORM)
        }
        reference = functional.conv2d(
            image, tensors["weight"], tensors["bias"], padding=1, groups=groups
        )
        reference = functional.batch_norm(
            reference,
            tensors["mean"],
            tensors["variance"],
            tensors["gamma"],
            tensors["beta"],
            eps=inputs["eps"],
        )
        folded = functional.conv2d(
            image, torch.tensor(weight), torch.tensor(bias), padding=1, groups=groups
        )
        require_close(
            folded.numpy(),
            reference.numpy(),
            f"what the folded convolution ({kind}) computes",
            rtol=1e-4,
            atol=1e-4,
            hint=(
                "It should be what convolution and batch norm compute one after the other, for"
                " every image"
            ),
        )


def _name_folding_mistake(
    kind: str, case: dict, eps: float, weight: np.ndarray, bias: np.ndarray
) -> None:
    weights_before = case["weight"].astype(float)
    gamma, beta, mean, variance = (case[n].astype(float) for n in NORM)
    factor = gamma / np.sqrt(variance + eps)

    def matches(got: np.ndarray, value: np.ndarray) -> bool:
        return got.shape == value.shape and np.allclose(got, value, rtol=1e-4, atol=1e-5)

    def scaled(by: np.ndarray) -> np.ndarray:
        return weights_before * by[:, None, None, None]

    slips = {
        "the weight is divided by the variance; batch norm divides by its square root": matches(
            weight, scaled(gamma / (variance + eps))
        ),
        "norm.eps is missing under the square root": matches(
            weight, scaled(gamma / np.sqrt(variance))
        ),
        "norm.eps is added after the square root; it belongs under it": matches(
            weight, scaled(gamma / (np.sqrt(variance) + eps))
        ),
        "norm.weight (gamma) is missing": matches(weight, scaled(1 / np.sqrt(variance + eps))),
        (
            "the input channels are scaled; batch norm acts on the output channels, axis 0 of"
            " the weight"
        ): (
            weights_before.shape[1] == len(factor)
            and matches(weight, weights_before * factor[:, None, None])
            and not matches(weight, scaled(factor))
        ),
    }
    if matches(weight, scaled(factor)):
        conv_bias = 0.0 if case["bias"] is None else case["bias"].astype(float)
        slips |= {
            "the weight is right, but the convolution's own bias is missing from the new bias": (
                case["bias"] is not None and matches(bias, beta - mean * factor)
            ),
            (
                "the weight is right, but the convolution's own bias also goes through the"
                " batch norm: it is scaled like the weight"
            ): (case["bias"] is not None and matches(bias, conv_bias + beta - mean * factor)),
            (
                "the weight is right, but the mean is scaled as well: what is subtracted from"
                " the bias is mean times the factor of the weight"
            ): matches(bias, conv_bias * factor + beta - mean),
        }
    for slip, applies in slips.items():
        if applies:
            raise Wrong(f"convolution {kind}: {slip}")


# ---- 5.2 real numbers as bytes -------------------------------------------------------------------


def quantize_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    ranges = [
        (-float(rng.uniform(0.5, 1.5)), float(rng.uniform(2, 4))),
        (float(rng.uniform(0.3, 0.6)), 2.5),
        (-3.0, -float(rng.uniform(0.4, 0.8))),
        (0.0, float(rng.uniform(2, 4))),  # as after a ReLU
    ]
    shapes = ((7, 8), (56,), (2, 7, 4), (7, 2, 2, 2))
    return {
        "cases": [
            {
                "low": low,
                "high": high,
                "x": np.concatenate(
                    [
                        rng.uniform(low, high, size=32),
                        rng.uniform(low - 2, high + 2, size=16),
                        np.zeros(8),
                    ]
                ).reshape(shape),
            }
            for (low, high), shape in zip(ranges, shapes)
        ]
    }


def quantize_run(function: Callable, inputs: dict) -> object:
    return [function(case["x"].copy(), case["low"], case["high"]) for case in inputs["cases"]]


def quantize_judge(inputs: dict, returned: object) -> None:
    for case, answer in zip(inputs["cases"], as_items(returned, len(inputs["cases"]))):
        low, high, x = case["low"], case["high"], case["x"]
        where = f"for the range {low:.3g} to {high:.3g}"
        codes, scale, zero = as_items(answer, 3, "what quantize returns")
        codes = as_array(codes, x.shape, f"the codes {where}")
        scale = as_number(scale, f"the scale {where}")
        bottom, top = min(low, 0.0), max(high, 0.0)
        step = (top - bottom) / 255
        if abs(scale - (high - low) / 255) <= 1e-6 * step and (bottom, top) != (low, high):
            raise Wrong(f"{where} 0 has no code of its own: widen the range until it contains 0")
        if abs(scale - (top - bottom) / 256) <= 1e-6 * step:
            raise Wrong(
                f"256 codes leave 255 steps between the lowest and the highest; the scale {where}"
                " is one 255th of the width"
            )
        if abs(scale - step) > 1e-5 * step:
            raise Wrong(f"the scale {where} should be {step:.6g}, got {scale:.6g}")
        zero = as_number(zero, f"the zero point {where}")
        if zero != int(zero):
            raise Wrong(
                f"the zero point is the code of 0 and so a whole number; {where} got {zero:.4g}"
            )
        if abs(zero + bottom / step) > 0.5 + 1e-4:
            raise Wrong(
                f"the zero point {where} should be {round(-bottom / step)}, the code whose value is"
                f" 0, so that {bottom:.3g} gets code 0; got {zero:g}"
            )
        _judge_codes(where, x, codes, step, zero)


def _judge_codes(where: str, x: np.ndarray, codes: np.ndarray, step: float, zero: float) -> None:
    if (codes % 1 != 0).any():
        raise Wrong(f"codes are whole numbers; {where} there is {codes[codes % 1 != 0][0]:.4g}")
    exact = x / step + zero  # before rounding and saturation
    outside = (codes < 0) | (codes > 255)
    if outside.any():
        raise Wrong(
            f"codes {where} should lie in 0 to 255; {x[outside][0]:.4g} became"
            f" {codes[outside][0]:g}. Values beyond the range get the nearest code"
        )
    beyond = (exact < -1) | (exact > 256)
    wrong = np.abs(codes - np.clip(exact, 0, 255)) > 0.5 + 1e-3
    if (wrong & beyond).any():
        i = tuple(np.argwhere(wrong & beyond)[0])
        raise Wrong(
            f"{where} the value {x[i]:.4g} lies beyond the range and should get code"
            f" {0 if exact[i] < 0 else 255}, the nearest there is; it got {codes[i]:g}. A cast to"
            " uint8 wraps around: clip first"
        )
    if wrong.any():
        i = tuple(np.argwhere(wrong)[0])
        cut_off = (codes == np.clip(np.floor(exact), 0, 255))[wrong].all()
        cut = " Round to the nearest code; a cast to integers cuts off" if cut_off else ""
        raise Wrong(
            f"{where} the value {x[i]:.4g} should get the code nearest to {exact[i]:.3f}, got "
            f"{codes[i]:g}.{cut}"
        )


# ---- 5.3 a layer in whole numbers ----------------------------------------------------------------


def layer_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    images = int(rng.integers(7, 15))
    in_channels = int(rng.integers(80, 129))
    out_channels = int(rng.integers(4, 10))
    weight = rng.integers(-127, 128, size=(out_channels, in_channels)).astype(np.int8)
    x = rng.integers(0, 256, size=(images, in_channels)).astype(np.uint8)
    x_zero, y_zero = int(rng.integers(20, 60)), int(rng.integers(80, 170))
    spread = 70.0 * 85 * in_channels**0.5  # of the sums, roughly
    bias = rng.integers(-60_000, 60_000, size=out_channels)
    bias -= weight.astype(int).sum(1) * (128 - x_zero)  # so that outputs are spread over all codes
    return {
        "x": x,
        "x_zero": x_zero,
        "weight": weight,
        "bias": bias.astype(np.int32),
        "multiplier": rng.uniform(60, 120, size=out_channels) / spread,
        "y_zero": y_zero,
    }


def layer_run(function: Callable, inputs: dict) -> object:
    return function(
        inputs["x"].copy(),
        inputs["x_zero"],
        inputs["weight"].copy(),
        inputs["bias"].copy(),
        inputs["multiplier"].copy(),
        inputs["y_zero"],
    )


def _sums_of_products(x: np.ndarray, weight: np.ndarray, x_zero: int) -> np.ndarray:
    """(N, outputs), computed with Python's own integers, which do not overflow."""
    images = [[code - x_zero for code in image] for image in x.tolist()]
    rows = weight.tolist()
    return np.array(
        [[sum(code * w for code, w in zip(image, row)) for row in rows] for image in images],
        dtype=float,
    )


def expected_codes(inputs: dict) -> tuple[np.ndarray, np.ndarray]:
    """Two arrays (N, outputs): the sums of products, and the codes before rounding and clipping."""
    sums = _sums_of_products(inputs["x"], inputs["weight"], inputs["x_zero"])
    return sums, (sums + inputs["bias"]) * inputs["multiplier"] + inputs["y_zero"]


def layer_judge(inputs: dict, returned: object) -> None:
    x, weight, bias, multiplier = (inputs[name] for name in ("x", "weight", "bias", "multiplier"))
    x_zero, y_zero = inputs["x_zero"], inputs["y_zero"]
    result = as_array(returned, (len(x), len(weight)), "the codes")
    sums, exact = expected_codes(inputs)
    if (np.abs(result - np.clip(exact, 0, 255)) <= 0.5 + 1e-3).all() and (result % 1 == 0).all():
        return
    sums_16_bit = (x.astype(np.int16) - np.int16(x_zero)) @ weight.astype(np.int16).T
    sums_8_bit = (x - np.uint8(x_zero)) @ weight.T
    zero_subtracted_later = (x @ weight.T) - x_zero * weight.astype(int).sum(1)
    without_x_zero = _sums_of_products(x, weight, 0)
    slips = {
        (
            f"the sums overflow: {x.shape[1]} products of two bytes do not fit into 16 bits."
            " Make int32 of both first"
        ): [
            (total + bias) * multiplier + y_zero
            for total in (sums_16_bit, sums_8_bit, zero_subtracted_later)
        ],
        (
            "the zero point of the input is missing: a code stands for the value (code -"
            " x_zero) times a scale"
        ): [(without_x_zero + bias) * multiplier + y_zero],
        "the bias is missing from the sums, or not on the scale of the sums": [
            sums * multiplier + y_zero,
            sums * multiplier + bias + y_zero,
        ],
        "the zero point of the output is missing, or not added after the multiplication": [
            (sums + bias) * multiplier,
            (sums + bias + y_zero) * multiplier,
        ],
        "each output has a multiplier of its own, that of its row of the weight": [
            (sums + bias) * multiplier.mean() + y_zero,
            (sums + bias) * multiplier[0] + y_zero,
        ],
    }
    for slip, mistaken in slips.items():
        for value in mistaken:
            if (np.abs(result - np.clip(value, 0, 255)) <= 0.6).all():
                raise Wrong(slip)
    if (result % 1 != 0).any():
        raise Wrong(f"codes are whole numbers: round; there is {result[result % 1 != 0][0]:.4g}")
    if ((result < 0) | (result > 255)).any():
        raise Wrong(
            f"codes lie in 0 to 255; there is {result[(result < 0) | (result > 255)][0]:g}. What is"
            " beyond gets the nearest code"
        )
    if (np.abs(result - exact % 256) <= 1).mean() > 0.9:
        raise Wrong(
            "values beyond the range wrap around; clip to 0 and 255 before the cast to uint8"
        )
    # Below zero, a cast to integers before the zero point of the output is added cuts upwards.
    cut_off = (np.floor(exact), np.trunc(exact - y_zero) + y_zero)
    if any((np.abs(result - np.clip(codes, 0, 255)) < 1e-3).all() for codes in cut_off):
        raise Wrong(
            "each code is off by less than 1: round to the nearest whole number, a cast to integers"
            " cuts off"
        )
    require_close(
        result, np.clip(np.round(exact), 0, 255), "the matrix of codes", rtol=0, atol=0.51
    )


# ---- 5.4 memory of a schedule --------------------------------------------------------------------

SHORTCUT = {
    "operators": [[["image"], "a"], [["a"], "b"], [["b"], "c"], [["a", "c"], "d"], [["d"], "e"]],
    "sizes": {"image": 90, "a": 120, "b": 360, "c": 120, "d": 120, "e": 10},
}


def memory_inputs(seed: int) -> dict:
    """A block with a shortcut and random networks.

    On at least one of them, each of the usual mistakes gives a wrong peak.
    """
    rng = np.random.default_rng(seed)
    unit = int(rng.integers(2, 9))
    networks = [
        {
            "operators": SHORTCUT["operators"],
            "sizes": {n: unit * s for n, s in SHORTCUT["sizes"].items()},
        }
    ]
    unexposed = set(_memory_mistakes(networks[0]))
    while unexposed or len(networks) < 7:
        network = _random_network(rng)
        exposed = {
            mistake
            for mistake, value in _memory_mistakes(network).items()
            if value != peak_of(network)
        }
        if exposed & unexposed or not unexposed:  # it exposes another mistake, or all are exposed
            networks.append(network)
            unexposed -= exposed
    return {"networks": networks}


def _random_network(rng: np.random.Generator) -> dict:
    names = [f"t{i}" for i in range(int(rng.integers(9, 12)))]
    num_inputs = int(rng.integers(1, 3))
    operators = []
    for i in range(num_inputs, len(names)):
        reach = rng.permutation(i)[: int(rng.integers(1, 4))] if rng.random() < 0.4 else [i - 1]
        inputs = [names[j] for j in reach]
        operators.append([inputs + inputs[:1] if rng.random() < 0.2 else inputs, names[i]])
    read = {name for inputs, _ in operators for name in inputs}
    if rng.random() < 0.7:
        operators[-1][0] += [name for name in names[:num_inputs] if name not in read]
    return {
        "operators": operators,
        "sizes": {
            name: int(size) for name, size in zip(names, rng.integers(1, 100, size=len(names)))
        },
    }


def _alive(network: dict) -> Iterator[list[int]]:
    """The sizes of the tensors in memory during each operator, straight from the definition."""
    operators, sizes = network["operators"], network["sizes"]
    network_inputs = sizes.keys() - {output for _, output in operators}
    results = sizes.keys() - {name for inputs, _ in operators for name in inputs}
    for now in range(len(operators)):
        produced = network_inputs | {output for _, output in operators[: now + 1]}
        needed = results | {name for inputs, _ in operators[now:] for name in inputs}
        yield [sizes[name] for name in sizes if name in produced & needed]


def peak_of(network: dict) -> int:
    return max(map(sum, _alive(network)))


def _memory_mistakes(network: dict) -> dict[str, int]:
    """The peak that each of the usual mistakes gives."""
    operators, sizes = network["operators"], network["sizes"]
    end = len(operators) - 1
    produced = {output: t for t, (_, output) in enumerate(operators)}
    read = {
        name: [t for t, (inputs, _) in enumerate(operators) if name in inputs] for name in sizes
    }
    reads = {name: sum(inputs.count(name) for inputs, _ in operators) for name in sizes}
    first = {name: produced.get(name, 0) for name in sizes}
    last = {name: max(read[name], default=end) for name in sizes}

    def peak(first: dict[str, int], last: dict[str, int]) -> int:
        return max(sum(sizes[n] for n in sizes if first[n] <= t <= last[n]) for t in range(end + 1))

    return {
        "all tensors are counted at once; one that nobody reads any more makes room for others": (
            sum(sizes.values())
        ),
        "the largest tensor alone is not all that has to be there": max(sizes.values()),
        (
            "only what an operator itself reads and writes is counted; a tensor that a later"
            " operator reads, such as that of a shortcut, has to be kept in between"
        ): max(sum(sizes[n] for n in {*inputs, output}) for inputs, output in operators),
        (
            "a tensor counts as gone when it has been read once; it has to stay until it is"
            " read for the last time"
        ): peak(first, {n: min(read[n], default=end) for n in sizes}),
        (
            "what an operator reads for the last time counts as gone while it runs; it is"
            " read while the output is written"
        ): peak(first, {n: last[n] - bool(read[n]) for n in sizes}),
        "the output of an operator is not counted while it runs; room for it is needed then": peak(
            {n: first[n] + (n in produced) for n in sizes}, last
        ),
        (
            "a result of the network, which no operator reads, counts as gone at once; it"
            " stays to the end"
        ): peak(first, {n: max(read[n], default=first[n]) for n in sizes}),
        "a result of the network, which no operator reads, is not counted": peak(
            first, {n: max(read[n], default=-1) for n in sizes}
        ),
        "an input of the network counts from its first use on; it is there from the start": peak(
            {n: produced.get(n, min(read[n], default=0)) for n in sizes}, last
        ),
        "inputs of the network are not counted": peak(
            first, {n: last[n] if n in produced else -1 for n in sizes}
        ),
        "inputs of the network are never given up, although nobody reads them any more": peak(
            first, {n: last[n] if n in produced else end for n in sizes}
        ),
        "a tensor stays one operator longer than it is read": peak(
            first, {n: last[n] + 1 for n in sizes}
        ),
        "an input of the network that no operator reads is gone at once; it stays to the end": peak(
            first, {n: last[n] if reads[n] or n in produced else 0 for n in sizes}
        ),
        "a tensor that an operator reads twice is there once, and counts once": max(
            sum(sizes[n] for n in sizes if first[n] <= t <= last[n])
            + sum(sizes[n] * (operators[t][0].count(n) - 1) for n in set(operators[t][0]))
            for t in range(end + 1)
        ),
        (
            "an operator that reads a tensor twice counts as two that read it; the tensor is gone"
            " before the last operator that reads it"
        ): peak(first, {n: _operator_of_read(operators, n, len(read[n]), end) for n in sizes}),
    }


def _operator_of_read(operators: list, name: str, count: int, end: int) -> int:
    """The operator in which `name` is read for the `count`-th time; `end` for no read at all."""
    reads = [t for t, (inputs, _) in enumerate(operators) for other in inputs if other == name]
    return reads[count - 1] if reads else end


def memory_run(function: Callable, inputs: dict) -> object:
    return [
        function(
            [(list(reads), output) for reads, output in network["operators"]],
            dict(network["sizes"]),
        )
        for network in inputs["networks"]
    ]


def memory_judge(inputs: dict, returned: object) -> None:
    networks = inputs["networks"]
    answers = [as_integer(answer, "the peak") for answer in as_items(returned, len(networks))]
    peaks = [peak_of(network) for network in networks]
    if answers == peaks:
        return
    mistakes = [_memory_mistakes(network) for network in networks]
    explanations = [
        mistake for mistake in mistakes[0] if answers == [values[mistake] for values in mistakes]
    ]
    explanation = f": {explanations[0]}" if explanations else ""
    first = next(i for i, (answer, peak) in enumerate(zip(answers, peaks)) if answer != peak)
    needed = ", ".join(str(sum(alive)) for alive in _alive(networks[first]))
    raise Wrong(
        f"peak {answers[first]} instead of {peaks[first]}{explanation}. The network:"
        f" {_as_text(networks[first])}. Its operators need {needed}"
    )


def _as_text(network: dict) -> str:
    operators = "; ".join(
        f"{output} = f({', '.join(inputs)})" for inputs, output in network["operators"]
    )
    sizes = ", ".join(f"{name} {size}" for name, size in network["sizes"].items())
    return f"{operators}, sizes {sizes}"


# ---- 5.5 the capstone: its inputs and its judge are in capstone.py -----------------------


def choose_run(function: Callable, inputs: dict) -> object:
    return function(
        [
            [{name: values.copy() for name, values in stage.items()} for stage in stages]
            for stages in inputs["global_choices"]
        ],
        dict(inputs["limits"]),
    )


# What labkit finds the best subnet within limits with.
EXACT_SEARCH = (
    "labkit.search.exact.best",
    "labkit.search.exact.cheapest",
    "labkit.search.exact._maximize",
    "labkit.search.exact_front.front",
    "labkit.search.exact_front.front_bound",
    "labkit.search.lagrangian.best_prices",
    "labkit.search.lagrangian.enumerate_best",
    "labkit.search.lagrangian._best_above",
    "labkit.specialize.subnet_search.search_subnet",
)

EXERCISES = (
    Exercise(
        "5.1",
        2,
        "fold",
        fold_inputs,
        fold_run,
        fold_judge,
        (
            "labkit.deploy.onnx.export.folded_weights",
            "labkit.course.experiments.deployed_forms.fold_batch_norms",
        ),
    ),
    Exercise(
        "5.2",
        3,
        "quantize",
        quantize_inputs,
        quantize_run,
        quantize_judge,
        sizes=(
            Size({"cases": 0}),
            Size({"cases/0/x": 0}),
        ),
    ),
    Exercise(
        "5.3",
        2,
        "int8_layer",
        layer_inputs,
        layer_run,
        layer_judge,
        sizes=(
            Size({"x": 0}),
            Size({"weight": 0, "bias": 0, "multiplier": 0}),
            Size({"x": 1, "weight": 1}),
        ),
    ),
    Exercise(
        "5.4",
        4,
        "peak_memory",
        memory_inputs,
        memory_run,
        memory_judge,
        (
            "labkit.space.operators.Schedule.alive",
            "labkit.space.operators.Schedule.buffers",
            "labkit.tables.arena.planned_peak",
            "labkit.firmware.plan._Problem.lower_bound",
        ),
        sizes=(Size({"networks": 0}),),
    ),
    Exercise(
        "5.5",
        8,
        "choose",
        choose_inputs,
        choose_run,
        choose_judge,
        EXACT_SEARCH,
    ),
    Exercise(
        "5.6",
        4,
        "smallest_budgets",
        budgets_inputs,
        budgets_run,
        budgets_judge,
        EXACT_SEARCH,
        sizes=(
            Size({"cases": 0}),
            Size({"cases/0/global_choices": 0}),
            Size({"cases/0/global_choices/0": 0}),
        ),
    ),
    Exercise(
        "5.7",
        6,
        "thompson",
        thompson_inputs,
        thompson_run,
        thompson_judge,
        (
            "labkit.specialize.thompson.thompson_search",
            "labkit.tables.accuracy_predictor.AccuracyPosterior.condition",
        ),
        witnessed=True,
    ),
)
