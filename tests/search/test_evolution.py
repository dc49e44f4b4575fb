"""Evolution, random search, and what they start from."""

import numpy as np
import pytest
from spaces_for_tests import WIDE, plain_space

from labkit.search import Budget, InfeasibleBudget, best, evolve, random_search
from labkit.search.evolution import Variation
from labkit.search.random import FeasibleStart
from labkit.search.scoring import Scorer
from labkit.space import SearchSpace, Stage
from labkit.space.presets import get_space
from labkit.tables.costs import activation_table, macs_table, params_table
from labkit.tables.separable import StageTable
from labkit.tables.synthetic_accuracy import synthetic_accuracy

FMNIST = get_space("fmnist")
TINY = plain_space((Stage(8, 2, (1, 2), (3, 5), (2, 3)),) * 2)


def macs_budget(space, quantile, name="MACs"):
    macs = macs_table(space)
    sample = macs(space.sample(np.random.default_rng(1), 5000))
    return Budget(macs, float(np.quantile(sample, quantile)), name)


def test_finds_the_best_arch_of_a_small_space():
    genes = TINY.encode(list(TINY.enumerate()))
    accuracy, budget = synthetic_accuracy(TINY), macs_budget(TINY, 0.5)
    best = accuracy(genes[budget.cost(genes) <= budget.limit]).max()
    for search in (evolve, random_search):
        result = search(TINY, accuracy, [budget], rng=np.random.default_rng(0))
        assert result.accuracy == best
        assert result.costs["MACs"] <= budget.limit


def test_same_seed_same_result_and_another_seed_another_way():
    accuracy, budget = synthetic_accuracy(FMNIST), macs_budget(FMNIST, 0.3)
    first, again, other = (
        evolve(FMNIST, accuracy, [budget], rng=np.random.default_rng(seed), generations=30)
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first.history, again.history)
    np.testing.assert_array_equal(first.genes, again.genes)
    assert not np.array_equal(first.history, other.history)


def test_result_says_what_its_arch_predicts_and_costs():
    accuracy, budget = synthetic_accuracy(FMNIST), macs_budget(FMNIST, 0.2)
    result = evolve(FMNIST, accuracy, [budget], rng=np.random.default_rng(0), generations=40)
    genes = FMNIST.encode([result.arch])  # canonical, whatever the search kept in absent blocks
    np.testing.assert_array_equal(genes[0], result.genes)
    assert accuracy(genes)[0] == result.accuracy == result.history[-1] == result.history.max()
    assert macs_table(FMNIST)(genes)[0] == result.costs["MACs"] <= budget.limit
    assert (np.diff(result.history) >= 0).all() and len(result.history) == 41
    assert result.evaluations == 100 + 40 * 100


def test_beats_random_search_with_the_same_evaluations():
    space = get_space("ofa-mbv3")
    accuracy, budget = synthetic_accuracy(space, "concave"), macs_budget(space, 0.2)
    evolved = evolve(space, accuracy, [budget], rng=np.random.default_rng(0), generations=100)
    by_chance = random_search(
        space, accuracy, [budget], rng=np.random.default_rng(0), evaluations=evolved.evaluations
    )
    assert evolved.accuracy > by_chance.accuracy


def test_any_function_will_do_and_gets_canonical_genes():
    space = FMNIST
    budget = macs_budget(space, 0.2)

    def accuracy(genes):
        space.check_genes(genes)
        return genes[:, 1:].sum(1) - 0.1 * genes[:, 0]

    def cost(genes):
        space.check_genes(genes)
        return budget.cost(genes)

    by_table = evolve(space, accuracy, [budget], rng=np.random.default_rng(0), generations=20)
    by_function = evolve(
        space, accuracy, [Budget(cost, budget.limit)], rng=np.random.default_rng(0), generations=20
    )
    np.testing.assert_array_equal(by_table.history, by_function.history)


def test_a_budget_that_hardly_any_random_arch_meets():
    space = get_space("ofa-mbv3")
    accuracy, macs = synthetic_accuracy(space), macs_table(space)
    smallest = macs(space.encode([space.smallest()]))[0]
    budget = Budget(macs, 1.05 * smallest, "MACs")
    assert not (macs(space.sample(np.random.default_rng(0), 20_000)) <= budget.limit).any()
    start = FeasibleStart(Scorer(space, accuracy, [budget])).draw(np.random.default_rng(0), 100)
    assert (macs(start) <= budget.limit).all()
    assert len(np.unique(space.canonical(start), axis=0)) > 20, (
        "the start is not one arch over and over"
    )
    result = evolve(space, accuracy, [budget], rng=np.random.default_rng(0), generations=50)
    assert result.costs["MACs"] <= budget.limit
    assert result.accuracy > accuracy(space.encode([space.smallest()]))[0]


