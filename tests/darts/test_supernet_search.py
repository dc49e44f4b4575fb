"""Gradient search in a supernet: budgets hold, the optimum of a known problem is found, runs
resume.
"""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from spaces_for_tests import WIDE, make_it_bite

from labkit.darts import GradientConfig, gradient_search, supernet_search
from labkit.darts.mixed_supernet import expected_cost, relaxed
from labkit.data.datasets import DataSet, Split
from labkit.search import Budget, InfeasibleBudget
from labkit.space import SearchSpace, Stage
from labkit.storage.tensor_file import CheckpointError
from labkit.supernet.supernet import Supernet
from labkit.tables.costs import AdditiveTable, activation_table, block_table_shape, macs_table

SPACE = SearchSpace(
    name="tiny",
    resolutions=(12, 16),
    in_channels=1,
    num_classes=4,
    stem_width=8,
    stages=(
        Stage(8, 2, (1, 2), (3, 5), (2, 3), act="relu"),
        Stage(16, 2, (1, 2, 3), (3, 5), (2, 3), se=True),
    ),
)
MACS = macs_table(SPACE)
SHORT = GradientConfig(steps=6, batch=16, candidates=3)


@pytest.fixture(scope="module")
def supernet():
    torch.manual_seed(0)
    return make_it_bite(Supernet(SPACE)).requires_grad_(False)


@pytest.fixture(scope="module")
def dataset():
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (64, 1, 16, 16), generator=generator, dtype=torch.uint8)
    split = Split(images, torch.randint(0, 4, (64,), generator=generator))
    return DataSet({"train": split, "val-search": split}, (0.5,), (0.25,), ("a", "b", "c", "d"))


def budget_at(share):
    low, high = MACS(SPACE.encode([SPACE.smallest(), SPACE.largest()]))
    return Budget(MACS, float(low + share * (high - low)), "MACs")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_the_budget_holds_however_short_the_search(supernet, dataset, share):
    budget = budget_at(share)
    result = gradient_search(supernet, dataset, budget, SHORT, progress=False)
    SPACE.validate(result.arch)
    assert result.cost == MACS(result.genes[None])[0] <= budget.limit
    assert len(result.history) == SHORT.steps and result.cpu_seconds > 0
    assert [p.sum() for p in result.probabilities] == pytest.approx([1] * SPACE.num_genes)
    assert 1 <= len(result.candidates) == len(np.unique(result.candidates, axis=0)) <= 3
    assert (MACS(result.candidates) <= budget.limit).all()
    if share == 0.0:
        assert result.arch == SPACE.smallest()


@pytest.mark.parametrize("seed,share", [(0, 0.15), (1, 0.4), (2, 0.7)])
def test_a_known_optimum_under_a_budget(supernet, dataset, monkeypatch, seed, share):
    """With a loss in place of the mixture's whose best arch is known: larger choices help, each in
    its own measure.
    """
    rng = np.random.default_rng(seed)
    gains, larger = np.full(block_table_shape(SPACE), np.nan), np.arange(2)
    for b in range(len(SPACE.blocks)):  # of the size that cross entropy varies by between archs
        gain = (
            rng.uniform(0.5, 2) + rng.uniform(0, 1) * larger[:, None] + rng.uniform(0, 1) * larger
        )
        gains[:, b] = 0.01 * gain
    gains = AdditiveTable(SPACE, np.array([0.0, 0.02]), gains)
    monkeypatch.setattr(
        supernet_search,
        "mixture_loss",
        lambda net, images, labels, resolution, choices: (
            -expected_cost(gains, [resolution, *choices[1:]])
        ),
    )

    class Measured:
        def __init__(self, *arguments):
            pass

        def accuracies(self, archs, progress):
            return gains(SPACE.encode(archs))

    monkeypatch.setattr(supernet_search, "Evaluator", Measured)
    budget = budget_at(share)
    config = GradientConfig(steps=100, batch=16, seed=seed)
    result = gradient_search(supernet, dataset, budget, config, progress=False)
    archs = SPACE.encode(list(SPACE.enumerate()))
    within = gains(archs)[MACS(archs) <= budget.limit]
    assert gains(result.genes[None])[0] >= np.quantile(within, 0.95)
    assert result.history[-1]["cost"] == pytest.approx(
        budget.limit, rel=0.15
    )  # the price has settled
    alone = gradient_search(
        supernet, dataset, budget, replace(config, candidates=1), progress=False
    )
    assert (alone.genes == result.candidates[0]).all() and not len(alone.accuracies)


def test_candidates_are_drawn_within_the_budget():
    probabilities = [torch.ones(n, dtype=torch.float64) / n for n in SPACE.choices.tolist()]
    budget = budget_at(0.3)
    genes = supernet_search.draw_candidates(
        SPACE, probabilities, budget, 100, np.random.default_rng(0)
    )
    assert len(genes) == len(np.unique(genes, axis=0)) == 100
    SPACE.check_genes(genes)
    assert (MACS(genes) <= budget.limit).all()
    certain = [torch.eye(n, dtype=torch.float64)[0] for n in SPACE.choices.tolist()]
    (row,) = supernet_search.draw_candidates(SPACE, certain, budget, 5, np.random.default_rng(0))
    assert SPACE.decode(row[None])[0] == SPACE.smallest()


