"""What notebooks run on instead of a student's functions: labkit's, as the exercises call them.

Each has the name and the arguments of its exercise. The copy of labkit that answers are graded with
does not hold this file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from labkit.search.pareto import nondominated

# ---- 4: search -----------------------------------------------------------------------------------


def one_hot(
    stages: Sequence[Sequence[tuple[int, int]]],
    depths: Sequence[int],
    kernels: Sequence[int],
    expands: Sequence[int],
) -> np.ndarray:
    absent = (None, None)
    slots = [
        block
        for blocks, depth in zip(stages, depths)
        for block in [*blocks, *[absent] * (depth - len(blocks))]
    ]
    return np.concatenate(
        [
            np.equal(value, choices)
            for slot in slots
            for value, choices in zip(slot, (kernels, expands))
        ]
    ).astype(float)


def mutate(
    genes: np.ndarray, choices: np.ndarray, rate: float, rng: np.random.Generator
) -> np.ndarray:
    # One roll says both whether a gene is drawn again and what to, as in `Variation`.
    roll = rng.random(genes.shape) / rate
    return np.where(roll < 1, (roll * choices).astype(genes.dtype), genes)


def cross_stages(
    mothers: np.ndarray, fathers: np.ndarray, stage_of: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    from_mother = rng.integers(2, size=(len(mothers), stage_of.max() + 1), dtype=bool)
    return np.where(from_mother.take(stage_of, axis=1), mothers, fathers)


def select(accuracy: np.ndarray, latency: np.ndarray, limit: float, n: int) -> np.ndarray:
    if latency.min() > limit:
        raise ValueError(
            f"the smallest latency is {latency.min():.4g} ms, the limit {limit:.4g} ms"
        )
    ranks = np.lexsort((-accuracy, latency > limit))
    return ranks[: min(n, np.count_nonzero(latency <= limit))]


def evolve(
    population: np.ndarray,
    score: Callable[[np.ndarray], np.ndarray],
    vary: Callable[[np.ndarray, int], np.ndarray],
    parents: int,
    generations: int,
) -> tuple[np.ndarray, list[float]]:
    history: list[float] = []
    while True:
        scores = score(population)
        ranked = population[scores.argsort()[::-1]]
        history.append(float(scores.max()))
        if len(history) > generations:
            return ranked[0], history
        population = np.concatenate(
            [ranked[:parents], vary(ranked[:parents], len(population) - parents)]
        )


def on_front(costs: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    points, which = np.unique(np.column_stack([costs, -accuracy]), axis=0, return_inverse=True)
    return np.isin(which.ravel(), nondominated(points))
