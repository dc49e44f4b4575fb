"""The best arch under any number of budgets, with proof: Lagrangian bounds and what they leave.

With a price on each budget's cost, the best arch falls apart into the best configuration of each stage,
and its priced value plus the price of the budgets bounds what any arch within budget can reach. Good
prices make that bound tight. An arch that beats the best one known loses at most the difference, summed
over its stages, against the bound; only few configurations lose so little, and all their combinations
are enumerated. Nothing is left out, so the answer is exact.

Shapes in trailing comments: L additive budgets, S stages, C configurations of a stage, N partial archs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labkit.search.problem import Budget, InfeasibleBudget
from labkit.search.stages import Terms, assemble, is_cap, require_separable, terms
from labkit.separable import Separable, StageTable
from labkit.space import SearchSpace

PRICE_STEPS = 200  # of the ellipsoid method; each costs one product over all configurations
ROUNDING = 1e-9  # share of the value range by which bounds are relaxed, to be safe from rounding


@dataclass(frozen=True)
class Optimum:
    """The arch (genes, (G,)) that is best under the budgets, and its value."""

    genes: np.ndarray
    value: float


class _Resolution:
    """What one resolution offers: values to maximise and, for each budget, costs to keep below a limit."""

    def __init__(self, t: Terms, limits: np.ndarray) -> None:
        self.r, self.kept = t.r, t.kept
        self.base = t.base[0]
        self.values = [stage[0] for stage in t.stages]  # S of (C,)
        self.costs = [stage[1:] for stage in t.stages]  # S of (L, C)
        self.limits = limits
        self.room = limits - t.base[1:]  # (L,) what the stages may spend
        self.cost_base = t.base[1:]
        least = np.stack([costs.min(1) for costs in self.costs])  # (S, L)
        self.least_after = np.append(np.cumsum(least[::-1], axis=0)[::-1][1:], np.zeros((1, len(limits))), axis=0)
        self.possible = bool((least.sum(0) <= self.room + ROUNDING * np.abs(limits)).all())
        self.span = sum(np.ptp(values) for values in self.values)

    def priced(self, prices: np.ndarray) -> tuple[float, np.ndarray, list[np.ndarray]]:
        """Bound on the value at these prices, the stages' best choices (S,), and all priced values."""
        scores = [values - prices @ costs for values, costs in zip(self.values, self.costs)]
        picks = np.array([score.argmax() for score in scores])
        bound = self.base + prices @ self.room + sum(score[i] for score, i in zip(scores, picks))
        return bound, picks, scores

    def spent(self, picks: np.ndarray) -> np.ndarray:  # (L,)
        return sum(costs[:, i] for costs, i in zip(self.costs, picks)) + self.cost_base

    def value(self, picks: np.ndarray) -> float:
        return sum(values[i] for values, i in zip(self.values, picks)) + self.base


def best(space: SearchSpace, accuracy: Separable, limits: Sequence[Budget] = ()) -> Optimum:
    """The arch of highest `accuracy` under `limits`, additive or of maximum type, exactly.

    Raises InfeasibleBudget when none meets them, TypeError for a function that is not separable.
    """
    require_separable(space, accuracy, limits)
    check_feasible(space, limits)
    found = _maximise(space, accuracy, limits)
    assert found is not None, "budgets passed the check, so there is an arch within them"
    return Optimum(found, float(accuracy(found[None])[0]))