def test_a_budget_that_only_the_cheapest_arch_meets():
    macs = macs_table(FMNIST)
    smallest = FMNIST.encode([FMNIST.smallest()])
    result = evolve(
        FMNIST,
        synthetic_accuracy(FMNIST),
        [Budget(macs, macs(smallest)[0])],
        rng=np.random.default_rng(0),
        generations=10,
    )
    np.testing.assert_array_equal(result.genes, smallest[0])


def test_several_budgets_at_once():
    accuracy = synthetic_accuracy(FMNIST)
    sample = FMNIST.sample(np.random.default_rng(0), 5000)
    limits = [
        Budget(table, float(np.quantile(table(sample), 0.1)), name)
        for name, table in (
            ("MACs", macs_table(FMNIST)),
            ("params", params_table(FMNIST)),
            ("SRAM", activation_table(FMNIST, 1)),
        )
    ]
    result = evolve(FMNIST, accuracy, limits, rng=np.random.default_rng(0), generations=50)
    assert set(result.costs) == {"MACs", "params", "SRAM"}
    assert all(result.costs[budget.name] <= budget.limit for budget in limits)
    assert all(budget.cost(result.genes[None])[0] == result.costs[budget.name] for budget in limits)


@pytest.mark.parametrize("search", [evolve, random_search])
def test_an_impossible_budget_fails_at_once_with_the_minimum(search):
    macs = macs_table(FMNIST)
    smallest = macs(FMNIST.encode([FMNIST.smallest()]))[0]
    with pytest.raises(
        InfeasibleBudget, match=f"MACs budget .* smallest achievable value is {smallest:.6g} MACs"
    ) as e:
        search(
            FMNIST,
            synthetic_accuracy(FMNIST),
            [Budget(macs, 0.99 * smallest, "MACs", "MACs")],
            rng=np.random.default_rng(0),
        )
    assert e.value.smallest == smallest and e.value.budget.cost is macs


def test_an_impossible_budget_for_a_cost_that_is_no_table():
    def cost(genes):
        return 5.0 + genes[:, 0]

    with pytest.raises(InfeasibleBudget, match="smallest value found is 5 mJ") as error:
        evolve(
            TINY,
            synthetic_accuracy(TINY),
            [Budget(cost, 4.0, "energy", "mJ")],
            rng=np.random.default_rng(0),
        )
    assert not error.value.proven


def test_budgets_that_nothing_meets_together_are_told_from_one_that_nothing_meets_alone():
    def cost(genes):
        return genes[:, 1:].sum(1).astype(float)

    def opposite(genes):
        return 60 - cost(genes)

    rows = FMNIST.sample(np.random.default_rng(0), 1000)
    accuracy, middle = synthetic_accuracy(FMNIST), float(np.median(cost(FMNIST.canonical(rows))))
    with pytest.raises(InfeasibleBudget) as error:
        evolve(
            FMNIST,
            accuracy,
            [Budget(cost, middle, "A"), Budget(opposite, 59 - middle, "B")],
            rng=np.random.default_rng(0),
        )
    assert error.value.smallest == 60 - middle > error.value.budget.limit and "with A <= " in str(
        error.value
    )
    with pytest.raises(
        InfeasibleBudget, match="^B budget 1 cannot be met; the smallest value found is"
    ):
        evolve(
            FMNIST,
            accuracy,
            [Budget(cost, middle, "A"), Budget(opposite, 1.0, "B")],
            rng=np.random.default_rng(0),
        )


@pytest.mark.parametrize("search", [evolve, random_search])
def test_the_smallest_value_of_the_message_can_be_met(search):
    accuracy = synthetic_accuracy(FMNIST)
    for digits in (1.23456789, 7.7777777e-4, 98765.4321):
        count = len(FMNIST.global_choices)
        nothing = [np.zeros((count, size)) for size in FMNIST.stage_sizes]
        cost = StageTable(FMNIST, np.full(count, digits), nothing)
        with pytest.raises(InfeasibleBudget) as error:
            search(
                FMNIST, accuracy, [Budget(cost, digits / 2, "cost")], rng=np.random.default_rng(0)
            )
        smallest = float(str(error.value).split()[-1])
        assert smallest == pytest.approx(digits, rel=1e-5)
        search(FMNIST, accuracy, [Budget(cost, smallest, "cost")], rng=np.random.default_rng(0))


@pytest.mark.parametrize("search", [evolve, random_search])
def test_tables_of_another_space_are_refused_even_if_its_genes_look_the_same(search):
    cifar = get_space("cifar10")
    with pytest.raises(
        ValueError, match="table of space 'cifar10' says nothing about archs of 'fmnist'"
    ):
        search(
            FMNIST,
            synthetic_accuracy(FMNIST),
            [macs_budget(cifar, 0.5)],
            rng=np.random.default_rng(0),
        )
    with pytest.raises(ValueError, match="table of space 'cifar10'"):
        search(FMNIST, synthetic_accuracy(cifar), rng=np.random.default_rng(0))


