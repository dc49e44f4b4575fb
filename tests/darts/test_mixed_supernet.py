"""The mixture against its archs; expected cost and probability against enumeration."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from spaces_for_tests import WIDE, make_it_bite, spaces_of_one_width

from labkit.darts.mixed_supernet import expected_cost, log_probability, mixed_forward, mixed_kernel
from labkit.search import Budget, best
from labkit.space import SearchSpace, Stage
from labkit.supernet.elastic import ElasticDepthwise
from labkit.supernet.supernet import Supernet
from labkit.tables.costs import macs_table, params_table

SPACE = SearchSpace(
    name="mixed",
    resolutions=(12, 16),
    in_channels=1,
    num_classes=4,
    stem_width=8,
    first_width=8,
    final_width=16,
    stages=(
        Stage(8, 1, (1, 2), (3, 5), (2, 3), act="relu"),
        Stage(16, 2, (1, 3), (3, 5, 7), (2, 3), se=True),
    ),
)


def one_hot(space, genes):
    return [
        F.one_hot(torch.tensor(int(gene)), int(n)).double() for gene, n in zip(genes, space.choices)
    ]


def random_probabilities(space, seed):
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(int(n), generator=generator, dtype=torch.float64).softmax(0)
        for n in space.choices
    ]


def probability(space, genes, probabilities):
    """Product over the choices that an arch makes: resolution, depths, its blocks' kernels and
    expand ratios.
    """
    mask = space.gene_mask(genes[None])[0]
    return math.prod(p[g].item() for p, g, active in zip(probabilities, genes, mask) if active)


@settings(max_examples=15, deadline=None)
@given(spaces_of_one_width, st.integers(0, 2**32 - 1))
def test_a_certain_choice_is_the_arch_itself(space, seed):
    torch.manual_seed(seed % 1000)
    supernet = make_it_bite(Supernet(space)).double()
    genes = space.sample(np.random.default_rng(seed), 3)
    for row, arch in zip(genes, space.decode(genes)):
        x = torch.randn(3, 1, arch.resolution, arch.resolution, dtype=torch.float64)
        torch.testing.assert_close(
            mixed_forward(supernet, x, one_hot(space, row)), supernet(x, arch)
        )


@pytest.mark.parametrize("stride", [1, 2])
def test_kernels_mix_as_the_weighted_sum_of_convolutions(stride):
    torch.manual_seed(0)
    depthwise = ElasticDepthwise(4, (3, 5, 7), stride).double()
    for matrix in depthwise.transforms.values():
        torch.nn.init.normal_(matrix, std=0.3)
    x, weights = (
        torch.randn(2, 4, 9, 9, dtype=torch.float64),
        torch.tensor([0.2, 0.3, 0.5]).double(),
    )
    explicit = 0.2 * depthwise(x, 3) + 0.3 * depthwise(x, 5) + 0.5 * depthwise(x, 7)
    mixed = F.conv2d(x, mixed_kernel(depthwise, (3, 5, 7), weights), None, stride, 3, groups=4)
    torch.testing.assert_close(mixed, explicit)


def test_depths_mix_as_the_mean_of_the_outputs():
    """Without what follows the last stage: compare what enters `finish`."""
    supernet = make_it_bite(Supernet(SPACE)).double()
    genes = SPACE.encode([SPACE.largest()])[0]
    x = torch.randn(2, 1, 16, 16, dtype=torch.float64)

    def last_features(depth):
        probabilities, features = one_hot(SPACE, genes), []
        probabilities[SPACE.depth_columns[1]] = torch.tensor(depth).double()
        supernet.final.register_forward_pre_hook(lambda module, inputs: features.append(inputs[0]))
        mixed_forward(supernet, x, probabilities)
        return features[0]

    torch.testing.assert_close(
        last_features([0.3, 0.7]), 0.3 * last_features([1.0, 0.0]) + 0.7 * last_features([0.0, 1.0])
    )


def test_loss_has_a_gradient_over_every_choice():
    supernet = make_it_bite(Supernet(SPACE)).double()
    logits = [torch.zeros(int(n), dtype=torch.float64, requires_grad=True) for n in SPACE.choices]
    x, y = torch.randn(4, 1, 12, 12, dtype=torch.float64), torch.tensor([0, 1, 2, 3])

    def loss(values):
        return F.cross_entropy(mixed_forward(supernet, x, [v.softmax(0) for v in values]), y)

    gradients = torch.autograd.grad(loss(logits), logits[1:])
    for g, gradient in enumerate(gradients, start=1):
        moved = [[v.detach().clone() for v in logits] for _ in range(2)]
        moved[0][g][0] += 1e-6
        moved[1][g][0] -= 1e-6
        slope = (loss(moved[0]) - loss(moved[1])).item() / 2e-6
        assert gradient[0].item() == pytest.approx(slope, rel=1e-4, abs=1e-9)
        assert abs(slope) > 1e-8


@settings(max_examples=25, deadline=None)
@given(spaces_of_one_width, st.integers(0, 1000), st.sampled_from((macs_table, params_table)))
def test_expected_cost_and_probability_against_enumeration(space, seed, make):
    table, probabilities = make(space), random_probabilities(space, seed)
    archs = space.encode(list(space.enumerate()))
    weights = np.array([probability(space, row, probabilities) for row in archs])
    assert weights.sum() == pytest.approx(1)
    assert expected_cost(table, probabilities).item() == pytest.approx(
        weights @ table(archs), rel=1e-9
    )
    log = log_probability(space, probabilities)
    np.testing.assert_allclose(log(archs), np.log(weights), rtol=1e-9)
    limit = float(np.median(table(archs)))
    within = table(archs) <= limit
    mode = best(space, log, [Budget(table, limit)]).genes
    assert probability(space, mode, probabilities) == pytest.approx(weights[within].max(), rel=1e-9)


def test_certain_probabilities_give_finite_tables():
    log = log_probability(SPACE, one_hot(SPACE, SPACE.encode([SPACE.smallest()])[0]))
    assert log(SPACE.encode([SPACE.smallest()]))[0] == 0
    assert np.isfinite(log(SPACE.encode([SPACE.largest()]))[0])


def test_archs_of_several_widths_are_not_mixed():
    with pytest.raises(ValueError, match=r"space 'wide' have one of the widths \(0.5, 0.75, 1.0\)"):
        mixed_forward(Supernet(WIDE), torch.zeros(1, 1, 16, 16), [])
