"""The best arch under any number of budgets, with proof: Lagrangian bounds and what they leave.

With a price on each budget's cost, the best arch falls apart into the best configuration of each stage,
and its priced value plus the price of the budgets bounds what any arch within budget can reach. Good
prices make that bound tight. An arch that beats the best one known loses at most the difference, summed
over its stages, against the bound; only few configurations lose so little, and all their combinations
are enumerated. Nothing is left out, so the answer is exact.

Budgets on a maximum only take configurations out. Where a maximum is part of a sum (`MaxPlusSum`), each
level of it is a case of its own.

Shapes in trailing comments: L additive budgets, S stages, C configurations of a stage, N partial archs.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from labkit.search.fronts import nondominated, undominated
from labkit.search.problem import Budget, InfeasibleBudget
from labkit.search.stages import StageTerms, Terms, assemble, is_cap, require_exact
from labkit.separable import MaxPlusSum, Separable
from labkit.space import SearchSpace

PRICE_STEPS = 200  # of the ellipsoid method; each costs one product over all configurations
ROUNDING = 1e-11  # share of the values' range that counts as rounding, in bounds and sums
CHUNK = 1_000_000  # partial archs that are made at a time
FACTORS = (0.25, 0.5, 0.75, 0.9, 1.1, 1.33, 2.0, 4.0)  # how prices are varied for more bounds


@dataclass(frozen=True, eq=False)
class Optimum:
    """The best arch under the budgets, (G,), and its value."""

    genes: np.ndarray
    value: float


def best(space: SearchSpace, accuracy: Separable, limits: Sequence[Budget] = ()) -> Optimum:
    """The arch of highest `accuracy` under `limits` on sums, maxima and `MaxPlusSum`, exactly.

    Raises InfeasibleBudget when none meets them, TypeError for a function that has no such structure.
    """
    require_exact(space, accuracy, limits)
    check_feasible(space, limits)
    genes = _maximise(space, accuracy, limits)
    return Optimum(genes, float(accuracy(genes[None])[0]))


# ---- what budgets can be met -------------------------------------------------------------------------


def cheapest(space: SearchSpace, cost: Separable | MaxPlusSum, limits: Sequence[Budget] = (), *,
             enough: float = -np.inf) -> np.ndarray | None:
    """Genes (G,) of the arch of smallest `cost` under `limits`, or None if none meets them, exactly.

    Stops at the first arch found whose cost is at most `enough`.
    """
    if isinstance(cost, MaxPlusSum):
        return _maximise(space, Weighted(cost.total, -1.0), limits, less=cost.maximum, enough=-enough)
    if cost.combine is np.maximum:
        return _maximise(space, Weighted(cost, 0.0), limits, less=cost, enough=-enough)
    return _maximise(space, Weighted(cost, -1.0), limits, enough=-enough)


def check_feasible(space: SearchSpace, limits: Sequence[Budget]) -> np.ndarray | None:
    """Genes (G,) of an arch that meets all `limits` (None without limits).

    Raises InfeasibleBudget with the smallest achievable value: of a budget that nothing meets even
    alone, else of one that nothing meets together with the others.
    """
    def check(budget: Budget, others: Sequence[Budget]) -> np.ndarray:
        arch = cheapest(space, budget.cost, others, enough=budget.limit)
        smallest = float(budget.cost(arch[None])[0])
        if smallest > budget.limit:
            raise InfeasibleBudget(budget, smallest, others)
        return arch

    arch = None
    for budget in limits:
        arch = check(budget, ())
    ordered = sorted(limits, key=lambda budget: not is_cap(budget))
    for i in range(1, len(ordered)):
        arch = check(ordered[i], ordered[:i])
    return arch


class Weighted(Separable):
    """A multiple of an additive table; 0 times any table is nothing."""

    def __init__(self, table: Separable, weight: float) -> None:
        self.space, self.base, self._table, self._weight = table.space, weight * table.base, table, weight

    def stage_values(self, s: int) -> np.ndarray:
        return self._weight * self._table.stage_values(s)


# ---- cases: a resolution, and a level for each maximum that is part of a sum ---------------------------


class Case:
    """Values to maximise and, for each budget, costs to keep below a limit, at one resolution.

    `levels` (L,) are what the maxima of the budgets on a `MaxPlusSum` use up of their limits, else 0.
    """

    def __init__(self, terms: Terms, limits: np.ndarray, levels: np.ndarray, less: float) -> None:
        self.r, self.kept, self._limits, self._levels = terms.r, terms.kept, limits, levels
        self.base, self.cost_base = terms.base[0] - less, terms.base[1:]  # (), (L,)
        self.values = [stage[0] for stage in terms.stages]  # S of (C,)
        self.costs = [stage[1:] for stage in terms.stages]  # S of (L, C)
        self.room = limits - levels - self.cost_base  # (L,) what the stages may spend
        least = np.array([costs.min(1) for costs in self.costs])  # (S, L)
        self.least_after = least.sum(0) - np.cumsum(least, axis=0)  # (S, L) what later stages spend at least
        self.span = sum(np.ptp(values) for values in self.values)
        self.slack = ROUNDING * (self.span + abs(self.base))
        self.rough_bound = self.base + sum(values.max() for values in self.values) + self.slack
        self.tolerance = ROUNDING * np.abs(limits)  # `meets` does without it
        self.possible = bool((least.sum(0) <= self.room + self.tolerance).all())

    def priced(self, prices: np.ndarray) -> tuple[float, np.ndarray, list[np.ndarray]]:
        """Bound on the value at these prices (L,), the stages' best choices (S,), and S of (C,) priced values."""
        scores = [values - prices @ costs for values, costs in zip(self.values, self.costs)]
        picks = np.array([score.argmax() for score in scores])
        bound = self.base + prices @ self.room + sum(score[i] for score, i in zip(scores, picks))
        return bound, picks, scores

    def spent(self, picks: np.ndarray) -> np.ndarray:  # (L,)
        return sum(costs[:, i] for costs, i in zip(self.costs, picks))

    def meets(self, spent: np.ndarray) -> np.ndarray:
        """Whether stages that spend this, (L,) or (L, N), meet the budgets: the sum that the cost itself computes."""
        base, levels, limits = (np.expand_dims(v, tuple(range(1, spent.ndim)))
                                for v in (self.cost_base, self._levels, self._limits))
        return (spent + base + levels <= limits).all(0)

    def value(self, picks: np.ndarray) -> float:
        return sum(values[i] for values, i in zip(self.values, picks)) + self.base


