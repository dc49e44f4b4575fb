import gzip
import hashlib
import shutil

import numpy as np
import pytest
import torch

from labkit.data import datasets as data
from labkit.data.fashion_mnist import unpack_fashion_mnist
from labkit.storage.paths import data_dir


def test_splits_are_disjoint_stratified_and_cover_everything():
    dataset = data.load()
    sizes = {name: len(split.images) for name, split in dataset.splits.items()}
    assert sizes == {"train": 50_000, "val-search": 5_000, "val": 5_000, "test": 10_000}
    for name, split in dataset.splits.items():
        assert split.images.shape[1:] == (1, 28, 28) and split.images.dtype == torch.uint8
        counts = torch.bincount(split.labels, minlength=10)
        assert (counts == len(split.labels) // 10).all(), name
    labels = np.repeat(np.arange(10), 6000)
    parts = data._held_out(labels)
    assert sorted(np.concatenate(parts).tolist()) == list(range(60_000))


def test_splits_never_change():
    # A contract with every weights file and pair that was ever made: another split leaks training
    # into validation.
    frozen = ["7951961e7d621397", "a1ab298e41493fef", "01a8615c74244660"]
    parts = data._held_out(np.arange(60_000) % 10)
    assert [
        hashlib.sha256(part.astype("<i8").tobytes()).hexdigest()[:16] for part in parts
    ] == frozen


def test_a_damaged_or_missing_file_is_named(tmp_path, monkeypatch):
    shutil.copytree(data_dir() / "fashion-mnist", tmp_path / "data" / "fashion-mnist")
    monkeypatch.setenv("LABKIT_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    labels = tmp_path / "data" / "fashion-mnist" / "t10k-labels-idx1-ubyte.gz"
    whole = labels.read_bytes()
    labels.write_bytes(whole[:-100])
    with pytest.raises(data.DataError, match="t10k-labels-idx1-ubyte.gz is damaged.*git checkout"):
        unpack_fashion_mnist()
    labels.unlink()
    with pytest.raises(data.DataError, match="t10k-labels-idx1-ubyte.gz is missing.*git checkout"):
        unpack_fashion_mnist()
    labels.write_bytes(whole)
    root = unpack_fashion_mnist()
    unpacked = root / "FashionMNIST" / "raw" / "t10k-labels-idx1-ubyte"
    assert unpacked.read_bytes() == gzip.decompress(whole)
    flipped = bytearray(unpacked.read_bytes())
    flipped[5000] ^= 1
    for damaged in (
        b"half",
        bytes(flipped),
    ):  # cut short, or as long as it should be: it is done again
        unpacked.write_bytes(damaged)
        unpack_fashion_mnist()
        assert unpacked.read_bytes() == gzip.decompress(whole)


def test_unknown_data_set():
    with pytest.raises(
        data.DataError, match="unknown data set 'mnist', known: fashion-mnist, cifar10"
    ):
        data.load("mnist")


def test_normalized_training_images_have_mean_0_and_deviation_1():
    dataset = data.load()
    images = data.normalize(dataset.splits["train"].images, dataset)
    assert abs(images.mean().item()) < 0.01 and abs(images.std().item() - 1) < 0.01


def test_resize_keeps_what_fits_and_averages_what_shrinks():
    images = torch.rand(2, 1, 28, 28)
    assert data.resize(images, 28) is images
    halved = data.resize(torch.full((1, 1, 28, 28), 3.0), 14)
    torch.testing.assert_close(halved, torch.full((1, 1, 14, 14), 3.0))
    assert data.resize(images, 20).shape == (2, 1, 20, 20)


def test_cifar10_comes_through_torchvision_or_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))

    class Fake:
        """50,000 and 10,000 images in torchvision's form, without the download."""

        def __init__(self, root, train, download):
            count = 50_000 if train else 10_000
            self.data = np.zeros((count, 32, 32, 3), dtype=np.uint8)
            self.data[:, 0, 1, 2] = 7
            self.targets = [i % 10 for i in range(count)]
            self.classes = [str(i) for i in range(10)]

    monkeypatch.setattr(data, "CIFAR10", Fake)
    data.load.cache_clear()
    splits = data.load("cifar10").splits
    assert splits["train"].images.shape == (40_000, 3, 32, 32) and splits["val"].labels.shape == (
        5_000,
    )
    assert (splits["test"].images[:, 2, 0, 1] == 7).all()
    data.load.cache_clear()

    def offline(root, train, download):
        raise OSError("no route to host")

    monkeypatch.setattr(data, "CIFAR10", offline)
    with pytest.raises(
        data.DataError, match="CIFAR-10 is neither in .* nor downloadable.*cifar-10-python.tar.gz"
    ):
        data.load("cifar10")
