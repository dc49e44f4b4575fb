"""The best arch that also passes a check which is no table, exactly.

A winner that fails is taken out, and with it all archs that differ from it in kernel sizes only.
What is left falls apart into as many parts as there are genes to differ in (Lawler 1972,
doi:10.1287/mnsc.18.7.401): part i agrees with it in the resolution and the stages before i, and has
another depth or expand ratio in stage i. The best of each part is found as ever, and the best of
these is looked at next.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from itertools import count

import numpy as np

from labkit.search.budgets import Budget, InfeasibleBudget
from labkit.search.exact import Optimum, best
from labkit.space import SearchSpace
from labkit.tables.separable import Separable, StageTable

Passes = Callable[[np.ndarray], bool]  # (G,) canonical genes


class _TakenOut(StageTable):
    """1 for an arch with a resolution or stage that is taken out, else 0."""

    combine = np.maximum


def best_passing(
    space: SearchSpace,
    accuracy: Separable,
    limits: Sequence[Budget],
    passes: Passes,
    *,
    failures: int = 10,
) -> Optimum | None:
    """The arch of highest `accuracy` under `limits` for which `passes` holds, exactly; `passes`
    looks at no kernel.

    None where no arch passes, and where more than `failures` fail that are better than any that
    passes: each takes as many searches as there are stages. Raises as `best` does.
    """
    found = best(space, accuracy, limits)
    order = count()  # breaks ties, so that arrays are not compared
    nothing = [np.zeros(n, bool) for n in (len(space.resolutions), *space.stage_sizes)]
    heap = [(-found.value, next(order), found, nothing)]
    for _ in range(failures + 1):
        if not heap:
            return None
        *_, found, out = heapq.heappop(heap)
        if passes(found.genes):
            return found
        genes = found.genes
        alike = [
            np.arange(len(space.resolutions)) == genes[0],
            *(_alike(space, s, genes) for s in range(len(space.stages))),
        ]
        for i, own in enumerate(alike):
            part = [o | ~a for o, a in zip(out[:i], alike)] + [out[i] | own] + out[i + 1 :]
            table = _TakenOut(
                space, part[0], [np.tile(codes, (len(space.resolutions), 1)) for codes in part[1:]]
            )
            try:
                other = best(space, accuracy, [*limits, Budget(table, 0, "what is taken out")])
            except InfeasibleBudget:  # the part is empty
                continue
            heapq.heappush(heap, (-other.value, next(order), other, part))
    return None


def _alike(space: SearchSpace, s: int, genes: np.ndarray) -> np.ndarray:
    """(C_s,) whether a code of stage `s` has the depth and expand ratios of `genes`."""
    configs, column = space.stage_configs(s), space.depth_columns[s]
    own = genes[column : column + configs.shape[1]]
    alike = np.zeros(space.stage_sizes[s], bool)
    alike[space.valid_codes(s)] = (configs[:, 0] == own[0]) & (configs[:, 2::2] == own[2::2]).all(1)
    return alike
