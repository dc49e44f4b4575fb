"""What an epoch looks like: order, crops and flips, all a function of (seed, epoch).

No random state has to be saved or shared: whoever knows the seed and the step, a resumed run or
another process, sees the same batch, and each sample's augmentation is its own.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from labkit.data import Split

CROP_PADDING = 2  # pixels


class Epoch(NamedTuple):
    order: Tensor   # (N,) sample indices
    shift: Tensor   # (N, 2) top-left corner of each sample's crop from the padded image
    flip: Tensor    # (N,) bool


def plan_epoch(samples: int, seed: int, epoch: int) -> Epoch:
    generator = torch.Generator().manual_seed(seed * 1_000_003 + epoch)
    return Epoch(torch.randperm(samples, generator=generator),
                 torch.randint(0, 2 * CROP_PADDING + 1, (samples, 2), generator=generator),
                 torch.rand(samples, generator=generator) < 0.5)


def batch_of(split: Split, epoch: Epoch, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Augmented uint8 images (N, C, H, W) and labels (N,) of the samples `indices`."""
    images = F.pad(split.images[indices], (CROP_PADDING,) * 4)
    n, _, side, _ = images.shape
    side -= 2 * CROP_PADDING
    columns = torch.arange(side).expand(n, side)
    columns = torch.where(epoch.flip[indices, None], columns.flip(1), columns) + epoch.shift[indices, 1:]
    rows = torch.arange(side) + epoch.shift[indices, :1]  # (N, H)
    cropped = images[torch.arange(n)[:, None, None], :, rows[:, :, None], columns[:, None, :]]  # (N, H, W, C)
    return cropped.permute(0, 3, 1, 2), split.labels[indices]
