"""The best arch under any number of budgets, with proof: Lagrangian bounds and what they leave.

With a price on each budget's cost, the best arch falls apart into the best configuration of each
stage, and its priced value plus the price of the budgets bounds what any arch within budget can
reach. Good prices make that bound tight. An arch that beats the best one known loses at most the
difference, summed over its stages, against the bound; only few configurations lose so little, and
all their combinations are enumerated. Nothing is left out, so the answer is exact.

Shapes in trailing comments: L additive budgets, S stages, C configurations of a stage, N partial
archs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labkit.search.budgets import Budget, InfeasibleBudget
from labkit.search.dominance import nondominated, undominated
from labkit.search.stage_terms import assemble, is_cap, require_exact
from labkit.search.subproblems import Case, Cases, Weighted
from labkit.space import SearchSpace
from labkit.tables.separable import MaxPlusSum, Separable

PRICE_STEPS = 200  # of the ellipsoid method; each costs one product over all configurations
CHUNK = 1_000_000  # partial archs that are made at a time
FACTORS = (0.25, 0.5, 0.75, 0.9, 1.1, 1.33, 2.0, 4.0)  # how prices are varied for more bounds


@dataclass(frozen=True, eq=False)
class Optimum:
    """The best arch under the budgets, (G,), and its value."""

    genes: np.ndarray
    value: float


def best(space: SearchSpace, accuracy: Separable, limits: Sequence[Budget] = ()) -> Optimum:
    """The arch of highest `accuracy` under `limits` on sums, maxima and `MaxPlusSum`, exactly.

    Raises InfeasibleBudget when none meets them, TypeError for a function that has no such
    structure.
    """
    require_exact(space, accuracy, limits)
    check_feasible(space, limits)
    genes = _maximize(space, accuracy, limits)
    return Optimum(genes, float(accuracy(genes[None])[0]))


# ---- what budgets can be met -------------------------------------------------------------------------


def cheapest(
    space: SearchSpace,
    cost: Separable | MaxPlusSum,
    limits: Sequence[Budget] = (),
    *,
    enough: float = -np.inf,
) -> np.ndarray | None:
    """Genes (G,) of the arch of smallest `cost` under `limits`, or None if none meets them,
    exactly.

    Stops at the first arch found whose cost is at most `enough`.
    """
    if isinstance(cost, MaxPlusSum):
        return _maximize(
            space, Weighted(cost.total, -1.0), limits, less=cost.maximum, enough=-enough
        )
    if cost.combine is np.maximum:
        return _maximize(space, Weighted(cost, 0.0), limits, less=cost, enough=-enough)
    return _maximize(space, Weighted(cost, -1.0), limits, enough=-enough)


def check_feasible(space: SearchSpace, limits: Sequence[Budget]) -> np.ndarray | None:
    """Genes (G,) of an arch that meets all `limits` (None without limits).

    Raises InfeasibleBudget with the smallest achievable value: of a budget that nothing meets even
    alone, else of one that nothing meets together with the others.
    """

    def check(budget: Budget, others: Sequence[Budget]) -> np.ndarray:
        for enough in (
            budget.limit,
            -np.inf,
        ):  # a near miss may be rounding; the smallest of all decides
            arch = cheapest(space, budget.cost, others, enough=enough)
            smallest = float(budget.cost(arch[None])[0])
            if smallest <= budget.limit:
                return arch
        raise InfeasibleBudget(budget, smallest, others)

    arch = None
    smallest = space.encode([space.smallest()])
    if limits and all(budget.cost(smallest)[0] <= budget.limit for budget in limits):
        return smallest[0]  # nothing to prove, which takes longer
    for budget in limits:
        arch = check(budget, ())
    ordered = sorted(limits, key=lambda budget: not is_cap(budget))
    for i in range(1, len(ordered)):
        arch = check(ordered[i], ordered[:i])
    return arch


# ---- the search itself -------------------------------------------------------------------------------


def _maximize(
    space: SearchSpace,
    value: Separable,
    limits: Sequence[Budget],
    less: Separable | None = None,
    enough: float = np.inf,
) -> np.ndarray | None:
    """Genes (G,) of the arch of highest `value` (less the maximum `less`) under limits; None if
    none meets them.

    Stops at the first arch found whose value is at least `enough`.
    """
    cases = Cases(space, value, limits, less)
    rough = [(case.rough_bound, key) for key in cases if (case := cases.make(*key))]
    found, known, bounded, prices = None, -np.inf, [], None
    for rough_bound, key in sorted(rough, key=lambda item: -item[0]):
        if rough_bound <= known or known >= enough:
            break
        case = cases.make(*key)
        bound, prices, picks = _best_prices(case, known, prices)
        if picks is not None and case.value(picks) > known:
            found, known = (case, picks), case.value(picks)
        bounded.append((bound, key, prices))
    for bound, key, prices in sorted(bounded, key=lambda item: -item[0]):
        if known >= enough:
            break
        case = cases.make(*key)
        if bound > known:
            picks, better = _enumerate(case, prices, known)
            if picks is not None:
                found, known = (case, picks), better
    if found is None:
        return None
    case, picks = found
    return assemble(space, np.array([case.r]), [kept[[i]] for kept, i in zip(case.kept, picks)])[0]


def _best_prices(
    case: Case, known: float, guess: np.ndarray | None
) -> tuple[float, np.ndarray, np.ndarray | None]:
    """Lowest bound found, its prices (L,), and the best choices (S,) within budget met on the way,
    if any.

    The bound is a convex function of the prices, piecewise linear; the ellipsoid method minimizes
    it (Grötschel, Lovász and Schrijver, 1988, chapter 3) in units in which every cost spans 1. It
    stops early at a bound that cannot beat the value `known`, at once where the prices `guess` give
    one already.
    """
    if guess is not None and (bound := case.priced(guess)[0]) <= known:
        return bound, guess, None
    limits = len(case.room)
    unit = np.array([sum(np.ptp(costs[i]) for costs in case.costs) or 1.0 for i in range(limits)])
    span = case.span or 1.0
    n = max(
        limits, 2
    )  # the method needs two dimensions; a second price that nothing costs does no harm
    center, shape = np.zeros(n), np.eye(n) * (100 * span) ** 2
    low, best_prices, found = np.inf, np.zeros(limits), None
    for _ in range(PRICE_STEPS):
        slope = np.zeros(n)
        outside = center.min() < 0
        if outside:
            slope[center.argmin()] = -1.0
        else:
            prices = center[:limits] / unit
            bound, picks, _ = case.priced(prices)
            if bound < low:
                low, best_prices = bound, prices
            spent = case.spent(picks)
            if case.meets(spent) and (found is None or case.value(picks) > case.value(found)):
                found = picks
            slope[:limits] = (case.room - spent) / unit
        reach = np.sqrt(max(slope @ shape @ slope, 0.0))
        if (
            reach <= 1e-7 * span * (not outside) or low <= known
        ):  # the bound falls by at most `reach`
            break
        step = shape @ slope / reach
        center = center - step / (n + 1)
        shape = n * n / (n * n - 1) * (shape - 2 / (n + 1) * np.outer(step, step))
    return low, best_prices, found


def _enumerate(case: Case, prices: np.ndarray, known: float) -> tuple[np.ndarray | None, float]:
    """Choices (S,) of the best arch within budget whose value is above `known`, if any, and the
    best value.

    Asks for archs that lose little against the bound first, and for more until there is one.
    """
    bound, _, scores = case.priced(prices)
    most = sum(np.ptp(score) for score in scores)
    allowed = 1e-3 * (
        case.span or most
    )  # values that are all alike have a span of 0, and may still break budgets
    while True:
        floor = max(known, bound - allowed) if allowed < most else known
        picks = _best_above(case, prices, floor)
        if picks is not None:
            return picks, case.value(picks)
        if floor == known:
            return None, known
        allowed *= 4


def _best_above(case: Case, prices: np.ndarray, floor: float) -> np.ndarray | None:
    """Choices (S,) of the best arch within budget, if its value is above `floor`, by enumeration
    stage after stage.

    A partial arch is dropped when a bound on what can become of it is not above the floor. Every
    price gives a bound; prices around the best tell apart partial archs that the best ones do not.
    """
    bounds = [_Bound(case, vector, floor) for vector in _around(prices)]
    value, spent = np.zeros(1), np.zeros((len(case.room), 1))  # (N,), (L, N)
    trail = []
    for s, (values, costs) in enumerate(zip(case.values, case.costs)):
        loss = bounds[0].scores[s].max() - bounds[0].scores[s]  # (C,)
        may_lose = bounds[0].reach(s, value, spent)  # (N,)
        options = np.flatnonzero(loss < may_lose.max())
        if not len(options):
            return None
        options = options[nondominated(np.vstack([-values[options], costs[:, options]]).T)]
        options = options[np.argsort(loss[options], kind="stable")]
        fits = np.searchsorted(loss[options], may_lose)  # (N,) options that each may add
        parts = []
        for rows in np.array_split(np.arange(len(value)), -(-int(fits.sum()) // CHUNK) or 1):
            before = np.repeat(rows, fits[rows])
            added = options[
                np.arange(len(before)) - np.repeat(np.cumsum(fits[rows]) - fits[rows], fits[rows])
            ]
            parts.append(_promising(case, s, bounds, before, added, value, spent))
        before, added = (np.concatenate(part) for part in zip(*parts))
        if len(parts) > 1:
            before, added = _promising(case, s, bounds, before, added, value, spent)
        trail.append((before, added))
        value, spent = value[before] + values[added], spent[:, before] + costs[:, added]
        if not len(value):
            return None
    i = int(value.argmax())
    picks = []
    for before, added in reversed(trail):
        picks.append(added[i])
        i = before[i]
    picks = np.array(picks[::-1])
    return picks if case.value(picks) > floor else None


def _promising(
    case: Case,
    s: int,
    bounds: Sequence[_Bound],
    before: np.ndarray,
    added: np.ndarray,
    value: np.ndarray,
    spent: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Those of the pairs (partial arch, configuration of stage s) that may still become the best."""
    spent = spent[:, before] + case.costs[s][:, added]
    value = value[before] + case.values[s][added]
    if s < len(case.values) - 1:
        within = (spent <= (case.room + case.tolerance - case.least_after[s])[:, None]).all(0)
    else:
        within = case.meets(spent)
    kept = np.flatnonzero(within)
    for bound in bounds:
        kept = kept[bound.reach(s + 1, value[kept], spent[:, kept]) > 0]
    kept = kept[undominated(spent[:, kept], value[kept])]
    return before[kept], added[kept]


class _Bound:
    """What partial archs can reach at given prices, above a floor."""

    def __init__(self, case: Case, prices: np.ndarray, floor: float) -> None:
        _, _, self.scores = case.priced(prices)  # S of (C,)
        tops = np.array([score.max() for score in self.scores])
        self._rest = np.append(
            np.cumsum(tops[::-1])[::-1], 0.0
        )  # (S + 1,) best of stages from s on
        self._prices = prices
        self._start = case.base + prices @ case.room + case.slack(prices) - floor

    def reach(self, s: int, value: np.ndarray, spent: np.ndarray) -> np.ndarray:  # (N,)
        """By how much archs may exceed the floor that start with these partial archs of s stages."""
        return value - self._prices @ spent + (self._start + self._rest[s])


def _around(prices: np.ndarray) -> list[np.ndarray]:
    """The prices, then the same with each one and all of them lower or higher."""
    vectors = [prices]
    for factor in FACTORS:
        vectors.append(prices * factor)
        for i in range(len(prices) if len(prices) > 1 else 0):
            vector = prices.copy()
            vector[i] *= factor
            vectors.append(vector)
    return vectors
