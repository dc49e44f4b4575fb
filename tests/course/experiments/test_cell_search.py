"""The DARTS search of the notebook: what it notes, and a mixed network that computes one cell only."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from labkit.course.experiments import cell_search
from labkit.course.pictures import darts as pictures_darts
from labkit.darts import Alphas, derive, random_genotype
from labkit.data import datasets as data

SMALL = replace(cell_search.LIVE, nodes=2, batch=8)


@pytest.fixture(scope="module")
def watched():
    return cell_search.watch(data.load(), steps=4, config=SMALL, every=2, progress=False)


def test_weights_are_noted_from_the_start_and_move(watched):
    assert watched.steps.tolist() == [0, 2, 4] and watched.losses.shape == (4,)
    assert watched.weights.shape == (3, 5, 8)
    np.testing.assert_allclose(watched.weights.sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(watched.weights[0], 1 / 8, atol=1e-3)
    assert np.abs(watched.weights[-1] - watched.weights[0]).max() > 0.01
    assert watched.genotype == derive(watched.state.alphas)


def test_the_same_seed_gives_the_same_search(watched):
    again = cell_search.watch(data.load(), steps=4, config=SMALL, every=2, progress=False)
    assert np.array_equal(again.weights, watched.weights)


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_only_a_cell_is_left(nodes):
    """Deriving gives the cell back, and an edge that it lacks computes nothing."""
    genotype = random_genotype(np.random.default_rng(nodes), nodes)
    alphas = Alphas(cell_search.only(genotype.normal), cell_search.only(genotype.reduce))
    assert derive(alphas) == genotype
    weights = alphas.normal.softmax(-1)
    torch.testing.assert_close(weights, weights.round())
    assert (weights[:, 1:].sum(1) == 1).sum() == 2 * nodes


def test_a_mixed_network_is_judged(watched):
    accuracy = cell_search.accuracy(watched, data.load(), watched.state.alphas, images=40, batch=20)
    assert 0 <= accuracy <= 100 and (accuracy * 40 / 100) % 1 == pytest.approx(0, abs=1e-9)


def test_pictures_are_figures(watched):
    cell = watched.genotype.normal
    figure = pictures_darts.moving_weights(watched.steps, watched.weights, cell)
    lines, table, _ = figure.axes
    assert len(lines.lines) == 5 * 8 and len(table.patches) == 4
    assert isinstance(pictures_darts.cells({"normal cell": cell}), Figure)
