"""Stage-separable functions as exact search sees them: terms of configurations, and genes from them.

Shapes in trailing comments: T tables, P archs, R resolutions, S stages, C configurations of a stage, G genes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from labkit.search.problem import Budget
from labkit.separable import Separable, is_separable
from labkit.space import SearchSpace


class Terms:
    """Stage terms of several tables at one resolution, of the configurations that the caps leave."""

    def __init__(self, r: int, base: np.ndarray, stages: list[np.ndarray], kept: list[np.ndarray]) -> None:
        self.r = r
        self.base = base  # (T,)
        self.stages = stages  # S of (T, C)
        self.kept = kept  # S of (C,) indices into space.stage_configs(s)


def terms(space: SearchSpace, tables: Sequence[Separable], caps: Sequence[Budget] = ()) -> Iterator[Terms]:
    """The terms of `tables`, resolution by resolution, under budgets of maximum type.

    A resolution at which a cap excludes a whole stage is left out.
    """
    codes = [space.valid_codes(s) for s in range(len(space.stages))]
    values = [np.stack([t.stage_values(s)[:, codes[s]] for t in tables]) for s in range(len(codes))]  # (T, R, C)
    within = [np.logical_and.reduce([b.cost.stage_values(s)[:, codes[s]] <= b.limit for b in caps])  # (R, C)
              for s in range(len(codes))] if caps else None
    for r in range(len(space.resolutions)):
        if any(budget.cost.base[r] > budget.limit for budget in caps):
            continue
        kept = [np.flatnonzero(mask[r]) if caps else np.arange(v.shape[2]) for mask, v in zip(within or values, values)]
        if all(map(len, kept)):
            yield Terms(r, np.array([t.base[r] for t in tables]), [v[:, r, k] for v, k in zip(values, kept)], kept)


def assemble(space: SearchSpace, r: np.ndarray, choices: Sequence[np.ndarray]) -> np.ndarray:
    """(P, G) genes from resolution indices (P,) and, for each stage, indices (P,) of its configurations."""
    genes = np.empty((len(r), space.num_genes), dtype=np.int8)
    genes[:, 0] = r
    for s, (column, choice) in enumerate(zip(space.depth_columns, choices)):
        configs = space.stage_configs(s)
        genes[:, column:column + configs.shape[1]] = configs[choice]
    return genes


def is_cap(budget: Budget) -> bool:
    """Whether a budget limits a maximum, so that it excludes configurations one by one."""
    return budget.cost.combine is np.maximum


def require_separable(space: SearchSpace, accuracy: object, limits: Sequence[Budget]) -> None:
    """Raise TypeError, naming what stands in the way, unless exact search can work on these functions."""
    named = [("accuracy predictor", accuracy), *((f"cost {b.name!r}", b.cost) for b in limits)]
    for what, function in named:
        if not is_separable(function, space):
            raise TypeError(f"exact search needs stage-separable functions of {space.name!r}; the {what} is a "
                            f"{type(function).__name__}; use evolution or NSGA-II for it")
    for budget in limits:
        if budget.cost.link is not None:
            raise TypeError(f"cost {budget.name!r} has a link; exact search wants the sum itself as a cost")
