"""A copy of the shipped supernet's folder that a test may change."""

import shutil

import pytest

from labkit.storage.paths import data_dir
from labkit.supernet.folder import TrainedSupernet, load


@pytest.fixture(name="trained")
def trained_copy(tmp_path, monkeypatch) -> TrainedSupernet:
    """The supernet "fmnist" of a data folder that is the test's own, with nothing else in it."""
    shutil.copytree(data_dir() / "supernets", tmp_path / "supernets")
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path))
    return load("fmnist")


def again(trained: TrainedSupernet) -> TrainedSupernet:
    """The same supernet with nothing read yet."""
    return TrainedSupernet(trained.space, trained.path)
