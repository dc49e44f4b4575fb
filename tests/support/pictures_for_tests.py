"""Folders of small generated pictures: each class has stripes of its own direction."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image


def stripes(label: int, classes: int, rng: np.random.Generator, size=(24, 40)) -> np.ndarray:
    """(H, W, 3) uint8: noisy stripes whose direction says the class, of random sides in `size`."""
    height, width = rng.integers(*size, 2)
    y, x = np.mgrid[:height, :width]
    angle = np.pi * label / classes
    wave = 127 + 80 * np.sin(0.8 * (x * np.cos(angle) + y * np.sin(angle)) + rng.uniform(0, 6))
    image = wave[..., None] * rng.uniform(0.6, 1.0, 3) + rng.normal(0, 10, (height, width, 3))
    return image.clip(0, 255).astype(np.uint8)


def write_pictures(
    folder: Path, *, classes: int = 3, per_class: int = 12, seed: int = 0, suffix: str = ".png"
) -> Path:
    """`folder`/class0/*.png and so on."""
    rng = np.random.default_rng(seed)
    for label in range(classes):
        (folder / f"class{label}").mkdir(parents=True, exist_ok=True)
        for i in range(per_class):
            picture = Image.fromarray(stripes(label, classes, rng))
            picture.save(folder / f"class{label}" / f"{i:03}{suffix}")
    return folder
