import gzip
import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from pictures_for_tests import write_pictures

from labkit.data import datasets as data
from labkit.data.fashion_mnist import unpack_fashion_mnist
from labkit.data.picture_folder import PictureFolder
from labkit.data.record import DatasetRecord, ImageForm
from labkit.data.splits import split_by_content
from labkit.storage.paths import data_dir


def test_splits_are_disjoint_stratified_and_cover_everything():
    dataset = data.load()
    sizes = {name: len(split.images) for name, split in dataset.splits.items()}
    assert sizes == {"train": 50_000, "val-search": 5_000, "val": 5_000, "test": 10_000}
    for name, split in dataset.splits.items():
        assert split.images.shape[1:] == (1, 28, 28) and split.images.dtype == torch.uint8
        counts = torch.bincount(split.labels, minlength=10)
        assert (counts == len(split.labels) // 10).all(), name
    everything = torch.cat([split.images for split in dataset.splits.values()])
    assert len(everything) == 70_000


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


def test_a_folder_is_read_though_torchvision_has_a_set_of_its_name(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    write_pictures(tmp_path / "eurosat", classes=2, per_class=8)
    for name in (Path("eurosat"), tmp_path / "eurosat", "./eurosat", str(tmp_path / "eurosat")):
        assert data.load(name, ImageForm(3, 12)).classes == ("class0", "class1")


def test_unknown_data_set():
    with pytest.raises(
        data.DataError, match="unknown data set 'mnits': it is no folder .*none of mnist, fashionm"
    ):
        data.load("mnits")


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


def test_a_folder_of_pictures_is_a_data_set(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    folder = write_pictures(tmp_path / "photos", classes=3, per_class=20)
    (folder / "class2" / "003.png").write_bytes(b"damaged")
    dataset = data.load(folder, ImageForm(3, 12, "stretch"))
    assert "1 of 60 images in" in capsys.readouterr().err
    record = dataset.record
    assert record.splits == {"train": 44, "val-search": 5, "val": 5, "test": 5}
    assert (record.classes, record.channels) == (("class0", "class1", "class2"), 3)
    assert record.form == ImageForm(3, 12, "stretch") and record.name == str(folder)
    train = dataset.splits["train"].images.double() / 255
    np.testing.assert_allclose(record.mean, train.mean((0, 2, 3)), rtol=1e-9)
    np.testing.assert_allclose(record.std, train.std((0, 2, 3), correction=0), rtol=1e-9)
    assert (
        DatasetRecord.from_json(json.loads(json.dumps(record.to_json())), "x", ValueError) == record
    )


def test_the_same_pictures_elsewhere_have_the_same_content(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    folder, form = write_pictures(tmp_path / "photos", per_class=10), ImageForm(3, 8)
    shutil.copytree(folder, tmp_path / "copy")
    for file in (tmp_path / "copy").glob("*/*"):
        file.rename(file.with_stem(f"renamed-{file.stem}"))
    before, after = data.load(folder, form), data.load(tmp_path / "copy", form)
    assert before.content == after.content and before.mean == after.mean
    next((tmp_path / "copy" / "class0").iterdir()).unlink()
    assert data.load(tmp_path / "copy", form).content != before.content


def test_a_form_of_four_channels_is_refused(tmp_path):
    with pytest.raises(data.DataError, match="1 or 3 channels, not 4"):
        data.load(tmp_path, ImageForm(4, 8))


def test_a_folders_content_is_that_of_its_images_in_the_order_of_their_digests(
    tmp_path, monkeypatch
):
    """Recorded with weights, so it stays what it is; copies have a place of their own by label."""
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    folder = write_pictures(tmp_path / "pictures", classes=12, per_class=6)
    names = sorted(path.name for path in folder.iterdir())
    for label in (2, 10):  # "10" comes before "2"
        for file in (folder / "class0").iterdir():
            shutil.copy(file, folder / names[label] / f"copy-{file.name}")
    dataset = data.load(folder, ImageForm(3, 8))
    source, expected = PictureFolder(folder), hashlib.sha256()
    items = [source.item(i) for i in range(len(source))]
    digests = np.frombuffer(b"".join(item[2] for item in items), np.uint8).reshape(-1, 16)
    rows = split_by_content(source.labels, digests, source.parts, source.classes)
    for name, indices in rows.items():
        expected.update(name.encode())
        for line in sorted(items[i][2] + b"%d" % items[i][1] for i in indices):
            expected.update(line)
    assert dataset.content == expected.hexdigest()


def test_copies_in_several_parts_or_classes_are_counted_and_named(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    parts, form = tmp_path / "parts", ImageForm(3, 8)
    for seed, part in enumerate(("train", "test")):
        write_pictures(parts / part, classes=2, per_class=8, seed=seed)
    shutil.copy(parts / "train" / "class0" / "001.png", parts / "train" / "class0" / "again.png")
    data.load(parts, form)
    assert capsys.readouterr().err == ""  # a copy in its own split and class is no leak
    for name in ("class0/001.png", "class1/007.png"):
        shutil.copy(parts / "train" / name, parts / "test" / f"{name[:-4]}-copy.png")
    data.load(parts, form)
    err = capsys.readouterr().err
    assert f"2 images in {parts} lie in several of train, val-search, val, test" in err
    pairs = {
        "train/class0/again.png and test/class0/001-copy.png",
        "train/class1/007.png and test/class1/007-copy.png",
    }
    assert err.split("such as ")[1].split("; what")[0] in pairs
    one = write_pictures(tmp_path / "one", classes=2, per_class=8)
    shutil.copy(one / "class0" / "003.png", one / "class1" / "other.png")
    data.load(one, form)
    assert "1 images in" in (err := capsys.readouterr().err)
    assert "such as class0/003.png and class1/other.png; what is measured" in err
