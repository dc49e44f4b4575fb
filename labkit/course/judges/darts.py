"""Exercises of 06_darts: mixed operations, the second-order product, deriving a node, latency."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from labkit.course.exercises.exercise import Exercise, Size, Wrong
from labkit.course.exercises.judging import (
    as_array,
    as_integer,
    as_items,
    as_number,
    require_close,
    require_fields,
    require_unchanged,
    told_cases,
)
from labkit.course.exercises.witness import Note, ask, tell, unknown_part

# ---- 6.1 a node of mixed operations --------------------------------------------------------------


NODE_LEAVES = ("alphas", "states", "linear")


def node_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    edges, operations = (2, 4) if seed % 2 else (3, 5)
    linear, square = rng.normal(size=(2, edges, operations))
    linear[:, 0] = square[:, 0] = 0.0  # the operation `none`
    return {
        "states": rng.normal(size=(edges, 2, 3, 4, 4)),
        "alphas": 1.5 * rng.normal(size=(edges, operations)),
        "linear": linear,
        "square": square,
        "probe": rng.normal(size=(2, 3, 4, 4)),
    }


def node_run(function: Callable, inputs: dict) -> object:
    """The node's output, and the gradients of (output * probe).sum() with respect to alphas, the
    states and the operations' weights; None for each that the output does not depend on.
    """
    leaves = [torch.tensor(inputs[name], requires_grad=True) for name in NODE_LEAVES]
    alphas, states, linear = leaves
    operations = [
        [lambda x, a=a, b=float(b): a * x + b * x**2 for a, b in zip(*coefficients)]
        for coefficients in zip(linear, inputs["square"])
    ]
    output = function(list(states), alphas, operations)
    gradients = [None] * len(leaves)
    if torch.is_tensor(output) and output.requires_grad and output.shape == inputs["probe"].shape:
        gradients = torch.autograd.grad(
            (output * torch.tensor(inputs["probe"])).sum(), leaves, allow_unused=True
        )
    return {"output": output, "gradients": list(gradients)}


def expected_node(inputs: dict) -> tuple[list[list[np.ndarray]], np.ndarray, np.ndarray]:
    """Outputs of each operation on each edge, weights (edges, operations), the node's output."""
    alphas, states = inputs["alphas"], inputs["states"]
    edges, count = alphas.shape
    outputs = [
        [
            inputs["linear"][e, o] * states[e] + inputs["square"][e, o] * states[e] ** 2
            for o in range(count)
        ]
        for e in range(edges)
    ]
    weights = np.array(
        [[math.exp(a) / math.fsum(map(math.exp, row)) for a in row] for row in alphas]
    )
    node = sum(weights[e, o] * outputs[e][o] for e in range(edges) for o in range(count))
    return outputs, weights, node


