"""Fronts and hypervolume against definitions applied point by point and cell by cell."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labkit.search.pareto import front_of_sums, hypervolume, pareto_front, prune_dominated

EXAMPLES = settings(max_examples=200, deadline=None)
points = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=40)
seeds = st.integers(0, 2**32 - 1)


def undominated(pairs):
    pairs = set(pairs)
    return sorted(
        p for p in pairs if not any(q[0] <= p[0] and q[1] >= p[1] and q != p for q in pairs)
    )


@pytest.mark.parametrize("count", [2, 5, 10, 24])
def test_no_point_that_nothing_dominates_is_pruned(count):
    """Also by as many costs as one subnet for all devices has."""
    rng = np.random.default_rng(count)
    costs, value = rng.random((count, 2500)).round(1), rng.random(2500).round(2)
    kept = set(prune_dominated(costs, value).tolist())
    for i in range(0, 2500, 50):
        as_good = (costs <= costs[:, i : i + 1]).all(0) & (value >= value[i])
        same = (costs == costs[:, i : i + 1]).all(0) & (value == value[i])
        if (as_good == same).all():
            assert kept & set(np.flatnonzero(same).tolist())


@EXAMPLES
@given(points)
def test_pareto_keeps_what_nothing_dominates_once(pairs):
    cost, value = np.array(pairs, dtype=float).T
    front = pareto_front(cost, value)
    assert list(zip(cost[front], value[front])) == undominated(pairs)


@EXAMPLES
@given(points, points, st.booleans(), seeds)
def test_front_of_sums_is_the_front_of_all_sums(a, b, ties, seed):
    def front(pairs):
        cost, value = np.array(undominated(pairs), dtype=float).T
        if ties:
            return cost, value
        steps = np.random.default_rng(seed).uniform(0.5, 1, (2, len(cost)))
        return np.cumsum(steps, axis=1)

    (ca, va), (cb, vb) = front(a), front(b)
    cost, value, i, j = front_of_sums(ca, va, cb, vb)
    sums = [
        (c1 + c2, v1 + v2) for (c1, v1), (c2, v2) in itertools.product(zip(ca, va), zip(cb, vb))
    ]
    assert list(zip(cost, value)) == undominated(sums)
    np.testing.assert_array_equal(ca[i] + cb[j], cost)
    np.testing.assert_array_equal(va[i] + vb[j], value)


def test_no_points_no_front():
    assert len(pareto_front(np.empty(0), np.empty(0))) == 0


@EXAMPLES
@given(st.integers(1, 4), st.integers(1, 8), seeds)
def test_hypervolume_counts_unit_cells(objectives, n, seed):
    side = 5
    corners = np.random.default_rng(seed).integers(0, side + 2, (n, objectives)).astype(float)
    cells = np.array(list(itertools.product(range(side), repeat=objectives)))
    dominated = (corners[None] <= cells[:, None]).all(2).any(1).sum()
    assert hypervolume(corners, np.full(objectives, side)) == pytest.approx(dominated)


def test_hypervolume_of_points_beyond_the_reference_is_nothing():
    assert hypervolume(np.array([[2.0, 0.0], [0.0, 3.0]]), np.array([2.0, 3.0])) == 0.0
