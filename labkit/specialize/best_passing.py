"""The best arch that meets budgets and also passes a check that cannot be written as a table.

The best arch under the budgets is checked. If it fails, it is excluded, and with it all archs that
differ from it in kernel sizes only. The remaining space falls apart into as many parts as the arch
has global choices and stages (Lawler 1972, doi:10.1287/mnsc.18.7.401): the archs of part i agree
with it in all choices before the i-th, and have another depth or expand ratio in the i-th. Each
part can be searched exactly, because a table that is 1 for what is excluded, with a budget of 0,
describes it. The best arch of all parts is the next one to be checked.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from itertools import count

import numpy as np

from labkit.search.budgets import Budget, InfeasibleBudget
from labkit.search.exact import best
from labkit.search.scoring import SearchResult
from labkit.space import SearchSpace
from labkit.tables.separable import Separable, StageTable

Check = Callable[[np.ndarray], bool]  # of (G,) canonical genes


class _ExclusionTable(StageTable):
    """1 for an arch with a global choice or a stage configuration that is excluded, else 0."""

    combine = np.maximum


def best_passing(
    space: SearchSpace,
    accuracy: Separable,
    limits: Sequence[Budget],
    passes: Check,
    *,
    failures: int = 10,
) -> SearchResult | None:
    """The arch of highest `accuracy` under `limits` for which `passes` holds, exactly.

    `passes` must not depend on kernel sizes. Returns None where no arch passes, and where more than
    `failures` archs fail that are better than any that passes: each failure takes as many searches
    as an arch has stages, and one more. Raises as `best` does.
    """
    optimum = best(space, accuracy, limits)
    order = count()  # breaks ties, so that results are never compared
    # For the global choice, then each stage: which choices are excluded.
    excluded = [np.zeros(size, bool) for size in (len(accuracy.base), *space.stage_sizes)]
    heap = [(-optimum.accuracy, next(order), optimum, excluded)]
    for _ in range(failures + 1):
        if not heap:
            return None
        _, _, candidate, excluded = heapq.heappop(heap)
        if passes(candidate.genes):
            return candidate
        matching = _choices_of(space, candidate.genes, len(accuracy.base))
        for i, choices in enumerate(matching):
            agree = [out | ~match for out, match in zip(excluded[:i], matching)]
            part = [*agree, excluded[i] | choices, *excluded[i + 1 :]]
            stages = [np.tile(codes, (len(part[0]), 1)) for codes in part[1:]]
            exclusion = Budget(_ExclusionTable(space, part[0], stages), 0, "exclusion")
            try:
                genes = best(space, accuracy, [*limits, exclusion]).genes
            except InfeasibleBudget:  # the part is empty
                continue
            optimum = SearchResult.of(space, genes, accuracy, limits)
            heapq.heappush(heap, (-optimum.accuracy, next(order), optimum, part))
    return None


def _choices_of(space: SearchSpace, genes: np.ndarray, global_choices: int) -> list[np.ndarray]:
    """For the global choice, and for the depth and expand ratios of each stage: which of them are
    those of `genes` (G,).
    """
    matching = [np.arange(global_choices) == genes[0]]
    for s, column in enumerate(space.depth_columns):
        configs = space.stage_configs(s)
        equal = configs == genes[column : column + configs.shape[1]]
        codes = np.zeros(space.stage_sizes[s], bool)
        codes[space.valid_codes(s)] = equal[:, 0] & equal[:, 2::2].all(1)
        matching.append(codes)
    return matching
