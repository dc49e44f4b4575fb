"""Exercises 4.3 and 4.9: random search, and successive halving."""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable, Sequence

import numpy as np

from labkit.course.exercises.exercise import Wrong
from labkit.course.exercises.judging import (
    as_array,
    as_integer,
    require_fields,
    told_cases,
    two_things,
)
from labkit.course.exercises.witness import Note, ask, tell, unknown_part

# ---- 4.3 random search ---------------------------------------------------------------------------

GENES, VALUES = 4, 3
UNKNOWN = 0.1  # of an accuracy, until it is asked for


def draw_inputs(seed: int) -> dict:
    """Three searches: one with a limit that is met exactly by the best row, one that meets nothing
    at first, one that never meets anything.
    """
    rng = np.random.default_rng(seed)
    cases = []
    for late in (0, 2, None):
        latency = rng.integers(1, 40, (GENES, VALUES)) / 8
        accuracy = rng.normal(20, 1, (GENES, VALUES))
        rounds = list(rng.integers(0, VALUES, (6 + seed % 2, 7, GENES)))
        for earlier, later in zip(rounds, rounds[1:]):
            later[:2] = earlier[:2]  # rows that come again, in the next round and in this one
            later[2] = later[1]
        spent = _sums(latency, np.concatenate(rounds))
        if late is None:
            limit = spent.min() - 0.125
        elif late:
            limit = min(np.median(spent), np.unique(spent)[-2])  # which some row exceeds
            slow = np.stack([row for row in np.concatenate(rounds) if _sums(latency, row) > limit])
            for r in range(late):
                rounds[r] = slow[rng.integers(0, len(slow), 7)]
        else:
            within = np.unique(spent)[: max(1, len(np.unique(spent)) // 2)]
            limit = within[-1]
            at_limit = np.concatenate(rounds)[spent == limit][0]
            accuracy[np.arange(GENES), at_limit] += 2.0
        cases.append(
            {"rounds": rounds, "latency": latency, "accuracy": accuracy, "limit": float(limit)}
        )
    return {"cases": cases}


def _sums(table: np.ndarray, rows: np.ndarray) -> np.ndarray:
    return table[np.arange(GENES), rows].sum(-1)


def draw_run(function: Callable, inputs: dict) -> object:
    return [_search(function, case) for case in inputs["cases"]]


def _search(function: Callable, case: dict) -> dict:
    """The witness is told of each draw and of each row whose accuracy is asked for, and decides on
    a part of it: what an answer knows without asking is not the accuracy.
    """
    rounds = iter(case["rounds"])
    ask("case")

    def draw() -> np.ndarray:
        ask("draw")
        rows = next(rounds, None)
        if rows is None:
            raise Wrong(f"draw was called more than {len(case['rounds'])} times")
        return rows.copy()

    def table(rows: np.ndarray) -> np.ndarray:
        rows = np.asarray(rows)
        if rows.ndim != 2 or rows.shape[1] != GENES:
            raise Wrong(
                f"latency and accuracy take rows of {GENES} genes, an array (N, {GENES}); they got"
                f" one of shape {rows.shape}"
            )
        return rows

    def latency(rows: np.ndarray) -> np.ndarray:
        return _sums(case["latency"], table(rows))

    def accuracy(rows: np.ndarray) -> np.ndarray:
        rows = table(rows)
        if not len(rows):
            raise Wrong("accuracy takes at least one row; it got none")
        unknown = [unknown_part(tell("row", row), UNKNOWN) for row in rows]
        return _sums(case["accuracy"], rows) + unknown

    returned = function(draw, latency, accuracy, case["limit"], len(case["rounds"]))
    what = "the best row, and the history as a list"
    best, history = two_things(returned, "draw_best", what, second=list)
    return {"best": best, "history": history}


def draw_judge(inputs: dict, returned: object, notes: Sequence[Note]) -> None:
    for case, answer, told in told_cases(inputs, returned, notes):
        require_fields(answer, {"best", "history"})
        _judge_search(case, answer, told)


def _judge_search(case: dict, answer: dict, told: Sequence[Note]) -> None:
    rounds, limit = case["rounds"], case["limit"]
    drawn = sum(note.text == "draw" for note in told)
    if drawn != len(rounds):
        raise Wrong(f"{len(rounds)} rounds were asked for; draw was called {drawn} times")
    of_rows = [note for note in told if note.text != "draw"]
    asked = [tuple(map(int, note.told)) for note in of_rows]
    slow = [row for row in asked if _sums(case["latency"], np.array(row)) > limit]
    if slow:
        raise Wrong(
            f"accuracy was asked for row {slow[0]}, which takes"
            f" {_sums(case['latency'], np.array(slow[0])):g} ms; the limit is {limit:g} ms"
        )
    if len(set(asked)) < len(asked):
        twice = next(row for row in asked if asked.count(row) > 1)
        raise Wrong(f"accuracy was asked {asked.count(twice)} times for row {twice}; once will do")
    expected, best = [], (-np.inf, None)
    unknown = {row: unknown_part(note.number, UNKNOWN) for row, note in zip(asked, of_rows)}
    within = {}
    for rows in rounds:
        for row in map(tuple, rows.tolist()):
            if _sums(case["latency"], np.array(row)) <= limit:
                within[row] = float(_sums(case["accuracy"], np.array(row))) + unknown.get(row, 0.0)
                best = max(best, (within[row], row))
        expected.append(best[0])
    history = as_array(answer["history"], (len(rounds),), "the history")
    for r, (value, want) in enumerate(zip(history, expected)):
        if not np.isclose(value, want, rtol=1e-6):
            raise Wrong(
                f"after round {r} the history says {value:g}; the best accuracy so far is {want:g},"
                " and -inf as long as no row has met the limit"
            )
    if best[1] is None and answer["best"] is not None:
        raise Wrong("no row has met the limit, so the best row should be None")
    if best[1] is not None:
        row = as_array(answer["best"], (GENES,), "the best row")
        if tuple(row) != best[1]:
            raise Wrong(f"the best row is {best[1]}, got {tuple(map(float, row))}")
    for row in within.keys() - unknown.keys():
        raise Wrong(f"row {row} meets the limit, and accuracy was not asked for it")


# ---- 4.9 successive halving ----------------------------------------------------------------------


def halve_inputs(seed: int) -> dict:
    """Which images each candidate gets right: of one candidate, of some that are halved down to
    one, of many that meet the last image before, and of some that are judged on all at once.
    """
    rng = np.random.default_rng(seed)
    cases = []
    for count, images, most in ((1, 8, 64), (5 + seed % 3, 8, 200), (14, 10, 36), (4, 32, 32)):
        rates = rng.uniform(0.4, 0.8, (count, 1))
        hits = (rng.random((count, most)) < rates).astype(np.uint8)
        if count > 4:
            hits[0] = hits[2] = hits[-1] = hits[1]  # candidates that are equal throughout
            hits[:, :images] = hits[1, :images]  # all are at first
            hits[-1, -most // 4 :] = 1
        cases.append({"hits": hits, "images": images})
    cases.append({"hits": _overtaken(rng), "images": 4})
    return {"cases": cases}


def _overtaken(rng: np.random.Generator) -> np.ndarray:
    """Of four candidates two remain. The one with the larger number is ahead on the first four
    images, and both have as many right on eight.
    """
    hits = np.zeros((4, 16), dtype=np.uint8)
    behind, ahead = sorted(rng.choice(4, 2, replace=False))
    hits[behind, [0, 1, 2, 4, 5, 6]] = hits[ahead, [0, 1, 2, 3, 4, 5]] = 1
    return hits


def halve_run(function: Callable, inputs: dict) -> object:
    return [_halve(function, case["hits"], case["images"]) for case in inputs["cases"]]


def _halve(function: Callable, hits: np.ndarray, images: int) -> dict:
    """The witness is told of each measurement."""
    count, most = hits.shape
    numbers = itertools.count()
    ask("case")

    def measure(candidate: int, n: int) -> float:
        candidate, n = operator.index(candidate), operator.index(n)
        if not 0 <= candidate < count or not 1 <= n <= most:
            raise Wrong(
                f"measure({candidate}, {n}): there are candidates 0 to {count - 1} and 1 to {most}"
                " images"
            )
        if next(numbers) > 10 * count * most:
            raise Wrong("measure was called without end")
        tell("measure", [candidate, n])
        return 100 * float(hits[candidate, :n].mean())

    returned = function(count, measure, images, most)
    winner, spent = two_things(returned, "halve", "the winner, and the images spent")
    return {"winner": winner, "spent": spent}


def halve_judge(inputs: dict, returned: object, notes: Sequence[Note]) -> None:
    for case, answer, told in told_cases(inputs, returned, notes):
        require_fields(answer, {"winner", "spent"})
        calls = [tuple(map(int, note.told)) for note in told]
        _judge_halving(case["hits"], case["images"], answer, calls)


def _judge_halving(
    hits: np.ndarray, images: int, answer: dict, calls: Sequence[tuple[int, ...]]
) -> None:
    count, most = hits.shape
    what = f"of {count} candidates, from {images} images on, with {most} in all,"
    remaining, n, spent, at = list(range(count)), images, 0, 0
    while len(remaining) > 1:
        measured = calls[at : at + len(remaining)]
        if sorted(measured) != [(candidate, n) for candidate in sorted(remaining)]:
            raise Wrong(
                f"{what} candidates {remaining} should now be measured on {n} images, each once;"
                f" what was measured: {measured}"
            )
        at, spent = at + len(remaining), spent + n * len(remaining)
        right = hits[:, :n].sum(1)
        remaining.sort(key=lambda candidate: (-int(right[candidate]), candidate))
        remaining = sorted(remaining[: 1 if n == most else -(-len(remaining) // 2)])
        n = min(2 * n, most)
    if len(calls) > at:
        raise Wrong(f"{what} candidate {remaining[0]} is left, and measured again: {calls[at]}")
    winner = as_integer(answer["winner"], "the winner")
    if winner != remaining[0]:
        raise Wrong(f"{what} candidate {remaining[0]} is left in the end, got {winner}")
    total = as_integer(answer["spent"], "the images spent")
    if total != spent:
        raise Wrong(f"{what} the measurements took {spent} images together, got {total}")
