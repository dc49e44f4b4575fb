"""Exact search against brute force: on small random spaces every arch is looked at."""

import numpy as np
import pytest
from exact_for_tests import EXAMPLES, KINDS, arena, block_table, problems, stage_table
from hypothesis import given
from hypothesis import strategies as st
from spaces_for_tests import plain_space

from labkit.search import Budget, InfeasibleBudget, best, front, front_bound
from labkit.search.exact import cheapest, check_feasible
from labkit.space import Stage
from labkit.tables.costs import AdditiveTable, MaxTable
from labkit.tables.separable import StageTable


def brute_front(cost, value):
    """The set of (cost, value) pairs that no other pair dominates, pair by pair."""
    points = set(zip(cost.tolist(), value.tolist()))
    return sorted(
        (c, v)
        for c, v in points
        if not any(c2 <= c and v2 >= v and (c2, v2) != (c, v) for c2, v2 in points)
    )


def some_limit(rng, costs):
    """Below the smallest cost, between the costs, or just one of them."""
    low, high = costs.min(), costs.max()
    return float(rng.choice([rng.uniform(low - 0.1 * (high - low) - 0.1, high), rng.choice(costs)]))


@EXAMPLES
@given(problems(), st.sampled_from([None, np.tanh, np.ceil]))
def test_front_is_that_of_all_archs(problem, link):
    space, genes, _, numbers = problem
    accuracy, cost = stage_table(space, numbers, link), block_table(AdditiveTable, space, numbers)
    result = front(space, accuracy, cost)
    assert list(zip(result.cost.tolist(), result.accuracy.tolist())) == brute_front(
        cost(genes), accuracy(genes)
    )
    space.check_genes(result.genes)
    np.testing.assert_array_equal(cost(result.genes), result.cost)
    np.testing.assert_array_equal(accuracy(result.genes), result.accuracy)


@EXAMPLES
@given(problems(), st.lists(st.sampled_from(KINDS), min_size=1, max_size=3))
def test_front_under_any_limits(problem, kinds):
    space, genes, rng, numbers = problem
    accuracy, cost = stage_table(space, numbers), block_table(AdditiveTable, space, numbers)
    memory = [block_table(kind, space, numbers) for kind in kinds]
    limits = [
        Budget(m, max(0.0, some_limit(rng, m(genes))), f"memory {i}") for i, m in enumerate(memory)
    ]
    meets = np.logical_and.reduce([budget.cost(genes) <= budget.limit for budget in limits])
    if not meets.any():
        with pytest.raises(InfeasibleBudget):
            front(space, accuracy, cost, limits)
        return
    result = front(space, accuracy, cost, limits)
    assert list(zip(result.cost, result.accuracy)) == brute_front(
        cost(genes[meets]), accuracy(genes[meets])
    )
    assert all((budget.cost(result.genes) <= budget.limit).all() for budget in limits)


@EXAMPLES
@given(problems(), st.booleans())
def test_bound_under_the_cost_of_one_arch_bounds_what_meets_it(problem, least):
    """A maximum plus a sum lets a front in that is too good, never one that is too bad."""
    space, genes, rng, numbers = problem
    accuracy, latency = stage_table(space, numbers), block_table(AdditiveTable, space, numbers)
    cost = block_table(arena, space, numbers)
    limit = float(cost(genes).min() if least else rng.choice(cost(genes)))
    meets = cost(genes) <= limit
    result = front_bound(space, accuracy, latency, [Budget(cost, limit, "arena")])
    assert result.accuracy.max() >= accuracy(genes[meets]).max() - 1e-9
    assert result.cost.min() <= latency(genes[meets]).min() + 1e-9


@pytest.mark.parametrize("seed", range(20))
def test_differences_as_small_as_what_is_allowed_for_rounding_count(seed):
    stages = tuple(Stage(8, 1, (1, 2), (3, 5), (2, 3)) for _ in range(2))
    space = plain_space(stages)
    genes, rng = space.encode(list(space.enumerate())), np.random.default_rng(seed)

    def numbers(shape):
        return rng.integers(1, 4, shape) + 2e-12 * rng.integers(-1, 2, shape)

    accuracy, cost = stage_table(space, numbers), block_table(AdditiveTable, space, numbers)
    limit = float(rng.choice([cost(genes).min(), *rng.choice(cost(genes), 3)]))
    assert (
        best(space, accuracy, [Budget(cost, limit, "cost")]).accuracy
        == accuracy(genes)[cost(genes) <= limit].max()
    )


def test_values_that_are_large_beside_their_differences():
    space = plain_space((Stage(8, 1, (1,), (3, 5, 7), (2,)),) * 3, resolutions=(8,))
    genes, rng = space.encode(list(space.enumerate())), np.random.default_rng(0)
    for _ in range(150):
        accuracy = stage_table(
            space, lambda s: 1e3 * rng.random() + 3.3e-13 * rng.integers(0, 4, s)
        )
        cost = stage_table(space, lambda s: rng.integers(0, 6, s).astype(float))
        limit = float(np.median(cost(genes)))
        meets = cost(genes) <= limit
        found = best(space, accuracy, [Budget(cost, limit, "cost")])
        assert found.accuracy == accuracy(genes)[meets].max()
        least = Budget(accuracy, float(accuracy(genes)[meets].min()), "value")
        best(space, cost, [Budget(cost, limit, "cost"), least])  # an arch meets both


