import pytest
import torch
from pictures_for_tests import write_pictures

from labkit.data import datasets as data
from labkit.data import image_index
from labkit.data.record import DataError, ImageForm

FORM = ImageForm(3, 8, "crop")


@pytest.fixture(name="both")
def resident_and_streamed(tmp_path, monkeypatch):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    folder = write_pictures(tmp_path / "pictures", classes=2, per_class=20)
    resident = data.load(folder, FORM)
    monkeypatch.setattr(image_index, "RESIDENT_BYTES", 0)
    return resident, data.load(folder, FORM)


def test_streamed_images_are_those_of_memory(both):
    resident, streamed = both
    assert streamed.record == resident.record
    for name, split in resident.splits.items():
        images = streamed.splits[name].images
        assert images.shape == split.images.shape and len(images) == len(split.images)
        assert torch.equal(images[:], split.images) and torch.equal(
            images[1::2], split.images[1::2]
        )
        assert images[:0].shape == (0, 3, 8, 8)
        order = torch.randperm(len(images))
        assert torch.equal(images[order], split.images[order])


def test_announced_batches_come_in_order_and_others_in_between(both):
    expected, images = (dataset.splits["train"].images for dataset in both)
    batches = torch.randperm(len(images))[:24].split(6)
    images.announce(batches)
    assert torch.equal(images[batches[0]], expected[batches[0]])
    assert torch.equal(images[batches[2]], expected[batches[2]])  # out of turn
    for batch in batches[1:]:
        assert torch.equal(images[batch], expected[batch])
    assert torch.equal(images[batches[1]], expected[batches[1]])  # after the last one


def test_an_image_that_is_lost_later_is_named(both, tmp_path):
    images = both[1].splits["train"].images
    for file in (tmp_path / "pictures").glob("*/*"):
        file.unlink()
    with pytest.raises(DataError, match="class[01]/0.*png can no longer be read"):
        images[:4]
