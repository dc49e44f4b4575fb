"""Batches of images in memory and of streamed ones, and what augmentation does to them."""

import pytest
import torch
from pictures_for_tests import write_pictures

from labkit.data import datasets as data
from labkit.data import image_index
from labkit.data.augmentation import AUGMENTATIONS, plan_epoch, transformed
from labkit.data.record import ImageForm
from labkit.runtime.distributed import World
from labkit.train import TrainConfig
from labkit.train.batches import Batches

CPU = torch.device("cpu")


def batches_of(dataset, augmentations, rank=0, size=1):
    world = World(rank, size, CPU)
    return Batches(dataset, dataset.splits["train"], 8, 3, world, augmentations=augmentations)


@pytest.mark.parametrize("augmentations", [("crop", "flip"), ("zoom", "color", "rotate")])
def test_streamed_batches_are_those_of_memory_from_any_step(tmp_path, monkeypatch, augmentations):
    monkeypatch.setenv("LABKIT_CACHE", str(tmp_path / "cache"))
    folder = write_pictures(tmp_path / "photos", classes=2, per_class=20)
    resident = batches_of(data.load(folder, ImageForm(3, 12)), augmentations)
    monkeypatch.setattr(image_index, "RESIDENT_BYTES", 0)
    streamed = batches_of(data.load(folder, ImageForm(3, 12)), augmentations)
    assert resident.steps_per_epoch == 3
    for step in (1, 2, 3, 4, 8):  # as a run that is resumed within an epoch
        (images, labels), (expected, truth) = (b.augmented(step) for b in (streamed, resident))
        assert torch.equal(images, expected) and torch.equal(labels, truth)
    parts = [
        batches_of(data.load(folder, ImageForm(3, 12)), augmentations, rank, 2).augmented(4)[0]
        for rank in range(2)
    ]
    assert torch.equal(torch.cat(parts), resident.augmented(4)[0])


def test_what_is_not_asked_for_is_not_done():
    plan = plan_epoch(500, 0, 0, augmentations=())
    assert (plan.shift == 2).all() and not plan.flip.any()
    plan = plan_epoch(500, 0, 0, augmentations=("crop",))
    assert plan.shift.unique().tolist() == [0, 1, 2, 3, 4] and not plan.flip.any()
    images = torch.randint(0, 256, (4, 3, 8, 8), dtype=torch.uint8)
    assert transformed(images, ("crop", "flip"), torch.arange(4), 0, 0) is images


@pytest.mark.parametrize("name", ["zoom", "rotate", "color", "trivial"])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_transform_is_a_function_of_seed_epoch_and_sample(name, channels):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (6, channels, 16, 16), dtype=torch.uint8, generator=generator)
    state = torch.random.get_rng_state()
    indices = torch.tensor([5, 0, 9, 2, 11, 7])
    results = transformed(images, (name,), indices, 1, 2)
    assert results.shape == images.shape and results.dtype == torch.uint8
    assert not torch.equal(results, images)
    order = torch.tensor([3, 1, 0, 5, 4, 2])
    assert torch.equal(transformed(images[order], (name,), indices[order], 1, 2), results[order])
    assert not torch.equal(transformed(images, (name,), indices, 1, 3), results)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_an_unknown_augmentation_or_fit_is_refused():
    for name in AUGMENTATIONS:
        TrainConfig(augment=name)
    assert TrainConfig(augment="").augmentations == ()
    with pytest.raises(ValueError, match="unknown augmentation 'mirror', known: crop, flip, zoom"):
        TrainConfig(augment="crop,mirror")
    with pytest.raises(ValueError, match="unknown fit 'pad', known: crop, stretch"):
        TrainConfig(fit="pad")
