"""Random search: what every other search has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from labkit.search.budgets import Budget, GenesFunction, Scorer, SearchResult
from labkit.search.feasible_start import FeasibleStart
from labkit.space import SearchSpace

BATCH = 1000


def random_search(
    space: SearchSpace,
    accuracy: GenesFunction,
    limits: Sequence[Budget] = (),
    *,
    rng: np.random.Generator,
    evaluations: int = 50_100,
) -> SearchResult:
    """The most accurate of `evaluations` random archs that meet all `limits` (as many as `evolve`
    looks at).

    `history` has one entry for each batch of 1,000. Raises InfeasibleBudget as `evolve` does.
    """
    if evaluations < 1:
        raise ValueError(f"evaluations {evaluations}: want at least 1")
    scorer = Scorer(space, accuracy, limits)
    start = FeasibleStart(scorer)
    best, best_score, history = None, -np.inf, []
    for done in range(0, evaluations, BATCH):
        genes = start.draw(rng, min(BATCH, evaluations - done))
        scores = scorer(genes)
        i = int(scores.argmax())
        if scores[i] > best_score:
            best, best_score = genes[i], scores[i]
        history.append(best_score)
    return scorer.result(best, evaluations, history)