def node_judge(inputs: dict, returned: object) -> None:
    require_fields(returned, {"output", "gradients"}, "the node's output could not be read")
    alphas = inputs["alphas"]
    edges, count = alphas.shape
    outputs, weights, expected = expected_node(inputs)
    result = as_array(returned["output"], expected.shape, "the node's output")

    def mixture(other: np.ndarray) -> np.ndarray:
        return np.einsum("eo,eo...->...", other, np.array(outputs))

    exponentials = np.exp(alphas)
    strongest = (alphas == alphas.max(1, keepdims=True)).astype(float)
    without_first = np.concatenate([np.zeros((edges, 1)), exponentials[:, 1:]], 1)
    for other, mistake in (
        (
            alphas,
            (
                "the architecture weights are used as they are; the softmax of each row weighs its"
                " operations"
            ),
        ),
        (
            exponentials / exponentials.sum(0),
            (
                "the softmax runs over the edges; it belongs along the last axis, "
                "over the operations of one edge"
            ),
        ),
        (
            exponentials / exponentials.sum(),
            (
                "one softmax over all entries: each edge has its own, so that the "
                "weights of every row sum to 1"
            ),
        ),
        (
            weights / edges,
            "the edges are averaged; a node is the sum of what comes in over its edges",
        ),
        (
            weights / count,
            "the operations are averaged after weighting; their weights sum to 1 already",
        ),
        (
            strongest,
            (
                "each edge runs its strongest operation only; that comes after the search, now all"
                " of them take part"
            ),
        ),
        (
            without_first / without_first.sum(1, keepdims=True),
            (
                "the first operation is left out of the softmax; that it computes "
                "zeros does not take it out of the competition"
            ),
        ),
    ):
        if np.allclose(result, mixture(other), atol=1e-6):
            raise Wrong(mistake)
    require_close(
        result,
        expected,
        "the node's output",
        hint=(
            "Sum over edges and operations: the weight times what the "
            "edge's operation makes of the edge's own state"
        ),
    )
    value = np.array([[(inputs["probe"] * y).sum() for y in row] for row in outputs])
    slopes = inputs["linear"][..., None, None, None, None] + 2 * np.einsum(
        "eo,e...->eo...", inputs["square"], inputs["states"]
    )
    expected_gradients = (
        weights * (value - (weights * value).sum(1, keepdims=True)),
        inputs["probe"] * np.einsum("eo,eo...->e...", weights, slopes),
        weights * (inputs["probe"] * inputs["states"]).sum((1, 2, 3, 4))[:, None],
    )
    names = ("`alphas`", "the states", "the operations' weights")
    for name, gradient, wanted in zip(
        names, as_items(returned["gradients"], len(names)), expected_gradients
    ):
        if gradient is None:
            raise Wrong(
                f"the output is right, but no gradient reaches {name}; compute with the tensors"
                " themselves, without no_grad, detach, item, numpy or a copy"
            )
        require_close(
            gradient,
            wanted,
            f"the gradient over {name}",
            hint=f"The output is right; is a part of it cut off from {name}?",
        )


# ---- 6.2 the product with the matrix of second derivatives ---------------------------------------

RADIUS = 0.01  # how far from the weights the two gradients are taken
UNKNOWN = 0.01  # of a gradient, until it is asked for


def product_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    w, a = 5 + seed % 3, 3
    cases = [
        {
            "weights": rng.normal(size=w),
            "direction": scale * rng.normal(size=w),
            "bilinear": rng.normal(size=(a, w)),
            "cubic": curved * rng.normal(size=(a, w)),
            "offset": rng.normal(size=a),
        }
        for scale, curved in ((1.0, 0.0), (30.0, 0.0), (0.002, 8000.0))
    ]
    return {"cases": [*cases, {**cases[0], "direction": np.zeros(w)}]}


def product_run(function: Callable, inputs: dict) -> object:
    """The witness is told where each gradient is asked for, and decides on a part of it."""
    answers = []
    for case in inputs["cases"]:
        weights, direction = case["weights"].copy(), case["direction"].copy()
        ask("case")

        def gradient(at: object, case: dict = case) -> np.ndarray:
            point = np.array(at, dtype=float)  # a copy: the answer may change its array later
            if point.shape != case["weights"].shape:
                raise Wrong(
                    f"`gradient` takes weights of shape {case['weights'].shape}, got shape"
                    f" {point.shape}"
                )
            return (
                case["offset"]
                + unknown_part(tell("gradient", point), UNKNOWN)
                + case["bilinear"] @ point
                + case["cubic"] @ (point - case["weights"]) ** 3
            )

        answers.append(
            {
                "product": function(gradient, weights, direction),
                "weights": weights,
                "direction": direction,
            }
        )
    return answers


