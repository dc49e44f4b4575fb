"""Exercises 4.2 and 5.7: a predictor is fitted to measured pairs, and a search measures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import NormalDist

import numpy as np

from labkit.course.exercises.exercise import Wrong
from labkit.course.exercises.judging import (
    as_array,
    as_integer,
    as_items,
    as_number,
    is_plausible,
    require_close,
    require_fields,
    require_frequency,
    require_unchanged,
    two_things,
)
from labkit.course.exercises.witness import Note, ask, parts, tell, unknown_part

# ---- 4.2 a fitted predictor ----------------------------------------------------------------------

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
    what = "a function that predicts, and its error"
    predict, error = two_things(returned, "fit_predictor", what)
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
        "the held-out pairs were fitted to as well": ridge(features, link, strength),
        "the constant b is penalized as the weights are; it should be free": ridge(
            features[~held_out], link[~held_out], strength, free=False
        ),
        "the penalty is missing": ridge(features[~held_out], link[~held_out], 0.0),
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
    constant, weights = ridge(features[~held_out], link[~held_out], strength)
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
    constant, weights = ridge(inputs["features"][fitted], link, inputs["strength"])
    return 100 - np.exp(-constant - inputs["others"] @ weights)


def ridge(
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


# ---- 5.7 Thompson sampling -----------------------------------------------------------------------

SHORT_SEARCHES = 1500  # of two measurements, to see how often a candidate is measured
KIN_SEARCHES = 500  # the same, of candidates of which one stays the best


def thompson_inputs(seed: int) -> dict:
    """A belief about many candidates for one long search, and two about three candidates. Of the
    `few`, two are nearly alike and the third is about a standard deviation better: draws that are
    too wide show. Of the `kin`, one is probably the best also when it has been measured, and where
    the next is good, it is too: whoever draws again until another one is the best, instead of
    taking the best of the others, will hardly measure its kin.
    """
    rng = np.random.default_rng(seed)
    count = 9 + seed % 3
    roots = rng.normal(0, 0.5, (count, count))
    few = np.array([[0.5, 0.47, -0.1], [0.47, 0.5, -0.1], [-0.1, -0.1, 0.3]])
    kin = np.array([[0.5, 0.47, 0.0], [0.47, 0.5, 0.0], [0.0, 0.0, 0.5]])
    order = rng.permutation(3)
    inputs = {
        "mean": rng.uniform(88, 90, count),
        "covariance": roots @ roots.T / 4 + 0.05 * np.eye(count),
        "measured": rng.uniform(88, 90, count),
        "noise": (0.02, 0.3, 0.1)[seed % 3],
        "steps": 5 + seed % 2,
        "few_mean": np.array([89.0, 89.1, 90.0])[order] + rng.uniform(-0.05, 0.05, 3),
        "few_covariance": few[np.ix_(order, order)],
        "few_measured": np.array([88.4, 88.5, 88.7])[order],  # worse than believed: twins fall
        "seed": int(rng.integers(2**31)),
    }
    order = rng.permutation(3)
    kin_mean = np.array([90.0, 89.6, 89.6])[order] + rng.uniform(-0.02, 0.02, 3)
    return inputs | {
        "kin_mean": kin_mean,
        "kin_covariance": kin[np.ix_(order, order)],
        "kin_measured": kin_mean,  # as believed
        "kin_noise": 2.0,  # one measurement tells little
    }


def thompson_run(function: Callable, inputs: dict) -> object:
    """The witness is told of each measurement of a long search, and in the last of these decides on
    a part of what is measured.
    """

    def search(prefix: str, noise: float, steps: int, seed: int, long: int | None = None) -> dict:
        values, calls = inputs[f"{prefix}measured"], []

        def measure(i: int) -> float:
            if len(calls) >= 10 * len(values):
                raise Wrong("measure was called without end")
            calls.append(int(i))
            if long is None:
                return float(values[i])
            return float(values[i]) + _unknown_part(long, tell("measure", int(i)))

        arguments = [inputs[f"{prefix}{name}"].copy() for name in ("mean", "covariance")]
        returned = function(*arguments, noise, measure, steps, np.random.default_rng(seed))
        what = (
            "the candidates that were measured, in their order, and the mean of what is believed in"
            " the end"
        )
        order, belief = two_things(returned, "thompson", what)
        return {"order": order, "mean": belief, "calls": calls, "arguments": arguments}

    def long_search(number: int, seed: int) -> dict:
        ask("search")
        found = search("", inputs["noise"], inputs["steps"], seed, number)
        del found["calls"]
        return found

    first = inputs["seed"]
    return {
        "searches": [long_search(i, seed) for i, seed in enumerate((first, first, first + 1))],
        "few": [
            search("few_", inputs["noise"], 2, first + i)["calls"] for i in range(SHORT_SEARCHES)
        ],
        "kin": [
            search("kin_", inputs["kin_noise"], 2, first + i)["calls"] for i in range(KIN_SEARCHES)
        ],
    }


def _unknown_part(search: int, number: float) -> float:
    """Of what is measured in the last of three searches; the first two are to be alike."""
    return unknown_part(number, 0.01) if search == 2 else 0.0


def thompson_judge(inputs: dict, returned: object, notes: Sequence[Note]) -> None:
    require_fields(returned, {"searches", "few", "kin"})
    told = parts(notes, "search", 3)
    for i, search in enumerate(as_items(returned["searches"], 3)):
        unknown_parts = [_unknown_part(i, note.number) for note in told[i]]
        _judge_long_search(inputs, search, _calls(told[i]), unknown_parts)
    if _calls(told[0]) != _calls(told[1]):
        raise Wrong("the same seed gave another search: draw from `rng` only")
    few, kin = (
        [inputs[f"{prefix}_{name}"] for name in ("mean", "covariance", "measured")]
        for prefix in ("few", "kin")
    )
    _judge_short_searches(*few, inputs["noise"], as_items(returned["few"], SHORT_SEARCHES))
    _judge_short_searches(*kin, inputs["kin_noise"], as_items(returned["kin"], KIN_SEARCHES))


def _calls(told: Sequence[Note]) -> list[int]:
    """The candidates that were measured, in their order."""
    return [int(note.told[0]) for note in told]


def _judge_long_search(
    inputs: dict, search: dict, calls: list[int], unknown_parts: list[float]
) -> None:
    require_fields(search, {"order", "mean", "arguments"})
    mean, covariance = inputs["mean"], inputs["covariance"]
    for name, now, before in zip(
        ("mean", "covariance"), search["arguments"], (mean, covariance), strict=True
    ):
        require_unchanged(now, before, name)
    if len(calls) != inputs["steps"]:
        raise Wrong(f"{inputs['steps']} measurements were asked for; {len(calls)} were made")
    if len(set(calls)) < len(calls):
        twice = next(i for i in calls if calls.count(i) > 1)
        raise Wrong(f"candidate {twice} was measured {calls.count(twice)} times; once will do")
    order = [as_integer(i, "a candidate") for i in as_items(search["order"], len(calls), "order")]
    if order != calls:
        raise Wrong(f"candidates {calls} were measured, in this order; returned are {order}")
    measured = inputs["measured"].copy()
    measured[calls] += unknown_parts
    require_close(
        search["mean"],
        conditioned(mean, covariance, inputs["noise"], calls, measured)[0],
        f"what is believed after measuring {calls}",
        rtol=1e-6,
        hint="Each measurement moves the mean of all candidates, by their covariance with it",
    )


def _judge_short_searches(
    mean: np.ndarray, covariance: np.ndarray, measured: np.ndarray, noise: float, searches: list
) -> None:
    """Three candidates, each of which is measured first and second as often as it is the best of a
    draw from what is believed then.
    """
    pairs = [tuple(calls) for calls in searches]
    if any(len(pair) != 2 for pair in pairs):
        raise Wrong("2 measurements were asked for, and not always made")
    for first in range(3):
        require_frequency(
            sum(pair[0] == first for pair in pairs),
            len(pairs),
            _chance_of_best(mean, covariance, first),
            f"of three candidates number {first} was measured first",
        )
        a, b = (i for i in range(3) if i != first)
        after = conditioned(mean, covariance, noise, [first], measured)
        count = sum(pair == (first, a) for pair in pairs)
        trials = max(1, sum(pair[0] == first for pair in pairs))
        what = f"after candidate {first}, number {a} was measured before number {b}"
        try:
            require_frequency(count, trials, _chance_above(*after, a, b), what)
        except Wrong as wrong:
            of_a, of_b = (_chance_of_best(*after, i) for i in (a, b))
            if is_plausible(count, trials, of_a / (of_a + of_b)):
                raise Wrong(
                    f"{wrong}. It looks as if a draw whose best was measured already is drawn"
                    " again; measure the best of the other candidates in the same draw"
                ) from None
            raise


def conditioned(
    mean: np.ndarray,
    covariance: np.ndarray,
    noise: float,
    measured: Sequence[int],
    values: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance after measuring some candidates, all at once."""
    rows = list(measured)
    total = covariance[np.ix_(rows, rows)] + noise * np.eye(len(rows))
    gain = np.linalg.solve(total, covariance[rows]).T
    return mean + gain @ (values[rows] - mean[rows]), covariance - gain @ covariance[rows]


