"""How far chance moves a measured accuracy, and the difference of two on the same images."""

from __future__ import annotations

import numpy as np


def standard_error(accuracy: float, images: int) -> float:
    """Standard error, in points, of an accuracy in percent that was measured on `images` images.

    Each image is taken to be drawn by itself, so that the number of right answers is binomial. An
    accuracy counts as at least half an image away from 0 and 100 %.

    >>> round(standard_error(90.0, 5000), 3)
    0.424
    """
    accuracy = np.clip(accuracy, 50 / images, 100 - 50 / images)
    return float(np.sqrt(accuracy * (100 - accuracy) / images))


def paired_difference(right: np.ndarray, baseline: np.ndarray) -> tuple[float, float]:
    """Points of accuracy above `baseline`, and the standard error of that difference.

    Both are (N,) bool: which of the same N images are named rightly. Images that both name alike
    say nothing of the difference, so it is known better than either accuracy.

    >>> right, baseline = np.array([1, 1, 1, 0], bool), np.array([1, 1, 0, 0], bool)
    >>> points, error = paired_difference(right, baseline)
    >>> points, round(error, 1)
    (25.0, 21.7)
    """
    gains = 100 * (right.astype(float) - baseline)
    return float(gains.mean()), float(gains.std() / np.sqrt(len(gains)))
