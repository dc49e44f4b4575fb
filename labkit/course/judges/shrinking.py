"""Exercises of 02_progressive_shrinking: distillation, sandwich, schedule, added gradients, and a
whole step of training.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice, repeat
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from labkit.course.exercises.exercise import Exercise, Size, Wrong
from labkit.course.exercises.judging import (
    as_array,
    as_items,
    as_number,
    require_close,
    require_fields,
    require_frequency,
    require_unchanged,
    require_value,
)
from labkit.course.exercises.witness import Note, ask, parts, tell

# ---- 2.1 the distillation loss -------------------------------------------------------------------


def distill_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    n, classes = int(rng.integers(7, 12)), int(rng.integers(3, 7))
    return {
        "student": rng.normal(size=(n, classes)),
        "teacher": 2 * rng.normal(size=(n, classes)),
        "labels": rng.integers(0, classes, n),
        "temperature": (2.0, 4.0, 1.5)[seed % 3],
        "share": (0.7, 0.25, 0.9)[seed % 3],
    }


def distill_run(function: Callable, inputs: dict) -> object:
    student, teacher = (
        torch.tensor(inputs[name], requires_grad=True) for name in ("student", "teacher")
    )
    loss = function(
        student, teacher, torch.tensor(inputs["labels"]), inputs["temperature"], inputs["share"]
    )
    require_value(loss, "the loss")
    if not (isinstance(loss, torch.Tensor) and loss.requires_grad):
        raise Wrong("the loss has no gradient: compute it with torch from the student's logits")
    if loss.numel() != 1:
        raise Wrong(f"the loss should be one number, got a tensor of shape {tuple(loss.shape)}")
    loss.backward()
    return {"loss": loss, "student": student.grad, "teacher": teacher.grad}


def _softmax(logits: np.ndarray) -> np.ndarray:
    e = np.exp(logits - logits.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def distill_gradient(inputs: dict) -> np.ndarray:
    """(N, classes): the gradient of the loss with respect to the student's logits."""
    t, share = inputs["temperature"], inputs["share"]
    onehot = np.eye(inputs["student"].shape[1])[inputs["labels"]]
    hard = _softmax(inputs["student"]) - onehot
    soft = _softmax(inputs["student"] / t) - _softmax(inputs["teacher"] / t)
    return ((1 - share) * hard + share * t * soft) / len(onehot)


