"""What an epoch looks like: order, crops, flips and erased rectangles, all a function of (seed,
epoch).

No random state has to be saved or shared: whoever knows the seed and the step, a resumed run or
another process, sees the same batch, and each sample's augmentation is its own.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from labkit.data.datasets import Split

CROP_PADDING = 2  # pixels
ERASED_AREA = (0.02, 0.33)  # least and most of an image, and the most that height and width differ:
ERASED_ASPECT = 3.3  # random erasing, arXiv 1708.04896, section 4.1


class Epoch(NamedTuple):
    order: Tensor  # (N,) sample indices
    shift: Tensor  # (N, 2) top-left corner of each sample's crop from the padded image
    flip: Tensor  # (N,) bool
    boxes: Tensor | None = (
        None  # (N, 4) top, left, height and width to erase, in shares of the side; 0 high: nothing
    )

    def to(self, device: torch.device) -> Epoch:
        return Epoch(*(None if part is None else part.to(device) for part in self))


def plan_epoch(samples: int, seed: int, epoch: int, erase: float = 0.0) -> Epoch:
    """`erase` is the chance that a sample has a rectangle erased."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    plan = Epoch(
        torch.randperm(samples, generator=generator),
        torch.randint(0, 2 * CROP_PADDING + 1, (samples, 2), generator=generator),
        torch.rand(samples, generator=generator) < 0.5,
    )
    if not erase:
        return plan
    chosen, area, aspect, top, left = torch.rand(5, samples, generator=generator)
    area = ERASED_AREA[0] + (ERASED_AREA[1] - ERASED_AREA[0]) * area
    stretch = ERASED_ASPECT ** (aspect - 0.5)  # square root of an aspect that is log-uniform
    height = torch.where(chosen < erase, (area.sqrt() * stretch).clamp(max=1), 0)
    width = (area.sqrt() / stretch).clamp(max=1)
    return plan._replace(
        boxes=torch.stack([top * (1 - height), left * (1 - width), height, width], 1)
    )


def batch_of(
    split: Split, epoch: Epoch, indices: Tensor, fill: tuple[float, ...] = ()
) -> tuple[Tensor, Tensor]:
    """Augmented uint8 images (N, C, H, W) and labels (N,) of the samples `indices`.

    Erased pixels get `fill`, one number in [0, 1] for each channel; needed only if the epoch
    erases. All tensors are on one device, where the work is done.
    """
    device = split.images.device
    images = F.pad(split.images[indices], (CROP_PADDING,) * 4)
    n, _, side, _ = images.shape
    side -= 2 * CROP_PADDING
    columns = torch.arange(side, device=device).expand(n, side)
    columns = (
        torch.where(epoch.flip[indices, None], columns.flip(1), columns) + epoch.shift[indices, 1:]
    )
    rows = torch.arange(side, device=device) + epoch.shift[indices, :1]  # (N, H)
    samples = torch.arange(n, device=device)[:, None, None]
    cropped = images[samples, :, rows[:, :, None], columns[:, None, :]].permute(
        0, 3, 1, 2
    )  # (N, C, H, W)
    if epoch.boxes is not None:
        top, left, height, width = (
            (epoch.boxes[indices] * side).round().T[:, :, None]
        )  # (N, 1) each
        at = torch.arange(side, device=device)
        inside = ((at >= top) & (at < top + height))[:, None, :, None] & (
            (at >= left) & (at < left + width)
        )[:, None, None, :]  # (N, 1, H, W)
        pixel = torch.tensor(fill, device=device).mul(255).round().to(torch.uint8).view(1, -1, 1, 1)
        cropped = torch.where(inside, pixel, cropped)
    return cropped, split.labels[indices]
