"""A supernet that is there is not trained again, and not taken for another."""

from dataclasses import replace

import pytest
from trained_for_tests import trained_copy as trained_copy

from labkit.adopt import trained_once as module
from labkit.adopt.trained_once import trained_once
from labkit.storage.tensor_file import CheckpointError
from labkit.train import TrainConfig


def test_what_is_there_as_it_was_asked_for_is_not_trained_again(trained, monkeypatch):
    monkeypatch.setattr(module, "train", lambda *_, **__: pytest.fail("it trains again"))
    config = TrainConfig(**trained.record["config"])
    again = trained_once(config, trained.path)
    assert again.path == trained.path and again.space == trained.space


def test_a_supernet_of_another_training_is_refused(trained):
    config = TrainConfig(**trained.record["config"])
    more = config.epochs + 1
    with pytest.raises(CheckpointError, match=f"trained with epochs={config.epochs}, not {more}"):
        trained_once(replace(config, epochs=more), trained.path)


def test_what_is_not_there_is_trained_and_may_have_been_interrupted(trained, monkeypatch):
    config, calls = TrainConfig(**trained.record["config"]), []

    def train(config, folder, *, resume, progress, device, clock):
        calls.append((config, folder, resume, progress, device))
        weights.rename(trained.weights_path)

    weights = trained.weights_path.rename(trained.path / "elsewhere")
    monkeypatch.setattr(module, "train", train)
    trained_once(config, trained.path, progress=False, device="cpu")
    assert calls == [(config, trained.path, True, False, "cpu")]