class _Cases:
    """All cases of maximising `value`, less the level of the maximum `less`, under budgets."""

    def __init__(self, space: SearchSpace, value: Separable, limits: Sequence[Budget], less: Separable | None) -> None:
        self.space = space
        caps = [budget for budget in limits if is_cap(budget)]
        mixed = [budget for budget in limits if isinstance(budget.cost, MaxPlusSum)]
        sums = [budget for budget in limits if budget not in caps and budget not in mixed]
        self._terms = StageTerms(
            space, [value, *(budget.cost for budget in sums), *(budget.cost.total for budget in mixed)],
            [*(budget.cost for budget in caps), *(budget.cost.maximum for budget in mixed), *([less] if less else [])])
        self._caps = [budget.limit for budget in caps]
        self._sums, self._mixed = (np.array([b.limit for b in group], dtype=float) for group in (sums, mixed))
        self._less = less is not None

    def __iter__(self) -> Iterator[tuple[int, tuple[float, ...]]]:
        """Resolution and levels of the maxima that are part of sums, case by case."""
        for r in range(len(self.space.resolutions)):
            first = len(self._caps)
            sliding = range(first, first + len(self._mixed) + self._less)
            yield from ((r, levels) for levels in itertools.product(*(self._terms.levels(i, r) for i in sliding)))

    def make(self, r: int, levels: tuple[float, ...]) -> Case | None:
        """The case, or None if the budgets plainly exclude all its archs."""
        terms = self._terms.at(r, [*self._caps, *levels])
        if terms is None:
            return None
        limits = np.concatenate([self._sums, self._mixed])
        used = np.concatenate([np.zeros(len(self._sums)), levels[:len(self._mixed)]])
        case = Case(terms, limits, used, levels[-1] if self._less else 0.0)
        return case if case.possible else None


def _maximise(space: SearchSpace, value: Separable, limits: Sequence[Budget], less: Separable | None = None,
              enough: float = np.inf) -> np.ndarray | None:
    """Genes (G,) of the arch of highest `value` (less the maximum `less`) under limits; None if none meets them.

    Stops at the first arch found whose value is at least `enough`.
    """
    cases = _Cases(space, value, limits, less)
    rough = [(case.rough_bound, key) for key in cases if (case := cases.make(*key))]
    found, known, bounded = None, -np.inf, []
    for rough_bound, key in sorted(rough, key=lambda item: -item[0]):
        if rough_bound <= known or known >= enough:
            break
        case = cases.make(*key)
        bound, prices, picks = _best_prices(case, known)
        if picks is not None and case.value(picks) > known:
            found, known = (case, picks), case.value(picks)
        bounded.append((bound, key, prices))
    for bound, key, prices in sorted(bounded, key=lambda item: -item[0]):
        if known >= enough:
            break
        case = cases.make(*key)
        if bound > known + case.slack:
            picks, better = _enumerate(case, prices, known)
            if picks is not None:
                found, known = (case, picks), better
    if found is None:
        return None
    case, picks = found
    return assemble(space, np.array([case.r]), [kept[[i]] for kept, i in zip(case.kept, picks)])[0]


