"""Exercise 4.2: a predictor that is fitted to measured pairs, and judged on others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from labkit.course.exercises.exercise import Wrong
from labkit.course.exercises.judging import (
    as_array,
    as_number,
    require_close,
    require_fields,
    require_unchanged,
    require_value,
)

ARGUMENTS = ("features", "accuracy", "held_out")


def fit_inputs(seed: int) -> dict:
    """One-hot features and one that is a size, with effects on the logarithm of the error."""
    rng = np.random.default_rng(seed)
    count, choices = 36 + 4 * (seed % 3), (3, 4, 2 + seed % 2)

    def rows(count: int) -> np.ndarray:
        one_hot = [np.eye(c)[rng.integers(0, c, count)] for c in choices]
        return np.column_stack([*one_hot, rng.integers(2, 8, count) / 2])

    features, others = rows(count), rows(12)
    effects = rng.normal(0, 0.4, features.shape[1])
    link = features @ effects
    link += rng.uniform(-3, -2.5) - link.mean() + rng.normal(0, 0.15, count)
    held_out = np.zeros(count, dtype=bool)
    held_out[rng.permutation(count)[: count // 3]] = True
    return {
        "features": features,
        "accuracy": 100 - np.exp(-link),
        "held_out": held_out,
        "strength": (0.5, 3.0, 12.0)[seed % 3],
        "others": others,
    }


def fit_run(function: Callable, inputs: dict) -> object:
    arguments = {name: inputs[name].copy() for name in ARGUMENTS}
    returned = function(*arguments.values(), inputs["strength"])
    require_value(returned, "what fit_predictor returns")
    try:
        predict, error = returned
    except (TypeError, ValueError):
        raise Wrong(
            "fit_predictor should return two things: a function that predicts, and its error"
        ) from None
    if not callable(predict):
        raise Wrong(
            "the first thing that fit_predictor returns should be a function of features; it is of"
            f" type {type(predict).__name__}"
        )
    predicted = [predict(inputs[name].copy()) for name in ("others", "features")]
    return {"predicted": predicted, "error": error, "arguments": list(arguments.values())}


def fit_judge(inputs: dict, returned: object) -> None:
    require_fields(returned, {"predicted", "error", "arguments"})
    for name, now in zip(ARGUMENTS, returned["arguments"], strict=True):
        require_unchanged(now, inputs[name], name)
    features, accuracy, held_out, strength = (inputs[name] for name in (*ARGUMENTS, "strength"))
    link = -np.log(100 - accuracy)
    expected = expected_fit(inputs)
    result = as_array(
        returned["predicted"][0], expected.shape, "what predict returns for the other rows"
    )
    mistakes = {
        "the held-out pairs were fitted to as well": _ridge(features, link, strength),
        "the constant b is penalized as the weights are; it should be free": _ridge(
            features[~held_out], link[~held_out], strength, free=False
        ),
        "the penalty is missing": _ridge(features[~held_out], link[~held_out], 0.0),
    }
    for mistake, (constant, weights) in mistakes.items():
        wrong = 100 - np.exp(-constant - inputs["others"] @ weights)
        if np.allclose(result, wrong, rtol=1e-6) and not np.allclose(result, expected, rtol=1e-6):
            raise Wrong(f"it looks as if {mistake}")
    require_close(
        result,
        expected,
        "the predicted accuracy, in percent,",
        rtol=1e-5,
        hint="Fitted are the links z of the pairs that are not held out; then 100 - exp(-z)",
    )
    constant, weights = _ridge(features[~held_out], link[~held_out], strength)
    of_all = 100 - np.exp(-constant - features @ weights)
    require_close(returned["predicted"][1], of_all, "the predicted accuracy", rtol=1e-5)
    miss = of_all - accuracy
    error, wanted = as_number(returned["error"], "the error"), _rms(miss[held_out])
    if np.isclose(error, _rms(miss[~held_out]), rtol=1e-4):
        raise Wrong("the error is that on the pairs that were fitted to, which flatters")
    if not np.isclose(error, wanted, rtol=1e-4):
        raise Wrong(
            f"the error is {error:.4g}; the root of the mean squared difference between predicted"
            f" and measured accuracy on the held-out pairs is {wanted:.4g} points"
        )


def expected_fit(inputs: dict) -> np.ndarray:
    """The accuracy that is predicted for the other rows of the inputs."""
    fitted = ~inputs["held_out"]
    link = -np.log(100 - inputs["accuracy"][fitted])
    constant, weights = _ridge(inputs["features"][fitted], link, inputs["strength"])
    return 100 - np.exp(-constant - inputs["others"] @ weights)


def _ridge(
    features: np.ndarray, target: np.ndarray, strength: float, free: bool = True
) -> tuple[float, np.ndarray]:
    """The constant and the weights, as least squares with a further row for each penalty."""
    count, width = features.shape
    penalties = np.sqrt(strength) * np.eye(width + 1)
    rows = np.vstack([np.column_stack([np.ones(count), features]), penalties[free:]])
    target = np.concatenate([target, np.zeros(len(rows) - count)])
    solution = np.linalg.lstsq(rows, target, rcond=None)[0]
    return solution[0], solution[1:]


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values**2).mean()))
