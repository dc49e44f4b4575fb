"""Exercise 5.5, the capstone: tables of a small microcontroller, limits, and the exact optimum."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from labkit.course.exercises.exercise import Wrong
from labkit.course.exercises.judging import as_integer, as_items
from labkit.latency.devices import get_device
from labkit.latency.memory import flash_table
from labkit.search import Budget, InfeasibleBudget, SearchResult, best
from labkit.space import SearchSpace
from labkit.supernet.folder import load
from labkit.tables.accuracy_predictor import SeparablePredictor
from labkit.tables.costs import activation_table
from labkit.tables.separable import Separable

PERTURBATION = 0.2  # standard deviation; the best scores of a stage are about as far apart
STEPS = 12  # how often at most an SRAM limit is lowered until it matters
# Points of predicted accuracy below the optimum that still count as right.
ACCURACY_TOLERANCE = 0.05
CLOSE, CLOSE_POINTS = 0.5, 2  # a wider gap, and what an answer is worth that meets it
LIMITED_COSTS = {
    "latency_ms": ("latency", "ms"),
    "sram_bytes": ("SRAM", "bytes"),
    "flash_bytes": ("flash", "bytes"),
}


@lru_cache(maxsize=2)
def _tables(perturbed: bool) -> tuple[SearchSpace, dict[str, Separable]]:
    """The shipped predictor, and what subnets cost on the small microcontroller.

    With the shipped scores, the slowest configuration is nearly always the best one, so an answer
    that confuses the two could pass. With `perturbed` scores it cannot.
    """
    trained, device = load("fmnist"), get_device("mcu-64k")
    space, score = trained.space, trained.predictor.predict
    if perturbed:
        rng = np.random.default_rng(0)
        score = SeparablePredictor(
            space,
            score.base,
            [term + rng.normal(0, PERTURBATION, term.shape) for term in score.terms],
        )
    return space, {
        "score": score,
        "latency_ms": device.latency_table(space),
        "flash_bytes": flash_table(space, device),
        "sram_bytes": activation_table(space, 1),
    }


def _stage_tables(perturbed: bool) -> list[list[dict[str, np.ndarray]]]:
    """For each resolution and stage, the terms of every configuration.

    The terms of stage 0 include what all subnets share.
    """
    space, tables = _tables(perturbed)
    resolutions = []
    for r in range(len(space.resolutions)):
        stages = []
        for s in range(len(space.stages)):
            terms = {
                name: table.stage_values(s)[r, space.valid_codes(s)]
                for name, table in tables.items()
            }
            if s == 0:
                terms = {
                    name: tables[name].combine(term, tables[name].base[r])
                    for name, term in terms.items()
                }
            stages.append(terms)
        resolutions.append(stages)
    return resolutions


@lru_cache(maxsize=32)
def _limits(seed: int) -> tuple[tuple[str, float], ...]:
    """Three limits, set one after another; an answer that ignores the last one breaks it.

    Which cost comes last depends on the seed. Where memory comes first, its limit is so tight that
    the largest resolution does not fit.
    """
    perturbed = _is_perturbed(seed)
    space, tables = _tables(perturbed)
    rng = np.random.default_rng(seed)
    order = tuple(LIMITED_COSTS)[seed % 3 :] + tuple(LIMITED_COSTS)[: seed % 3]
    smallest, some = space.encode([space.smallest()]), space.sample(rng, 500)
    share = rng.uniform(0.06, 0.3) if order[0] == "sram_bytes" else rng.uniform(0.3, 0.7)
    limits = {order[0]: float(np.floor(np.quantile(tables[order[0]](some), share)))}
    for name in order[1:]:
        genes = _optimum(perturbed, tuple(limits.items())).genes[None]
        spent, least = float(tables[name](genes)[0]), float(tables[name](smallest)[0])
        limits[name] = float(np.floor(least + (spent - least) * rng.uniform(0.6, 0.9)))
    if order[-1] == "sram_bytes":
        limits["sram_bytes"] = _met_exactly(perturbed, limits)
    return tuple(limits.items())


def _met_exactly(perturbed: bool, limits: dict[str, float]) -> float:
    """An SRAM limit that the best subnet meets exactly, where one byte less would cost accuracy."""
    _, tables = _tables(perturbed)
    optimum = _best_below(perturbed, limits, limits["sram_bytes"])
    steps = []
    for _ in range(STEPS):
        spent = float(tables["sram_bytes"](optimum.genes[None])[0])
        try:
            tighter = _best_below(perturbed, limits, spent - 1)
        except InfeasibleBudget:  # nothing that meets the other limits takes less
            steps = steps or [(np.inf, spent)]
            break
        loss = optimum.accuracy - tighter.accuracy
        steps.append((loss, spent))
        if loss > 2 * ACCURACY_TOLERANCE:
            break
        optimum = tighter
    return max(steps)[1]


def _best_below(perturbed: bool, limits: dict[str, float], sram_bytes: float) -> SearchResult:
    return _optimum(perturbed, tuple({**limits, "sram_bytes": sram_bytes}.items()))


@lru_cache(maxsize=128)
def _optimum(perturbed: bool, limits: tuple[tuple[str, float], ...]) -> SearchResult:
    space, tables = _tables(perturbed)
    return best(
        space,
        tables["score"],
        [Budget(tables[name], limit, *LIMITED_COSTS[name]) for name, limit in limits],
    )


def _is_perturbed(seed: int) -> bool:
    return seed % 2 == 1


def choose_inputs(seed: int) -> dict:
    return {"resolutions": _stage_tables(_is_perturbed(seed)), "limits": dict(_limits(seed))}


def choose_judge(inputs: dict, returned: object) -> None:
    r, stages, configurations = _read_choice(inputs["resolutions"], returned)
    values = {
        name: [float(stage[name][i]) for stage, i in zip(stages, configurations)]
        for name in ("score", *LIMITED_COSTS)
    }
    limits = inputs["limits"]
    for name, (what, unit) in LIMITED_COSTS.items():
        spent = (max if name == "sram_bytes" else sum)(values[name])
        if spent > limits[name] * (1 + 1e-9):
            raise Wrong(
                f"the subnet (resolution {r}, configurations {configurations}) needs {what}"
                f" {spent:.6g} {unit}; the limit is {limits[name]:.6g} {unit}"
            )
    accuracy = 100 - np.exp(-sum(values["score"]))
    perturbed = not np.array_equal(
        inputs["resolutions"][0][0]["score"], _stage_tables(False)[0][0]["score"]
    )
    optimum = _optimum(perturbed, tuple(limits.items())).accuracy
    gap = optimum - accuracy
    if gap > ACCURACY_TOLERANCE:
        raise Wrong(
            f"the subnet meets all limits and is predicted to get {accuracy:.2f} % right, {gap:.2f}"
            f" points below the best that meets them ({optimum:.2f} %); full points for a gap of at"
            f" most {ACCURACY_TOLERANCE}, {CLOSE_POINTS} for one of at most {CLOSE}",
            points=CLOSE_POINTS if gap <= CLOSE else 0,
        )


def _read_choice(resolutions: list, returned: object) -> tuple[int, list, Sequence[int]]:
    what = "what choose returns"
    if returned is None:
        raise Wrong(
            "choose returned None: it found no subnet, but there are some that meet all limits."
            " Scores are negative; is a first best score of 0 in the way?"
        )
    r, configurations = as_items(
        returned, 2, f"{what}, (index of the resolution, indices of the configurations),"
    )
    r = as_integer(r, "the index of the resolution")
    if not 0 <= r < len(resolutions):
        raise Wrong(f"there are resolutions 0 to {len(resolutions) - 1}, got {r}")
    stages = resolutions[r]
    configurations = [
        as_integer(i, "the index of a configuration")
        for i in as_items(configurations, len(stages), "the configurations, one for each stage,")
    ]
    for s, (stage, i) in enumerate(zip(stages, configurations)):
        if not 0 <= i < len(stage["score"]):
            raise Wrong(f"stage {s} has configurations 0 to {len(stage['score']) - 1}, got {i}")
    return r, stages, configurations
