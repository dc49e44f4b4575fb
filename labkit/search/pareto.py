"""Pareto fronts of points, and the volume that they dominate.

A point dominates another one if it is nowhere worse and somewhere better. Costs are minimized,
values are maximized.

Shapes in trailing comments: N points, L costs, M objectives (all minimized), P points of a front.
"""

from __future__ import annotations

import numpy as np

BLOCK = 512  # points that `nondominated` compares in pairs at a time
WORTH_BUCKETS = 2000  # points from which on `prune_dominated` sorts them into buckets
MOST_SORTED = 10  # costs by which it does: of more, buckets are few and coarse, and their grid huge


def pareto_front(cost: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Indices (P,) of the points (N,) that no other point dominates, by ascending cost and value.

    Of points that are equal in both, the first one stands for all.

    >>> pareto_front(np.array([3.0, 1.0, 2.0, 2.0]), np.array([7.0, 5.0, 4.0, 6.0]))
    array([1, 3, 0])
    """
    if not len(cost):
        return np.empty(0, dtype=np.intp)
    order = np.argsort(cost, kind="stable")
    ordered_value = value[order]
    rises = np.empty(len(order), dtype=bool)
    rises[0] = True
    rises[1:] = ordered_value[1:] > np.maximum.accumulate(ordered_value)[:-1]
    rising = order[rises]
    # Values now ascend strictly, so among equal costs only the last point is on the front.
    rising_cost = cost[rising]
    return rising[np.append(rising_cost[1:] > rising_cost[:-1], True)]


def front_of_sums(
    cost_a: np.ndarray, value_a: np.ndarray, cost_b: np.ndarray, value_b: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The front of all sums of a point of front `a` and a point of front `b`.

    Both fronts are sorted as `pareto_front` sorts. Returns cost, value, index into `a` and index
    into `b`, each of shape (P,).

    Nearly all of the len(a) * len(b) sums are dominated by far. So the range of costs is cut into
    buckets, and a sum is dropped unless its value exceeds the best value of all cheaper buckets.
    Only the sums that remain are sorted.
    """
    buckets = 4 * (len(cost_a) + len(cost_b))
    low, high = cost_a[0] + cost_b[0], cost_a[-1] + cost_b[-1]
    scale = (buckets - 1) / (high - low) if high > low else 0.0
    best = np.full(buckets, -np.inf)
    for c, v in zip(cost_b, value_b):
        bucket = ((cost_a + c - low) * scale).astype(np.intp)
        # Where several sums share a bucket, the last one is written: any of them is a bound.
        best[bucket] = np.maximum(best[bucket], value_a + v)
    floor = np.maximum.accumulate(np.append(-np.inf, best[:-1]))  # of all cheaper buckets
    parts = []
    for j, (c, v) in enumerate(zip(cost_b, value_b)):
        bucket = ((cost_a + c - low) * scale).astype(np.intp)
        rows = np.flatnonzero(value_a + v > floor[bucket])
        parts.append((rows, np.full(len(rows), j)))
    i, j = (np.concatenate(part) for part in zip(*parts))
    cost, value = cost_a[i] + cost_b[j], value_a[i] + value_b[j]
    front = pareto_front(cost, value)
    return cost[front], value[front], i[front], j[front]


def prune_dominated(costs: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Indices of points with costs (L, N) and a value (N,): all that no other point dominates.

    Of equal points one stands for all. With two or more costs some dominated points may remain
    among the indices, because finding every one of them would take longer than it saves.
    """
    if not len(value):
        return np.empty(0, dtype=np.intp)
    if not len(costs):
        return np.array([value.argmax()])
    if len(costs) == 1:
        return pareto_front(costs[0], value)
    order = np.lexsort((-value, *costs[::-1]))
    repeats = (np.diff(costs[:, order], axis=1) == 0).all(0)
    order = order[np.append(True, ~repeats)]  # of equal costs, the best value
    if len(order) < WORTH_BUCKETS or len(costs) > MOST_SORTED:
        return order
    costs, value = costs[:, order], value[order]
    buckets = int(2 ** (20 // len(costs)))  # along each cost
    low, span = costs.min(1, keepdims=True), np.ptp(costs, axis=1, keepdims=True)
    scale = (buckets - 1) / np.where(span > 0, span, np.inf)
    cell = ((costs - low) * scale).astype(np.intp)  # (L, N)
    # floor[cell] is the best value of all cells that are cheaper in every cost: it lies one off.
    floor = np.full((buckets + 1,) * len(costs), -np.inf)
    np.maximum.at(floor, tuple(cell + 1), value)
    for axis in range(len(costs)):
        np.maximum.accumulate(floor, axis=axis, out=floor)
    return order[value > floor[tuple(cell)]]


def nondominated(points: np.ndarray) -> np.ndarray:
    """Indices of the points (N, M), all objectives minimized, that no other point dominates.

    Of equal points, the first one stands for all.

    >>> nondominated(np.array([[1, 2, 3], [2, 2, 3], [3, 1, 1]]))
    array([0, 2])
    """
    if points.shape[1] == 2:
        return pareto_front(points[:, 0], -points[:, 1])
    candidates = _without_plainly_dominated(points)
    order = candidates[np.lexsort(points[candidates].T[::-1])]
    # Sorted like this, a point can only be dominated by one before it.
    front = np.empty(0, dtype=np.intp)
    for block in np.array_split(order, -(-len(order) // BLOCK)):
        block = block[~_covered(points[front], points[block]).any(0)]
        earlier = np.triu(_covered(points[block], points[block]), 1)
        front = np.append(front, block[~earlier.any(0)])
    return front


def _without_plainly_dominated(points: np.ndarray) -> np.ndarray:
    """Indices of the points (N, M) without those that a few good points dominate, or repeat.

    The few are the best by each of M + 1 weightings of the objectives. They take out nearly all
    dominated points in a single pass each, before the others are compared in pairs.
    """
    span = np.ptp(points, axis=0)
    emphasis = np.vstack([np.zeros(len(span)), np.eye(len(span))])  # on none, then on each
    weightings = (1 + 4 * emphasis) / np.where(span > 0, span, 1)  # (M + 1, M)
    columns = np.ascontiguousarray(points.T)  # (M, N)
    candidates = np.arange(len(points))
    for i in np.unique((weightings @ columns).argmin(1)):
        covered = (columns[:, i, None] <= columns[:, candidates]).all(0)
        candidates = np.append(candidates[~covered], i)
    return candidates


def _covered(by: np.ndarray, points: np.ndarray) -> np.ndarray:
    """(len(by), len(points)): whether a row of `by` is nowhere larger than a row of `points`."""
    covers = np.ones((len(by), len(points)), dtype=bool)
    for by_column, column in zip(by.T, points.T):
        covers &= by_column[:, None] <= column
    return covers


def hypervolume(objectives: np.ndarray, reference: np.ndarray) -> float:
    """Volume that points (N, M) dominate up to `reference` (M,), all objectives minimized.

    Points that are not better than the reference in every objective add nothing. Two objectives are
    a sum of rectangles; more are swept slab by slab along the last.

    >>> hypervolume(np.array([[1.0, 2.0], [2.0, 1.0]]), np.array([3.0, 3.0]))
    3.0
    """
    reference = np.asarray(reference, dtype=float)
    points = np.asarray(objectives, dtype=float)
    if points.ndim != 2 or reference.shape != points.shape[1:]:
        raise ValueError(
            f"points {points.shape} and reference {reference.shape}: want (N, M) and (M,)"
        )
    points = points[(points < reference).all(1)]
    if not len(points):
        return 0.0
    if points.shape[1] == 1:
        return float(reference[0] - points.min())
    if points.shape[1] == 2:
        x, y = points[pareto_front(points[:, 0], -points[:, 1])].T
        return float(((reference[0] - x) * -np.diff(y, prepend=reference[1])).sum())
    points = points[np.argsort(points[:, -1], kind="stable")]
    heights = np.diff(points[:, -1], append=reference[-1])
    slabs = (
        height * hypervolume(points[: i + 1, :-1], reference[:-1])
        for i, height in enumerate(heights)
        if height > 0
    )
    return float(sum(slabs))
