"""Exact search with a check that is no table, against brute force."""

import numpy as np
from exact_for_tests import EXAMPLES, problems, stage_table
from hypothesis import given

from labkit.search import Budget
from labkit.specialize.best_passing import TooManyFailures, best_passing
from labkit.tables.costs import MaxTable, block_table_mask, block_table_shape


def without_kernels(space, genes):
    genes = genes.copy()
    genes[..., space.kernel_columns] = 0
    return genes


@EXAMPLES
@given(problems())
def test_it_finds_the_best_of_all_archs_that_pass(problem):
    """A check that knows each combination of global choice, depths and expand ratios, and is as
    likely to fail.
    """
    space, genes, rng, numbers = problem
    accuracy = stage_table(space, numbers)
    blocks = np.where(block_table_mask(space), numbers(block_table_shape(space)), np.nan)
    cost = MaxTable(space, numbers(len(space.global_choices)), blocks)
    limit = float(np.median(cost(genes)))
    kinds = {row.tobytes(): rng.random() < 0.5 for row in without_kernels(space, genes)}

    def passes(row):
        return kinds[without_kernels(space, row).tobytes()]

    allowed = np.array([passes(row) for row in genes]) & (cost(genes) <= limit)
    optimum = best_passing(
        space, accuracy, [Budget(cost, limit, "cost")], passes, failures=len(kinds)
    )
    if not allowed.any():
        assert optimum is None
    else:
        assert optimum.accuracy == accuracy(genes)[allowed].max()
        assert passes(optimum.genes) and cost(optimum.genes[None])[0] <= limit


@EXAMPLES
@given(problems())
def test_excluded_archs_go_alone_whatever_their_number(problem):
    """Not their kind, as those that fail a check."""
    space, genes, rng, numbers = problem
    accuracy = stage_table(space, numbers)
    excluded = rng.random(len(genes)) < rng.choice([0.1, 0.9])
    fails = without_kernels(space, genes[0]).tobytes()

    def passes(row):
        return without_kernels(space, row).tobytes() != fails

    allowed = ~excluded & np.array([passes(row) for row in genes])
    some, many = list(genes[excluded]), len(genes)
    optimum = best_passing(space, accuracy, [], passes, failures=many, excluded=some)
    if not allowed.any():
        assert optimum is None
    else:
        assert optimum.accuracy == accuracy(genes)[allowed].max()
        assert passes(optimum.genes) and not (genes[excluded] == optimum.genes).all(1).any()


@EXAMPLES
@given(problems())
def test_it_gives_up_after_as_many_failures_as_it_may_have(problem):
    space, _, _, numbers = problem
    accuracy, checked = stage_table(space, numbers), []
    try:
        assert best_passing(space, accuracy, [], checked.append, failures=3) is None
        assert len(checked) <= 3, "all archs were looked at"
    except TooManyFailures:
        assert len(checked) == 4
    assert 1 <= len(checked) <= 4
    assert len({without_kernels(space, row).tobytes() for row in checked}) == len(checked), (
        "no kind is asked about twice"
    )
