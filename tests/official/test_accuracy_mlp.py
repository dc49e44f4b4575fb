"""OFA's accuracy predictor: its features and layers, beside torch's own, and what is not one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from ofa_files_for_tests import random_network
from torch import nn

from labkit.comparison.published_subnets import published_subnets
from labkit.comparison.timed_networks import public_file
from labkit.official.accuracy_mlp import AccuracyMlp, load_mlp, trained_space
from labkit.search import Budget, evolve
from labkit.space import get_space
from labkit.space.presets import FMNIST
from labkit.storage.errors import LabError
from labkit.storage.tensor_file import CheckpointError
from labkit.tables.costs import macs_table

SPACE = trained_space()


@pytest.fixture(scope="module")
def network() -> nn.Sequential:
    return random_network()


def features(arch) -> torch.Tensor:
    """Written down from the description of the published file, one entry after another."""
    kernels, expands = torch.zeros(20, 3), torch.zeros(20, 3)
    for s, blocks in enumerate(arch.stages):
        for i, (kernel, expand) in enumerate(blocks):
            kernels[4 * s + i, (3, 5, 7).index(kernel)] = 1
            expands[4 * s + i, (3, 4, 6).index(expand)] = 1
    resolution = torch.zeros(8)
    resolution[(arch.resolution - 112) // 16] = 1
    return torch.cat([kernels.flatten(), expands.flatten(), resolution])


def test_it_computes_what_torch_computes(network):
    genes = SPACE.sample(np.random.default_rng(0), 50)
    with torch.inference_mode():
        expected = 100 * network(torch.stack([features(arch) for arch in SPACE.decode(genes)]))
    predicted = AccuracyMlp(SPACE, network.state_dict(), "memory")(genes)
    np.testing.assert_allclose(predicted, expected[:, 0], rtol=1e-4, atol=1e-4)


def test_evolution_takes_it_as_it_is(network, tmp_path):
    path = tmp_path / "net.pth"
    torch.save(network.state_dict(), path)
    mlp, budget = load_mlp(path), Budget(macs_table(SPACE), 300e6, "MACs", "")
    result = evolve(SPACE, mlp, [budget], rng=np.random.default_rng(0), generations=5)
    assert result.accuracy == pytest.approx(float(mlp(result.genes[None])[0]), abs=1e-4)
    random = SPACE.sample(np.random.default_rng(1), 100)
    assert result.accuracy > mlp(random[macs_table(SPACE)(random) <= 300e6]).mean()


def test_predictors_of_another_architecture_are_refused(network, tmp_path):
    state = network.state_dict()
    wrong = {
        "2.weight": {**state, "2.weight": torch.zeros(400, 300)},
        "6.bias": {name: value for name, value in state.items() if name != "6.bias"},
        "8.weight": {**state, "8.weight": torch.zeros(1)},
    }
    for name, value in wrong.items():
        torch.save(value, tmp_path / "net.pth")
        with pytest.raises(CheckpointError, match=f"not the accuracy predictor .*'{name}' is"):
            load_mlp(tmp_path / "net.pth")
    torch.save({**state, "0.bias": torch.full((400,), float("nan"))}, tmp_path / "net.pth")
    with pytest.raises(CheckpointError, match="0.bias.* not finite"):
        load_mlp(tmp_path / "net.pth")
    (tmp_path / "net.pth").write_bytes(b"not a network")
    with pytest.raises(CheckpointError, match="not a whole torch checkpoint"):
        load_mlp(tmp_path / "net.pth")
    with open(tmp_path / "net.pth", "wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(CheckpointError, match="1073741824 bytes"):
        load_mlp(tmp_path / "net.pth")


def test_it_says_nothing_of_other_spaces_or_resolutions(network):
    for space in (FMNIST, get_space("ofa-mbv3-w1.2"), replace(SPACE, resolutions=(144, 160))):
        with pytest.raises(ValueError, match="160, 176, 192, 208, 224 px; space"):
            AccuracyMlp(space, network.state_dict(), "memory")


def test_without_the_file_the_error_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    with pytest.raises(LabError, match="`labkit official fetch predictor`"):
        load_mlp()


def test_the_published_one_is_four_and_a_half_points_above_measured_subnets():
    path = public_file("ofa/acc_predictor.pth")
    if path is None:
        pytest.skip("the public data is not at hand (LABKIT_SHARED)")
    mlp = load_mlp(path)
    measured = [subnet for subnet in published_subnets() if not subnet.finetuned_epochs]
    excess = mlp(SPACE.encode([s.arch for s in measured])) - [s.top1 for s in measured]
    assert excess.mean() == pytest.approx(4.5, abs=0.01) and excess.std() < 0.2
