"""Exercise 5.5, the capstone: tables of a small microcontroller, limits, and the exact optimum."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from labkit.course.exercises.exercise import Wrong
from labkit.course.exercises.judging import as_integer, as_items
from labkit.course.exercises.stage_tables import stage_tables
from labkit.latency.devices import get_device
from labkit.search import Budget, InfeasibleBudget, SearchResult, best
from labkit.space import SearchSpace
from labkit.specialize.device_memory import flash_table
from labkit.supernet.folder import load
from labkit.tables.accuracy_predictor import SeparablePredictor
from labkit.tables.costs import activation_table
from labkit.tables.separable import Separable

# Standard deviations of what is added to the shipped scores, for even and for odd seeds. The first
# is below the predictor's error. Without it the scores of a large space are so smooth that of
# hundreds of a stage's configurations none beats another. The second is about as large as the best
# scores of a stage are far apart: unless it is added, the slowest configuration is nearly always
# the best one, so that an answer that confuses the two could pass.
PERTURBATIONS = (0.02, 0.2)
STEPS = 12  # how often at most an SRAM limit is lowered until it matters
# Points of predicted accuracy below the optimum that still count as right.
ACCURACY_TOLERANCE = 0.05
CLOSE, CLOSE_POINTS = 0.5, 4  # a wider gap, and what an answer is worth that meets it
LIMITED_COSTS = {
    "latency_ms": ("latency", "ms"),
    "sram_bytes": ("SRAM", "bytes"),
    "flash_bytes": ("flash", "bytes"),
}


@lru_cache(maxsize=2)
def _tables(perturbation: float) -> tuple[SearchSpace, dict[str, Separable]]:
    """Scores near the shipped predictor's, and what subnets cost on the small microcontroller."""
    trained, device = load("fmnist"), get_device("mcu-64k")
    space, shipped = trained.space, trained.predictor.predict
    rng = np.random.default_rng(0)
    terms = [term + rng.normal(0, perturbation, term.shape) for term in shipped.terms]
    return space, {
        "score": SeparablePredictor(space, shipped.base, terms),
        "latency_ms": device.latency_table(space),
        "flash_bytes": flash_table(space, device),
        "sram_bytes": activation_table(space, 1),
    }


@lru_cache(maxsize=32)
def _limits(seed: int) -> tuple[tuple[str, float], ...]:
    """Three limits, set one after another; an answer that ignores the last one breaks it.

    Which cost comes last depends on the seed. Where memory comes first, its limit is so tight that
    the largest global choice does not fit.
    """
    perturbation = _perturbation(seed)
    space, tables = _tables(perturbation)
    rng = np.random.default_rng(seed)
    order = tuple(LIMITED_COSTS)[seed % 3 :] + tuple(LIMITED_COSTS)[: seed % 3]
    smallest, some = space.encode([space.smallest()]), space.sample(rng, 500)
    share = rng.uniform(0.06, 0.3) if order[0] == "sram_bytes" else rng.uniform(0.3, 0.7)
    limits = {order[0]: float(np.floor(np.quantile(tables[order[0]](some), share)))}
    for name in order[1:]:
        genes = _optimum(perturbation, tuple(limits.items())).genes[None]
        spent, least = float(tables[name](genes)[0]), float(tables[name](smallest)[0])
        limits[name] = float(np.floor(least + (spent - least) * rng.uniform(0.6, 0.9)))
    if order[-1] == "sram_bytes":
        limits["sram_bytes"] = _met_exactly(perturbation, limits)
    return tuple(limits.items())


def _met_exactly(perturbation: float, limits: dict[str, float]) -> float:
    """An SRAM limit that the best subnet meets exactly, where one byte less would cost accuracy."""
    _, tables = _tables(perturbation)
    optimum = _best_below(perturbation, limits, limits["sram_bytes"])
    steps = []
    for _ in range(STEPS):
        spent = float(tables["sram_bytes"](optimum.genes[None])[0])
        try:
            tighter = _best_below(perturbation, limits, spent - 1)
        except InfeasibleBudget:  # nothing that meets the other limits takes less
            steps = steps or [(np.inf, spent)]
            break
        loss = optimum.accuracy - tighter.accuracy
        steps.append((loss, spent))
        if loss > 2 * ACCURACY_TOLERANCE:
            break
        optimum = tighter
    return max(steps)[1]