def product_judge(inputs: dict, returned: object, notes: Sequence[Note]) -> None:
    for case, answer, told in told_cases(inputs, returned, notes):
        require_fields(answer, {"product", "weights", "direction"}, "the product could not be read")
        weights, direction = case["weights"], case["direction"]
        for name in ("weights", "direction"):
            require_close(
                answer[name],
                case[name],
                f"`{name}` after the call",
                rtol=1e-9,
                atol=1e-9,
                hint="It was changed; work on new arrays, or put back what you took",
            )
        if len(told) > 2:
            raise Wrong(
                f"`gradient` was called {len(told)} times; each call is a backward pass through"
                " the network, and two are enough"
            )
        norm = math.sqrt(math.fsum(v * v for v in direction))
        if norm == 0:
            if _has_nan(answer["product"]):
                raise Wrong(
                    "a direction of zeros has the product zero, whatever the matrix; 0.01 / 0 made"
                    " it NaN"
                )
            require_close(
                answer["product"],
                np.zeros(len(case["offset"])),
                "the product for a direction of zeros",
            )
            continue
        points = [np.array(note.told) for note in told]
        _judge_points(points, weights, direction, norm)
        step = RADIUS / norm
        signs = [1 if (point - weights) @ direction > 0 else -1 for point in points]
        unknown = sum(sign * unknown_part(note.number, UNKNOWN) for sign, note in zip(signs, told))
        expected = [
            math.fsum(m * v + k * step**2 * v**3 for m, k, v in zip(row, bent, direction))
            + unknown / (2 * step)
            for row, bent in zip(case["bilinear"], case["cubic"])
        ]
        product = as_array(answer["product"], (len(expected),), "the product")
        for factor, mistake in (
            (2, "twice as large as it should be: the two points are 2ε apart"),
            (-1, "the negative of what is asked: at w + εv less at w − εv"),
            (1 / norm, "the one for v / ‖v‖; dividing by 2ε, with ε = 0.01 / ‖v‖, gives it for v"),
            (2 * step, "not divided by 2ε"),
        ):
            if abs(factor - 1) > 1e-3 and np.allclose(
                product, factor * np.array(expected), rtol=1e-5, atol=0
            ):
                raise Wrong(f"the product is {mistake}")
        require_close(
            product,
            np.array(expected),
            "the product",
            rtol=1e-5,
            atol=1e-8 * np.abs(expected).max(),
            hint="(gradient at w + εv, less gradient at w − εv) / 2ε",
        )


def _has_nan(value: object) -> bool:
    try:  # None is NaN only for dtype=float
        return bool(np.isnan(np.asarray(value)).any())
    except (TypeError, ValueError):
        return False


def _judge_points(points: list, weights: np.ndarray, direction: np.ndarray, norm: float) -> None:
    """Wrong unless the gradients were taken 0.01 before and 0.01 behind `weights` on the line."""
    offsets = [as_array(point, weights.shape, "a point") - weights for point in points]
    offsets.sort(key=lambda offset: float(offset @ direction))
    along = [float(offset @ direction) / norm for offset in offsets]
    for offset, distance in zip(offsets, along):
        if np.abs(offset - distance * direction / norm).max() > 1e-9:
            raise Wrong(
                "`gradient` was asked at weights that do not lie along the direction from `weights`"
            )
    if len(along) == 2 and min(map(abs, along)) < 1e-12:
        raise Wrong(
            "one of the two gradients is at w itself: that is a one-sided difference; take w + εv"
            " and w − εv"
        )
    if len(along) != 2 or np.abs(np.array(along) - [-RADIUS, RADIUS]).max() > 1e-6:
        where = " and ".join(f"{distance:+.3g}" for distance in along) or "nowhere"
        raise Wrong(
            "the gradients should be taken where the weights are moved by -0.01 and +0.01 in the"
            f" direction's unit (ε = 0.01 / ‖v‖, ‖v‖ = {norm:.3g} here); they were taken at {where}"
        )


# ---- 6.3 what a node keeps -----------------------------------------------------------------------