@pytest.mark.parametrize("search", [evolve, random_search])
@pytest.mark.parametrize(
    "accuracy", [lambda genes: np.full(len(genes), np.nan), lambda genes: np.zeros(len(genes) - 1)]
)
def test_an_accuracy_function_that_gives_no_numbers(search, accuracy):
    with pytest.raises(ValueError, match="the accuracy function returned .* want"):
        search(FMNIST, accuracy, rng=np.random.default_rng(0))


def test_functions_are_never_asked_about_no_archs():
    def cost(genes):
        assert len(genes)
        return genes[:, 0].astype(float)

    rare = macs_budget(FMNIST, 0.0005)
    result = evolve(
        FMNIST,
        synthetic_accuracy(FMNIST),
        [rare, Budget(cost, 1.0, "cost")],
        rng=np.random.default_rng(0),
        generations=3,
        population=20,
    )
    assert result.costs["MACs"] <= rare.limit and result.costs["cost"] <= 1
    with pytest.raises(ValueError, match="evaluations 0: want at least 1"):
        random_search(
            FMNIST, synthetic_accuracy(FMNIST), rng=np.random.default_rng(0), evaluations=0
        )


@pytest.mark.parametrize("limit", [-1.0, float("nan"), float("inf"), "20", None, True])
def test_a_budget_that_is_no_budget(limit):
    with pytest.raises(ValueError, match="latency budget"):
        Budget(macs_table(FMNIST), limit, "latency", "ms")


@pytest.mark.parametrize(
    "wrong", [{"population": 1}, {"generations": -1}, {"mutation": 1.5}, {"parent_ratio": -0.1}]
)
def test_parameters_are_checked(wrong):
    name = next(iter(wrong))
    with pytest.raises(ValueError, match=name):
        evolve(FMNIST, synthetic_accuracy(FMNIST), rng=np.random.default_rng(0), **wrong)


def test_no_budget_no_limit():
    space = TINY
    genes = space.encode(list(space.enumerate()))
    accuracy = synthetic_accuracy(space)
    assert evolve(space, accuracy, rng=np.random.default_rng(0)).accuracy == accuracy(genes).max()


@pytest.mark.parametrize("rate", [0.21, 0.47, 0.5, 1.0])
def test_the_largest_roll_below_a_rate_redraws_to_a_choice_that_is_there(rate):
    """A roll just below the rate, times choices / rate, rounds up to the number of choices for some
    rates.
    """

    class Largest:
        def random(self, size, dtype=np.float64):
            below = (
                np.ceil(float(np.float32(rate)) * 2**24) - 1
            )  # random float32 are multiples of 2^-24
            return np.full(size, below / 2**24, dtype=dtype)

    space = SearchSpace(
        "seven",
        tuple(range(16, 30, 2)),
        (Stage(8, 1, (1, 2), (3, 5, 7), (2, 3)),),
        in_channels=1,
        num_classes=2,
        stem_width=8,
    )
    mutants = Variation(space, Largest(), rate, rate).mutants(space.encode([space.smallest()]), 1)
    assert (mutants >= 0).all() and (mutants < space.choices).all()


def test_it_finds_the_best_arch_of_several_widths():
    accuracy = synthetic_accuracy(WIDE)
    for limit in (3e5, 6e5, 1e6):
        limits = [Budget(macs_table(WIDE), limit, "MACs")]
        result = evolve(WIDE, accuracy, limits, rng=np.random.default_rng(0), generations=150)
        assert result.accuracy == best(WIDE, accuracy, limits).accuracy


def test_variation_redraws_resolution_and_width_independently():
    parents = WIDE.sample(np.random.default_rng(0), 1)
    mutants = Variation(WIDE, np.random.default_rng(1), 0.0, 0.4).mutants(parents, 9000)
    assert (mutants[:, 1:] == parents[:, 1:]).all()
    resolution, width = np.divmod(mutants[:, 0], 3) != np.array(divmod(parents[0, 0], 3))[:, None]
    assert abs(resolution.mean() - 0.4 / 2) < 0.02 and abs(width.mean() - 0.4 * 2 / 3) < 0.02
    assert abs((resolution & width).mean() - resolution.mean() * width.mean()) < 0.02


def test_children_mix_genes_or_whole_stages_of_two_parents():
    parents = np.stack([np.zeros(FMNIST.num_genes), np.ones(FMNIST.num_genes)]).astype(np.int8)
    children = Variation(FMNIST, np.random.default_rng(3), 0.1, 0.5).crossed(parents, 4000)
    assert set(np.unique(children)) == {0, 1} and abs(children.mean() - 0.5) < 0.02
    starts = [0, *FMNIST.depth_columns]  # the global choice, then each stage
    switches = np.diff(children, axis=1) != 0
    between = np.isin(np.arange(1, FMNIST.num_genes), starts)
    # Half of the pairs are of two parents, and half of their neighboring genes of different ones.
    assert abs(switches[::2].mean() - 0.25) < 0.02
    assert not switches[1::2][:, ~between].any()
    assert abs(switches[1::2][:, between].mean() - 0.25) < 0.02
