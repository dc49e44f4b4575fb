"""Tables against sums and maxima written out block by block."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spaces_for_tests import plain_space

from labkit.space import SearchSpace, Stage
from labkit.tables.costs import AdditiveTable, MaxTable, block_table_mask, block_table_shape
from labkit.tables.separable import Joint, MaxPlusSum, StageTable, highest, lowest

SPACE = SearchSpace(
    "mixed",
    (16, 24),
    (
        Stage(8, 1, (1, 3), (3, 5), (2, 3, 4)),
        Stage(16, 2, (2,), (3,), (4,)),
        Stage(16, 1, (1, 2), (3, 5, 7), (2,)),
    ),
    in_channels=1,
    num_classes=2,
    stem_width=8,
)


def block_table(kind, seed):
    rng = np.random.default_rng(seed)
    blocks = np.where(block_table_mask(SPACE), rng.normal(size=block_table_shape(SPACE)), np.nan)
    return kind(SPACE, rng.normal(size=2), blocks)


def block_terms(table, arch):
    """The entries of `table` that `arch` uses, found arch by arch, without genes."""
    r, found, b = SPACE.resolutions.index(arch.resolution), [], 0
    for blocks, stage in zip(arch.stages, SPACE.stages):
        for i, (kernel, expand) in enumerate(blocks):
            found.append(
                table.blocks[r, b + i, stage.kernels.index(kernel), stage.expands.index(expand)]
            )
        b += stage.max_depth
    return table.base[r], found


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000))
def test_block_tables_add_up_or_take_the_largest(seed):
    genes = SPACE.sample(np.random.default_rng(seed), 20)
    total, largest = block_table(AdditiveTable, seed), block_table(MaxTable, seed)
    for row, arch in enumerate(SPACE.decode(genes)):
        base, terms = block_terms(total, arch)
        np.testing.assert_allclose(total(genes)[row], base + sum(terms), rtol=1e-12, atol=1e-12)
        base, terms = block_terms(largest, arch)
        assert largest(genes)[row] == max([base, *terms])


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 1000))
def test_the_highest_value_is_that_of_all_archs(seed):
    genes = SPACE.encode(list(SPACE.enumerate()))
    total, largest = block_table(AdditiveTable, seed), block_table(MaxTable, seed)
    rng = np.random.default_rng(seed)
    linked = StageTable(
        SPACE,
        rng.normal(size=2),
        [rng.normal(size=(2, size)) for size in SPACE.stage_sizes],
        np.tanh,
    )
    for function in (total, largest, linked, MaxPlusSum(largest, total)):
        assert highest(function) == pytest.approx(function(genes).max(), rel=1e-12, abs=1e-12)


def test_the_ends_are_exact_where_there_is_one_global_choice_and_many_stages():
    """numpy adds nine numbers in pairs, a table one after another."""
    stages = tuple(Stage(8, 1, (1,), (3, 5), (2,)) for _ in range(9))
    space = SearchSpace("long", (8,), stages, in_channels=1, num_classes=2, stem_width=8)
    genes = space.encode(list(space.enumerate()))
    for seed in range(20):
        rng = np.random.default_rng(seed)
        terms = [rng.normal(size=(1, size)) for size in space.stage_sizes]
        table = StageTable(space, rng.normal(size=1), terms)
        assert (lowest(table), highest(table)) == (table(genes).min(), table(genes).max())


def test_stage_table_adds_its_free_form_terms():
    rng = np.random.default_rng(0)
    stages = [rng.normal(size=(2, size)) for size in SPACE.stage_sizes]
    base = rng.normal(size=2)
    genes = SPACE.sample(rng, 50)
    want = []
    for row, codes in zip(genes, SPACE.stage_codes(genes)):
        want.append(base[row[0]] + sum(values[row[0], code] for values, code in zip(stages, codes)))
    np.testing.assert_allclose(StageTable(SPACE, base, stages)(genes), want, rtol=1e-12)
    linked = StageTable(SPACE, base, stages, link=lambda total: 100 - np.exp(-total))
    np.testing.assert_allclose(linked(genes), 100 - np.exp(-np.array(want)), rtol=1e-12)


def test_joint_is_each_table_for_itself():
    rng = np.random.default_rng(0)
    linked = StageTable(
        SPACE,
        rng.normal(size=2),
        [rng.normal(size=(2, size)) for size in SPACE.stage_sizes],
        np.tanh,
    )
    tables = [
        block_table(MaxTable, 1),
        linked,
        block_table(AdditiveTable, 2),
        block_table(MaxTable, 3),
    ]
    genes = SPACE.sample(rng, 100)
    together = Joint(tables)(genes)
    for row, table in zip(together, tables):
        np.testing.assert_array_equal(row, table(genes))


def test_genes_of_absent_blocks_do_not_matter():
    table = Joint([block_table(AdditiveTable, 1), block_table(MaxTable, 2)])
    raw = SPACE.draw(np.random.default_rng(0), 500)
    assert (raw != SPACE.canonical(raw)).any()
    np.testing.assert_array_equal(table(raw), table(SPACE.canonical(raw)))


def test_wrong_tables_are_refused():
    stages = [np.zeros((2, size)) for size in SPACE.stage_sizes]
    with pytest.raises(ValueError, match="base"):
        StageTable(SPACE, np.zeros(3), stages)
    with pytest.raises(ValueError, match="stages"):
        StageTable(SPACE, np.zeros(2), stages[:2])
    holes = [values.copy() for values in stages]
    holes[2][1, SPACE.valid_codes(2)[0]] = np.nan
    with pytest.raises(ValueError, match="stage 2"):
        StageTable(SPACE, np.zeros(2), holes)
    with pytest.raises(ValueError, match="base"):
        StageTable(SPACE, np.array([0, np.inf]), stages)
    other = plain_space((Stage(8, 1, (1,)),), resolutions=(16,))
    stranger = StageTable(other, np.zeros(1), [np.zeros((1, size)) for size in other.stage_sizes])
    with pytest.raises(ValueError, match="mixed, plain"):
        Joint([block_table(AdditiveTable, 0), stranger])


def test_codes_no_arch_has_may_hold_anything():
    stages = [np.full((2, size), np.nan) for size in SPACE.stage_sizes]
    for s, values in enumerate(stages):
        values[:, SPACE.valid_codes(s)] = 1.0
    table = StageTable(SPACE, np.zeros(2), stages)
    assert (table(SPACE.draw(np.random.default_rng(0), 1000)) == 3.0).all()


def test_floor_of_a_maximum_plus_a_sum_takes_out_only_what_exceeds_a_limit():
    """Against every arch: nothing costs less than its floor. Without a maximum, the floor is the
    least cost of any arch of that resolution with one of its stages, the largest over the
    stages."""
    genes = SPACE.encode(list(SPACE.enumerate()))
    cost = MaxPlusSum(block_table(MaxTable, 1), block_table(AdditiveTable, 2))
    assert (cost.floor()(genes) <= cost(genes) + 1e-12).all()
    flat = MaxTable(SPACE, np.zeros(2), np.where(block_table_mask(SPACE), 0.0, np.nan))
    cost = MaxPlusSum(flat, cost.total)
    values, codes = cost(genes), SPACE.stage_codes(genes)
    least = [
        max(
            values[(genes[:, 0] == row[0]) & (codes[:, s] == code[s])].min()
            for s in range(len(SPACE.stages))
        )
        for row, code in zip(genes[::97], codes[::97])
    ]
    np.testing.assert_allclose(cost.floor()(genes[::97]), least)


def test_an_arch_costs_the_same_alone_and_among_others_to_the_last_bit():
    space = plain_space((Stage(8, 1, (1, 2), (3, 5), (2, 3)),) * 10)
    rng = np.random.default_rng(0)
    table = StageTable(
        space, rng.normal(size=2), [rng.normal(size=(2, size)) for size in space.stage_sizes]
    )
    genes = space.sample(rng, 200)
    np.testing.assert_array_equal(np.concatenate([table(row[None]) for row in genes]), table(genes))
