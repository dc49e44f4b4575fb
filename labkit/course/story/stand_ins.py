"""What notebooks run on instead of a student's functions: labkit's, as the exercises call them.

Each has the name and the arguments of its exercise. The copy of labkit that answers are graded with
does not hold this file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from labkit.search.pareto import nondominated
from labkit.train.step import distillation_loss, label_loss

# ---- 2: training ---------------------------------------------------------------------------------


def sandwich(choices: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    genes = np.stack([choices - 1, 0 * choices, *(rng.integers(choices) for _ in range(n))])
    genes[:, 0] = rng.integers(choices[0])
    return genes


def train_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    archs: Sequence[object],
    share: float,
) -> list[float]:
    optimizer.zero_grad()
    losses, teacher = [], None
    for arch in archs:
        logits = model(images, arch)
        loss = label_loss(logits, labels, 0.0)
        if teacher is None:
            teacher = logits.detach()
            entropy = distillation_loss(teacher, teacher)
        else:  # less its entropy, the cross entropy with the teacher is the divergence from it
            loss = loss.lerp(distillation_loss(logits, teacher) - entropy, share)
        loss.backward()
        losses.append(loss.item())
    optimizer.step()
    return losses


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


# ---- 5 and 7: budgets, measurements, spaces ------------------------------------------------------


def smallest_budgets(
    global_choices: Sequence[Sequence[Mapping[str, np.ndarray]]], limits: Mapping[str, float]
) -> tuple[float, float]:
    least_ms, least_bytes = np.inf, np.inf
    for stages in global_choices:
        sizes = np.unique(np.concatenate([stage["sram_bytes"] for stage in stages]))
        quickest = np.zeros(len(sizes))  # of the subnets that need at most so much memory
        for stage in stages:
            by_size = np.argsort(stage["sram_bytes"])
            at_most = stage["sram_bytes"][by_size].searchsorted(sizes, side="right")
            fitting = np.minimum.accumulate(np.append(np.inf, stage["latency_ms"][by_size]))
            quickest += fitting[at_most]
        least_ms = min(least_ms, quickest[sizes <= limits["sram_bytes"]].min(initial=np.inf))
        least_bytes = min(least_bytes, sizes[quickest <= limits["latency_ms"]].min(initial=np.inf))
    return least_ms, least_bytes


def thompson(
    mean: np.ndarray,
    covariance: np.ndarray,
    noise: float,
    measure: Callable[[int], float],
    steps: int,
    rng: np.random.Generator,
) -> tuple[list[int], np.ndarray]:
    order: list[int] = []
    while len(order) < steps:
        ranked = rng.multivariate_normal(mean, covariance).argsort()[::-1]
        order.append(next(i for i in ranked.tolist() if i not in order))
        column = covariance[order[-1]]
        surprise = (measure(order[-1]) - mean[order[-1]]) / (column[order[-1]] + noise)
        mean = mean + surprise * column
        covariance = covariance - np.outer(column, column) / (column[order[-1]] + noise)
    return order, mean


def better_space(
    samples: Sequence[tuple[np.ndarray, np.ndarray]], limit: float, k: int
) -> tuple[int, list[float]]:
    bests = []
    for accuracy, cost in samples:
        descending, expected, remaining = np.sort(accuracy[cost <= limit])[::-1], 0.0, 1.0
        for i, value in enumerate(descending):  # is the best if it is chosen and none above it is
            chance = min(1.0, k / (len(descending) - i))
            expected, remaining = expected + remaining * chance * value, remaining * (1 - chance)
        bests.append(expected if len(descending) >= k else -np.inf)
    return int(np.argmax(bests)), bests
