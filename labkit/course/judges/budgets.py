"""Exercises 5.6 and 7.5: the smallest budgets that can be met, and spaces at a budget."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import numpy as np

from labkit.course.exercises.exercise import Wrong
from labkit.course.exercises.judging import as_array, as_integer, as_items

# ---- 5.6 the smallest budgets --------------------------------------------------------------------


def budgets_inputs(seed: int) -> dict:
    """Small tables, so that all subnets can be looked at. One pair of limits is met exactly, one is
    broken by a step of either, one has no subnet within its memory, one none within its latency.
    """
    rng = np.random.default_rng(seed)
    cases = []
    for kind in ("met", "broken", "no memory", "no time"):
        stages = int(rng.integers(2, 5))
        global_choices = [
            [_stage_table(rng, int(rng.integers(2, 6)), r) for _ in range(stages)]
            for r in range(int(rng.integers(2, 5)))
        ]
        subnets = np.array(_all_subnets(global_choices))  # (N, 2): ms, bytes
        ms, sram = subnets[rng.integers(len(subnets))]
        if kind in ("met", "broken"):
            sram = float(np.median(subnets[:, 1]))
            ms = float(subnets[subnets[:, 1] <= sram, 0].min())
            sram = float(subnets[subnets[:, 0] <= ms, 1].min())
            ms = ms if kind == "met" else ms - 0.125
        elif kind == "no memory":
            sram = subnets[:, 1].min() - 1
        else:
            ms = subnets[:, 0].min() - 0.125
        limits = {"latency_ms": float(ms), "sram_bytes": float(sram)}
        cases.append({"global_choices": global_choices, "limits": limits})
    return {"cases": [cases[i] for i in rng.permutation(len(cases))]}


def _stage_table(rng: np.random.Generator, count: int, r: int) -> dict[str, np.ndarray]:
    """Of one stage: configurations that take more memory tend to be quicker."""
    sram = rng.integers(10, 100, count) * (8.0 + 4 * r)
    ms = rng.integers(1, 60, count) / 8 + 300 / sram
    return {"latency_ms": np.round(8 * ms) / 8, "sram_bytes": sram}


def _all_subnets(global_choices: list) -> list[tuple[float, float]]:
    """Latency and memory of every subnet, one by one."""
    subnets = []
    for stages in global_choices:
        for picks in itertools.product(*(range(len(stage["latency_ms"])) for stage in stages)):
            pairs = [
                (float(stage["latency_ms"][i]), float(stage["sram_bytes"][i]))
                for stage, i in zip(stages, picks)
            ]
            subnets.append((sum(ms for ms, _ in pairs), max(size for _, size in pairs)))
    return subnets


def budgets_run(function: Callable, inputs: dict) -> object:
    answers = []
    for case in inputs["cases"]:
        tables = [
            [{name: values.copy() for name, values in stage.items()} for stage in stages]
            for stages in case["global_choices"]
        ]
        answers.append(function(tables, dict(case["limits"])))
    return answers


def budgets_judge(inputs: dict, returned: object) -> None:
    for case, answer in zip(inputs["cases"], as_items(returned, len(inputs["cases"]))):
        subnets, limits = _all_subnets(case["global_choices"]), case["limits"]
        ms = [ms for ms, sram in subnets if sram <= limits["sram_bytes"]]
        sram = [sram for ms, sram in subnets if ms <= limits["latency_ms"]]
        results = as_array(answer, (2,), "what smallest_budgets returns, (ms, bytes),")
        for result, values, what, within in zip(
            results,
            (ms, sram),
            ("latency", "SRAM"),
            (f"{limits['sram_bytes']:g} bytes", f"{limits['latency_ms']:g} ms"),
        ):
            least = min(values, default=math.inf)
            if not math.isclose(result, least, rel_tol=1e-9):
                raise Wrong(
                    f"{len(values)} of {len(subnets)} subnets are within {within}, so the smallest"
                    f" {what} is {least:g}; got {result:g}"
                )


# ---- 7.5 spaces at a budget ----------------------------------------------------------------------


def spaces_inputs(seed: int) -> dict:
    """Samples of several spaces. The largest sample has the best single subnet and not the best
    space; one space has fewer subnets within the limit than are drawn, and much better ones.
    """
    rng = np.random.default_rng(seed)
    cases = []
    for k in (1, 3 + seed % 3, 8):
        limit = float(rng.integers(20, 40)) / 4
        samples = [
            _space_sample(rng, limit, within, accuracy)
            for within, accuracy in ((40, 80.0), (k + 2, 82.5), (k, 80.0), (k - 1, 90.0))
        ]
        samples[0]["accuracy"][samples[0]["cost"].argmin()] = 86.0
        order = rng.permutation(len(samples))
        cases.append({"samples": [samples[i] for i in order], "limit": limit, "k": k})
    return {"cases": cases}


def _space_sample(
    rng: np.random.Generator, limit: float, within: int, accuracy: float
) -> dict[str, np.ndarray]:
    """Random subnets: `within` meet the limit, the best of them exactly, and better ones do not."""
    beyond = int(rng.integers(3, 8))
    cost = np.concatenate(
        [limit - rng.integers(0, 12, within) / 8, limit + 0.125 * np.arange(1, 1 + beyond)]
    )
    values = accuracy + rng.normal(0, 1, len(cost)) + 4 * (cost > limit)
    if within:
        cost[0], values[0] = limit, values[:within].max() + 0.5
    order = rng.permutation(len(cost))
    return {"accuracy": values[order], "cost": cost[order]}


def spaces_run(function: Callable, inputs: dict) -> object:
    return [
        function(
            [(sample["accuracy"].copy(), sample["cost"].copy()) for sample in case["samples"]],
            case["limit"],
            case["k"],
        )
        for case in inputs["cases"]
    ]


def spaces_judge(inputs: dict, returned: object) -> None:
    for case, answer in zip(inputs["cases"], as_items(returned, len(inputs["cases"]))):
        winner, bests = as_items(answer, 2, "what better_space returns, (index, expected bests),")
        bests = as_array(bests, (len(case["samples"]),), "the expected bests")
        within, expected, k = accuracies_within(case), expected_bests(case), case["k"]
        for s, (sample, best) in enumerate(zip(case["samples"], bests)):
            if not math.isclose(best, expected[s], rel_tol=1e-7):
                raise Wrong(
                    f"{len(within[s])} of the {len(sample['cost'])} subnets of space {s} meet the"
                    f" limit; the best of {k} of them is {expected[s]:.6g} on average over all"
                    f" choices of {k}, got {best:.6g}"
                )
        winner = as_integer(winner, "the index of the better space")
        if winner != int(np.argmax(expected)):
            raise Wrong(
                f"space {int(np.argmax(expected))} has the highest expected best, got {winner}"
            )


def accuracies_within(case: dict) -> list[np.ndarray]:
    """For each space the accuracies of its subnets within the limit, ascending."""
    return [
        np.sort(sample["accuracy"][sample["cost"] <= case["limit"]]) for sample in case["samples"]
    ]


def expected_bests(case: dict) -> list[float]:
    """For each space the mean of the best of `k` subnets within the limit; else -inf."""
    return [
        _mean_best(accuracies, case["k"]) if len(accuracies) >= case["k"] else -math.inf
        for accuracies in accuracies_within(case)
    ]


def _mean_best(ascending: np.ndarray, k: int) -> float:
    """The mean of the best of `k` of these values, over all choices of `k`: one draw after another.

    The chance that the best of `k` is at most the i-th smallest is that of drawing `k` times from
    the `i` smallest.
    """
    chances = [0.0]
    for i in range(1, len(ascending) + 1):
        draws = [max(i - drawn, 0) / (len(ascending) - drawn) for drawn in range(k)]
        chances.append(math.prod(draws))
    return float((np.diff(chances) * ascending).sum())