def distill_judge(inputs: dict, returned: object) -> None:
    (n, classes), t, share = inputs["student"].shape, inputs["temperature"], inputs["share"]
    p = _softmax(inputs["student"])
    soft = _softmax(inputs["student"] / t)
    target = _softmax(inputs["teacher"] / t)
    hard_loss = -np.log(p[np.arange(n), inputs["labels"]]).mean()
    divergence = (target * (np.log(target) - np.log(soft))).sum() / n
    reverse = (soft * (np.log(soft) - np.log(target))).sum() / n
    cross_entropy = -(target * np.log(soft)).sum() / n
    warm_loss = -np.log(soft[np.arange(n), inputs["labels"]]).mean()
    target_as_is = _softmax(inputs["teacher"])
    as_is = (target_as_is * (np.log(target_as_is) - np.log(p))).sum() / n
    soft_0, target_0 = (_softmax(inputs[name].T / t).T for name in ("student", "teacher"))
    over_images = (target_0 * (np.log(target_0) - np.log(soft_0))).sum() / n
    require_fields(returned, {"loss", "student", "teacher"}, "the loss could not be read")
    loss = as_number(np.asarray(returned["loss"], dtype=float), "the loss")
    expected = (1 - share) * hard_loss + share * t**2 * divergence
    for value, what in (
        ((1 - share) * hard_loss + share * divergence, "the factor temperature**2 is missing"),
        ((1 - share) * hard_loss + share * t * divergence, "the factor is temperature**2"),
        (
            (1 - share) * hard_loss + share * as_is,
            "the temperature is missing: both logits are divided by it in the teacher's part, which"
            " then gets the factor temperature**2",
        ),
        (
            (1 - share) * hard_loss + share * t**2 * as_is,
            "the teacher's part takes both logits divided by the temperature",
        ),
        (
            hard_loss + t**2 * divergence,
            "`share` is missing: the teacher's part counts by it, the labels' by the rest",
        ),
        (
            (1 - share) * hard_loss + share * t**2 * over_images,
            "the softmax is over the images; it is over the classes, dim=1",
        ),
        (
            (1 - share) * hard_loss + share * t**2 * reverse,
            "KL runs from the teacher to the student: the teacher's probabilities are the weights",
        ),
        (share * hard_loss + (1 - share) * t**2 * divergence, "`share` is that of the teacher"),
        (
            (1 - share) * hard_loss + share * t**2 * divergence / classes,
            "the divergence is averaged over classes too; sum over classes, average over images",
        ),
        (
            (1 - share) * hard_loss + share * t**2 * divergence * n,
            "the divergence is summed over images; average over them",
        ),
        (
            (1 - share) * hard_loss + share * t**2 * cross_entropy,
            (
                "that is the cross entropy with the teacher; KL subtracts the teacher's own entropy"
                " from it"
            ),
        ),
        (
            (1 - share) * warm_loss + share * t**2 * divergence,
            "the labels' part is at the temperature too; it takes the student's logits as they are",
        ),
    ):
        # For a single image some of them are no mistake.
        if abs(loss - value) < 1e-6 < abs(value - expected):
            raise Wrong(f"the loss is {loss:.5g}: {what}")
    require_close(np.array(loss), np.array(expected), "the loss", rtol=1e-5)
    require_close(
        returned["student"],
        distill_gradient(inputs),
        "the gradient at the student's logits",
        rtol=1e-4,
        atol=1e-6,
    )
    if returned["teacher"] is None:
        return
    if as_array(returned["teacher"], (n, classes), "the teacher's gradient").any():
        raise Wrong(
            "the teacher gets a gradient: it would learn to be easy to imitate. Detach its logits"
        )


# ---- 2.2 the sandwich ----------------------------------------------------------------------------

CALLS = 1500


def sandwich_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    return {
        "choices": np.array([3, 2, 4, 3, 2])[rng.permutation(5)][: 5 - seed % 2],
        "n": (1, 3, 0, 2)[seed % 4],
        "seed": int(rng.integers(2**31)),
    }


def sandwich_run(function: Callable, inputs: dict) -> object:
    rng, again = (np.random.default_rng(inputs["seed"]) for _ in range(2))
    choices = inputs["choices"].copy()
    steps = [np.array(function(inputs["choices"].copy(), inputs["n"], rng)) for _ in range(CALLS)]
    if steps[0].dtype == object and steps[0].ndim == 0:
        raise Wrong(
            f"sandwich should return an array, got a value of type {type(steps[0].item()).__name__}"
        )
    if len({step.shape for step in steps}) > 1:
        raise Wrong("the number of rows changes from call to call")
    return {
        "steps": np.stack(steps),
        "again": function(choices, inputs["n"], again),
        "choices": choices,
    }


