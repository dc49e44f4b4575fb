"""Pictures of any size and mode as arrays of one: upright, without alpha, resized.

Pictures are PIL images: JPEG, PNG, WebP and what else PIL reads; of an animation, the first frame.
"""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torchvision.transforms.v2.functional import pil_to_tensor

from labkit.data.record import ImageForm

BACKGROUND = "white"  # behind what is transparent


def pixels_of(picture: Image.Image, form: ImageForm) -> Tensor:
    """(channels, side, side) uint8 of a picture.

    Raises what PIL raises for a damaged file, and ValueError for a mode without a fixed range.
    """
    mode = "L" if form.channels == 1 else "RGB"
    # Of a large JPEG file, decode no more pixels than are needed; other formats ignore this.
    picture.draft(mode, (form.side, form.side))
    picture.load()
    upright = ImageOps.exif_transpose(picture)
    opaque = _without_alpha(_eight_bits(upright)).convert(mode)
    size = (form.side, form.side)
    if form.fit == "stretch":
        square = opaque.resize(size, Image.Resampling.BILINEAR)
    else:
        square = ImageOps.fit(opaque, size, Image.Resampling.BILINEAR)
    return pil_to_tensor(square)


def _eight_bits(picture: Image.Image) -> Image.Image:
    """The upper 8 bits of 16-bit gray, which PIL's own conversion would clip."""
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers, whose range is unknown")
    if not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture).astype(np.int64).clip(0, 2**16 - 1)
    return Image.fromarray((values >> 8).astype(np.uint8))


def _without_alpha(picture: Image.Image) -> Image.Image:
    if not picture.has_transparency_data:
        return picture
    layer = picture.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", layer.size, BACKGROUND), layer)


def moments(pixels: Tensor) -> Tensor:
    """(..., C, 2) float64: mean of the pixels in [0, 1] and of their squares, of (..., C, H, W)."""
    values = pixels.to(torch.float64) / 255
    return torch.stack([values.mean((-2, -1)), values.square().mean((-2, -1))], -1)
