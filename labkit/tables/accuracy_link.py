"""The scale on which accuracies add up, how a limited number of images scatters them there, and how
one set of images differs from another.

What adds up over the stages of an arch is -log(100 - accuracy): errors multiply from stage to stage
rather than add. The link is monotone, so it leaves the order of archs as it is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SLOPE_DEVIATION = 0.1  # of a shift's slope from 1, before anything is measured


def log_error(accuracy: np.ndarray) -> np.ndarray:
    """Accuracy in percent -> -log(error in percent).

    >>> log_error(np.array([50.0, 90.0, 95.0])).round(2)
    array([-3.91, -2.3 , -1.61])
    """
    return -np.log(np.clip(100 - accuracy, 1e-3, None))


def accuracy_of(link: np.ndarray) -> np.ndarray:
    """Inverse of `log_error`."""
    return 100 - np.exp(-link)


def imperfect(accuracy: np.ndarray, images: int) -> np.ndarray:
    """An accuracy measured on that many images, at least half an image below 100 %: that none of
    few images was wrong does not mean that none ever is, which `log_error` would take it for.
    """
    return np.minimum(accuracy, 100 - 50 / images)


def binomial_variance(accuracy: np.ndarray, images: int) -> np.ndarray:
    """Variance of `log_error` of an accuracy that is measured on that many images, by the delta
    method. An accuracy counts as at least half an image away from 0 and 100 %.

    >>> float(binomial_variance(np.array(90.0), 1000).round(4))
    0.009
    """
    half = 50 / images
    accuracy = np.clip(accuracy, half, 100 - half)
    return accuracy / (100 - accuracy) / images


@dataclass(frozen=True)
class Shift:
    """How accuracies on a set of images follow from those that a predictor was fitted to.

    On the scale of `log_error` they are intercept + slope * link, and scatter around that by
    `noise` times the `binomial_variance` of that many `images`.
    """

    intercept: float
    slope: float  # positive, so that the order of archs remains
    noise: float
    images: int

    def link(self, link: np.ndarray) -> np.ndarray:
        return self.intercept + self.slope * link

    def variance(self, link: np.ndarray) -> np.ndarray:
        """Of measured links around the shifted `link`."""
        return self.noise * binomial_variance(accuracy_of(link), self.images)


def fit_shift(predicted: np.ndarray, measured: np.ndarray, images: int) -> Shift:
    """The shift from predicted accuracies (N,) to measured ones (N,) on that many other `images`.

    The archs must be ones that nobody chose: where a search chose, the luck of the best of many
    would be taken for a property of the images. Least squares, weighted by the binomial variance;
    few archs leave the slope near 1. Raises ValueError for fewer than 3 archs.
    """
    if len(predicted) < 3:
        raise ValueError(f"a shift takes at least 3 archs, got {len(predicted)}")
    link, target = log_error(predicted), log_error(measured)
    weights = 1 / binomial_variance(measured, images)
    centers = np.average(np.stack([link, target]), axis=1, weights=weights)
    x, y = link - centers[0], target - centers[1]
    noise = np.mean(weights * (y - x) ** 2)  # of binomial variance, at a slope of 1
    spread, prior = (weights * x * x).sum(), noise / SLOPE_DEVIATION**2
    slope = ((weights * x * y).sum() + prior) / max(spread + prior, 1e-300)
    slope = max(slope, SLOPE_DEVIATION) if spread + prior > 0 else 1.0
    noise = (weights * (y - slope * x) ** 2).sum() / (len(x) - 2)
    return Shift(float(centers[1] - slope * centers[0]), float(slope), float(noise), images)
