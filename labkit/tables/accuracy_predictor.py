"""The accuracy predictor: a Bayesian, stage-separable function of genes, conditioned on (arch,
accuracy) pairs.

What is believed of a link of the accuracy (`labkit.tables.accuracy_link`) is an additive Gaussian
process (`labkit.tables.additive_process`). Its posterior mean is the predictor. Functions drawn
from the posterior, which Thompson sampling maximizes, are predictors of the same form, so exact
search takes all of them.

Measured accuracies scatter around the sum over stages, because accuracies do not quite add up, and
because n images judge an arch with a binomial error. The variance of this scatter is a multiple of
the binomial variance, fitted to the pairs: 1 if each arch were judged on images of its own, less on
common images, on which similar archs err alike.

Shapes in trailing comments: N archs, G genes, S stages, R global choices, C configurations of a
stage. This module predicts and fits with numpy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from statistics import NormalDist

import numpy as np

from labkit.space import SearchSpace
from labkit.tables.accuracy_link import (
    Shift,
    accuracy_of,
    binomial_variance,
    imperfect,
    log_error,
)
from labkit.tables.additive_process import (
    Kernel,
    StageGrids,
    Terms,
    coordinates,
    covariance,
    fit_kernel,
)
from labkit.tables.separable import StageTable

FEWEST_PAIRS = 10
IMAGES = 5000  # of val-search, on which the accuracies of pairs are measured


class SeparablePredictor(StageTable):
    """Predicted accuracy in percent: 100 - exp(-link), with a link that is a sum over stages.

    The link of an arch at global choice r is base[r] + the sum over s of terms[s][r, c], where c is
    the configuration of stage s. `base` is (R,), `terms[s]` is (R, C) in the order of
    `space.stage_configs(s)`. Raises ValueError for terms of another shape.
    """

    def __init__(self, space: SearchSpace, base: np.ndarray, terms: Sequence[np.ndarray]) -> None:
        self.terms = [np.asarray(term) for term in terms]
        stages = []
        for s, term in enumerate(self.terms):
            codes = space.valid_codes(s)
            if term.shape != (len(space.global_choices), len(codes)):
                raise ValueError(
                    f"terms of stage {s} are {term.shape}, space {space.name!r} has "
                    f"{len(space.global_choices)} global choices and {len(codes)} configurations"
                )
            stages.append(np.zeros((len(space.global_choices), space.stage_sizes[s])))
            stages[-1][:, codes] = term
        super().__init__(space, base, stages, link=accuracy_of)

    def shifted(self, shift: Shift) -> SeparablePredictor:
        """The predictor of accuracies on the images of `shift`."""
        terms = [shift.slope * term for term in self.terms]
        return SeparablePredictor(self.space, shift.link(self.base), terms)


class AccuracyPosterior:
    """What is believed of accuracies after measuring those of some archs.

    `genes` (N, G) are the archs, canonical; `accuracy` (N,) what was measured of them, in percent,
    on that many `images`.
    """

    def __init__(
        self,
        space: SearchSpace,
        kernel: Kernel,
        genes: np.ndarray,
        accuracy: np.ndarray,
        images: int = IMAGES,
    ) -> None:
        self.space, self.kernel, self.images = space, kernel, images
        self.genes, self.accuracy = genes, accuracy
        self._parts = coordinates(space, genes)
        self._link = log_error(imperfect(accuracy, images))  # (N,)
        self._noise = kernel.noise * binomial_variance(accuracy, images)  # (N,)
        self._grids = StageGrids(space)

    @cached_property
    def _root(self) -> np.ndarray:  # (N, N)
        """Inverse of the Cholesky factor of the measurements' covariance: every question is a
        product with it.
        """
        total = covariance(self.kernel, self._parts, self._parts) + np.diag(self._noise)
        return np.linalg.inv(np.linalg.cholesky(total))

    def condition(self, genes: np.ndarray, accuracy: np.ndarray) -> AccuracyPosterior:
        """The posterior after more measurements: archs (M, G) and their accuracy (M,)."""
        more = AccuracyPosterior(
            self.space,
            self.kernel,
            np.concatenate([self.genes, genes]),
            np.concatenate([self.accuracy, accuracy]),
            self.images,
        )
        # A Cholesky factor with more rows; those before stay what they are.
        before = len(self.genes)
        added = [part[before:] for part in more._parts]
        explained = self._root @ covariance(self.kernel, self._parts, added)  # (N, M)
        rest = covariance(self.kernel, added, added) + np.diag(more._noise[before:])
        corner = np.linalg.inv(np.linalg.cholesky(rest - explained.T @ explained))  # (M, M)
        more._root = np.zeros((len(more.genes), len(more.genes)))
        more._root[:before, :before] = self._root
        more._root[before:, :before] = -corner @ (explained.T @ self._root)
        more._root[before:, before:] = corner
        return more

    @cached_property
    def mean(self) -> SeparablePredictor:
        """The predictor: accuracies at the posterior mean of the link."""
        nothing = np.zeros(len(self.space.global_choices)), [0.0] * len(self.space.stages)
        return self._corrected(nothing, np.zeros(len(self.genes)))

    def sample(self, rng: np.random.Generator) -> SeparablePredictor:
        """A function drawn from the posterior.

        A draw from the prior, corrected by what it lacks of the measurements (Matheron's rule;
        Wilson et al., "Efficiently Sampling Functions from Gaussian Process Posteriors", arXiv
        2002.09309, section 3.1).
        """
        draw = self._grids.draw(self.kernel, rng)
        table = SeparablePredictor(self.space, *draw)
        values = StageTable(self.space, table.base, table.stages)(self.genes)
        noise = np.sqrt(self._noise) * rng.standard_normal(len(self.genes))
        return self._corrected(draw, values + noise)

    def _corrected(self, function: Terms, values: np.ndarray) -> SeparablePredictor:
        """A function of the prior, of which one would measure `values` (N,), moved by what these
        lack of the links that were measured.
        """
        missing = self._link - self.kernel.level - values
        weights = self._root.T @ (self._root @ missing)
        base, terms = self._grids.covariances_with(self.kernel, self.genes, weights)
        terms = [term + correction for term, correction in zip(function[1], terms)]
        return SeparablePredictor(self.space, self.kernel.level + function[0] + base, terms)

    def variance(self, genes: np.ndarray) -> np.ndarray:  # (M,)
        """Of the link of archs (M, G), without the noise of a measurement."""
        common = covariance(self.kernel, self._parts, coordinates(self.space, genes))  # (N, M)
        explained = ((self._root @ common) ** 2).sum(0)
        return np.maximum(self.kernel.amplitude.sum() - explained, 0)

    def interval(
        self, genes: np.ndarray, share: float = 0.9, shift: Shift | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """(M,) lower and (M,) upper ends, in percent, of what holds a measured accuracy with
        probability `share`, for archs (M, G): on the images of the pairs, or on those of `shift`.
        """
        shift = shift or Shift(0.0, 1.0, self.kernel.noise, self.images)
        link = shift.link(log_error(self.mean(genes)))
        variance = shift.slope**2 * self.variance(genes) + shift.variance(link)
        reach = NormalDist().inv_cdf((1 + share) / 2) * np.sqrt(variance)
        return accuracy_of(link - reach), accuracy_of(link + reach)


def fit_posterior(
    space: SearchSpace,
    genes: np.ndarray,
    accuracy: np.ndarray,
    *,
    rng: np.random.Generator,
    kernel: Kernel | None = None,
    images: int = IMAGES,
) -> AccuracyPosterior:
    """The posterior of pairs: genes (N, G), and accuracy (N,) in percent on that many `images`.

    `kernel` is fitted to the pairs unless it is an argument. Raises ValueError for fewer than 10
    pairs, genes of another space, or accuracies that are not one finite percentage per arch.
    """
    space.check_genes(genes)
    accuracy = np.asarray(accuracy, dtype=float)
    if np.shape(accuracy) != (len(genes),):
        raise ValueError(
            f"want one accuracy for each of {len(genes)} archs, got shape {np.shape(accuracy)}"
        )
    if len(genes) < FEWEST_PAIRS:
        raise ValueError(f"a predictor needs at least {FEWEST_PAIRS} pairs, got {len(genes)}")
    if not (np.isfinite(accuracy).all() and (accuracy >= 0).all() and (accuracy <= 100).all()):
        raise ValueError("accuracies must be percentages between 0 and 100")
    counts = accuracy * images / 100
    is_counted = np.isclose(counts, counts.round()).all()  # 0.4 % is much where classes are many
    if (accuracy <= 1).all() and not is_counted:
        raise ValueError(f"accuracies are at most {accuracy.max():g}: want percentages, not shares")
    if kernel is None:
        scatter = binomial_variance(accuracy, images)
        link = log_error(imperfect(accuracy, images))
        kernel = fit_kernel(space, genes, link, scatter, rng)
    return AccuracyPosterior(space, kernel, genes, accuracy, images)


def fit_separable(
    space: SearchSpace,
    genes: np.ndarray,
    accuracy: np.ndarray,
    *,
    rng: np.random.Generator,
    images: int = IMAGES,
) -> SeparablePredictor:
    """The predictor: the mean of `fit_posterior`, which says what it raises.

    >>> from labkit.space.presets import get_space
    >>> from labkit.tables.synthetic_accuracy import synthetic_accuracy
    >>> space, rng = get_space("fmnist"), np.random.default_rng(0)
    >>> genes, unseen = space.sample(rng, 150), space.sample(rng, 100)
    >>> truth = synthetic_accuracy(space, "concave")
    >>> predictor = fit_separable(space, genes, truth(genes), rng=rng)
    >>> print(f"{np.abs(predictor(unseen) - truth(unseen)).max():.2f} points off at most")
    0.04 points off at most
    """
    return fit_posterior(space, genes, accuracy, rng=rng, images=images).mean