@pytest.mark.parametrize("offset", [1e4, 1e8])
def test_costs_that_are_large_beside_their_differences(offset):
    space = plain_space((Stage(8, 1, (1,), (3, 5), (2, 3)),) * 2, resolutions=(8,))
    genes = space.encode(list(space.enumerate()))
    for seed in range(60):
        rng = np.random.default_rng(seed)
        accuracy, near, far = (
            AdditiveTable(space, np.zeros(1), least + rng.random((1, 2, 2, 2)))
            for least in (0, 1, offset)
        )
        arch = rng.integers(len(genes))
        limits = [Budget(cost, float(cost(genes)[arch]), "cost") for cost in (near, far)]
        meets = np.logical_and.reduce([budget.cost(genes) <= budget.limit for budget in limits])
        assert best(space, accuracy, limits).accuracy == accuracy(genes)[meets].max()


def test_of_two_limits_on_one_cost_the_smaller_holds():
    rng = np.random.default_rng(0)
    space = plain_space((Stage(8, 1, (1, 2), (3, 5), (2, 3)),) * 2)
    genes = space.encode(list(space.enumerate()))
    accuracy, cost = stage_table(space, rng.random), block_table(arena, space, rng.random)
    limits = [
        Budget(cost, float(np.quantile(cost(genes), q)), f"board {q}") for q in (0.7, 0.2, 0.9)
    ]
    result = best(space, accuracy, limits)
    assert result.accuracy == accuracy(genes[cost(genes) <= limits[1].limit]).max()


@EXAMPLES
@given(problems(), st.lists(st.sampled_from(KINDS), max_size=3))
def test_best_under_any_budgets(problem, kinds):
    space, genes, rng, numbers = problem
    accuracy = stage_table(space, numbers)
    limits = []
    for i, kind in enumerate(kinds):
        cost = block_table(kind, space, numbers)
        limits.append(Budget(cost, max(0.0, some_limit(rng, cost(genes))), f"cost {i}"))
    meets = np.logical_and.reduce(
        [np.ones(len(genes), bool), *(b.cost(genes) <= b.limit for b in limits)]
    )
    if meets.any():
        optimum = best(space, accuracy, limits)
        np.testing.assert_allclose(optimum.accuracy, accuracy(genes[meets]).max(), rtol=1e-12)
        assert accuracy(optimum.genes[None])[0] == optimum.accuracy
        assert all(budget.cost(optimum.genes[None])[0] <= budget.limit for budget in limits)
        return
    with pytest.raises(InfeasibleBudget) as caught:
        best(space, accuracy, limits)
    error = caught.value
    others = np.logical_and.reduce(
        [np.ones(len(genes), bool), *(b.cost(genes) <= b.limit for b in error.others)]
    )
    np.testing.assert_allclose(error.smallest, error.budget.cost(genes[others]).min(), rtol=1e-12)
    assert error.smallest > error.budget.limit and error.proven
    if any(b.cost(genes).min() > b.limit for b in limits):
        assert not error.others, "a budget that nothing meets is named for itself"


@EXAMPLES
@given(problems(), st.sampled_from(KINDS), st.sampled_from(KINDS))
def test_values_that_are_alike_end_the_search_too(problem, kind, other_kind):
    """Nothing but budgets tells archs of one global choice apart."""
    space, genes, rng, numbers = problem
    accuracy = StageTable(
        space,
        numbers(len(space.global_choices)),
        [np.zeros((len(space.global_choices), size)) for size in space.stage_sizes],
    )
    costs = [block_table(each, space, numbers) for each in (kind, other_kind)]
    limits = [
        Budget(cost, max(0.0, some_limit(rng, cost(genes))), f"cost {i}")
        for i, cost in enumerate(costs)
    ]
    meets = np.logical_and.reduce([budget.cost(genes) <= budget.limit for budget in limits])
    if meets.any():
        assert best(space, accuracy, limits).accuracy == accuracy(genes[meets]).max()
    else:
        assert cheapest(space, costs[0], limits) is None


def test_costs_that_cancel_to_a_limit_of_nothing():
    """The one arch of value 7 costs 0.2 - 0.1 - 0.1 = 0; what is left for its last stage rounds to
    a hair less.
    """
    space = plain_space((Stage(8, 1, (1,), (3, 5), (2,)),) * 3, resolutions=(16,))
    accuracy, cost = (
        StageTable(space, np.zeros(1), [np.array([stage]) for stage in stages])
        for stages in (
            ([2.0, 0.0], [1.0, 3.0], [2.0, 3.0]),
            ([0.2, -0.30000000000000004], [0.0, -0.1], [-0.1, 0.1]),
        )
    )
    genes = space.encode(list(space.enumerate()))
    assert (
        accuracy(genes[cost(genes) <= 0]).max()
        == best(space, accuracy, [Budget(cost, 0.0)]).accuracy
        == 7
    )


