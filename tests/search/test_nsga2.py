"""NSGA-II on spaces where the truth is known."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaces_for_tests import plain_space

from labkit.search import (
    Budget,
    InfeasibleBudget,
    best,
    front,
    hypervolume,
    nsga2,
)
from labkit.search.nsga2 import _crowding, _rank
from labkit.search.pareto import nondominated
from labkit.space import SearchSpace, Stage
from labkit.space.presets import get_space
from labkit.tables.costs import activation_table, macs_table, params_table
from labkit.tables.synthetic_accuracy import synthetic_accuracy

FMNIST = get_space("fmnist")
TINY = plain_space((Stage(8, 2, (1, 2), (3, 5), (2, 3)),) * 2)


def dominates(p, q):
    return all(a <= b for a, b in zip(p, q)) and p != q


@settings(max_examples=100, deadline=None)
@given(st.integers(2, 4), st.integers(1, 60), st.integers(0, 2**32 - 1))
def test_nondominated_keeps_what_nothing_dominates_once(objectives, n, seed):
    points = np.random.default_rng(seed).integers(0, 4, (n, objectives)).astype(float)
    front = [tuple(p) for p in points[nondominated(points)]]
    distinct = set(map(tuple, points))
    assert sorted(front) == sorted(
        p for p in distinct if not any(dominates(q, p) for q in distinct)
    )


def test_nondominated_over_several_blocks():
    points = np.random.default_rng(0).random((1500, 3))
    on_front = np.zeros(len(points), bool)
    on_front[nondominated(points)] = True
    for i in range(0, len(points), 50):
        assert on_front[i] == (
            not ((points <= points[i]).all(1) & (points < points[i]).any(1)).any()
        )


@settings(max_examples=50, deadline=None)
@given(st.integers(2, 3), st.integers(0, 2**32 - 1))
def test_ranks_are_fronts_peeled_off(objectives, seed):
    points = np.random.default_rng(seed).random((40, objectives))
    ranks, _ = _rank(points, len(points))
    for i, p in enumerate(points):
        before = [ranks[j] for j, q in enumerate(points) if dominates(tuple(q), tuple(p))]
        assert ranks[i] == max(before, default=-1) + 1


def test_crowding_is_the_distance_between_neighbors():
    points = np.array([[0.0, 4.0], [1.0, 3.0], [3.0, 1.0], [4.0, 0.0]])
    np.testing.assert_allclose(
        _crowding(points, np.zeros(4, int)), [np.inf, 3 / 4 + 3 / 4, 3 / 4 + 3 / 4, np.inf]
    )


def test_finds_the_whole_front_of_a_small_space():
    accuracy, macs = synthetic_accuracy(TINY), macs_table(TINY)
    pareto_set = nsga2(TINY, accuracy, [macs], rng=np.random.default_rng(0), generations=100)
    exact = front(TINY, accuracy, macs)
    np.testing.assert_array_equal(pareto_set.accuracy[::-1], exact.accuracy)
    np.testing.assert_array_equal(pareto_set.costs[::-1, 0], exact.cost)
    TINY.check_genes(pareto_set.genes)
    np.testing.assert_array_equal(accuracy(pareto_set.genes), pareto_set.accuracy)


def test_most_of_the_front_of_a_larger_space():
    accuracy, macs = synthetic_accuracy(FMNIST, "concave"), macs_table(FMNIST)
    pareto_set = nsga2(FMNIST, accuracy, [macs], rng=np.random.default_rng(0))
    exact = front(FMNIST, accuracy, macs)
    exact_points = np.column_stack([-exact.accuracy, exact.cost])
    low, span = exact_points.min(0), np.ptp(exact_points, axis=0)
    volume, exact_volume = (
        hypervolume((points - low) / span, np.ones(2))
        for points in (pareto_set.objectives, exact_points)
    )
    assert 0.99 < volume / exact_volume <= 1
    assert pareto_set.evaluations == 200 * 251


def test_three_objectives_under_a_limit_for_any_function():
    macs, params, memory = macs_table(FMNIST), params_table(FMNIST), activation_table(FMNIST)
    limit = Budget(
        memory, float(np.median(memory(FMNIST.sample(np.random.default_rng(0), 1000)))), "memory"
    )

    def accuracy(genes):
        FMNIST.check_genes(genes)
        return genes.sum(1).astype(float)

    pareto_set = nsga2(
        FMNIST, accuracy, [macs, params], [limit], rng=np.random.default_rng(0), generations=20
    )
    assert pareto_set.objectives.shape == (len(pareto_set.genes), 3)
    assert (memory(pareto_set.genes) <= limit.limit).all()
    np.testing.assert_array_equal(
        pareto_set.costs, np.column_stack([macs(pareto_set.genes), params(pareto_set.genes)])
    )
    assert not any(
        dominates(tuple(p), tuple(q))
        for p, q in itertools.permutations(pareto_set.objectives[:100], 2)
    )


def test_same_seed_same_front():
    accuracy, macs = synthetic_accuracy(FMNIST), macs_table(FMNIST)
    first, again = (
        nsga2(FMNIST, accuracy, [macs], rng=np.random.default_rng(3), generations=5)
        for _ in range(2)
    )
    np.testing.assert_array_equal(first.genes, again.genes)


def test_wrong_questions():
    accuracy, macs = synthetic_accuracy(TINY), macs_table(TINY)
    with pytest.raises(ValueError, match="0 costs"):
        nsga2(TINY, accuracy, [], rng=np.random.default_rng(0))
    with pytest.raises(InfeasibleBudget):
        nsga2(TINY, accuracy, [macs], [Budget(macs, 1.0)], rng=np.random.default_rng(0))
    with pytest.raises(
        ValueError, match="table of space 'fmnist' says nothing about archs of 'plain'"
    ):
        nsga2(TINY, accuracy, [macs_table(FMNIST)], rng=np.random.default_rng(0))
    with pytest.raises(ValueError, match="infinite or NaN for some archs"):
        nsga2(TINY, lambda genes: np.full(len(genes), np.nan), [macs], rng=np.random.default_rng(0))


def test_synthetic_accuracies_span_what_they_say():
    for kind in ("rough", "concave"):
        accuracy = synthetic_accuracy(TINY, kind)
        values = accuracy(TINY.encode(list(TINY.enumerate())))
        assert values.min() >= 71.5 - 1e-9 and values.max() <= 77 + 1e-9
        assert values.max() == pytest.approx(best(TINY, accuracy).accuracy)
    with pytest.raises(ValueError, match="smooth.*concave, rough"):
        synthetic_accuracy(TINY, "smooth")
    one = SearchSpace(
        "one", [16], [Stage(8, 1, [1], [3], [2])], in_channels=1, num_classes=2, stem_width=8
    )
    assert (
        one.decode(best(one, synthetic_accuracy(one)).genes[None])[0]
        == one.smallest()
        == one.largest()
    )
