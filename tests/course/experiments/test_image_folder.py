"""Images as a folder of files: what is written is what was there."""

import numpy as np
import pytest
import torch
from PIL import Image

from labkit.course.experiments.image_folder import load_images, write_image_folder
from labkit.course.pictures.charts import sample_images
from labkit.data.datasets import DataSet, Split
from labkit.data.fashion_mnist import DataError


def dataset(channels):
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (12, channels, 8, 8), generator=generator, dtype=torch.uint8)
    split = Split(images, torch.arange(12) % 2)
    return DataSet({"train": split, "val": split}, (0.5,), (0.5,), ("a/b", "c"))


def test_the_first_images_of_each_class_are_written_as_they_are(tmp_path):
    for channels, mode in ((1, "L"), (3, "RGB")):
        data, folder = dataset(channels), tmp_path / mode
        assert write_image_folder(data, folder, {"train": 3, "val": 1}) == 8
        files = sorted(folder.rglob("*.png"))
        names = [str(path.relative_to(folder)) for path in files]
        assert names[:4] == [f"train/a or b/{i:05}.png" for i in (0, 2, 4)] + ["train/c/00001.png"]
        for path in files:
            with Image.open(path) as image:
                assert image.mode == mode
                pixels = np.asarray(image).reshape(8, 8, channels).transpose(2, 0, 1)
            np.testing.assert_array_equal(pixels, data.splits["train"].images[int(path.stem)])


def test_files_that_are_there_are_left_alone(tmp_path):
    write_image_folder(dataset(1), tmp_path, {"train": 1})
    (tmp_path / "train" / "c" / "00001.png").write_bytes(b"mine")
    assert write_image_folder(dataset(1), tmp_path, {"train": 1}) == 2
    assert (tmp_path / "train" / "c" / "00001.png").read_bytes() == b"mine"


def test_a_picture_shows_images_of_each_class_under_its_name():
    figure = sample_images(dataset(3), columns=4)
    shown = [panel.images for panel in figure.axes]
    assert [len(images) for images in shown] == [1] * 8
    assert [
        panel.get_title(loc="left") for panel in figure.axes if panel.get_title(loc="left")
    ] == [
        "a/b",
        "c",
    ]
    np.testing.assert_array_equal(
        shown[5][0].get_array(), dataset(3).splits["train"].images[3].permute(1, 2, 0)
    )


def test_a_folder_is_loaded_in_the_form_of_its_images(tmp_path):
    for channels in (1, 3):
        folder = tmp_path / str(channels)
        write_image_folder(dataset(channels), folder, {"train": 3, "val": 2})
        images = load_images(folder).splits["train"].images
        assert images.shape[1:] == (channels, 8, 8)


def test_what_is_no_folder_is_a_data_set_of_torchvision(tmp_path):
    with pytest.raises(DataError, match="nowhere"):
        load_images(tmp_path / "nowhere")
