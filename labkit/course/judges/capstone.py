"""Exercise 5.5, the capstone: real tables of a small microcontroller, limits for them, and the
exact optimum.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from labkit.course.exercises.exercise import Wrong
from labkit.course.exercises.judging import as_integer, as_items
from labkit.latency.devices import flash_table, get_device
from labkit.search import Budget, InfeasibleBudget, Optimum, best
from labkit.space import SearchSpace
from labkit.space.presets import get_space
from labkit.supernet.artifacts import load_predictor
from labkit.tables.accuracy_predictor import SeparablePredictor
from labkit.tables.costs import activation_table
from labkit.tables.separable import Separable

MOVED = 0.2  # of a score; the best configurations of a stage are about as far apart
STEPS = 12  # of SRAM that limits are lowered by, to find one that matters
TOLERANCE = 0.05  # points of predicted accuracy below the optimum that still count as right
COSTS = {
    "latency_ms": ("latency", "ms"),
    "sram_bytes": ("SRAM", "bytes"),
    "flash_bytes": ("flash", "bytes"),
}


@lru_cache(maxsize=2)
def _tables(moved: bool) -> tuple[SearchSpace, dict[str, Separable]]:
    """A predictor, and what subnets cost on the small microcontroller.

    The predictor is the one that ships. There, what takes longest is nearly always what scores
    best, and who takes the one for the other may get away with it; not so where each
    configuration's score is `moved` at random.
    """
    space, device = get_space("fmnist"), get_device("mcu-64k")
    score = load_predictor(space)[0]
    if moved:
        rng = np.random.default_rng(0)
        score = SeparablePredictor(
            space, score.base, [term + rng.normal(0, MOVED, term.shape) for term in score.terms]
        )
    return space, {
        "score": score,
        "latency_ms": device.latency_table(space),
        "flash_bytes": flash_table(space, device),
        "sram_bytes": activation_table(space, 1),
    }


def _stage_tables(moved: bool) -> list[list[dict[str, np.ndarray]]]:
    """For each resolution and stage, the terms of every configuration; what all subnets share is in
    stage 0.
    """
    space, tables = _tables(moved)
    resolutions = []
    for r in range(len(space.resolutions)):
        stages = []
        for s in range(len(space.stages)):
            terms = {
                name: table.stage_values(s)[r, space.valid_codes(s)]
                for name, table in tables.items()
            }
            stages.append(
                {
                    name: (
                        tables[name].combine(term, tables[name].base[r]) if s == 0 else term.copy()
                    )
                    for name, term in terms.items()
                }
            )
        resolutions.append(stages)
    return resolutions


@lru_cache(maxsize=32)
def _limits(seed: int) -> tuple[tuple[str, float], ...]:
    """Limits of which the last that is set, another for each of three seeds, is broken by whoever
    ignores it.

    Where memory comes first it is so tight that the largest resolution does not fit.
    """
    moved = _moved(seed)
    space, tables = _tables(moved)
    rng = np.random.default_rng(seed)
    order = tuple(COSTS)[seed % 3 :] + tuple(COSTS)[: seed % 3]
    smallest, some = space.encode([space.smallest()]), space.sample(rng, 500)
    share = rng.uniform(0.06, 0.3) if order[0] == "sram_bytes" else rng.uniform(0.3, 0.7)
    limits = {order[0]: float(np.floor(np.quantile(tables[order[0]](some), share)))}
    for name in order[1:]:
        genes = _optimum(moved, tuple(limits.items())).genes[None]
        spent, least = float(tables[name](genes)[0]), float(tables[name](smallest)[0])
        limits[name] = float(np.floor(least + (spent - least) * rng.uniform(0.6, 0.9)))
    if order[-1] == "sram_bytes":
        limits["sram_bytes"] = _met_exactly(moved, limits)
    return tuple(limits.items())


def _met_exactly(moved: bool, limits: dict[str, float]) -> float:
    """The SRAM limit that the best subnet meets exactly, lowered until whoever keeps strictly below
    it loses points.
    """
    _, tables = _tables(moved)
    found, steps = _best_below(moved, limits, limits["sram_bytes"]), []
    for _ in range(STEPS):
        spent = float(tables["sram_bytes"](found.genes[None])[0])
        try:
            less = _best_below(moved, limits, spent - 1)
        except InfeasibleBudget:
            break
        steps.append((found.value - less.value, spent))
        if steps[-1][0] > 2 * TOLERANCE:
            break
        found = less
    return max(steps)[1]


def _best_below(moved: bool, limits: dict[str, float], sram_bytes: float) -> Optimum:
    return _optimum(moved, tuple({**limits, "sram_bytes": sram_bytes}.items()))


@lru_cache(maxsize=128)
def _optimum(moved: bool, limits: tuple[tuple[str, float], ...]) -> Optimum:
    space, tables = _tables(moved)
    return best(
        space,
        tables["score"],
        [Budget(tables[name], limit, *COSTS[name]) for name, limit in limits],
    )


def _moved(seed: int) -> bool:
    return seed % 2 == 1


def choose_inputs(seed: int) -> dict:
    return {"resolutions": _stage_tables(_moved(seed)), "limits": dict(_limits(seed))}


def choose_judge(inputs: dict, returned: object) -> None:
    r, stages, picks = _read_choice(inputs["resolutions"], returned)
    chosen = {
        name: [float(stage[name][i]) for stage, i in zip(stages, picks)]
        for name in ("score", *COSTS)
    }
    limits = inputs["limits"]
    for name, (what, unit) in COSTS.items():
        spent = (max if name == "sram_bytes" else sum)(chosen[name])
        if spent > limits[name] * (1 + 1e-9):
            raise Wrong(
                f"the subnet (resolution {r}, configurations {picks}) needs {what} {spent:.6g}"
                f" {unit}; the limit is {limits[name]:.6g} {unit}"
            )
    accuracy = 100 - np.exp(-sum(chosen["score"]))
    moved = not np.array_equal(
        inputs["resolutions"][0][0]["score"], _stage_tables(False)[0][0]["score"]
    )
    optimum = _optimum(moved, tuple(limits.items())).value
    gap = optimum - accuracy
    if gap > TOLERANCE:
        raise Wrong(
            f"the subnet meets all limits and is predicted to get {accuracy:.2f} % right, {gap:.2f}"
            f" points below the best that meets them ({optimum:.2f} %); full points for a gap of at"
            f" most {TOLERANCE}"
        )


def _read_choice(resolutions: list, returned: object) -> tuple[int, list, Sequence[int]]:
    what = "what choose returns"
    if returned is None:
        raise Wrong(
            "choose returned None: it found no subnet, but there are some that meet all limits."
            " Scores are negative; is a first best score of 0 in the way?"
        )
    r, picks = as_items(
        returned, 2, f"{what}, (index of the resolution, indices of the configurations),"
    )
    r = as_integer(r, "the index of the resolution")
    if not 0 <= r < len(resolutions):
        raise Wrong(f"there are resolutions 0 to {len(resolutions) - 1}, got {r}")
    stages = resolutions[r]
    picks = [
        as_integer(i, "the index of a configuration")
        for i in as_items(picks, len(stages), "the configurations, one for each stage,")
    ]
    for s, (stage, i) in enumerate(zip(stages, picks)):
        if not 0 <= i < len(stage["score"]):
            raise Wrong(f"stage {s} has configurations 0 to {len(stage['score']) - 1}, got {i}")
    return r, stages, picks
