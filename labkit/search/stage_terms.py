"""Stage-separable functions as exact search sees them: one term for each configuration of a stage.

Every table gives its terms for one global choice after another (the first axis of its arrays):
an input resolution and a width multiplier. Given the global choice, an arch is one configuration
per stage, and stages do not depend on each other.

Shapes in trailing comments: T tables, K global choices, S stages, C configurations of a stage,
P archs, G genes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labkit.search.budgets import Budget
from labkit.search.pareto import nondominated
from labkit.space import SearchSpace
from labkit.tables.separable import MaxPlusSum, Separable, check_tables, is_separable


@dataclass(frozen=True, eq=False)
class StageTerms:
    """What the configurations of each stage add to T tables, at one global choice."""

    global_choice: int
    base: np.ndarray  # (T,)
    stages: list[np.ndarray]  # S of (T, C)
    configs: list[np.ndarray]  # S of (C,) indices into space.stage_configs(s)

    def select(self, indices: Sequence[np.ndarray]) -> StageTerms:
        """Only these configurations: for each stage indices, or a mask (C,)."""
        stages = [stage[:, i] for stage, i in zip(self.stages, indices)]
        configs = [configs[i] for configs, i in zip(self.configs, indices)]
        return StageTerms(self.global_choice, self.base, stages, configs)

    def thinned(self) -> StageTerms:
        """Without the configurations of which another one of their stage is nowhere worse: no less
        in the first table, no more in any other one.

        Swapping that one in never makes an arch worse, so some best arch is still there.
        """
        signs = np.where(np.arange(len(self.base)) == 0, -1, 1)[:, None]
        return self.select([np.sort(nondominated((signs * stage).T)) for stage in self.stages])

    def capped(self, caps: Sequence[float]) -> StageTerms | None:
        """Without the configurations that exceed a cap; None if a stage is left without any.

        The last tables, one for each cap, are maxima over the stages. A maximum is at most its cap
        exactly when all its terms are.
        """
        if not caps:
            return self
        first, limits = len(self.base) - len(caps), np.array(caps, dtype=float)
        if (self.base[first:] > limits).any():
            return None
        within = [(stage[first:] <= limits[:, None]).all(0) for stage in self.stages]
        return self.select(within) if all(mask.any() for mask in within) else None

    def levels(self, i: int) -> np.ndarray:
        """Every value that table `i`, a maximum over the stages, can take, ascending."""
        values = np.unique(np.concatenate([self.base[[i]], *(stage[i] for stage in self.stages)]))
        return values[values >= self.base[i]]


def stage_terms(space: SearchSpace, tables: Sequence[Separable]) -> list[StageTerms]:
    """The terms of all configurations, for each global choice."""
    codes = [space.valid_codes(s) for s in range(len(space.stages))]
    stages = [  # S of (T, K, C)
        np.stack([table.stage_values(s)[:, code] for table in tables])
        for s, code in enumerate(codes)
    ]
    bases = np.stack([table.base for table in tables], axis=1)  # (K, T)
    configs = [np.arange(len(code)) for code in codes]
    return [
        StageTerms(k, base, [stage[:, k] for stage in stages], configs)
        for k, base in enumerate(bases)
    ]


def assemble(space: SearchSpace, choices: np.ndarray) -> np.ndarray:
    """(P, G) genes from choices (P, 1 + S): a global choice, then a configuration of each stage.

    A global choice is the first gene.
    """
    genes = np.empty((len(choices), space.num_genes), dtype=np.int8)
    genes[:, 0] = choices[:, 0]
    for s, column in enumerate(space.depth_columns):
        configs = space.stage_configs(s)
        genes[:, column : column + configs.shape[1]] = configs[choices[:, 1 + s]]
    return genes


def is_cap(budget: Budget) -> bool:
    """Whether a budget limits a maximum, so that it excludes configurations one by one."""
    return isinstance(budget.cost, Separable) and budget.cost.combine is np.maximum


def can_bound(cost: object, space: SearchSpace) -> bool:
    """Whether exact search can take `cost` as a budget: a sum, a maximum, or one plus the other."""
    if isinstance(cost, MaxPlusSum):
        return cost.space == space
    return is_separable(cost, space) and cost.link is None


def require_exact(space: SearchSpace, accuracy: object, limits: Sequence[Budget] = ()) -> None:
    """Raise TypeError, naming what stands in the way, unless exact search can work on these
    functions.

    Raises ValueError for tables of another space.
    """
    check_tables(space, [accuracy, *(budget.cost for budget in limits)])
    if not is_separable(accuracy, space) or accuracy.combine is not np.add:
        raise TypeError(
            f"exact search needs a predictor that adds up over the stages of {space.name!r}, not a "
            f"{type(accuracy).__name__}; evolution and NSGA-II take any function"
        )
    for budget in limits:
        if not can_bound(budget.cost, space):
            raise TypeError(
                "exact search needs costs that are a sum or a maximum over the stages of"
                f" {space.name!r}, {budget.name!r} is a {type(budget.cost).__name__}; evolution"
                " takes any function"
            )
