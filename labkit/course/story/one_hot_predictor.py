"""A predictor that was fitted to one-hot features, as a table of stages that exact search takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from labkit.space import SearchSpace
from labkit.tables.accuracy_link import log_error
from labkit.tables.accuracy_predictor import SeparablePredictor

OneHot = Callable[..., np.ndarray]  # stages, depths, kernels, expands -> (F,)
Predict = Callable[[np.ndarray], np.ndarray]  # features (N, F + R) -> accuracies (N,), percent


class OneHotFeatures:
    """What a predictor sees of archs: their blocks by `one_hot`, and which of the R pairs of a
    resolution and a width they have.
    """

    def __init__(self, space: SearchSpace, one_hot: OneHot) -> None:
        self.space, self.one_hot = space, one_hot

    def __call__(self, genes: np.ndarray) -> np.ndarray:
        """(N, F + R) features of archs (N, G)."""
        space = self.space
        depths = tuple(stage.max_depth for stage in space.stages)
        kernels, expands = (
            tuple(sorted({choice for stage in space.stages for choice in getattr(stage, name)}))
            for name in ("kernels", "expands")
        )
        blocks = [
            self.one_hot(
                [list(map(tuple, stage)) for stage in arch.stages], depths, kernels, expands
            )
            for arch in space.decode(genes)
        ]
        return np.column_stack([blocks, np.eye(len(space.global_choices))[genes[:, 0]]])

    def table(self, predict: Predict) -> SeparablePredictor:
        """The same predictions as a table, where `predict` is 100 - exp(-link) with a link that is
        a weighted sum of the features.
        """
        base, *stages = (log_error(predict(features)) for features in self._of_parts)
        terms = [np.tile(links - base[0], (len(base), 1)) for links in stages]
        return SeparablePredictor(self.space, base, terms)

    @cached_property
    def _of_parts(self) -> list[np.ndarray]:
        """Features of the smallest arch with each global choice, and with each configuration of
        each stage at the first global choice.
        """
        space, smallest = self.space, self.space.encode([self.space.smallest()])[0]
        smallest[0] = 0
        rows = np.tile(smallest, (len(space.global_choices), 1))
        rows[:, 0] = np.arange(len(rows))
        parts = [self(rows)]
        for s, column in enumerate(space.depth_columns):
            configs = space.stage_configs(s)
            rows = np.tile(smallest, (len(configs), 1))
            rows[:, column : column + configs.shape[1]] = configs
            parts.append(self(rows))
        return parts
