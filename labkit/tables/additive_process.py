"""An additive Gaussian process over archs: what is believed about a function of genes before any
of its values is known.

The function is a level for each global choice plus one term for each stage. Its covariance is

    k(a, b) = g(a, b) * (amplitude_0 + sum_s amplitude_s * exp(-d_s(a, b)^2 / 2)),
    g(a, b) = exp(-d_0(a, b)^2 / 2),

where d_s is the distance between what archs a and b do in stage s, d_0 that between their global
choices (resolution and width). The posterior of such a process is one too (Duvenaud, Nickisch &
Rasmussen, "Additive Gaussian Processes", arXiv 1112.4394): its mean, and every function drawn from
it, is again a sum over stages, so exact search can take the stages apart.

Every distance is Euclidean over coordinates of few values each, so the covariance of all
configurations of a stage is a Kronecker product of small matrices. Tables of all configurations are
therefore computed axis by axis, without the large matrix.

Shapes in trailing comments: N archs, M other archs, G genes, S stages, R global choices, C
configurations of a stage, A coordinates of a part (the global choice, or a stage).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from labkit.space import SearchSpace

LENGTH_FIELDS = ("resolution", "width", "depth", "kernel", "expand")
LEAST_NOISE = 1e-4  # that `fit_kernel` assumes: without any, covariances cannot be inverted
Terms = tuple[np.ndarray, list[np.ndarray]]  # levels (R,), and S terms (R, C) in `stage_configs`


@dataclass(frozen=True)
class Kernel:
    """Hyperparameters of the process, and of how measured values scatter around it; all but `level`
    are positive.
    """

    amplitude: np.ndarray  # (1 + S,) prior variance of the level, then of each stage's term
    length: np.ndarray  # (5,) length scales of LENGTH_FIELDS, in steps from choice to choice
    noise: float  # variance around the sum over stages, as a multiple of what `fit_kernel` is told
    level: float = 0.0  # prior mean

    @classmethod
    def of_vector(cls, values: np.ndarray, stages: int) -> Kernel:
        """The inverse of `vector`. Raises ValueError for values that no kernel can have."""
        expected = 1 + stages + len(LENGTH_FIELDS) + 2
        if values.shape != (expected,) or values.dtype.kind != "f":
            raise ValueError(
                f"a kernel of {stages} stages takes {expected} real numbers, got {values.dtype} of"
                f" shape {values.shape}"
            )
        if not np.isfinite(values).all() or (values[:-1] <= 0).any():
            raise ValueError(f"hyperparameters must be finite and positive, got {values.tolist()}")
        noise, level = values[-2:].tolist()
        return cls(values[: 1 + stages], values[1 + stages : -2], noise, level)

    def vector(self) -> np.ndarray:
        """(1 + S + 5 + 2,) all hyperparameters in their order."""
        return np.concatenate([self.amplitude, self.length, [self.noise, self.level]])

    def lengths(self, coordinates: int, part: int) -> np.ndarray:  # (A,)
        """The length scale of each coordinate of the global choice (`part` 0) or of a stage."""
        fields = [0, 1] if part == 0 else [2, *[3, 4] * (coordinates // 2)]
        return self.length[fields]


def coordinates(space: SearchSpace, genes: np.ndarray) -> list[np.ndarray]:
    """(N, A) of the global choice, then of each stage, for genes (N, G), canonical or not.

    The global choice has the indices of its resolution and width. A stage has its depth, then the
    indices of the kernel size and expand ratio of each block, counted from the middle choice. An
    absent block counts as one of middle choices: only the depth tells whether it is present.
    """
    parts = [np.stack(np.divmod(genes[:, 0].astype(float), len(space.widths)), axis=1)]
    for s, column in enumerate(space.depth_columns):
        parts.append(_stage_coordinates(space, s, genes[:, column:]))
    return parts


def _stage_coordinates(space: SearchSpace, s: int, genes: np.ndarray) -> np.ndarray:  # (N, A)
    """Of genes (N, 1 + 2 * max_depth or more) that begin with the depth of stage `s`."""
    stage = space.stages[s]
    depth = np.array(stage.depths, dtype=float)[genes[:, 0]]
    middle = np.tile([len(stage.kernels) - 1, len(stage.expands) - 1], stage.max_depth) / 2
    present = np.arange(stage.max_depth).repeat(2) < depth[:, None]
    blocks = genes[:, 1 : 1 + 2 * stage.max_depth] - middle
    return np.column_stack([depth, np.where(present, blocks, 0.0)])


def _squared_exponential(a: np.ndarray, b: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """(N, M) exp(-d^2 / 2) of points (N, A) and (M, A), whose coordinates have these lengths."""
    a, b = a / lengths, b / lengths
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return np.exp(-0.5 * np.maximum(squares, 0))


def covariance(
    kernel: Kernel, parts: Sequence[np.ndarray], other_parts: Sequence[np.ndarray]
) -> np.ndarray:
    """(N, M) prior covariance of archs with these `coordinates`."""
    scaled = (
        _squared_exponential(a, b, kernel.lengths(a.shape[1], part))
        for part, (a, b) in enumerate(zip(parts, other_parts))
    )
    between = next(scaled)
    total = kernel.amplitude[0]
    for amplitude, inside in zip(kernel.amplitude[1:], scaled):
        total = total + amplitude * inside
    return between * total


class StageGrids:
    """Functions of the process as tables of all global choices and stage configurations."""

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        choices = [np.arange(float(len(space.resolutions))), np.arange(float(len(space.widths)))]
        self._axes = [choices]  # for each part the values of each of its coordinates
        for stage in space.stages:
            block = [
                np.union1d(np.arange(len(options)) - (len(options) - 1) / 2, [0.0])
                for options in (stage.kernels, stage.expands)
            ]
            depths = np.array(stage.depths, dtype=float)
            self._axes.append([*choices, depths, *block * stage.max_depth])
        self._configs = [
            self._inside(1 + s, _stage_coordinates(space, s, space.stage_configs(s)))
            for s in range(len(space.stages))
        ]

    def _inside(self, part: int, points: np.ndarray) -> np.ndarray:  # (N,)
        """The index of each point (N, A) in the grid of a stage, at its first global choice."""
        axes = self._axes[part][2:]
        digits = [axis.searchsorted(column) for axis, column in zip(axes, points.T)]
        return np.ravel_multi_index(digits, [len(axis) for axis in axes])

    def covariances_with(self, kernel: Kernel, genes: np.ndarray, weights: np.ndarray) -> Terms:
        """The sum of the prior covariances with archs (N, G), each times its weight (N,)."""
        parts = coordinates(self.space, genes)

        def weights_on_grid(part: int, shape: tuple[int, ...]) -> np.ndarray:
            inside = self._inside(part, parts[part]) if part else 0
            index = genes[:, 0].astype(np.intp) * math.prod(shape[2:]) + inside
            return np.bincount(index, weights, math.prod(shape)).reshape(shape)

        return self._tables(kernel, lambda matrix: matrix, weights_on_grid, 1.0)

    def draw(self, kernel: Kernel, rng: np.random.Generator) -> Terms:
        """A function drawn from the prior, less its mean."""
        return self._tables(kernel, _root, lambda part, shape: rng.standard_normal(shape), 0.5)

    def _tables(
        self,
        kernel: Kernel,
        factor: Callable[[np.ndarray], np.ndarray],
        start: Callable[[int, tuple[int, ...]], np.ndarray],
        power: float,
    ) -> Terms:
        """Each part's grid `start(part, shape)`, times `factor` of the covariance along each axis,
        times the part's amplitude to the `power`.
        """
        tables = []
        for part, axes in enumerate(self._axes):
            grid = start(part, tuple(map(len, axes)))
            lengths = kernel.lengths(2, 0)
            if part:
                lengths = np.concatenate([lengths, kernel.lengths(len(axes) - 2, part)])
            for i, (values, length) in enumerate(zip(axes, lengths)):
                points = values[:, None]
                matrix = factor(_squared_exponential(points, points, length))
                grid = np.moveaxis(np.tensordot(matrix, grid, axes=(1, i)), 0, i)
            tables.append(
                kernel.amplitude[part] ** power * grid.reshape(len(axes[0]) * len(axes[1]), -1)
            )
        levels, *stages = tables
        return levels[:, 0], [table[:, index] for table, index in zip(stages, self._configs)]


def _root(matrix: np.ndarray) -> np.ndarray:
    """The symmetric square root of a covariance, which may be singular but for rounding."""
    values, vectors = np.linalg.eigh(matrix)
    return vectors * np.sqrt(np.maximum(values, 0)) @ vectors.T


def fit_kernel(
    space: SearchSpace,
    genes: np.ndarray,
    target: np.ndarray,
    scatter: np.ndarray,
    rng: np.random.Generator,
    archs: int = 500,
) -> Kernel:
    """Hyperparameters of the largest marginal likelihood, by pattern search.

    `target` (N,) are measured values of archs (N, G), `scatter` (N,) the variances to which their
    noise is proportional. Looks at no more than `archs` of them, drawn by `rng`.
    """
    level = float(target.mean())
    if len(genes) > archs:
        sample = rng.choice(len(genes), archs, replace=False)
        genes, target, scatter = genes[sample], target[sample], scatter[sample]
    parts, target = coordinates(space, genes), target - level

    def kernel_of(logarithms: np.ndarray) -> Kernel:
        values = np.append(np.exp(logarithms), level)
        values[-2] = max(values[-2], LEAST_NOISE)
        return Kernel.of_vector(values, len(space.stages))

    def misfit(logarithms: np.ndarray) -> float:
        """Negative log marginal likelihood, up to a constant."""
        kernel = kernel_of(logarithms)
        total = covariance(kernel, parts, parts)
        total[np.diag_indices_from(total)] += kernel.noise * scatter
        try:
            factor = np.linalg.cholesky(total)
        except np.linalg.LinAlgError:
            return np.inf
        half = np.linalg.solve(factor, target)
        return 0.5 * half @ half + np.log(np.diag(factor)).sum()

    variance = target.var() + 1e-9
    start = [[variance] * len(parts), [3.0] * len(LENGTH_FIELDS), [0.1 * variance / scatter.mean()]]
    best = np.log(np.concatenate(start))
    score, step = misfit(best), np.full(len(best), 1.5)
    while step.max() > 0.1:
        for i in range(len(best)):
            for direction in (1, -1):
                trial = best.copy()
                trial[i] += direction * step[i]
                trial_score = misfit(trial)
                if trial_score < score:
                    best, score = trial, trial_score
                    break
            else:
                step[i] /= 2
    return kernel_of(best)
