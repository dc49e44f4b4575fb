"""Augmented images: the order, crops, flips and erased rectangles of an epoch, and torchvision's
transforms.

All of it is a function of the seed and the epoch's number, so that no random state has to be saved
or shared: whoever knows the two, a resumed run or another process, sees the same images. Each
sample's augmentation is the same in whatever batch it comes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms import InterpolationMode, v2

from labkit.data.datasets import Split

# What each does to a sample of a number of pixels on a side. Crops and flips are computed for a
# whole batch on the device, the others one sample after the other.
TRANSFORMS: dict[str, Callable[[int], v2.Transform]] = {
    "zoom": lambda side: v2.RandomResizedCrop(side, scale=(0.35, 1.0)),
    "rotate": lambda side: v2.RandomRotation(15, InterpolationMode.BILINEAR),
    "color": lambda side: v2.ColorJitter(brightness=0.4, contrast=0.4, saturation=0.4),
    "trivial": lambda side: v2.TrivialAugmentWide(),  # arXiv 2103.10158
}
AUGMENTATIONS = ("crop", "flip", *TRANSFORMS)
DEFAULT_AUGMENTATIONS = ("crop", "flip")
CROP_PADDING = 2  # pixels, unless said
# Random erasing, arXiv 1708.04896, section 4.1.
ERASED_AREA = (0.02, 0.33)  # least and largest share of an image
ERASED_ASPECT = 3.3  # largest ratio of height and width, either way


class Epoch(NamedTuple):
    order: Tensor  # (N,) sample indices
    shift: Tensor  # (N, 2) top-left corner of each sample's crop from the padded image
    flip: Tensor  # (N,) bool
    # (N, 4) top, left, height and width to erase, in shares of the side; of height 0: nothing
    boxes: Tensor | None = None

    def to(self, device: torch.device) -> Epoch:
        return Epoch(*(None if part is None else part.to(device) for part in self))


def plan_epoch(
    samples: int,
    seed: int,
    epoch: int,
    erase: float = 0.0,
    padding: int = CROP_PADDING,
    augmentations: Collection[str] = DEFAULT_AUGMENTATIONS,
) -> Epoch:
    """`erase` is the chance that a sample has a rectangle erased, `padding` in pixels.

    Crops and flips are left out where they are none of the `augmentations`.
    """
    generator = torch.Generator().manual_seed(_epoch_seed(seed, epoch))
    plan = Epoch(
        torch.randperm(samples, generator=generator),
        torch.randint(0, 2 * padding + 1, (samples, 2), generator=generator),
        torch.rand(samples, generator=generator) < 0.5,
    )
    if "crop" not in augmentations:
        plan.shift.fill_(padding)
    if "flip" not in augmentations:
        plan.flip.fill_(False)
    if not erase:
        return plan
    chance, area, aspect, top, left = torch.rand(5, samples, generator=generator)
    area = ERASED_AREA[0] + (ERASED_AREA[1] - ERASED_AREA[0]) * area
    stretch = ERASED_ASPECT ** (aspect - 0.5)  # square root of an aspect that is log-uniform
    height = torch.where(chance < erase, (area.sqrt() * stretch).clamp(max=1), 0)
    width = (area.sqrt() / stretch).clamp(max=1)
    boxes = torch.stack([top * (1 - height), left * (1 - width), height, width], 1)
    return plan._replace(boxes=boxes)


def batch_of(
    split: Split,
    epoch: Epoch,
    indices: Tensor,
    fill: tuple[float, ...] = (),
    padding: int = CROP_PADDING,
) -> tuple[Tensor, Tensor]:
    """Augmented uint8 images (N, C, H, W) and labels (N,) of the samples `indices`.

    `padding` is the one that the epoch was planned with. Erased pixels get `fill`, one number in
    [0, 1] for each channel; needed only if the epoch erases. All tensors are on one device, where
    the work is done.
    """
    device = split.images.device
    images = F.pad(split.images[indices], (padding,) * 4)
    n, _, side, _ = images.shape
    side -= 2 * padding
    positions = torch.arange(side, device=device)
    columns = positions.expand(n, side)
    columns = torch.where(epoch.flip[indices, None], columns.flip(1), columns)
    columns = columns + epoch.shift[indices, 1:]  # (N, W)
    rows = positions + epoch.shift[indices, :1]  # (N, H)
    samples = torch.arange(n, device=device)[:, None, None]
    cropped = images[samples, :, rows[:, :, None], columns[:, None, :]]  # (N, H, W, C)
    cropped = cropped.permute(0, 3, 1, 2)  # (N, C, H, W)
    if epoch.boxes is not None:
        box = (epoch.boxes[indices] * side).round()  # (N, 4)
        top, left, height, width = box.T[:, :, None]  # (N, 1) each
        inside_rows = (positions >= top) & (positions < top + height)  # (N, H)
        inside_columns = (positions >= left) & (positions < left + width)  # (N, W)
        inside = inside_rows[:, None, :, None] & inside_columns[:, None, None, :]  # (N, 1, H, W)
        pixel = torch.tensor(fill, device=device).mul(255).round().to(torch.uint8).view(1, -1, 1, 1)
        cropped = torch.where(inside, pixel, cropped)
    return cropped, split.labels[indices]


def transformed(
    images: Tensor, augmentations: Collection[str], indices: Tensor, seed: int, epoch: int
) -> Tensor:
    """uint8 images (N, C, H, W) of the samples `indices` after torchvision's transforms.

    Each sample's randomness is drawn from the seed, the epoch and its index.
    """
    steps = [TRANSFORMS[name](images.shape[-1]) for name in TRANSFORMS if name in augmentations]
    if not steps:
        return images
    transform, results = v2.Compose(steps), []
    with torch.random.fork_rng(devices=[]):  # the transforms draw from the global generator only
        for image, index in zip(images, indices.tolist()):
            torch.manual_seed((_epoch_seed(seed, epoch) * 1_000_003 + index) % 2**63)
            results.append(transform(image))
    return torch.stack(results)


def _epoch_seed(seed: int, epoch: int) -> int:
    return seed * 1_000_003 + epoch
