"""The DARTS search of the notebook: what it records, and a mixed network that is one cell."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure

from labkit.course import pictures
from labkit.course.experiments import short_darts_search
from labkit.darts import Alphas, derive, random_genotype
from labkit.data import datasets as data

SMALL = replace(short_darts_search.SHORT_SEARCH, nodes=2, batch=8)


@pytest.fixture(scope="module")
def record():
    return short_darts_search.record_search(
        data.load(), steps=4, config=SMALL, every=2, progress=False
    )


def test_weights_are_recorded_from_the_start_and_move(record):
    assert record.steps.tolist() == [0, 2, 4] and record.losses.shape == (4,)
    assert record.weights.shape == (3, 5, 8)
    np.testing.assert_allclose(record.weights.sum(-1), 1, rtol=1e-5)
    np.testing.assert_allclose(record.weights[0], 1 / 8, atol=1e-3)
    assert np.abs(record.weights[-1] - record.weights[0]).max() > 0.01
    assert record.genotype == derive(record.state.alphas)


def test_the_same_seed_gives_the_same_search(record):
    again = short_darts_search.record_search(
        data.load(), steps=4, config=SMALL, every=2, progress=False
    )
    assert np.array_equal(again.weights, record.weights)


@pytest.mark.parametrize("nodes", [1, 2, 3])
def test_only_a_cell_is_left(nodes):
    """Deriving gives the cell back, and an edge that it lacks computes nothing."""
    genotype = random_genotype(np.random.default_rng(nodes), nodes)
    alphas = Alphas(
        short_darts_search.alphas_of_cell(genotype.normal),
        short_darts_search.alphas_of_cell(genotype.reduce),
    )
    assert derive(alphas) == genotype
    weights = alphas.normal.softmax(-1)
    torch.testing.assert_close(weights, weights.round())
    assert (weights[:, 1:].sum(1) == 1).sum() == 2 * nodes


def test_a_mixed_network_is_judged(record):
    accuracy = short_darts_search.accuracy(
        record, data.load(), record.state.alphas, images=40, batch=20
    )
    assert 0 <= accuracy <= 100 and (accuracy * 40 / 100) % 1 == pytest.approx(0, abs=1e-9)


def test_pictures_are_figures(record):
    cell = record.genotype.normal
    figure = pictures.moving_weights(record.steps, record.weights, cell)
    lines, table, _ = figure.axes
    assert len(lines.lines) == 5 * 8 and len(table.patches) == 4
    assert isinstance(pictures.cells({"normal cell": cell}), Figure)