def sandwich_judge(inputs: dict, returned: object) -> None:
    choices, n = inputs["choices"], inputs["n"]
    require_fields(returned, {"steps", "again", "choices"}, "the result could not be read")
    got = np.asarray(returned["steps"], dtype=float)
    if got.ndim != 3 or got.shape[1:] != (n + 2, len(choices)):
        raise Wrong(
            f"one step should have shape {(n + 2, len(choices))}: largest, smallest, {n} random; "
            f"got {got.shape[1:]}"
        )
    steps = as_array(got, (CALLS, n + 2, len(choices)), "the steps")
    require_unchanged(returned["choices"], choices, "`choices`")
    if not np.array_equal(steps[0], as_array(returned["again"], steps[0].shape, "a second step")):
        raise Wrong("the same seed gave another result: draw from `rng` only")
    if ((steps % 1 != 0) | (steps < 0) | (steps >= choices)).any():
        raise Wrong(
            "a gene is outside of its choices: gene g is a whole number from 0 to choices[g] - 1"
        )
    resolution = steps[:, :, 0]
    if (resolution != resolution[:, :1]).any():
        raise Wrong(
            "the subnets of a step have different resolutions (gene 0); all share the one that was"
            " drawn"
        )
    for row, want, name in ((0, choices - 1, "largest"), (1, 0 * choices, "smallest")):
        if (steps[:, row, 1:] != want[1:]).any():
            raise Wrong(
                f"row {row} should be the {name} subnet: genes {want[1:].tolist()} after the"
                f" resolution, got {steps[0, row, 1:].astype(int).tolist()}"
            )
    draws = [("the resolution", resolution[:, 0], choices[0])]
    draws += [
        (f"gene {g} of row {row}", steps[:, row, g], choices[g])
        for row in range(2, n + 2)
        for g in range(1, len(choices))
    ]
    for name, values, count in draws:
        for value in range(count):
            require_frequency(int((values == value).sum()), CALLS, 1 / count, f"{name} was {value}")
    for (a, values_a, count_a), (b, values_b, count_b) in itertools.combinations(draws, 2):
        require_frequency(
            int(((values_a == 0) & (values_b == 0)).sum()),
            CALLS,
            1 / count_a / count_b,
            f"{a} and {b} were both 0 (each is drawn for itself)",
        )


# ---- 2.3 the schedule ----------------------------------------------------------------------------


def schedule_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    choices = {"kernel": [3, 5, 7], "depth": [1, 2, 3, 4], "expand": [2, 3, 4, 6][: 3 + seed % 2]}
    starts = np.sort(rng.choice(np.arange(1, 60), 6, replace=False))
    # The last phase takes back what an earlier one allowed: the latest counts, not the largest.
    phases = [
        [int(start), name, count]
        for start, (name, count) in zip(
            starts,
            (("kernel", 2), ("kernel", 3), ("depth", 3), ("depth", 4), ("expand", 2), ("depth", 2)),
        )
    ]
    choices["resolution"] = [20, 24, 28]  # which no phase is about
    steps = sorted({0, 1000, *(int(s) + d for s in starts for d in (-1, 0, 1))})
    # Two that begin at the same step, the first one; and no phase at all.
    together = [[0, "expand", 2], [0, "width", len(choices["depth"])]]
    few = {"width": choices["depth"], "expand": [3, 6]}
    return {
        "cases": [{"choices": choices, "phases": phases, "step": step} for step in steps]
        + [{"choices": few, "phases": each, "step": 3 * (seed % 2)} for each in (together, [])]
    }


def schedule_run(function: Callable, inputs: dict) -> object:
    return [
        function(
            case["step"],
            [tuple(phase) for phase in case["phases"]],
            {name: tuple(values) for name, values in case["choices"].items()},
        )
        for case in inputs["cases"]
    ]


def schedule_judge(inputs: dict, returned: object) -> None:
    for case, answer in zip(inputs["cases"], as_items(returned, len(inputs["cases"]))):
        step, names = case["step"], ", ".join(case["choices"])
        if not isinstance(answer, dict) or set(answer) != set(case["choices"]):
            raise Wrong(f"the result should be a dict with {names}, those without a phase included")
        for name, values in case["choices"].items():
            phases = {start: count for start, of, count in case["phases"] if of == name}
            begun_counts = [count for start, count in phases.items() if start <= step]
            count = begun_counts[-1] if begun_counts else 1
            expected = values[-count:]
            got = answer[name].tolist() if isinstance(answer[name], np.ndarray) else answer[name]
            if got != expected:
                raise Wrong(
                    f"at step {step}, {name} may be {tuple(expected)} (first steps of its phases,"
                    f" included, and their counts: {phases}; each ends the one before, and until"
                    f" the first only the largest is allowed); got {got}"
                )


