"""Pareto fronts of points: costs are minimized, values maximized.

Shapes in trailing comments: N points, L costs, P points of a front.
"""

from __future__ import annotations

import numpy as np

BLOCK = 512  # points that `nondominated` compares at a time
FEW = 2000  # points below which `undominated` leaves the dominated in


def pareto(cost: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Indices of the points (N,) that no other point dominates, by ascending cost and value.

    Of points that are equal in both, one is kept.
    """
    if not len(cost):
        return np.empty(0, dtype=np.intp)
    order = np.argsort(cost, kind="stable")
    v = value[order]
    rises = np.empty(len(v), dtype=bool)
    rises[0] = True
    rises[1:] = v[1:] > np.maximum.accumulate(v)[:-1]
    kept = order[
        rises
    ]  # values ascend strictly, so among equal costs only the last is on the front
    c = cost[kept]
    return kept[np.append(c[1:] > c[:-1], True)]


def merge(
    cost_a: np.ndarray,
    value_a: np.ndarray,
    cost_b: np.ndarray,
    value_b: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Front of all sums of a point of front `a` and one of front `b`, both sorted as `pareto`
    sorts.

    Returns cost, value, index into a, index into b, each (P,). Nearly all of the len(a) * len(b)
    sums are dominated by far, so they are first held against the best value of coarse cost buckets,
    a row of `a` at a time; only what survives is sorted.
    """
    buckets = 4 * (len(cost_a) + len(cost_b))
    low, high = cost_a[0] + cost_b[0], cost_a[-1] + cost_b[-1]
    scale = (buckets - 1) / (high - low) if high > low else 0.0
    best = np.full(buckets, -np.inf)
    for c, v in zip(cost_b, value_b):
        bucket = ((cost_a + c - low) * scale).astype(np.intp)
        best[bucket] = np.maximum(
            best[bucket], value_a + v
        )  # any point of a bucket will do as its bound
    floor = np.maximum.accumulate(np.append(-np.inf, best[:-1]))  # best value of the buckets before
    rows, columns = [], []
    for j, (c, v) in enumerate(zip(cost_b, value_b)):
        bucket = ((cost_a + c - low) * scale).astype(np.intp)
        kept = np.flatnonzero(value_a + v > floor[bucket])
        rows.append(kept)
        columns.append(np.full(len(kept), j))
    i, j = np.concatenate(rows), np.concatenate(columns)
    cost, value = cost_a[i] + cost_b[j], value_a[i] + value_b[j]
    front = pareto(cost, value)
    return cost[front], value[front], i[front], j[front]


def undominated(costs: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Indices of points with costs (L, N) and a value (N,) that no other dominates, and copies
    count once.

    For two costs and more some dominated points may remain: those whose rivals share a bucket with
    them.
    """
    if not len(value):
        return np.empty(0, dtype=np.intp)
    if not len(costs):
        return np.array([value.argmax()])
    if len(costs) == 1:
        return pareto(costs[0], value)
    order = np.lexsort((-value, *costs[::-1]))
    same = (np.diff(costs[:, order], axis=1) == 0).all(0)
    order = order[np.append(True, ~same)]  # of equal costs, the best value
    if len(order) < FEW:
        return order
    costs, value = costs[:, order], value[order]
    buckets = int(2 ** (20 // len(costs)))  # along each cost
    low, span = costs.min(1, keepdims=True), np.ptp(costs, axis=1, keepdims=True)
    cell = ((costs - low) * ((buckets - 1) / np.where(span > 0, span, np.inf))).astype(
        np.intp
    )  # (L, N)
    floor = np.full(
        (buckets + 1,) * len(costs), -np.inf
    )  # moved by one: the best value of cheaper cells
    np.maximum.at(floor, tuple(cell + 1), value)
    for axis in range(len(costs)):
        np.maximum.accumulate(floor, axis=axis, out=floor)
    return order[value > floor[tuple(cell)]]


def nondominated(points: np.ndarray) -> np.ndarray:
    """Indices of the points (N, M), all objectives minimized, that no other dominates; copies count
    once.
    """
    if points.shape[1] == 2:
        return pareto(points[:, 0], -points[:, 1])
    order = np.lexsort(points.T[::-1])  # a point can only be dominated by one before it
    front = np.empty(0, dtype=np.intp)
    for block in np.array_split(order, -(-len(order) // BLOCK)):
        block = block[~_covered(points[front], points[block], strictly_before=False)]
        block = block[~_covered(points[block], points[block], strictly_before=True)]
        front = np.append(front, block)
    return front


def _covered(by: np.ndarray, points: np.ndarray, *, strictly_before: bool) -> np.ndarray:
    """(N,) whether a point of `by` (of a smaller index, if `strictly_before`) is nowhere larger."""
    covers = np.ones((len(by), len(points)), dtype=bool)
    for theirs, ours in zip(by.T, points.T):
        covers &= theirs[:, None] <= ours
    if strictly_before:
        covers = np.triu(covers, 1)
    return covers.any(0)


def hypervolume(objectives: np.ndarray, reference: np.ndarray) -> float:
    """Volume that points (N, M) dominate up to `reference` (M,), all objectives minimized.

    Points that are not better than the reference in every objective add nothing. Two objectives are
    a sum of rectangles; more are swept slab by slab along the last.
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
        x, y = points[pareto(points[:, 0], -points[:, 1])].T
        return float(((reference[0] - x) * -np.diff(y, prepend=reference[1])).sum())
    points = points[np.argsort(points[:, -1], kind="stable")]
    heights = np.diff(points[:, -1], append=reference[-1])
    return float(
        sum(
            height * hypervolume(points[: i + 1, :-1], reference[:-1])
            for i, height in enumerate(heights)
            if height > 0
        )
    )
