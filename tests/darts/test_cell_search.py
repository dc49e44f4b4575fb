"""Search and training runs: they learn, they repeat, they resume to the same bits, they complain
clearly.
"""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from labkit.darts import (
    DartsConfig,
    DerivedTrainingConfig,
    accuracy,
    derive,
    random_genotype,
    search_cell,
    train_derived,
)
from labkit.darts.cell_search import CellSearchState, halves
from labkit.darts.config import CELL_SEARCH_CONFIGS, DERIVED_TRAINING_CONFIGS
from labkit.darts.genotype import Genotype
from labkit.darts.network import Alphas, DerivedNetwork, SearchNetwork, initial_alphas
from labkit.data import datasets as data
from labkit.storage import tensor_file as checkpoint
from labkit.storage.tensor_file import CheckpointError
from labkit.train.config import cosine

TINY = DartsConfig(
    channels=2,
    cells=3,
    nodes=1,
    stem_stride=2,
    epochs=2,
    steps_per_epoch=3,
    batch=16,
    arch_learning_rate=0.05,
)
TINY_TRAINING = DerivedTrainingConfig(
    channels=4, cells=3, stem_stride=2, epochs=2, steps_per_epoch=3, batch=16, drop_path=0.3
)
CELL = random_genotype(np.random.default_rng(1), 2)


class Interrupted(Exception):
    pass


def stop_after(monkeypatch, target, name, calls):
    """Let `target.name` run `calls` times, then fail as a pulled plug would."""
    original, remaining = getattr(target, name), [calls]

    def limited(*arguments, **keywords):
        if not remaining[0]:
            raise Interrupted
        remaining[0] -= 1
        return original(*arguments, **keywords)

    monkeypatch.setattr(target, name, limited)


@pytest.mark.parametrize("order", [1, 2])
def test_a_resumed_search_is_the_same_search(tmp_path, monkeypatch, order):
    config = replace(TINY, order=order)
    uninterrupted = search_cell(config, tmp_path / "whole", progress=False)
    with monkeypatch.context() as patch:
        stop_after(patch, CellSearchState, "advance", 4)
        with pytest.raises(Interrupted):
            search_cell(config, tmp_path / "parts", progress=False, checkpoint_every=2)
    parts = search_cell(config, tmp_path / "parts", resume=True, progress=False)
    assert all(torch.equal(a, b) for a, b in zip(uninterrupted.alphas, parts.alphas))
    assert uninterrupted.history == parts.history and uninterrupted.genotype == parts.genotype
    assert [row["epoch"] for row in uninterrupted.history] == [1, 2]
    written = json.loads((tmp_path / "parts" / "genotype.json").read_text())
    assert Genotype.from_json(written["genotype"]) == uninterrupted.genotype
    # It searched: the architecture weights have left their start, as far as Adam goes in six steps.
    moved = (uninterrupted.alphas.normal - initial_alphas(1, config.seed).normal).abs().max()
    assert 0.05 < moved < 6.5 * 0.05


def test_another_seed_is_another_search(tmp_path):
    results = [
        search_cell(
            replace(TINY, seed=seed, epochs=1), tmp_path / name, progress=False
        ).alphas.normal
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    ]
    assert torch.equal(results[0], results[1]) and not torch.equal(results[0], results[2])


def test_search_lowers_the_loss():
    """On one batch, repeated."""
    dataset = data.load()
    state = CellSearchState(replace(TINY, order=1), dataset, torch.device("cpu"))
    split = dataset.splits["train"]
    batch = data.normalize(split.images[:16], dataset), split.labels[:16]
    losses = [state.advance(batch, batch) for _ in range(25)]
    assert losses[0] == pytest.approx(math.log(10), rel=0.15)
    assert np.mean(losses[-5:]) < 0.8 * losses[0]


def test_halves_are_disjoint_and_whole():
    split = data.load().splits["train"]
    numbered = data.Split(torch.arange(len(split.images)), split.labels)
    first, second = halves(numbered, seed=3)
    assert len(first.images) == len(second.images) == 25_000
    assert torch.equal(torch.cat([first.images, second.images]).sort().values, numbered.images)
    assert torch.equal(first.labels, split.labels[first.images])
    assert not torch.equal(first.images, halves(numbered, seed=4)[0].images)