def _maximise(space: SearchSpace, accuracy: Separable, limits: Sequence[Budget]) -> np.ndarray | None:
    """Genes (G,) of the best arch, or None if no arch meets the limits."""
    caps = [budget for budget in limits if is_cap(budget)]
    sums = [budget for budget in limits if not is_cap(budget)]
    room = np.array([budget.limit for budget in sums])
    incumbent, value = None, -np.inf
    open_ones = []
    for t in terms(space, (accuracy, *(budget.cost for budget in sums)), caps):
        resolution = _Resolution(t, room)
        if not resolution.possible:
            continue
        bound, prices, picks = _best_prices(resolution)
        if picks is not None and resolution.value(picks) > value:
            incumbent, value = (resolution, picks), resolution.value(picks)
        open_ones.append((bound, prices, resolution))
    for _, prices, resolution in sorted(open_ones, key=lambda item: -item[0]):
        picks, better = _enumerate(resolution, prices, value)
        if picks is not None:
            incumbent, value = (resolution, picks), better
    if incumbent is None:
        return None
    resolution, picks = incumbent
    choices = [np.array([kept[i]]) for kept, i in zip(resolution.kept, picks)]
    return assemble(space, np.array([resolution.r]), choices)[0]


def _best_prices(resolution: _Resolution) -> tuple[float, np.ndarray, np.ndarray | None]:
    """Lowest bound found, its prices (L,), and the best arch within budget met on the way.

    The bound is a convex function of the prices, piecewise linear; the ellipsoid method minimises it
    (Grötschel, Lovász and Schrijver, 1988, chapter 3) in units in which every cost spans 1.
    """
    limits = len(resolution.room)
    unit = np.array([sum(np.ptp(costs[i]) for costs in resolution.costs) or 1.0 for i in range(limits)])
    span = resolution.span or 1.0
    n = max(limits, 2)  # the method needs two dimensions; a second price that nothing costs does no harm
    centre, shape = np.zeros(n), np.eye(n) * (100 * span) ** 2
    low, best_prices, found = np.inf, np.zeros(limits), None
    for _ in range(PRICE_STEPS if limits else 1):
        slope = np.zeros(n)
        if (centre < 0).any():
            slope[centre.argmin()] = -1.0
        else:
            prices = centre[:limits] / unit
            bound, picks, _ = resolution.priced(prices)
            if bound < low:
                low, best_prices = bound, prices
            spent = resolution.spent(picks)
            if (spent <= resolution.limits).all() and (
                    found is None or resolution.value(picks) > resolution.value(found)):
                found = picks
            slope[:limits] = (resolution.limits - spent) / unit
            if not slope.any():
                break
        reach = np.sqrt(slope @ shape @ slope)
        if (centre >= 0).all() and reach <= 1e-7 * span:  # the bound cannot fall by more than this
            break
        step = shape @ slope / reach
        centre = centre - step / (n + 1)
        shape = n * n / (n * n - 1) * (shape - 2 / (n + 1) * np.outer(step, step))
    return low, best_prices, found


def _enumerate(resolution: _Resolution, prices: np.ndarray, known: float) -> tuple[np.ndarray | None, float]:
    """Choices (S,) of the best arch within budget whose value is above `known`, and its value, else None.

    First tries archs that lose little against the bound, then, until that includes the best, more.
    """
    bound, _, scores = resolution.priced(prices)
    slack = ROUNDING * (resolution.span + abs(bound))
    if bound + slack <= known:
        return None, known
    losses = [score.max() - score for score in scores]  # S of (C,)
    all_losses = sum(loss.max() for loss in losses)
    allowed = min(bound - known, 1e-3 * resolution.span)
    while True:
        picks, value = _within(resolution, losses, allowed + slack)
        if picks is not None and value > known:
            if bound - value <= allowed:
                return picks, value
            known_here = value
        else:
            known_here = known
            picks = None
        if allowed >= min(bound - known_here, all_losses):
            return (picks, value) if picks is not None else (None, known)
        allowed = bound - known_here if picks is not None else min(4 * allowed, bound - known_here, all_losses)


