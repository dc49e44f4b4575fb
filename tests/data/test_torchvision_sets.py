"""Data sets that torchvision downloads: here it does not, but its classes are asked as they are."""

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torchvision.datasets import FakeData

from labkit.data import datasets as data
from labkit.data import torchvision_sets as sets
from labkit.data.record import DataError, ImageForm
from labkit.data.splits import split_by_position


@pytest.fixture(autouse=True)
def empty_caches(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path))
    yield
    data._of_arrays.cache_clear()
    data._of_pictures.cache_clear()


@pytest.mark.parametrize(
    "name, found",
    [
        ("fashion-mnist", "FashionMNIST"),
        ("CIFAR-100", "CIFAR100"),
        ("svhn", "SVHN"),
        ("oxford-iiit-pet", "OxfordIIITPet"),
        ("photos", None),
    ],
)
def test_names_are_torchvisions_in_any_spelling(name, found):
    assert sets.find(name) == found


def test_all_names_are_classes_of_torchvision():
    for name in sets.NAMES:
        assert issubclass(getattr(torchvision.datasets, name), torchvision.datasets.VisionDataset)
    assert set(sets.OPTIONS) | set(sets.PARTS) <= set(sets.NAMES)


class FakeCifar:
    """50,000 and 10,000 images in torchvision's form, without the download."""

    def __init__(self, root, train=True, transform=None, target_transform=None, download=False):
        count = 50_000 if train else 10_000
        self.data = np.zeros((count, 32, 32, 3), dtype=np.uint8)
        self.data[:, 0, 1, 2] = 7
        self.data[:, 0, 0, 0] = np.arange(count) % 251
        self.targets = [i % 10 for i in range(count)]
        self.classes = [f"class {i}" for i in range(10)]


def test_cifar10_is_split_as_its_weights_were_trained(monkeypatch):
    monkeypatch.setattr(torchvision.datasets, "CIFAR10", FakeCifar)
    cifar = data.load("cifar10")
    sizes = {name: len(split.images) for name, split in cifar.splits.items()}
    assert sizes == {"train": 40_000, "val-search": 5_000, "val": 5_000, "test": 10_000}
    assert (cifar.splits["test"].images[:, 2, 0, 1] == 7).all()
    assert cifar.mean == (0.4914, 0.4822, 0.4465) and cifar.classes[3] == "class 3"
    train, search, val = split_by_position(np.arange(50_000) % 10)
    for name, rows in (("train", train), ("val-search", search), ("val", val)):
        assert cifar.splits[name].images[:, 0, 0, 0].tolist() == (rows % 251).tolist()
        assert cifar.splits[name].labels.tolist() == (rows % 10).tolist()
    assert cifar.record.form is None and cifar.record.to_json().keys() == {
        *("name", "classes", "channels", "mean", "std", "splits")
    }


def test_another_array_gets_its_own_mean(monkeypatch):
    class FakeSvhn:
        def __init__(
            self, root, split="train", transform=None, target_transform=None, download=False
        ):
            generator = np.random.default_rng(split == "train")
            self.data = generator.integers(0, 256, (200, 3, 32, 32), dtype=np.uint8)
            self.labels = np.arange(200) % 10

    monkeypatch.setattr(torchvision.datasets, "SVHN", FakeSvhn)
    svhn = data.load("svhn")
    train = svhn.splits["train"].images.double() / 255
    np.testing.assert_allclose(svhn.mean, train.mean((0, 2, 3)))
    np.testing.assert_allclose(svhn.std, train.std((0, 2, 3), correction=0))
    assert svhn.splits["val"].images.shape == (20, 3, 32, 32) and svhn.classes[9] == "9"


def test_pictures_are_brought_to_one_form(monkeypatch):
    class FakeFood(FakeData):
        def __init__(self, root, split="train", download=False):
            count = 60 if split == "train" else 12
            super().__init__(size=count, image_size=(3, 20, 30), num_classes=3)
            self.classes = ["soup", "bread", "cake"]

    monkeypatch.setattr(torchvision.datasets, "Food101", FakeFood)
    food = data.load("food101", ImageForm(3, 16))
    assert food.splits["test"].images.shape == (12, 3, 16, 16)
    assert sum(len(split.labels) for split in food.splits.values()) == 72
    pictures, labels = zip(*FakeFood("", "test"))
    assert isinstance(pictures[0], Image.Image)
    assert sorted(food.splits["test"].labels.tolist()) == sorted(labels)
    assert food.classes == ("soup", "bread", "cake") and food.form == ImageForm(3, 16)


def test_pictures_that_lie_by_class_are_mixed(monkeypatch):
    class ByClass(FakeData):
        def __init__(self, root, download=False):
            super().__init__(size=400, image_size=(3, 8, 8), num_classes=2)

        def __getitem__(self, i):
            return super().__getitem__(i)[0], i // 200

    monkeypatch.setattr(torchvision.datasets, "EuroSAT", ByClass)
    for split in data.load("eurosat", ImageForm(3, 8)).splits.values():
        assert 0.25 < split.labels[: len(split.labels) // 2].double().mean() < 0.75


def test_a_set_without_a_test_part_gets_one(monkeypatch):
    class FakeSat(FakeData):
        def __init__(self, root, download=False):
            super().__init__(size=90, image_size=(3, 16, 16), num_classes=3)

    monkeypatch.setattr(torchvision.datasets, "EuroSAT", FakeSat)
    satellite = data.load("eurosat", ImageForm(3, 16))
    sizes = {name: len(split.labels) for name, split in satellite.splits.items()}
    assert sum(sizes.values()) == 90 and sizes["test"] == sizes["val"] > 0
    images = torch.cat([split.images for split in satellite.splits.values()])
    assert len(images.flatten(1).unique(dim=0)) == 90  # no image is in two splits


def test_offline_it_says_where_files_belong(monkeypatch):
    def offline(root, train=True, download=False):
        raise OSError("no route to host")

    monkeypatch.setattr(torchvision.datasets, "CIFAR100", offline)
    with pytest.raises(DataError, match="CIFAR100 is neither in .*cifar100 nor downloadable"):
        data.load("cifar100")