# ---- 2.4 the gradients of several subnets --------------------------------------------------------


class _Sliced(nn.Module):
    """One hidden layer, of which a subnet uses the first `width` units.

    The witness is told of each call, and how many tensors autograd still keeps from the calls
    before; it decides on the scale of the call's logits. It is told, too, when their gradient is
    there: the gradient's sum of squares, which follows from that scale.
    """

    def __init__(self, inputs: dict, live: list[int]) -> None:
        super().__init__()
        self.first, self.second = (
            nn.Parameter(torch.tensor(inputs[name])) for name in ("first", "second")
        )
        self.live = live

    def forward(self, x: torch.Tensor, width: int) -> torch.Tensor:
        width, before = int(width), len(self.live)
        logits = torch.relu(x @ self.first[:, :width]) @ self.second[:width]  # (N, classes)
        if not logits.requires_grad:  # somebody only looks
            return logits
        return _Scaled.apply(logits, 0.5 + ask(f"call {width} {before}"), width)


class _Scaled(torch.autograd.Function):
    """Logits on a scale. The witness is told of their gradient."""

    @staticmethod
    def forward(ctx: object, logits: torch.Tensor, scale: float, width: int) -> torch.Tensor:
        ctx.scale, ctx.width = scale, width
        return scale * logits

    @staticmethod
    def backward(ctx: object, gradient: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        ask(f"gradient {ctx.width} {float(gradient.square().sum())!r}")
        return ctx.scale * gradient, None, None


def gradients_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    return {
        "first": rng.normal(size=(4, 6)),
        "second": rng.normal(size=(6, 3)),
        "images": rng.normal(size=(5, 4)),
        "labels": rng.integers(0, 3, 5),
        "widths": [6, 2, 4, 3][: 3 + seed % 2],
        "junk": float(rng.normal()),
    }


def gradients_run(function: Callable, inputs: dict) -> object:
    live: list[int] = []

    class SavedTensor:
        """A tensor that autograd keeps for the backward pass; `live` has an entry for each."""

        def __init__(self, tensor: torch.Tensor) -> None:
            self.tensor = tensor.detach()  # its own graph would keep the tensor alive
            live.append(1)

        def __del__(self) -> None:
            live.pop()

    model = _Sliced(inputs, live)
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, inputs["junk"])
    with torch.autograd.graph.saved_tensors_hooks(SavedTensor, lambda saved: saved.tensor):
        total = function(
            model,
            torch.tensor(inputs["images"]),
            torch.tensor(inputs["labels"]),
            list(inputs["widths"]),
        )
    return {
        "total": total,
        "gradients": [p.grad for p in model.parameters()],
        "weights": list(model.parameters()),
    }


def _subnet_gradients(inputs: dict, width: int, scale: float) -> tuple[list[np.ndarray], float]:
    """The gradients of both layers for one subnet, and the sum of squares of that of its logits."""
    x, first, second, n = inputs["images"], inputs["first"], inputs["second"], len(inputs["labels"])
    hidden = np.maximum(x @ first[:, :width], 0)
    p = _softmax(scale * (hidden @ second[:width]))
    error = scale * (p - np.eye(3)[inputs["labels"]]) / n
    gradients = [np.zeros_like(first), np.zeros_like(second)]
    gradients[1][:width] = hidden.T @ error
    gradients[0][:, :width] = x.T @ (error @ second[:width].T * (hidden > 0))
    return gradients, float(((error / scale) ** 2).sum())


def _subnet_loss(inputs: dict, width: int, scale: float) -> float:
    hidden = np.maximum(inputs["images"] @ inputs["first"][:, :width], 0)
    p = _softmax(scale * (hidden @ inputs["second"][:width]))
    return float(-np.log(p[np.arange(len(p)), inputs["labels"]]).mean())