NAMES = ("skip_connect", "max_pool_3x3", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3")
NODES = 40


def derive_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    nodes = []
    for _ in range(NODES):
        names = list(NAMES[: 3 + int(rng.integers(3))])
        names.insert(int(rng.integers(len(names) + 1)), "none")
        num_edges = 2 + int(rng.integers(4))
        alphas = rng.normal(size=(num_edges, len(names))) + 2 * rng.normal(size=(1, 1))
        alphas[:, names.index("none")] += rng.normal(size=len(alphas)) + 1
        nodes.append({"names": names, "alphas": alphas + 2 * rng.normal(size=(len(alphas), 1))})
    return {"nodes": nodes}


def derive_run(function: Callable, inputs: dict) -> object:
    return [function(node["alphas"].copy(), list(node["names"])) for node in inputs["nodes"]]


def derive_judge(inputs: dict, returned: object) -> None:
    for node, answer in zip(inputs["nodes"], as_items(returned, len(inputs["nodes"]))):
        names, alphas = node["names"], node["alphas"].tolist()
        edges = []
        for pair in as_items(answer, 2, "what a node keeps"):
            state, name = as_items(pair, 2, "an edge that a node keeps")
            if isinstance(state, str) or not isinstance(name, str):
                raise Wrong(
                    "each of the two edges is a pair (state, name) of a number and a text, got"
                    f" {pair}"
                )
            state = as_integer(state, "the state")
            if not 0 <= state < len(alphas) or name not in names:
                raise Wrong(
                    f"({state}, {name!r}) is no edge of this node: states are 0 to"
                    f" {len(alphas) - 1}, operations {', '.join(names)}"
                )
            edges.append((state, name))
        if "none" in {name for _, name in edges}:
            raise Wrong(
                f"{edges} keeps an edge for `none`; no connection can win the softmax, but is never"
                " kept"
            )
        if edges[0][0] == edges[1][0]:
            raise Wrong(
                f"{edges} are two operations of one edge; two edges are kept, each with its best"
                " operation"
            )
        strength = {}  # of each edge, by its best operation
        for state, row in enumerate(alphas):
            total = sum(math.exp(a) for a in row)
            strength[state] = max(
                (math.exp(a) / total, name) for a, name in zip(row, names) if name != "none"
            )
        for state, name in edges:
            if name != strength[state][1]:
                raise Wrong(
                    f"from state {state} the strongest operation other than `none` is"
                    f" {strength[state][1]} (weight {strength[state][0]:.3f}), not {name}"
                )
        best = sorted(strength, key=lambda state: strength[state][0], reverse=True)[:2]
        if {state for state, _ in edges} != set(best):
            listed = ", ".join(f"{state}: {value:.3f}" for state, (value, _) in strength.items())
            raise Wrong(
                f"kept states {sorted(state for state, _ in edges)}, but the strengths by state are"
                f" {listed}: the weight of the edge's best operation in the softmax over all of its"
                " operations, `none` included"
            )


# ---- 6.4 expected latency and its gradient -------------------------------------------------------


def latency_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    sizes = [3, 5, 2, 4][seed % 2 :]
    alphas = [2 * rng.normal(size=n) for n in sizes]
    latencies = [rng.uniform(0.1, 4.0, size=n) for n in sizes]
    return {
        "cases": [
            {"alphas": alphas, "latencies": latencies},
            {"alphas": [a + 1000 for a in alphas], "latencies": latencies},
            {
                "alphas": [np.array([900.0, -900.0, 0.0]), np.zeros(2)],
                "latencies": [np.array([1.5, 3.0, 2.0]), np.array([1.0, 4.0])],
            },
        ]
    }


def latency_run(function: Callable, inputs: dict) -> object:
    answers = []
    for case in inputs["cases"]:
        arguments = {name: [v.copy() for v in case[name]] for name in ("alphas", "latencies")}
        answers.append({"answer": function(*arguments.values()), **arguments})
    return answers


def latency_judge(inputs: dict, returned: object) -> None:
    """Tolerances are those of float32, of which weights near 1000 leave four decimals."""
    for case, answer in zip(inputs["cases"], as_items(returned, len(inputs["cases"]))):
        alphas, latencies = case["alphas"], case["latencies"]
        require_fields(answer, {"answer", "alphas", "latencies"})
        total, gradients = as_items(answer["answer"], 2, "what expected_latency returns")
        for name in ("alphas", "latencies"):
            for now, before in zip(as_items(answer[name], len(alphas), f"`{name}`"), case[name]):
                require_unchanged(now, before, f"`{name}`")
        if _has_nan(total):
            raise Wrong(
                "the expected latency is not a number for architecture weights as large as"
                f" {max(map(np.max, alphas)):.0f}: exp overflows. A softmax stays the same when the"
                " largest weight is subtracted first"
            )
        total = as_number(total, "the expected latency")
        expected = math.fsum(map(_mean_latency, alphas, latencies))
        if abs(total - expected) > 3e-5 * expected:
            raise Wrong(
                f"the expected latency of the {len(alphas)} blocks is {expected:.9g} ms, got"
                f" {total:.9g} ms; each block adds its choices' latencies, weighted by their"
                " softmax"
            )
        for b, got in enumerate(
            as_items(gradients, len(alphas), "the gradients, one array a block:")
        ):
            if _has_nan(got):
                raise Wrong(
                    f"the gradient of block {b} has NaN; subtract the largest weight before exp"
                )
            numeric = latency_gradient(alphas[b], latencies[b])
            got = as_array(got, numeric.shape, f"the gradient of block {b}")
            p = np.array(_softmax(alphas[b]))
            for other, mistake in (
                (p, "the softmax weights"),
                (p * latencies[b], "each choice's own part of the mean"),
                (
                    p * (1 - p) * latencies[b],
                    (
                        "what a choice's own weight does; but a softmax lowers "
                        "all other weights as it raises one"
                    ),
                ),
                (-numeric, "the negative of the gradient"),
            ):
                if np.allclose(got, other, atol=3e-5) and not np.allclose(
                    other, numeric, atol=3e-5
                ):
                    raise Wrong(f"the gradient of block {b} is {mistake}")
            require_close(
                got,
                numeric,
                f"the gradient of block {b} (compared with differences of the expected latency)",
                rtol=1e-5,
                atol=3e-5,
            )


def _softmax(alphas: np.ndarray) -> list[float]:
    exponentials = [math.exp(a - max(alphas)) for a in alphas]
    return [value / math.fsum(exponentials) for value in exponentials]


def _mean_latency(alphas: np.ndarray, latencies: np.ndarray) -> float:
    return math.fsum(p * t for p, t in zip(_softmax(alphas), latencies))


def latency_gradient(alphas: np.ndarray, latencies: np.ndarray) -> np.ndarray:
    """(C,) the derivatives of a block's expected latency, numerically."""
    return np.array([_slope(alphas, latencies, j) for j in range(len(alphas))])


def _slope(alphas: np.ndarray, latencies: np.ndarray, j: int, step: float = 1e-4) -> float:
    """The derivative with respect to architecture weight j, by a difference of fourth order."""
    direction = step * (np.arange(len(alphas)) == j)

    def at(offset: float) -> float:
        return _mean_latency(alphas + offset * direction, latencies)

    return (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / (12 * step)


EXERCISES = (
    Exercise(
        "6.1",
        2,
        "mixed_node",
        node_inputs,
        node_run,
        node_judge,
        ("labkit.darts.network.MixedOp.forward", "labkit.darts.network.SearchCell.forward"),
        sizes=(
            Size({"states": 0, "alphas": 0, "linear": 0, "square": 0}, least=2),
            Size({"alphas": 1, "linear": 1, "square": 1}, least=2),
            Size({"states": 1, "probe": 0}),
            Size({"states": 2, "probe": 1}),
            Size({"states": 3, "probe": 2}),
            Size({"states": 4, "probe": 3}),
        ),
    ),
    Exercise(
        "6.2",
        3,
        "mixed_product",
        product_inputs,
        product_run,
        product_judge,
        ("labkit.darts.bilevel.second_order", "labkit.darts.bilevel.central_difference"),
        witnessed=True,
        sizes=(
            Size({"cases": 0}),
            Size(
                {
                    "cases/0/weights": 0,
                    "cases/0/direction": 0,
                    "cases/0/bilinear": 1,
                    "cases/0/cubic": 1,
                }
            ),
        ),
    ),
    Exercise(
        "6.3",
        2,
        "derive_node",
        derive_inputs,
        derive_run,
        derive_judge,
        ("labkit.darts.genotype.derive_cell", "labkit.darts.genotype.strongest_edges"),
        sizes=(
            Size({"nodes": 0}),
            Size({"nodes/0/alphas": 0}, least=2),
        ),
    ),
    Exercise(
        "6.4",
        3,
        "expected_latency",
        latency_inputs,
        latency_run,
        latency_judge,
        ("labkit.darts.mixed_supernet.expected_cost",),
        sizes=(
            Size({"cases": 0}),
            Size({"cases/0/alphas": 0, "cases/0/latencies": 0}),
        ),
    ),
)