def test_repeats_resumes_and_refuses(supernet, dataset, tmp_path, monkeypatch):
    budget = budget_at(0.4)
    uninterrupted = gradient_search(supernet, dataset, budget, SHORT, progress=False)
    state, calls = supernet_search.GradientSearchState, []
    original = state.advance

    def fails_after_four(*arguments):
        calls.append(1)
        if len(calls) > 4:
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(state, "advance", fails_after_four)
        with pytest.raises(KeyboardInterrupt):
            gradient_search(
                supernet, dataset, budget, SHORT, out=tmp_path, checkpoint_every=2, progress=False
            )
    with pytest.raises(FileExistsError, match="go on with --resume"):
        gradient_search(supernet, dataset, budget, SHORT, out=tmp_path, progress=False)
    with pytest.raises(CheckpointError, match="batch=16, this run has 8"):
        gradient_search(
            supernet,
            dataset,
            budget,
            replace(SHORT, batch=8),
            out=tmp_path,
            resume=True,
            progress=False,
        )
    with pytest.raises(CheckpointError, match="made with weights="):
        gradient_search(
            make_it_bite(Supernet(SPACE)),
            dataset,
            budget,
            SHORT,
            out=tmp_path,
            resume=True,
            progress=False,
        )
    dearer = replace(budget, cost=AdditiveTable(SPACE, MACS.base + 1, MACS.blocks))
    with pytest.raises(CheckpointError, match="made with table="):
        gradient_search(supernet, dataset, dearer, SHORT, out=tmp_path, resume=True, progress=False)
    parts = gradient_search(
        supernet, dataset, budget, SHORT, out=tmp_path, resume=True, progress=False
    )
    assert parts.history == uninterrupted.history
    assert all((a == b).all() for a, b in zip(parts.probabilities, uninterrupted.probabilities))
    other = gradient_search(supernet, dataset, budget, replace(SHORT, seed=1), progress=False)
    assert other.history != uninterrupted.history


def test_a_folder_that_cannot_be_written_is_noticed_before_the_first_step(
    supernet, dataset, tmp_path, monkeypatch
):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(supernet_search.GradientSearchState, "advance", None)
    with pytest.raises(OSError, match="cannot write .*checkpoint.safetensors"):
        gradient_search(
            supernet, dataset, budget_at(0.5), SHORT, out=tmp_path / "file" / "run", progress=False
        )


def test_limits_of_numpys_types_can_be_noted(supernet, dataset, tmp_path):
    budget = replace(budget_at(0.5), limit=np.int64(budget_at(0.5).limit))
    result = gradient_search(supernet, dataset, budget, SHORT, out=tmp_path, progress=False)
    again = gradient_search(
        supernet, dataset, budget, SHORT, out=tmp_path, resume=True, progress=False
    )
    assert result.history == again.history


def test_the_supernet_is_left_alone(supernet, dataset):
    before = {name: p.clone() for name, p in supernet.named_parameters()}
    gradient_search(supernet, dataset, budget_at(0.5), SHORT, progress=False)
    assert all(torch.equal(p, before[name]) for name, p in supernet.named_parameters())


def test_impossible_searches(supernet, dataset):
    with pytest.raises(InfeasibleBudget, match="cannot be met; the smallest achievable value"):
        gradient_search(supernet, dataset, Budget(MACS, 10.0, "MACs"), SHORT, progress=False)
    with pytest.raises(TypeError, match="memory is a MaxTable"):
        gradient_search(
            supernet, dataset, Budget(activation_table(SPACE), 1e9, "memory"), SHORT, progress=False
        )
    other = macs_table(replace(SPACE, name="other"))
    with pytest.raises(
        ValueError, match="a table of space 'other' says nothing about archs of 'tiny'"
    ):
        gradient_search(supernet, dataset, Budget(other, 1e9, "MACs"), SHORT, progress=False)
    large_kernels = AdditiveTable.build(
        SPACE, lambda *_: 0.0, lambda shape, kernel, expand, side: float(kernel > 3)
    )
    with pytest.raises(ValueError, match="exceeds large kernels <= 0 as a share of the limit"):
        gradient_search(
            supernet, dataset, Budget(large_kernels, 0.0, "large kernels"), SHORT, progress=False
        )
    with pytest.raises(ValueError, match="batch 65 is larger than the 64 images"):
        gradient_search(supernet, dataset, budget_at(1), replace(SHORT, batch=65), progress=False)
    with pytest.raises(ValueError, match="cold must be at most hot, 2, got 3"):
        GradientConfig(cold=3.0)
    with pytest.raises(ValueError, match="steps must be positive, got 0"):
        replace(SHORT, steps=0)
    with pytest.raises(ValueError, match="penalty must be at least 0, got nan"):
        replace(SHORT, penalty=math.nan)


def test_weights_that_are_not_numbers(dataset):
    broken = Supernet(SPACE)
    with torch.no_grad():
        broken.classifier.bias[0] = math.nan
    with pytest.raises(FloatingPointError, match="loss of the mixture is nan at step 0"):
        gradient_search(broken, dataset, budget_at(0.5), SHORT, progress=False)


def test_relaxed_choices_are_draws_of_their_distribution():
    """At low temperature nearly one-hot, each choice as often as its probability."""
    logit = torch.tensor([0.0, 1.0, -1.0])
    generator = torch.Generator().manual_seed(0)
    draws = torch.stack([relaxed([logit], 0.01, generator)[0] for _ in range(4000)])
    assert (draws.max(1).values > 0.9).double().mean() > 0.95
    shares = torch.bincount(draws.argmax(1), minlength=3) / len(draws)
    torch.testing.assert_close(shares, logit.softmax(0), atol=0.03, rtol=0)


def test_a_space_of_several_widths_is_refused(dataset):
    with pytest.raises(ValueError, match="space 'wide' have one of the widths"):
        gradient_search(Supernet(WIDE), dataset, Budget(macs_table(WIDE), 1e6, "MACs"), SHORT)