def _within(resolution: _Resolution, losses: list[np.ndarray], allowed: float) -> tuple[np.ndarray | None, float]:
    """The best arch within budget that loses at most `allowed`, by enumeration stage after stage."""
    lost, value, spent = np.zeros(1), np.zeros(1), np.zeros((len(resolution.room), 1))  # (N,), (N,), (L, N)
    trail = []
    room = resolution.room + ROUNDING * np.abs(resolution.limits)  # the sums themselves are checked at the end
    for loss, values, costs, least in zip(losses, resolution.values, resolution.costs, resolution.least_after):
        order = np.argsort(loss, kind="stable")
        fits = np.searchsorted(loss[order], allowed - lost, side="right")  # (N,) configurations each may add
        before = np.repeat(np.arange(len(lost)), fits)
        added = order[np.arange(len(before)) - np.repeat(np.cumsum(fits) - fits, fits)]
        kept = np.flatnonzero((spent[:, before] + costs[:, added] <= (room - least)[:, None]).all(0))
        before, added = before[kept], added[kept]
        value, spent = value[before] + values[added], spent[:, before] + costs[:, added]
        lost = lost[before] + loss[added]
        undominated = _thin(spent, value)
        value, spent, lost = value[undominated], spent[:, undominated], lost[undominated]
        trail.append((before[undominated], added[undominated]))
    meets = (spent + resolution.cost_base[:, None] <= resolution.limits[:, None]).all(0)
    if not meets.any():
        return None, -np.inf
    i = int(np.where(meets, value, -np.inf).argmax())
    best_value = value[i] + resolution.base
    picks = []
    for before, added in reversed(trail):
        picks.append(added[i])
        i = before[i]
    return np.array(picks[::-1]), best_value


def _thin(costs: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Indices of partial archs (N,), most dominated ones dropped: worse than one of a cheaper cost bucket."""
    if len(value) < 5000 or not len(costs):
        return np.arange(len(value))
    buckets = int(2 ** (20 // len(costs)))  # along each cost
    cell = []
    for cost in costs:
        low, span = cost.min(), np.ptp(cost)
        cell.append(((cost - low) * ((buckets - 1) / span if span else 0.0)).astype(np.intp))
    floor = np.full((buckets + 1,) * len(costs), -np.inf)  # shifted by one: best value of lower cells
    np.maximum.at(floor, tuple(c + 1 for c in cell), value)
    for axis in range(len(costs)):
        np.maximum.accumulate(floor, axis=axis, out=floor)
    return np.flatnonzero(value > floor[tuple(cell)])


# ---- what budgets can be met -------------------------------------------------------------------------


class Negative(Separable):
    """Minus an additive cost, so that maximising finds the smallest."""

    def __init__(self, cost: Separable) -> None:
        self.space, self.base, self._cost = cost.space, -cost.base, cost

    def stage_values(self, s: int) -> np.ndarray:
        return -self._cost.stage_values(s)


def cheapest(space: SearchSpace, cost: Separable, limits: Sequence[Budget] = ()) -> np.ndarray | None:
    """Genes (G,) of the arch of smallest `cost` under `limits`, or None if none meets them, exactly."""
    if cost.combine is np.add:
        return _maximise(space, Negative(cost), limits)
    codes = [space.valid_codes(s) for s in range(len(space.stages))]
    levels = np.unique(np.concatenate([cost.base] + [cost.stage_values(s)[:, c].ravel() for s, c in enumerate(codes)]))
    nothing = StageTable(space, np.zeros_like(cost.base), [np.zeros((len(cost.base), n)) for n in space.stage_sizes])
    found, low, high = None, 0, len(levels)  # levels below `low` cannot be met
    while low < high:
        middle = (low + high) // 2
        arch = _maximise(space, nothing, [*limits, Budget(cost, levels[middle])])
        if arch is None:
            low = middle + 1
        else:
            found, high = arch, middle
    return found


def check_feasible(space: SearchSpace, limits: Sequence[Budget]) -> np.ndarray | None:
    """Genes (G,) of an arch that meets all `limits` (None without limits).

    Raises InfeasibleBudget with the smallest achievable value: of a budget that nothing meets even
    alone, else of one that nothing meets together with the others.
    """
    def check(budget: Budget, others: Sequence[Budget]) -> np.ndarray:
        arch = cheapest(space, budget.cost, others)
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
