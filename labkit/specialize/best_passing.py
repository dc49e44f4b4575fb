"""The best arch that meets budgets and also passes a check that cannot be written as a table.

The best arch under the budgets is checked. If it fails, it is ruled out, and with it all archs that
differ from it in kernel sizes only, if these do not matter to the check. The remaining space falls
apart into as many parts as the arch has global choices and stages (Lawler 1972,
doi:10.1287/mnsc.18.7.401): the archs of part i agree with it in all choices before the i-th, and
have another depth or expand ratio in the i-th. Each part can be searched exactly, because a table
that is 1 for what is ruled out, with a budget of 0, describes it. The best arch of all parts is the
next one to be checked. Archs that were excluded beforehand, such as those that were measured
already, go the same way, but each of them alone.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from itertools import count
from typing import NamedTuple

import numpy as np

from labkit.search.budgets import Budget, InfeasibleBudget
from labkit.search.exact import best
from labkit.search.scoring import SearchResult
from labkit.space import SearchSpace
from labkit.tables.separable import Separable, StageTable

Check = Callable[[np.ndarray], bool]  # of (G,) canonical genes


class ByKernel(NamedTuple):
    """A check whose answer may change with kernel sizes: what fails it is ruled out alone."""

    passes: Check

    def __call__(self, genes: np.ndarray) -> bool:
        return self.passes(genes)


class TooManyFailures(Exception):
    """More archs failed the check than may, all of them better than any that passes."""


class _ExclusionTable(StageTable):
    """1 for an arch with a global choice or a stage configuration that is ruled out, else 0."""

    combine = np.maximum


def best_passing(
    space: SearchSpace,
    accuracy: Separable,
    limits: Sequence[Budget],
    passes: Check,
    *,
    failures: int = 10,
    excluded: Sequence[np.ndarray] = (),
) -> SearchResult | None:
    """The arch of highest `accuracy` under `limits` for which `passes` holds and that is none of
    `excluded`, canonical genes (G,), exactly.

    `passes` must not depend on kernel sizes unless it is a `ByKernel`. Returns None where no arch
    passes. Each failure, and each excluded arch that is better than the result, takes as many
    searches as an arch has stages, and one more. Raises TooManyFailures where more than `failures`
    archs fail that are better than any that passes, and what `best` raises.
    """
    skipped = {genes.tobytes() for genes in excluded}
    optimum = best(space, accuracy, limits)
    order = count()  # breaks ties, so that results are never compared
    # For the global choice, then each stage: which choices are ruled out.
    ruled_out = [np.zeros(size, bool) for size in (len(accuracy.base), *space.stage_sizes)]
    heap = [(-optimum.accuracy, next(order), optimum, ruled_out)]
    while heap:
        _, _, candidate, ruled_out = heapq.heappop(heap)
        known = candidate.genes.tobytes() in skipped
        if not known and passes(candidate.genes):
            return candidate
        failures -= not known
        if failures < 0:
            raise TooManyFailures
        alone = known or isinstance(passes, ByKernel)
        matching = _choices_of(space, candidate.genes, len(accuracy.base), alone)
        for i, choices in enumerate(matching):
            agree = [out | ~match for out, match in zip(ruled_out[:i], matching)]
            part = [*agree, ruled_out[i] | choices, *ruled_out[i + 1 :]]
            stages = [np.tile(codes, (len(part[0]), 1)) for codes in part[1:]]
            exclusion = Budget(_ExclusionTable(space, part[0], stages), 0, "exclusion")
            try:
                genes = best(space, accuracy, [*limits, exclusion]).genes
            except InfeasibleBudget:  # the part is empty
                continue
            optimum = SearchResult.of(space, genes, accuracy, limits)
            heapq.heappush(heap, (-optimum.accuracy, next(order), optimum, part))
    return None


def _choices_of(
    space: SearchSpace, genes: np.ndarray, global_choices: int, alone: bool
) -> list[np.ndarray]:
    """For the global choice, then each stage: which choices are those of `genes` (G,); where it is
    not `alone`, whatever their kernel sizes.
    """
    matching = [np.arange(global_choices) == genes[0]]
    for s, column in enumerate(space.depth_columns):
        configs = space.stage_configs(s)
        equal = configs == genes[column : column + configs.shape[1]]
        same = equal.all(1) if alone else equal[:, 0] & equal[:, 2::2].all(1)
        codes = np.zeros(space.stage_sizes[s], bool)
        codes[space.valid_codes(s)] = same
        matching.append(codes)
    return matching