def expected_gradients(inputs: dict, scales: Mapping[int, float] | None = None) -> list[np.ndarray]:
    """The gradients of both layers, summed over the subnets. `scales` are their logits', by width;
    left out, they are 1.
    """
    of_subnets = [
        _subnet_gradients(inputs, width, scales[width] if scales else 1.0)[0]
        for width in inputs["widths"]
    ]
    return [sum(layer) for layer in zip(*of_subnets)]


class _ModelCall(NamedTuple):
    """A call of the model, as the witness was told of it."""

    width: int
    scale: float  # of its logits
    kept: float  # how many tensors autograd kept when it began
    gradient: bool = False  # whether its gradient was there before the next call


def _model_calls(inputs: dict, notes: Sequence[Note]) -> list[_ModelCall]:
    calls: list[_ModelCall] = []
    for note in notes:
        kind, width, value = note.text.split()
        if kind == "call":
            calls.append(_ModelCall(int(width), 0.5 + note.number, float(value)))
        elif kind == "gradient" and calls and calls[-1].width == int(width):
            squares = _subnet_gradients(inputs, calls[-1].width, calls[-1].scale)[1]
            if math.isclose(float(value), squares, rel_tol=1e-3):
                calls[-1] = calls[-1]._replace(gradient=True)
    return calls


def gradients_judge(inputs: dict, returned: object, notes: Sequence[Note]) -> None:
    require_fields(returned, {"total", "gradients", "weights"}, "the result could not be read")
    calls = _model_calls(inputs, notes)
    scales = {call.width: call.scale for call in calls}
    scales |= {call.width: call.scale for call in calls if call.gradient}
    if set(scales) != set(inputs["widths"]):
        raise Wrong(f"the model was called for {len(scales)} of {len(inputs['widths'])} subnets")
    expected = expected_gradients(inputs, scales)
    for got, before in zip(as_items(returned["weights"], 2), (inputs["first"], inputs["second"])):
        require_close(
            got,
            before,
            "a weight",
            rtol=0,
            atol=0,
            hint="Only gradients are asked for; the optimizer's step is not part of it",
        )
    got = as_items(returned["gradients"], 2, "the gradients")
    count = len(inputs["widths"])
    if all(
        value is not None and np.shape(value) == want.shape and np.allclose(value, want / count)
        for value, want in zip(got, expected)
    ):
        raise Wrong("the gradients are averaged over the subnets; they should add up")
    for name, value, want in zip(("first", "second"), got, expected):
        if value is None:
            raise Wrong(f"the {name} layer has no gradient")
        require_close(
            value,
            want,
            f"the gradient of the {name} layer",
            hint=(
                "Drop old gradients once, before the first subnet, then let those of all subnets"
                " add up"
            ),
        )
    with_gradient = [call.width for call in calls if call.gradient]
    # What is kept when the first subnet begins is its own: checkpointing keeps what it is given.
    grows = any(call.kept > calls[0].kept for call in calls)
    if sorted(with_gradient) != sorted(inputs["widths"]) or grows:
        raise Wrong(
            "the gradients are right, but the activations of one subnet are still kept when the"
            " next begins: memory grows with the number of subnets. Call backward for each loss at"
            " once"
        )
    _judge_total(inputs, as_number(returned["total"], "the total loss"), calls)


def _judge_total(inputs: dict, total: float, calls: list[_ModelCall]) -> None:
    """Wrong unless `total` is the sum of the subnets' losses, each of any call: of the one that
    gave the gradient, or of one that only looked.
    """
    losses = [
        [
            _subnet_loss(inputs, width, scale)
            for scale in (*(call.scale for call in calls if call.width == width), 1.0)
        ][-4:]
        for width in inputs["widths"]
    ]
    sums = [sum(choice) for choice in itertools.product(*losses)]
    nearest = min(sums, key=lambda value: abs(value - total))
    require_close(
        np.array(total),
        np.array(nearest),
        "the total loss",
        rtol=1e-5,
        hint="It is the sum over the subnets",
    )


