"""Accuracy predictors: functions of genes, fitted to (arch, accuracy) pairs.

The default is stage-separable: given the global choice, a sum of one free term per stage. It is a
Gaussian process whose kernel is a sum over stages,

    k(a, b) = base * [r = r'] + sum_s amplitude_s * exp(-d_s(a, b)^2 / 2),

where r and r' are the global choices of archs a and b, and d_s is the distance between what they do
in stage s (and between their resolutions, and between their widths where there are several). The
posterior mean of such a process is itself a sum of one function per stage (Duvenaud, Nickisch &
Rasmussen, "Additive Gaussian Processes", arXiv 1112.4394), so every stage's term is tabulated once,
and exact search can take the stages apart. What the sum predicts is a link of the accuracy,
-log(100 - accuracy): errors multiply from stage to stage rather than add, and a monotone link
leaves the order of archs as it is.

Shapes in trailing comments: N archs, M other archs, R global choices, S stages, C configurations of
a stage, D global distances: of resolutions, and of widths where a space has several.

This module predicts and fits with numpy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labkit.space import SearchSpace
from labkit.tables.separable import StageTable

LENGTH_FIELDS = ("depth", "kernel", "expand", "resolution", "width")


def log_error(accuracy: np.ndarray) -> np.ndarray:
    """Link of the separable predictor: accuracy in percent -> -log(error in percent).

    >>> log_error(np.array([50.0, 90.0, 95.0])).round(2)
    array([-3.91, -2.3 , -1.61])
    """
    return -np.log(np.clip(100 - accuracy, 1e-3, None))


def accuracy_of(link: np.ndarray) -> np.ndarray:
    """Inverse of `log_error`."""
    return 100 - np.exp(-link)


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


@dataclass(frozen=True)
class Kernel:
    """Hyperparameters of the additive process, all positive; `fit_kernel` finds all but `base`."""

    amplitude: np.ndarray  # (S,) prior variance of each stage's term
    length: np.ndarray  # (3 + D,) length scales of LENGTH_FIELDS
    noise: float  # variance of a measured link around its prediction
    base: float = 1.0  # prior variance of the level of each global choice

    @classmethod
    def from_log(cls, values: np.ndarray, stages: int) -> Kernel:
        values = np.exp(values)
        return cls(values[:stages], values[stages:-1], values[-1])


def stage_distances(
    space: SearchSpace, s: int, genes: np.ndarray, other_genes: np.ndarray
) -> np.ndarray:
    """(3, N, M) squared distances between stage configurations: in depth, kernel sizes and expand
    ratios, the first three of LENGTH_FIELDS.

    `genes` (N, 1 + 2 * max_depth) and `other_genes` (M, ...) are genes of stage `s`. An absent
    block counts as one in the middle of its choices: only the depth tells whether it is present.
    """
    stage = space.stages[s]

    def features(genes: np.ndarray) -> list[np.ndarray]:
        depth = np.array(stage.depths)[genes[:, 0]].astype(float)
        present = np.arange(stage.max_depth) < depth[:, None]

        def centered(values: np.ndarray, choices: int) -> np.ndarray:
            return np.where(present, values - (choices - 1) / 2, 0.0)

        return [
            depth[:, None],
            centered(genes[:, 1::2], len(stage.kernels)),
            centered(genes[:, 2::2], len(stage.expands)),
        ]

    planes = []
    for a, b in zip(features(genes), features(other_genes)):
        planes.append((a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T)
    return np.maximum(np.stack(planes), 0)


def global_distances(space: SearchSpace, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(D, N, M) squared distances between global choices a (N,) and b (M,): of the indices of their
    resolutions and, in a space of several widths, of those of their widths.
    """
    digits = zip(np.divmod(a, len(space.widths)), np.divmod(b, len(space.widths)))
    planes = [(x[:, None].astype(float) - y) ** 2 for x, y in digits]
    return np.stack(planes[: 1 + (len(space.widths) > 1)])


class _Process:
    """The Gaussian process on a fixed set of archs (N, G) with measured links `target` (N,).

    Distances are computed once, covariances for many kernels.
    """

    def __init__(self, space: SearchSpace, genes: np.ndarray, target: np.ndarray) -> None:
        self.space, self.genes, self.target = space, genes, target
        self.parts = [stage_genes(space, s, genes) for s in range(len(space.stages))]
        self.distances = [
            stage_distances(space, s, part, part) for s, part in enumerate(self.parts)
        ]
        self.choice_distances = global_distances(space, genes[:, 0], genes[:, 0])

    def covariance(self, kernel: Kernel) -> np.ndarray:
        total = kernel.base * (self.choice_distances == 0).all(0)
        for amplitude, distances in zip(kernel.amplitude, self.distances):
            total = total + amplitude * _squared_exponential(
                distances, self.choice_distances, kernel
            )
        total[np.diag_indices_from(total)] += kernel.noise
        return total

    def solve(self, kernel: Kernel) -> tuple[np.ndarray, float]:
        """Weights (N,) of the training archs, and the negative log marginal likelihood up to a
        constant: infinite, without weights, where the covariance is not positive definite.
        """
        try:
            factor = np.linalg.cholesky(self.covariance(kernel))
        except np.linalg.LinAlgError:
            return np.zeros(0), np.inf
        half = np.linalg.solve(factor, self.target)
        likelihood = 0.5 * half @ half + np.log(np.diag(factor)).sum()
        return np.linalg.solve(factor.T, half), likelihood