def test_resuming_another_run_is_refused(tmp_path):
    search_cell(replace(TINY, epochs=1), tmp_path, progress=False)
    with pytest.raises(
        FileExistsError, match=r"go on with --resume \(resume=True\), or choose another folder"
    ):
        search_cell(replace(TINY, epochs=1), tmp_path, progress=False)
    with pytest.raises(CheckpointError, match="batch=16, this run has 32"):
        search_cell(replace(TINY, epochs=1, batch=32), tmp_path, resume=True, progress=False)
    tensors, header = checkpoint.read(tmp_path / "checkpoint.safetensors")
    del header["losses"]
    checkpoint.save(tmp_path / "checkpoint.safetensors", tensors, header)
    with pytest.raises(CheckpointError, match="header: field losses: want"):
        search_cell(replace(TINY, epochs=1), tmp_path, resume=True, progress=False)
    intact = {**header, "losses": []}
    for change, message in (
        ({"step": "1"}, "field step: want int, got '1'"),
        ({"losses": None}, "field losses: want"),
        ({"history": 3}, "field history: want"),
        ({"config": [1]}, "field config: want"),
        ({"step": -1}, "step -1 is not one of this run's 3"),
        ({"step": 99}, "step 99 is not one of this run's 3"),
    ):
        checkpoint.save(tmp_path / "checkpoint.safetensors", tensors, {**intact, **change})
        with pytest.raises(CheckpointError, match=message):
            search_cell(replace(TINY, epochs=1), tmp_path, resume=True, progress=False)
    (tmp_path / ".checkpoint.safetensors.abc.safetensors").write_bytes(
        b"half of one, from a write that was killed"
    )
    checkpoint.save(tmp_path / "checkpoint.safetensors", tensors, intact)
    search_cell(replace(TINY, epochs=1), tmp_path, resume=True, progress=False)
    assert not list(tmp_path.glob(".checkpoint*"))
    with pytest.raises(
        CheckpointError, match="schema 'labkit-darts-search-1'.*wants 'labkit-darts-train-1'"
    ):
        train_derived(CELL, TINY_TRAINING, tmp_path, resume=True, progress=False)