# ---- 2.5 a training step -------------------------------------------------------------------------

MOMENTUM, WEIGHT_DECAY, RATE = 0.9, 0.05, 0.3
STEPS = 2  # of one answer: the second meets the gradients and the momentum of the first


class _Counted(nn.Module):
    """One hidden layer, of which a subnet uses the first `width` units. The witness is told of each
    call, and decides on the scale of its logits.
    """

    def __init__(self, inputs: dict) -> None:
        super().__init__()
        self.first, self.second = (
            nn.Parameter(torch.tensor(inputs[name])) for name in ("first", "second")
        )

    def forward(self, x: torch.Tensor, width: int) -> torch.Tensor:
        width = int(width)
        logits = torch.relu(x @ self.first[:, :width]) @ self.second[:width]
        return (0.5 + tell("call", width)) * logits


def step_inputs(seed: int) -> dict:
    rng = np.random.default_rng(seed)
    cases = []
    for widths in ([6], [6, 2], [6, 3, 5, 2][: 3 + seed % 2]):
        cases.append(
            {
                "first": rng.normal(size=(4, 6)),
                "second": rng.normal(size=(6, 3)),
                "batches": [
                    {"images": rng.normal(size=(n, 4)), "labels": rng.integers(0, 3, n)}
                    for n in rng.integers(4, 8, STEPS).tolist()
                ],
                "widths": widths,
                "share": (0.8, 0.3, 0.65)[seed % 3],
                "junk": float(rng.normal()),
            }
        )
    return {"cases": cases}


def step_run(function: Callable, inputs: dict) -> object:
    answers = []
    for case in inputs["cases"]:
        model = _Counted(case)
        for parameter in model.parameters():
            parameter.grad = torch.full_like(parameter, case["junk"])
        optimizer = torch.optim.SGD(
            model.parameters(), RATE, momentum=MOMENTUM, weight_decay=WEIGHT_DECAY
        )
        losses, weights = [], []
        for batch in case["batches"]:
            images, labels = torch.tensor(batch["images"]), torch.tensor(batch["labels"])
            ask("step")
            returned = function(
                model, optimizer, images, labels, list(case["widths"]), case["share"]
            )
            require_value(returned, "what train_step returns")
            losses.append(returned)
            weights.append([p.detach().clone() for p in model.parameters()])
        answers.append({"losses": losses, "weights": weights})
    return answers


def _step_of_subnets(
    weights: Sequence[np.ndarray],
    batch: Mapping,
    widths: Sequence[int],
    share: float,
    scales: Mapping[int, float],
) -> tuple[list[float], list[np.ndarray]]:
    """The subnets' losses, and the gradients of both layers, summed over the subnets."""
    first, second = weights
    x, n = batch["images"], len(batch["labels"])
    onehot, losses = np.eye(second.shape[1])[batch["labels"]], []
    gradients, teacher = [np.zeros_like(first), np.zeros_like(second)], None
    for width in widths:
        hidden = np.maximum(x @ first[:, :width], 0)
        scale = scales.get(width, 1.0)
        p = _softmax(scale * (hidden @ second[:width]))
        hard = -np.log((p * onehot).sum(1)).mean()
        teacher_share = 0.0 if teacher is None else share
        teacher = p if teacher is None else teacher
        soft = (teacher * np.log(teacher / p)).sum() / n
        losses.append(float((1 - teacher_share) * hard + teacher_share * soft))
        error = scale * (p - (1 - teacher_share) * onehot - teacher_share * teacher) / n
        gradients[1][:width] += hidden.T @ error
        gradients[0][:, :width] += x.T @ (error @ second[:width].T * (hidden > 0))
    return losses, gradients


