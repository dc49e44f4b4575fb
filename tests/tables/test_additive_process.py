import numpy as np
import pytest
from spaces_for_tests import WIDE

from labkit.space import SearchSpace, Stage
from labkit.tables.additive_process import Kernel, StageGrids, coordinates, covariance, fit_kernel
from labkit.tables.separable import StageTable

# Choices with and without a middle one, so that absent blocks are points of their own or not.
UNEVEN = SearchSpace(
    "uneven",
    (16, 20),
    (
        Stage(8, 1, (1, 3), kernels=(3, 5), expands=(2, 3, 4)),
        Stage(8, 2, (1, 2), kernels=(3, 5, 7), expands=(2,)),
    ),
    1,
    2,
    8,
)
LENGTH = np.array([0.7, 1.2, 1.5, 1.0, 2.0])
KERNEL = Kernel(np.array([0.5, 0.3, 0.2]), LENGTH, noise=0.4, level=-2.0)


def written_out(space, kernel, a, b):
    """The covariance of two archs, block by block, from the text of the module."""
    resolution, width, depth_length, kernel_length, expand_length = kernel.length
    total = kernel.amplitude[0]
    for s, stage in enumerate(space.stages):

        def block(row, i, s=s, stage=stage):
            column = space.depth_columns[s]
            if i >= stage.depths[row[column]]:
                return np.zeros(2)
            middle = np.array([len(stage.kernels) - 1, len(stage.expands) - 1]) / 2
            return row[column + 1 + 2 * i : column + 3 + 2 * i] - middle

        depth = [stage.depths[row[space.depth_columns[s]]] for row in (a, b)]
        squares = ((depth[0] - depth[1]) / depth_length) ** 2
        for i in range(stage.max_depth):
            difference = block(a, i) - block(b, i)
            squares += (difference[0] / kernel_length) ** 2 + (difference[1] / expand_length) ** 2
        total += kernel.amplitude[1 + s] * np.exp(-squares / 2)
    (px, w), (other_px, other_w) = (divmod(int(row[0]), len(space.widths)) for row in (a, b))
    return total * np.exp(
        -(((px - other_px) / resolution) ** 2) / 2 - ((w - other_w) / width) ** 2 / 2
    )


def values_of(space, terms, genes):
    """A function given as tables, at some archs."""
    stages = [np.zeros((len(space.global_choices), size)) for size in space.stage_sizes]
    for s, term in enumerate(terms[1]):
        stages[s][:, space.valid_codes(s)] = term
    return StageTable(space, terms[0], stages)(genes)


@pytest.mark.parametrize("space", [UNEVEN, WIDE], ids=lambda space: space.name)
def test_covariance_is_that_of_the_text(space):
    genes = space.sample(np.random.default_rng(0), 12)
    parts = coordinates(space, genes)
    expected = [[written_out(space, KERNEL, a, b) for b in genes] for a in genes]
    np.testing.assert_allclose(covariance(KERNEL, parts, parts), expected, atol=1e-12)


@pytest.mark.parametrize("space", [UNEVEN, WIDE], ids=lambda space: space.name)
def test_tables_of_covariances_are_those_of_single_archs(space):
    rng = np.random.default_rng(1)
    genes, others = space.sample(rng, 30), space.sample(rng, 200)
    weights = rng.normal(size=30)
    expected = covariance(KERNEL, coordinates(space, others), coordinates(space, genes)) @ weights
    terms = StageGrids(space).covariances_with(KERNEL, genes, weights)
    np.testing.assert_allclose(values_of(space, terms, others), expected, atol=1e-10)


def test_functions_drawn_have_the_covariance_of_the_process():
    rng = np.random.default_rng(2)
    genes, grids = UNEVEN.sample(rng, 6), StageGrids(UNEVEN)
    values = np.stack([values_of(UNEVEN, grids.draw(KERNEL, rng), genes) for _ in range(3000)])
    parts = coordinates(UNEVEN, genes)
    expected = covariance(KERNEL, parts, parts)
    # One variance of 3,000 draws has a standard error of 2.6 % of it.
    np.testing.assert_allclose(np.cov(values.T), expected, atol=0.12 * expected.max())
    assert np.abs(values.mean(0)).max() < 4 * np.sqrt(expected.max() / 3000)


def test_what_a_kernel_is_written_as():
    vector = KERNEL.vector()
    assert vector.tolist() == [0.5, 0.3, 0.2, *LENGTH, 0.4, -2.0]
    again = Kernel.of_vector(vector, 2)
    assert again.vector().tolist() == vector.tolist() and again.noise == 0.4
    with pytest.raises(ValueError, match="3 stages takes 11 real numbers, got float64 of shape"):
        Kernel.of_vector(vector, 3)
    for wrong in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="finite and positive"):
            Kernel.of_vector(np.append(vector[:-2], [wrong, 0]), 2)


def test_the_fit_finds_the_noise_that_values_were_drawn_with():
    rng = np.random.default_rng(3)
    genes = UNEVEN.sample(rng, 400)
    function = values_of(UNEVEN, StageGrids(UNEVEN).draw(KERNEL, rng), genes)
    scatter = rng.uniform(0.01, 0.05, 400)
    target = function + np.sqrt(KERNEL.noise * scatter) * rng.standard_normal(400)
    kernel = fit_kernel(UNEVEN, genes, target, scatter, rng)
    assert 0.75 * KERNEL.noise < kernel.noise < 1.3 * KERNEL.noise