def _squared_exponential(inside: np.ndarray, between: np.ndarray, kernel: Kernel) -> np.ndarray:
    """(N, M) exp(-d^2 / 2) of squared distances inside a stage (3, N, M) and between global choices
    (D, N, M).
    """
    lengths = np.roll(kernel.length, -3)  # those of global choices first
    scaled = sum(plane / length**2 for plane, length in zip([*between, *inside], lengths))
    return np.exp(-0.5 * scaled)


def stage_genes(space: SearchSpace, s: int, genes: np.ndarray) -> np.ndarray:
    """(N, 1 + 2 * max_depth): the columns of stage `s`."""
    first = space.depth_columns[s]
    return genes[:, first : first + 1 + 2 * space.stages[s].max_depth]


def fit_kernel(
    space: SearchSpace,
    genes: np.ndarray,
    target: np.ndarray,
    rng: np.random.Generator,
    archs: int = 500,
) -> Kernel:
    """Hyperparameters of the largest marginal likelihood, by pattern search.

    It looks at no more than `archs` of the pairs of genes (N, G) and links (N,), drawn by `rng`.
    """
    if len(genes) > archs:
        sample = rng.choice(len(genes), archs, replace=False)
        genes, target = genes[sample], target[sample]
    process = _Process(space, genes, target)
    variance = target.var() + 1e-9
    stages = len(space.stages)
    lengths = np.full(3 + len(process.choice_distances), 3.0)
    best = np.log(np.concatenate([np.full(stages, variance), lengths, [0.1 * variance]]))
    score = process.solve(Kernel.from_log(best, stages))[1]
    step = np.full(len(best), 1.5)
    while step.max() > 0.1:
        for i in range(len(best)):
            for direction in (1, -1):
                trial = best.copy()
                trial[i] += direction * step[i]
                trial_score = process.solve(Kernel.from_log(trial, stages))[1]
                if trial_score < score:
                    best, score = trial, trial_score
                    break
            else:
                step[i] /= 2
    return Kernel.from_log(best, stages)


def fit_separable(
    space: SearchSpace,
    genes: np.ndarray,
    accuracy: np.ndarray,
    *,
    rng: np.random.Generator,
    kernel: Kernel | None = None,
) -> SeparablePredictor:
    """Fit the stage-separable predictor to pairs: genes (N, G) and accuracy (N,) in percent.

    `kernel` is fitted to the pairs unless it is an argument. Raises ValueError for fewer than 10
    pairs, genes of another space, or accuracies that are not one finite percentage per arch.

    >>> from labkit.space.presets import get_space
    >>> from labkit.tables.synthetic_accuracy import synthetic_accuracy
    >>> space, rng = get_space("fmnist"), np.random.default_rng(0)
    >>> genes, unseen = space.sample(rng, 60), space.sample(rng, 100)
    >>> truth = synthetic_accuracy(space, "concave")
    >>> predictor = fit_separable(space, genes, truth(genes), rng=rng)
    >>> print(f"{np.abs(predictor(unseen) - truth(unseen)).max():.2f} points off at most")
    0.08 points off at most
    """
    space.check_genes(genes)
    accuracy = np.asarray(accuracy, dtype=float)
    if np.shape(accuracy) != (len(genes),):
        raise ValueError(
            f"want one accuracy for each of {len(genes)} archs, got shape {np.shape(accuracy)}"
        )
    if len(genes) < 10:
        raise ValueError(f"a predictor needs at least 10 pairs, got {len(genes)}")
    if not (np.isfinite(accuracy).all() and (accuracy >= 0).all() and (accuracy <= 100).all()):
        raise ValueError("accuracies must be percentages between 0 and 100")
    if (accuracy <= 1).all():
        raise ValueError(f"accuracies are at most {accuracy.max():g}: want percentages, not shares")
    target = log_error(accuracy)
    level = target.mean()
    kernel = kernel or fit_kernel(space, genes, target - level, rng)
    process = _Process(space, genes, target - level)
    weights, likelihood = process.solve(kernel)
    if not np.isfinite(likelihood):
        raise ValueError(
            "the predictor's covariance is not positive definite; are there pairs with NaN?"
        )

    choices = np.arange(len(space.global_choices))
    choice_distances = global_distances(space, choices, genes[:, 0])  # (D, R, N)
    base = level + kernel.base * np.array([weights[genes[:, 0] == r].sum() for r in choices])
    terms = []
    for s, part in enumerate(process.parts):
        distances = stage_distances(space, s, space.stage_configs(s), part)
        covariances = (
            kernel.amplitude[s] * _squared_exponential(distances, choice_distances[:, r], kernel)
            for r in choices
        )  # R of (C, N)
        terms.append(np.stack([covariance @ weights for covariance in covariances]))
    return SeparablePredictor(space, base, terms)