def test_impossible_settings():
    for change, message in (
        ({"nodes": 0}, "at least one node, got 0"),
        ({"edges_per_node": 3}, "edges per node must be 1 to 2, got 3"),
        ({"order": 3}, "1 or 2, got 3"),
        ({"batch": 0}, "batch must be positive, got 0"),
        ({"learning_rate": math.nan}, "learning_rate must be positive, got nan"),
        ({"nodes": 2.5}, "at least one node, got 2.5"),
        ({"cells": 0}, "cells must be positive, got 0"),
        ({"min_learning_rate": 1.0}, "min_learning_rate must be at most learning_rate, .*, got 1"),
        ({"epochs": 1.5}, "epochs must be whole, got 1.5"),
        ({"channels": True}, "channels must be whole, got True"),
        ({"steps_per_epoch": -3}, "steps_per_epoch must be positive, got -3"),
        ({"momentum": math.nan}, "momentum must be at least 0, got nan"),
        ({"arch_weight_decay": -1}, "arch_weight_decay must be at least 0, got -1"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
    ):
        with pytest.raises(ValueError, match=message):
            replace(TINY, **change)
    with pytest.raises(ValueError, match=r"drop_path must be in \[0, 1\), got 1"):
        replace(TINY_TRAINING, drop_path=1)
    stack = {"channels": 4, "cells": 3, "in_channels": 1, "num_classes": 10, "stem_stride": 1}
    with pytest.raises(ValueError, match="at least 3 cells, two of which reduce; got 2"):
        SearchNetwork(nodes=2, **{**stack, "cells": 2})
    with pytest.raises(ValueError, match="at least 2 channels, got 1"):
        DerivedNetwork(CELL, **{**stack, "channels": 1})
    with pytest.raises(ValueError, match="is nan; the search diverged"):
        derive(Alphas(torch.full((2, 8), math.nan), torch.zeros(2, 8)))


def test_divergence_is_reported(tmp_path):
    with pytest.raises((FloatingPointError, ValueError), match="lower the? ?.*learning rate"):
        search_cell(
            replace(TINY, learning_rate=1e30, gradient_clip=1e30, epochs=4),
            tmp_path,
            progress=False,
        )


def test_a_batch_larger_than_the_data(tmp_path):
    with pytest.raises(ValueError, match="batch 30000 is larger than the 25000 images"):
        search_cell(replace(TINY, batch=30_000), tmp_path, progress=False)


def test_resumed_training_is_the_same_training(tmp_path, monkeypatch):
    uninterrupted = train_derived(CELL, TINY_TRAINING, tmp_path / "whole", progress=False)
    with monkeypatch.context() as patch:
        stop_after(patch, torch.optim.SGD, "step", 4)
        with pytest.raises(Interrupted):
            train_derived(
                CELL, TINY_TRAINING, tmp_path / "parts", progress=False, checkpoint_every=2
            )
    parts = train_derived(CELL, TINY_TRAINING, tmp_path / "parts", resume=True, progress=False)
    expected = parts.network.state_dict()
    assert all(
        torch.equal(tensor, expected[name])
        for name, tensor in uninterrupted.network.state_dict().items()
    )
    assert uninterrupted.history == parts.history
    with pytest.raises(CheckpointError, match="genotype.normal="):
        train_derived(
            random_genotype(np.random.default_rng(2), 2),
            TINY_TRAINING,
            tmp_path / "parts",
            resume=True,
            progress=False,
        )


def test_a_derived_network_learns(tmp_path):
    config = replace(
        TINY_TRAINING, epochs=1, steps_per_epoch=60, batch=32, drop_path=0.0, learning_rate=0.1
    )
    result = train_derived(CELL, config, tmp_path, progress=False)
    assert accuracy(result.network, data.load(), "val") > 50
    assert result.cpu_seconds > 0 and result.history[0]["loss"] < math.log(10)


def test_drop_path_keeps_the_mean_and_the_identities():
    genotype = Genotype.from_json(
        {kind: [[["avg_pool_3x3", 0], ["skip_connect", 1]]] for kind in ("normal", "reduce")}
    )
    network = DerivedNetwork(
        genotype, channels=2, cells=3, in_channels=1, num_classes=2, stem_stride=1
    )
    cell = network.cells[0].eval()
    x = torch.rand(2000, 6, 4, 4)
    full = cell(x, x, 0.0, None)
    dropped = cell(x, x, 0.25, torch.Generator().manual_seed(0))
    identity = cell.entry.newer(x)
    lost = (dropped == identity).flatten(1).all(1)
    assert lost.double().mean().item() == pytest.approx(0.25, abs=0.04)  # four standard deviations
    torch.testing.assert_close(dropped[~lost] - identity[~lost], (full - identity)[~lost] / 0.75)


def test_networks_have_the_published_shape():
    """Two reductions, at a third and two thirds, each doubling the width; every cell concatenates
    its nodes.
    """
    network = SearchNetwork(
        nodes=2, channels=4, cells=8, in_channels=3, num_classes=10, stem_stride=1
    )
    assert [cell.reduction for cell in network.cells] == [i in (2, 5) for i in range(8)]
    sizes = []
    for cell in network.cells:
        cell.register_forward_hook(
            lambda module, inputs, output: sizes.append(tuple(output.shape[1:]))
        )
    assert network(torch.randn(2, 3, 16, 16), initial_alphas(2, 0)).shape == (2, 10)
    assert sizes == [(8, 16, 16)] * 2 + [(16, 8, 8)] * 3 + [(32, 4, 4)] * 3


def test_cosine():
    assert [cosine(0.4, 0.2, p) for p in (0, 0.5, 1)] == pytest.approx([0.4, 0.3, 0.2])


def test_named_configurations_make_networks():
    dataset = data.load()
    assert (
        CELL_SEARCH_CONFIGS["gpu"].order == 2 and CELL_SEARCH_CONFIGS["gpu"].nodes == 4
    )  # the paper's
    assert CELL_SEARCH_CONFIGS["cpu"].channels == DERIVED_TRAINING_CONFIGS["cpu"].channels
    state = CellSearchState(CELL_SEARCH_CONFIGS["cpu"], dataset, torch.device("cpu"))
    assert derive(state.alphas).nodes == CELL_SEARCH_CONFIGS["cpu"].nodes
