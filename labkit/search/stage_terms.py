"""Stage-separable functions as exact search sees them: the terms of configurations, and genes made
of them.

Shapes in trailing comments: T tables, P archs, R resolutions, S stages, C configurations of a
stage, G genes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labkit.search.budgets import Budget
from labkit.search.dominance import nondominated
from labkit.space import SearchSpace
from labkit.tables.separable import MaxPlusSum, Separable, is_separable, require_own


@dataclass(frozen=True, eq=False)
class Terms:
    """Stage terms of several tables at resolution `r`, of the configurations that caps leave."""

    r: int
    base: np.ndarray  # (T,)
    stages: list[np.ndarray]  # S of (T, C)
    kept: list[np.ndarray]  # S of (C,) indices into space.stage_configs(s)


class StageTerms:
    """The terms of `tables`, resolution by resolution, where the maxima `capped` stay below caps.

    A maximum stays below its cap exactly when all its terms do, so a cap takes out configurations.
    With `thin`, so does a configuration of the same stage that is nowhere worse: no less of the
    first table, no more of any other and of what is capped. An arch is then never better for having
    the one that was taken out.
    """

    def __init__(
        self,
        space: SearchSpace,
        tables: Sequence[Separable],
        capped: Sequence[Separable] = (),
        *,
        thin: bool = False,
    ) -> None:
        self._tables, self._capped, self._thin = tables, capped, thin
        self._options: dict[int, list[np.ndarray]] = {}
        codes = [space.valid_codes(s) for s in range(len(space.stages))]
        self._values, self._levels = (  # S of T of (R, C)
            [[table.stage_values(s)[:, code] for table in group] for s, code in enumerate(codes)]
            for group in (tables, capped)
        )

    def levels(self, i: int, r: int) -> np.ndarray:
        """Every value that the maximum `capped[i]` takes at resolution `r`, ascending."""
        base = self._capped[i].base[r]
        values = np.unique(np.concatenate([[base], *(levels[i][r] for levels in self._levels)]))
        return values[values >= base]

    def at(self, r: int, caps: Sequence[float] = ()) -> Terms | None:
        """The terms at resolution `r`, or None if the caps (one for each of `capped`) exclude a
        whole stage.
        """
        if any(table.base[r] > cap for table, cap in zip(self._capped, caps)):
            return None
        kept = []
        for options, levels in zip(self._options_at(r), self._levels):
            for level, cap in zip(levels, caps):
                options = options[level[r].take(options) <= cap]
            if not len(options):
                return None
            kept.append(options)
        stages = [np.stack([v[r].take(k) for v in values]) for values, k in zip(self._values, kept)]
        return Terms(r, np.array([table.base[r] for table in self._tables]), stages, kept)

    def _options_at(self, r: int) -> list[np.ndarray]:
        """S of (C,): the configurations to choose from at resolution `r` before caps."""
        if r not in self._options:
            self._options[r] = [
                (
                    undominated_rows(
                        np.stack([-values[0][r], *(v[r] for v in [*values[1:], *levels])])
                    )
                    if self._thin
                    else np.arange(values[0].shape[1])
                )
                for values, levels in zip(self._values, self._levels)
            ]
        return self._options[r]


def undominated_rows(costs: np.ndarray) -> np.ndarray:
    """Ascending indices of the points with costs (M, N), all minimized, that no other dominates;
    copies count once.

    A few points that are good on the whole take out nearly all others before these are compared in
    pairs.
    """
    span = np.ptp(costs, axis=1)
    weights = (1 + 4 * np.vstack([np.zeros(len(costs)), np.eye(len(costs))])) / np.where(
        span > 0, span, 1
    )
    rest = np.arange(costs.shape[1])
    for i in np.unique((weights @ costs).argmin(1)):
        covered = (costs[:, i, None] <= costs[:, rest]).all(0)
        rest = np.append(rest[~covered], i)
    return np.sort(rest[nondominated(costs[:, rest].T)])


def assemble(space: SearchSpace, r: np.ndarray, choices: Sequence[np.ndarray]) -> np.ndarray:
    """(P, G) genes from resolution indices (P,) and, for each stage, indices (P,) of its
    configurations.
    """
    genes = np.empty((len(r), space.num_genes), dtype=np.int8)
    genes[:, 0] = r
    for s, (column, choice) in enumerate(zip(space.depth_columns, choices)):
        configs = space.stage_configs(s)
        genes[:, column : column + configs.shape[1]] = configs[choice]
    return genes


def is_cap(budget: Budget) -> bool:
    """Whether a budget limits a maximum, so that it excludes configurations one by one."""
    return isinstance(budget.cost, Separable) and budget.cost.combine is np.maximum


def can_bound(cost: object, space: SearchSpace) -> bool:
    """Whether exact search can take `cost` as a budget: a sum, a maximum, or one plus the other."""
    return (
        is_separable(cost, space)
        and cost.link is None
        or isinstance(cost, MaxPlusSum)
        and cost.space == space
    )


def require_exact(space: SearchSpace, accuracy: object, limits: Sequence[Budget] = ()) -> None:
    """Raise TypeError, naming what stands in the way, unless exact search can work on these
    functions.

    Raises ValueError for tables of another space.
    """
    require_own(space, [accuracy, *(budget.cost for budget in limits)])
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