def _chance_above(mean: np.ndarray, covariance: np.ndarray, a: int, b: int) -> float:
    """Of a draw in which candidate `a` is better than `b`."""
    variance = covariance[a, a] + covariance[b, b] - 2 * covariance[a, b]
    return NormalDist().cdf(float((mean[a] - mean[b]) / np.sqrt(variance)))


def _chance_of_best(mean: np.ndarray, covariance: np.ndarray, i: int) -> float:
    """Of a draw in which candidate `i` is the best of three: an integral over its lead over one of
    the others, of the chance that it leads the third as well.
    """
    a, b = (j for j in range(3) if j != i)
    leads = np.zeros((2, 3))
    leads[:, i] = 1
    leads[0, a] = leads[1, b] = -1
    means, spread = leads @ mean, leads @ covariance @ leads.T
    x = np.linspace(-9, 9, 20_001)  # the first lead, in standard deviations
    lead = means[0] + np.sqrt(spread[0, 0]) * x
    other = means[1] + spread[0, 1] / spread[0, 0] * (lead - means[0])
    rest = np.sqrt(spread[1, 1] - spread[0, 1] ** 2 / spread[0, 0])
    density = np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
    chances = np.array([NormalDist().cdf(value) for value in other / rest])
    return float((density * chances * (lead > 0)).sum() * (x[1] - x[0]))