def test_budgets_that_pull_apart_where_values_are_alike():
    space = plain_space((Stage(8, 1, (1,), (3, 5), (2,)),))
    first, second, accuracy = (
        StageTable(space, np.array(base), [np.array(stage)])
        for base, stage in (
            ([0.0, 0.0], [[0.0, 4.0], [0.0, 9.9]]),
            ([0.0, 0.0], [[4.0, 0.0], [9.9, 0.0]]),
            ([70.0, 75.0], [[0.0, 0.0], [0.0, 0.0]]),
        )
    )
    assert (
        best(space, accuracy, [Budget(first, 4.9, "first"), Budget(second, 4.9, "second")]).accuracy
        == 70
    )


@EXAMPLES
@given(problems(), st.integers(1, 2), st.booleans())
def test_costs_of_both_signs_that_cancel(problem, count, at_zero):
    """In a space of one stage after another, sums near 0 are made of terms that are not."""
    space, genes, rng, _ = problem
    accuracy = stage_table(space, lambda shape: rng.integers(0, 4, shape).astype(float))
    tenths = [
        StageTable(
            space,
            np.zeros(len(space.global_choices)),
            [
                rng.integers(-3, 4, (len(space.global_choices), size)) / 10
                for size in space.stage_sizes
            ],
        )
        for _ in range(count)
    ]
    limits = [
        Budget(cost, 0.0 if at_zero else max(0.0, float(rng.choice(cost(genes)))), f"cost {i}")
        for i, cost in enumerate(tenths)
    ]
    meets = np.logical_and.reduce([budget.cost(genes) <= budget.limit for budget in limits])
    if meets.any():
        assert best(space, accuracy, limits).accuracy == accuracy(genes[meets]).max()


@EXAMPLES
@given(problems(), st.sampled_from(KINDS), st.sampled_from(KINDS))
def test_cheapest_arch(problem, kind, other_kind):
    space, genes, rng, numbers = problem
    cost, other = block_table(kind, space, numbers), block_table(other_kind, space, numbers)
    limit = Budget(other, max(0.0, some_limit(rng, other(genes))))
    meets = other(genes) <= limit.limit
    arch = cheapest(space, cost, [limit])
    if not meets.any():
        assert arch is None
        return
    assert other(arch[None])[0] <= limit.limit
    np.testing.assert_allclose(cost(arch[None])[0], cost(genes[meets]).min(), rtol=1e-12)


@EXAMPLES
@given(problems())
def test_front_and_bound_agree(problem):
    space, genes, rng, numbers = problem
    accuracy, cost = stage_table(space, numbers), block_table(AdditiveTable, space, numbers)
    result = front(space, accuracy, cost)
    limit = float(max(result.cost[0], rng.uniform(result.cost[0], cost(genes).max())))
    i = result.best(limit)
    np.testing.assert_allclose(
        best(space, accuracy, [Budget(cost, limit)]).accuracy, result.accuracy[i], rtol=1e-12
    )
    with pytest.raises(ValueError, match="smallest cost"):
        result.best(result.cost[0] - 0.1)
    with pytest.raises(ValueError, match="costs nan"):
        result.best(np.nan)


def test_what_is_not_separable_is_named():
    space = plain_space((Stage(8, 1, (1, 2)),), resolutions=(16,))
    table = block_table(AdditiveTable, space, np.ones)
    with pytest.raises(
        TypeError, match="predictor that adds up over the stages of 'plain', not a function"
    ):
        front(space, lambda genes: genes.sum(1), table)
    with pytest.raises(TypeError, match="'flash' is a function"):
        best(space, table, [Budget(lambda genes: genes.sum(1), 1.0, "flash")])
    with pytest.raises(TypeError, match="a cost that adds up"):
        front(space, table, block_table(MaxTable, space, np.ones))
    negative = block_table(AdditiveTable, space, lambda shape: -np.ones(shape))
    assert len(front(space, table, negative))
    with pytest.raises(ValueError, match="at least 0, here it falls to -3"):
        front(space, table, negative, [Budget(table, 9.0, "params")])


def test_a_limit_beyond_all_costs_is_none():
    space = plain_space((Stage(8, 1, (1, 2), (3, 5), (2, 3)),) * 2)
    rng = np.random.default_rng(0)
    accuracy = stage_table(space, rng.random)
    cost, other = (block_table(AdditiveTable, space, rng.random) for _ in range(2))
    tight = Budget(cost, float(np.median(cost(space.sample(rng, 50)))), "tight")
    with np.errstate(all="raise"):
        result = best(space, accuracy, [tight, Budget(other, 1e300, "loose")])
    assert result.accuracy == best(space, accuracy, [tight]).accuracy


def test_no_budget_needs_no_check():
    space = plain_space((Stage(8, 1, (1, 2)),), resolutions=(16,))
    assert check_feasible(space, []) is None