def _best_below(perturbation: float, limits: dict[str, float], sram_bytes: float) -> SearchResult:
    return _optimum(perturbation, tuple({**limits, "sram_bytes": sram_bytes}.items()))


@lru_cache(maxsize=128)
def _optimum(perturbation: float, limits: tuple[tuple[str, float], ...]) -> SearchResult:
    space, tables = _tables(perturbation)
    return best(
        space,
        tables["score"],
        [Budget(tables[name], limit, *LIMITED_COSTS[name]) for name, limit in limits],
    )


def _perturbation(seed: int) -> float:
    return PERTURBATIONS[seed % 2]


def choose_inputs(seed: int) -> dict:
    """Tables and limits. For some seeds the global choice of the optimum is the first, for some the
    last, so that it shows where an answer leaves one out.
    """
    perturbation, limits = _perturbation(seed), _limits(seed)
    global_choices = stage_tables(*_tables(perturbation))
    best_choice = int(_optimum(perturbation, limits).genes[0])
    first = (best_choice, 0, best_choice + 1)[seed % 3]
    return {
        "global_choices": global_choices[first:] + global_choices[:first],
        "limits": dict(limits),
    }


def choose_judge(inputs: dict, returned: object) -> None:
    r, stages, configurations = _read_choice(inputs["global_choices"], returned)
    values = {
        name: [float(stage[name][i]) for stage, i in zip(stages, configurations)]
        for name in ("score", *LIMITED_COSTS)
    }
    limits = inputs["limits"]
    for name, (what, unit) in LIMITED_COSTS.items():
        spent = (max if name == "sram_bytes" else sum)(values[name])
        if spent > limits[name] * (1 + 1e-9):
            raise Wrong(
                f"the subnet (global choice {r}, configurations {configurations}) needs {what}"
                f" {spent:.6g} {unit}; the limit is {limits[name]:.6g} {unit}"
            )
    accuracy = 100 - np.exp(-sum(values["score"]))
    perturbation = next(
        each
        for each in PERTURBATIONS
        if any(
            np.array_equal(inputs["global_choices"][0][0]["score"], stages[0]["score"])
            for stages in stage_tables(*_tables(each))
        )
    )
    optimum = _optimum(perturbation, tuple(limits.items())).accuracy
    gap = optimum - accuracy
    if gap > ACCURACY_TOLERANCE:
        raise Wrong(
            f"the subnet meets all limits and is predicted to get {accuracy:.2f} % right, {gap:.2f}"
            f" points below the best that meets them ({optimum:.2f} %); full points for a gap of at"
            f" most {ACCURACY_TOLERANCE}, {CLOSE_POINTS} for one of at most {CLOSE}",
            points=CLOSE_POINTS if gap <= CLOSE else 0,
        )


def _read_choice(global_choices: list, returned: object) -> tuple[int, list, Sequence[int]]:
    what = "what choose returns"
    if returned is None:
        raise Wrong(
            "choose returned None: it found no subnet, but there are some that meet all limits."
            " Scores are negative; is a first best score of 0 in the way?"
        )
    r, configurations = as_items(
        returned, 2, f"{what}, (index of the global choice, indices of the configurations),"
    )
    r = as_integer(r, "the index of the global choice")
    if not 0 <= r < len(global_choices):
        raise Wrong(f"there are global choices 0 to {len(global_choices) - 1}, got {r}")
    stages = global_choices[r]
    configurations = [
        as_integer(i, "the index of a configuration")
        for i in as_items(configurations, len(stages), "the configurations, one for each stage,")
    ]
    for s, (stage, i) in enumerate(zip(stages, configurations)):
        if not 0 <= i < len(stage["score"]):
            raise Wrong(f"stage {s} has configurations 0 to {len(stage['score']) - 1}, got {i}")
    return r, stages, configurations