def _best_prices(case: Case, known: float) -> tuple[float, np.ndarray, np.ndarray | None]:
    """Lowest bound found, its prices (L,), and the best choices (S,) within budget met on the way, if any.

    The bound is a convex function of the prices, piecewise linear; the ellipsoid method minimises it
    (Grötschel, Lovász and Schrijver, 1988, chapter 3) in units in which every cost spans 1. It stops
    early at a bound that cannot beat the value `known`.
    """
    limits = len(case.room)
    unit = np.array([sum(np.ptp(costs[i]) for costs in case.costs) or 1.0 for i in range(limits)])
    span = case.span or 1.0
    n = max(limits, 2)  # the method needs two dimensions; a second price that nothing costs does no harm
    centre, shape = np.zeros(n), np.eye(n) * (100 * span) ** 2
    low, best_prices, found = np.inf, np.zeros(limits), None
    for _ in range(PRICE_STEPS):
        slope = np.zeros(n)
        outside = centre.min() < 0
        if outside:
            slope[centre.argmin()] = -1.0
        else:
            prices = centre[:limits] / unit
            bound, picks, _ = case.priced(prices)
            if bound < low:
                low, best_prices = bound, prices
            spent = case.spent(picks)
            if case.meets(spent) and (found is None or case.value(picks) > case.value(found)):
                found = picks
            slope[:limits] = (case.room - spent) / unit
        reach = np.sqrt(max(slope @ shape @ slope, 0.0))
        if reach <= 1e-7 * span * (not outside) or low + case.slack <= known:  # the bound falls by at most `reach`
            break
        step = shape @ slope / reach
        centre = centre - step / (n + 1)
        shape = n * n / (n * n - 1) * (shape - 2 / (n + 1) * np.outer(step, step))
    return low, best_prices, found


def _enumerate(case: Case, prices: np.ndarray, known: float) -> tuple[np.ndarray | None, float]:
    """Choices (S,) of the best arch within budget whose value is above `known`, if any, and the best value.

    Asks for archs that lose little against the bound first, and for more until there is one.
    """
    bound, _, scores = case.priced(prices)
    most = sum(np.ptp(score) for score in scores)
    allowed = 1e-3 * case.span
    while True:
        floor = max(known, bound - allowed) if allowed < most else known
        picks = _best_above(case, prices, floor)
        if picks is not None:
            return picks, case.value(picks)
        if floor == known:
            return None, known
        allowed *= 4


def _best_above(case: Case, prices: np.ndarray, floor: float) -> np.ndarray | None:
    """Choices (S,) of the best arch within budget, if its value is above `floor`, by enumeration stage after stage.

    A partial arch is dropped when a bound on what can become of it is not above the floor. Every price
    gives a bound; prices around the best tell apart partial archs that the best ones do not.
    """
    bounds = [_Bound(case, vector, floor) for vector in _around(prices)]
    value, spent = np.zeros(1), np.zeros((len(case.room), 1))  # (N,), (L, N)
    trail = []
    for s, (values, costs) in enumerate(zip(case.values, case.costs)):
        loss = bounds[0].scores[s].max() - bounds[0].scores[s]  # (C,)
        may_lose = bounds[0].reach(s, value, spent)  # (N,)
        options = np.flatnonzero(loss < may_lose.max())
        options = options[nondominated(np.vstack([-values[options], costs[:, options]]).T)]
        options = options[np.argsort(loss[options], kind="stable")]
        fits = np.searchsorted(loss[options], may_lose)  # (N,) options that each may add
        parts = []
        for rows in np.array_split(np.arange(len(value)), -(-int(fits.sum()) // CHUNK) or 1):
            before = np.repeat(rows, fits[rows])
            added = options[np.arange(len(before)) - np.repeat(np.cumsum(fits[rows]) - fits[rows], fits[rows])]
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


def _promising(case: Case, s: int, bounds: Sequence[_Bound], before: np.ndarray, added: np.ndarray, value: np.ndarray,
               spent: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
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
        self._rest = np.append(np.cumsum(tops[::-1])[::-1], 0.0)  # (S + 1,) best of stages from s on
        self._prices = prices
        self._start = case.base + prices @ case.room + case.slack - floor

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
