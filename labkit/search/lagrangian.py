"""Lagrangian bounds on what a subproblem's archs can reach, and enumeration of what these leave.

With a price on each cost, whatever the stages spend is paid for and what they leave unspent of the
budgets is paid back, so an arch within budget is never worth less than its value. Its worth is a
sum over stages, and the largest worth is found stage by stage: it bounds the value of all archs
within budget.

Against the bound, every configuration but the best of its stage loses something. An arch whose
value is above a floor loses at most the bound less the floor, summed over its stages: only few
configurations lose so little, and all their combinations are looked at, stage after stage.

Shapes in trailing comments: L additive budgets, S stages, C configurations of a stage, N partial
archs.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from labkit.search.pareto import nondominated, prune_dominated
from labkit.search.subproblems import Subproblem

PRICE_STEPS = 200  # of the ellipsoid method; each costs one product over all configurations
FACTORS = (0.25, 0.5, 0.75, 0.9, 1.1, 1.33, 2.0, 4.0)  # how prices are varied for more bounds
PARTIAL_ARCHS_AT_ONCE = 1_000_000  # partial archs that are made at a time


class PricedBound:
    """An upper bound on the value of a subproblem's archs within budget, from prices (L,) >= 0.

    `value` is the bound, with room for rounding; `picks` (S,) is the arch that is worth so much.
    """

    def __init__(self, subproblem: Subproblem, prices: np.ndarray) -> None:
        self.prices = prices
        self.scores = [
            values - prices @ costs for values, costs in zip(subproblem.values, subproblem.costs)
        ]  # S of (C,)
        self.picks = np.array([score.argmax() for score in self.scores])
        self._tops = [score[i] for score, i in zip(self.scores, self.picks)]
        self._refund = subproblem.base + prices @ subproblem.room + subproblem.slack(prices)
        self.value = self._refund + sum(self._tops)

    def completed(self, s: int, value: np.ndarray, spent: np.ndarray) -> np.ndarray:  # (N,)
        """Bound on the archs that start with these partial archs of `s` stages.

        `value` (N,) and `spent` (L, N) are what those stages add up to.
        """
        return value - self.prices @ spent + (self._refund + sum(self._tops[s:]))


def best_prices(
    subproblem: Subproblem, floor: float, guess: np.ndarray | None
) -> tuple[float, np.ndarray, np.ndarray | None]:
    """The lowest bound that was reached, its prices (L,), and the best picks (S,) within budget
    among those met on the way, or None.

    The bound is a convex function of the prices, piecewise linear; the ellipsoid method minimizes
    it (Grötschel, Lovász and Schrijver, 1988, chapter 3) in units in which every cost spans 1. It
    stops early at a bound that is not above `floor`, at once where the prices `guess` give one.
    """
    if guess is not None:
        bound = PricedBound(subproblem, guess).value
        if bound <= floor:
            return bound, guess, None
    num_limits = len(subproblem.room)
    spans = [sum(np.ptp(costs[i]) for costs in subproblem.costs) for i in range(num_limits)]
    unit = np.array([span or 1.0 for span in spans])
    span = subproblem.span or 1.0
    # The method needs two dimensions; a second price that is charged for nothing does no harm.
    n = max(num_limits, 2)
    center, shape = np.zeros(n), np.eye(n) * (100 * span) ** 2
    lowest, prices_of_lowest, best_picks = np.inf, np.zeros(num_limits), None
    for _ in range(PRICE_STEPS):
        slope = np.zeros(n)
        outside = center.min() < 0
        if outside:  # prices are not negative
            slope[center.argmin()] = -1.0
        else:
            bound = PricedBound(subproblem, center[:num_limits] / unit)
            if bound.value < lowest:
                lowest, prices_of_lowest = bound.value, bound.prices
            spent = subproblem.spent(bound.picks)
            if subproblem.meets(spent):
                value = subproblem.value(bound.picks)
                if best_picks is None or value > subproblem.value(best_picks):
                    best_picks = bound.picks
            slope[:num_limits] = (subproblem.room - spent) / unit
        reach = np.sqrt(max(slope @ shape @ slope, 0.0))  # the bound falls by at most so much
        converged = reach == 0 if outside else reach <= 1e-7 * span
        if converged or lowest <= floor:
            break
        step = shape @ slope / reach
        center = center - step / (n + 1)
        shape = n * n / (n * n - 1) * (shape - 2 / (n + 1) * np.outer(step, step))
    return lowest, prices_of_lowest, best_picks


def enumerate_best(subproblem: Subproblem, prices: np.ndarray, floor: float) -> np.ndarray | None:
    """Picks (S,) of the best arch within budget whose value is above `floor`; None without any.

    Archs that lose little against the bound at `prices` (L,) are looked at first, and more of them
    until one is within budget.
    """
    bound = PricedBound(subproblem, prices)
    largest_loss = sum(np.ptp(score) for score in bound.scores)
    # Values that are all equal have a span of 0, and may still break budgets.
    allowed_loss = 1e-3 * (subproblem.span or largest_loss)
    while allowed_loss < largest_loss and bound.value - allowed_loss > floor:
        picks = _best_above(subproblem, prices, bound.value - allowed_loss)
        if picks is not None:
            return picks
        allowed_loss *= 4
    return _best_above(subproblem, prices, floor)


def _best_above(subproblem: Subproblem, prices: np.ndarray, floor: float) -> np.ndarray | None:
    """Picks (S,) of the best arch within budget if its value is above `floor`, else None.

    A partial arch is dropped when a bound on what can become of it is not above the floor. Any
    prices give a bound; those around the best ones tell partial archs apart that these do not.
    """
    bounds = [PricedBound(subproblem, vector) for vector in _prices_around(prices)]
    # Partial archs: their values (N,), what they spend (L, N), and their picks (N, stages so far).
    value, spent = np.zeros(1), np.zeros((len(subproblem.room), 1))
    picks = np.empty((1, 0), dtype=np.int32)
    for s, (values, costs) in enumerate(zip(subproblem.values, subproblem.costs)):
        score = bounds[0].scores[s]
        loss = score.max() - score  # (C,)
        may_lose = bounds[0].completed(s, value, spent) - floor  # (N,)
        options = np.flatnonzero(loss < may_lose.max(initial=0.0))
        if not len(options):
            return None
        options = options[nondominated(np.vstack([-values[options], costs[:, options]]).T)]
        options = options[np.argsort(loss[options], kind="stable")]
        counts = np.searchsorted(loss[options], may_lose)  # (N,) how many of the first each may add
        chunks = []
        parts = -(-int(counts.sum()) // PARTIAL_ARCHS_AT_ONCE) or 1
        for rows in np.array_split(np.arange(len(value)), parts):
            before = np.repeat(rows, counts[rows])
            first = np.repeat(np.cumsum(counts[rows]) - counts[rows], counts[rows])
            added = options[np.arange(len(before)) - first]
            new_value = value[before] + values[added]
            new_spent = spent[:, before] + costs[:, added]
            ok = _promising(subproblem, s, bounds, floor, new_value, new_spent)
            new_picks = np.column_stack([picks[before[ok]], added[ok]])
            chunks.append((new_value[ok], new_spent[:, ok], new_picks))
        values_by_chunk, spent_by_chunk, picks_by_chunk = zip(*chunks)
        value = np.concatenate(values_by_chunk)
        spent = np.concatenate(spent_by_chunk, axis=1)
        picks = np.concatenate(picks_by_chunk)
        if len(chunks) > 1:
            ok = _promising(subproblem, s, bounds, floor, value, spent)
            value, spent, picks = value[ok], spent[:, ok], picks[ok]
    if not len(value):
        return None
    best = picks[value.argmax()]
    return best if subproblem.value(best) > floor else None


def _promising(
    subproblem: Subproblem,
    s: int,
    bounds: Sequence[PricedBound],
    floor: float,
    value: np.ndarray,
    spent: np.ndarray,
) -> np.ndarray:
    """Indices of the partial archs with a configuration of stage `s` that may still become best."""
    if s == len(subproblem.values) - 1:
        within = subproblem.meets(spent)
    else:
        room = subproblem.room + subproblem.tolerance - subproblem.least_after[s]  # (L,)
        within = (spent <= room[:, None]).all(0)
    rows = np.flatnonzero(within)
    for bound in bounds:
        rows = rows[bound.completed(s + 1, value[rows], spent[:, rows]) > floor]
    return rows[prune_dominated(spent[:, rows], value[rows])]


def _prices_around(prices: np.ndarray) -> list[np.ndarray]:
    """The prices (L,), then the same with all of them, and each one alone, lower or higher."""
    vectors = [prices]
    for factor in FACTORS:
        vectors.append(prices * factor)
        if len(prices) > 1:
            scaled_alone = np.where(np.eye(len(prices), dtype=bool), prices * factor, prices)
            vectors.extend(scaled_alone)
    return vectors
