"""ImageNet from a folder, and the accuracy of subnets on it.

The folder is laid out as usual, `train/<class>/*.JPEG` and `val/<class>/*.JPEG`, and is read image
by image: it fits into no memory, so reading it once for many archs is what makes evaluating them
cheap.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision.datasets import ImageFolder
from torchvision.transforms import v2
from tqdm.auto import tqdm

from labkit.data.image_index import WORKERS
from labkit.data.record import DataError
from labkit.space import Arch
from labkit.supernet.batch_norm import Recorder
from labkit.supernet.evaluation import RECALIBRATION_IMAGES, spread
from labkit.supernet.supernet import Supernet

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of each channel, for pixels in [0, 1]
CROP = 0.875  # the middle of the image that is judged: 224 of 256 pixels
_to_tensor = v2.Compose(
    [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)]
)


class ImageNet:
    """The two halves of an ImageNet folder, classes numbered by their sorted names.

    Raises DataError if a half is missing, has no class folders, or the two do not have the same
    `num_classes` classes.
    """

    def __init__(self, path: Path | str, num_classes: int = 1000) -> None:
        path = Path(path)
        self.train, self.val = _folder(path / "train"), _folder(path / "val")
        for half, folder in (("train", self.train), ("val", self.val)):
            if len(folder.classes) != num_classes:
                raise DataError(
                    f"{path / half} has {len(folder.classes)} class folders, the network has"
                    f" {num_classes} classes: with some of them missing, the numbers of the others"
                    " are wrong"
                )
        if self.train.classes != self.val.classes:
            name = min(set(self.train.classes) ^ set(self.val.classes))
            raise DataError(f"class {name!r} is only in one of {path / 'train'} and {path / 'val'}")

    def calibration(
        self,
        resolution: int,
        *,
        images: int = RECALIBRATION_IMAGES,
        seed: int = 0,
        batch: int = 100,
        workers: int = WORKERS,
    ) -> Iterator[Tensor]:
        """Batches (N, 3, resolution, resolution) of training images, drawn at random.

        Images that cannot be read are left out, with a line that names them. The others are cropped
        and flipped as in training. The official package also shifts their colors a little; this
        does not.
        """
        generator = torch.Generator().manual_seed(seed)
        indices = torch.randperm(len(self.train), generator=generator)[:images].tolist()
        augment = v2.Compose(
            [v2.RandomResizedCrop(resolution, antialias=True), v2.RandomHorizontalFlip()]
        )
        for x, _ in _Images(self.train, indices, augment, seed).batches(batch, workers):
            yield x

    def validation(
        self,
        resolution: int,
        *,
        images: int | None = None,
        batch: int = 100,
        workers: int = WORKERS,
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of validation images and labels: all, or `images` of them from all classes.

        Images that cannot be read are left out, with a line that names them.
        """
        indices = spread(len(self.val), len(self.val) if images is None else images).tolist()
        center = v2.Compose(
            [v2.Resize(math.ceil(resolution / CROP), antialias=True), v2.CenterCrop(resolution)]
        )
        yield from _Images(self.val, indices, center).batches(batch, workers)


class _Images(Dataset):
    """Some images of a folder, the randomness of each drawn from (seed, its number)."""

    def __init__(
        self, folder: ImageFolder, indices: list[int], transform: v2.Transform, seed: int = 0
    ) -> None:
        self.folder, self.indices, self.transform, self.seed = folder, indices, transform, seed

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, i: int) -> tuple[Tensor, int] | str:
        """The image and its label; a text that names the file where it is damaged."""
        path, label = self.folder.samples[self.indices[i]]
        try:
            image = self.folder.loader(path)
        except (OSError, SyntaxError) as error:  # what PIL raises for a damaged file
            return f"{path} cannot be read as an image ({error})"
        # torchvision's transforms draw from the global generator only.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed * 1_000_003 + self.indices[i])
            return _to_tensor(self.transform(image)), label

    def batches(self, batch: int, workers: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches of what can be read; raises DataError where that is nothing."""
        problems = 0
        # With a generator of its own the loader leaves the global one alone.
        for loaded in DataLoader(
            self, batch, num_workers=workers, collate_fn=list, generator=torch.Generator()
        ):
            readable = [item for item in loaded if not isinstance(item, str)]
            for problem in loaded:
                if isinstance(problem, str):
                    problems += 1
                    tqdm.write(f"labkit: {problem}; it is left out", file=sys.stderr)
            if readable:
                yield default_collate(readable)
        if problems == len(self):
            raise DataError(f"none of {problems} images in {self.folder.root} can be read")


def _folder(path: Path) -> ImageFolder:
    try:
        return ImageFolder(path)
    except OSError as error:
        raise DataError(
            f"{path} is not half of an ImageNet folder ({str(error).splitlines()[0]}); wanted are"
            " train/ and val/ with one folder of images for each class. The validation archive"
            " unpacks flat: its images have to be sorted into class folders first"
        ) from error


class Accuracy(NamedTuple):
    arch: Arch
    top1: float  # percent
    top5: float
    images: int


@torch.inference_mode()
def evaluate(
    supernet: Supernet,
    archs: Sequence[Arch],
    path: Path | str,
    *,
    images: int | None = None,
    recalibration_images: int = RECALIBRATION_IMAGES,
    seed: int = 0,
    batch: int = 100,
    workers: int = WORKERS,
    progress: bool = True,
) -> list[Accuracy]:
    """For `labkit evaluate --data imagenet`: accuracy of `archs` on an ImageNet folder, in order.

    Each arch gets its own batch-norm statistics from training images first. `images` limits the
    validation images. Raises DataError for a folder that is not as expected, ValueError for an arch
    of another space.
    """
    folder, device = ImageNet(path, supernet.space.num_classes), next(supernet.parameters()).device
    by_resolution: dict[int, list[int]] = defaultdict(list)
    for i, arch in enumerate(archs):
        supernet.space.validate(arch)
        by_resolution[arch.resolution].append(i)
    results: dict[int, Accuracy] = {}
    for resolution, members in by_resolution.items():
        recorders = {i: Recorder() for i in members}
        calibration = folder.calibration(
            resolution, images=recalibration_images, seed=seed, batch=batch, workers=workers
        )
        steps = math.ceil(min(recalibration_images, len(folder.train)) / batch)
        title = f"{resolution} px, recalibration"
        for x in tqdm(calibration, title, steps, disable=not progress, unit="batch"):
            x = x.to(device)
            for i, recorder in recorders.items():
                recorder.next_batch()
                supernet(x, archs[i], recorder)
        hits, count = torch.zeros(len(archs), 2, dtype=torch.long), 0  # top-1, top-5
        validation = folder.validation(resolution, images=images, batch=batch, workers=workers)
        steps = math.ceil(min(images or len(folder.val), len(folder.val)) / batch)
        title = f"{resolution} px, validation"
        for x, labels in tqdm(validation, title, steps, disable=not progress, unit="batch"):
            x, labels, count = x.to(device), labels.to(device), count + len(labels)
            for i, recorder in recorders.items():
                logits = supernet(x, archs[i], recorder.stats)
                best = logits.topk(min(5, supernet.space.num_classes)).indices  # (N, 5)
                right = best == labels[:, None]
                hits[i] += torch.stack([right[:, 0].sum(), right.sum()]).cpu()
        for i in members:
            top1, top5 = (100 * hits[i] / count).tolist()
            results[i] = Accuracy(archs[i], top1, top5, count)
    return [results[i] for i in range(len(archs))]
