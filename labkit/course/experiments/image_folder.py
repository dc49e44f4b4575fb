"""Images of one's own: a folder of them in the form that suits it, and some images of a data set
as such a folder.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from labkit.data.datasets import DataSet, load
from labkit.data.picture_folder import PictureFolder, survey
from labkit.data.record import ImageForm

TORCHVISION_FORM = ImageForm(channels=3, side=32)


def load_images(name: str | Path) -> DataSet:
    """The images of a folder, of the number of channels and the size that most of them have, or of
    a data set of torchvision.

    Raises DataError where there is no such folder or data set, or its images cannot be read.
    """
    if not Path(name).is_dir():
        return load(name, TORCHVISION_FORM)
    return load(name, ImageForm(*survey(PictureFolder(name))))


def write_image_folder(dataset: DataSet, folder: Path, per_class: Mapping[str, int]) -> int:
    """Write FOLDER/SPLIT/CLASS/NUMBER.png, the first images of each class; returns how many.

    `per_class` says for a split ("train", "val", "test") how many of each class. Images that are
    there already are left alone.
    """
    written = 0
    for split, count in per_class.items():
        images, labels = dataset.splits[split]
        for label, name in enumerate(dataset.classes):
            place = folder / split / name.replace("/", " or ")
            place.mkdir(parents=True, exist_ok=True)
            for i in (labels == label).nonzero().flatten()[:count].tolist():
                path = place / f"{i:05}.png"
                written += 1
                if not path.exists():
                    pixels = images[i].permute(1, 2, 0).squeeze(-1).numpy()  # (H, W) or (H, W, 3)
                    Image.fromarray(pixels).save(path)
    return written