def expected_steps(
    case: dict, scales: Iterable[Mapping[int, float]] = repeat({})
) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Of each step: the subnets' losses, and the weights of both layers after it. `scales` are
    those of the subnets' logits; 1 where nothing else is said.
    """
    weights, motion = [case["first"], case["second"]], [0.0, 0.0]
    for batch, of_step in zip(case["batches"], scales):
        losses, gradients = _step_of_subnets(weights, batch, case["widths"], case["share"], of_step)
        motion = [
            MOMENTUM * speed + gradient + WEIGHT_DECAY * weight
            for speed, gradient, weight in zip(motion, gradients, weights)
        ]
        weights = [weight - RATE * speed for weight, speed in zip(weights, motion)]
        yield np.array(losses), weights


def step_judge(inputs: dict, returned: object, notes: Sequence[Note]) -> None:
    steps = iter(parts(notes, "step", sum(len(case["batches"]) for case in inputs["cases"])))
    for case, answer in zip(inputs["cases"], as_items(returned, len(inputs["cases"]))):
        require_fields(answer, {"losses", "weights"})
        _judge_steps(case, answer, list(islice(steps, len(case["batches"]))))


def _judge_steps(case: dict, answer: dict, told: Sequence[Sequence[Note]]) -> None:
    widths = case["widths"]
    scales = [{int(note.told[0]): 0.5 + note.number for note in step} for step in told]
    for number, (losses, weights) in enumerate(expected_steps(case, scales)):
        what = f"{len(widths)} subnet{'s' if len(widths) > 1 else ''}, step {number}"
        require_close(
            answer["losses"][number],
            losses,
            f"the list of losses ({what})",
            rtol=1e-5,
            hint="The first subnet learns from the labels, the others from labels and teacher",
        )
        weights_now = as_items(answer["weights"][number], 2, "the model's weights")
        for name, got, want in zip(("first", "second"), weights_now, weights):
            require_close(
                got,
                want,
                f"the {name} layer's weight matrix after the step ({what})",
                hint="Drop old gradients, let those of all subnets add up, and step once; the"
                " teacher gets no gradient",
            )
    calls = [int(note.told[0]) for step in told for note in step]
    if sorted(calls) != sorted(widths * len(case["batches"])):
        raise Wrong(
            f"in {len(case['batches'])} steps the model was called {len(calls)} times; once for"
            f" each of {len(widths)} subnets is asked for: the teacher's logits are there already"
        )


EXERCISES = (
    Exercise(
        "2.1",
        4,
        "soft_loss",
        distill_inputs,
        distill_run,
        distill_judge,
        ("labkit.train.step.distillation_loss",),
        sizes=(Size({"student": 0, "teacher": 0, "labels": 0}),),
    ),
    Exercise(
        "2.2",
        3,
        "sandwich",
        sandwich_inputs,
        sandwich_run,
        sandwich_judge,
        ("labkit.train.recipes.Recipe.archs",),
        sizes=(Size({"choices": 0}, least=2),),
    ),
    Exercise(
        "2.3",
        3,
        "allowed_choices",
        schedule_inputs,
        schedule_run,
        schedule_judge,
        (
            "labkit.train.recipes.Recipe.phase_at",
            "labkit.train.progressive_shrinking.Phase.restrict",
        ),
        sizes=(
            Size({"cases": 0}),
            Size({"cases/0/phases": 0}, least=0),
        ),
    ),
    Exercise(
        "2.4",
        4,
        "add_gradients",
        gradients_inputs,
        gradients_run,
        gradients_judge,
        ("labkit.train.step.training_step",),
        witnessed=True,
        sizes=(
            Size({"widths": 0}, least=2),
            Size({"images": 0, "labels": 0}),
        ),
    ),
    Exercise(
        "2.5",
        5,
        "train_step",
        step_inputs,
        step_run,
        step_judge,
        ("labkit.train.step.training_step", "labkit.train.step.distillation_loss"),
        witnessed=True,
        sizes=(Size({"cases": 0}), Size({"cases/0/batches": 0}), Size({"cases/0/widths": 0})),
    ),
)
