"""Functions of an arch that consist of one term for each stage: most costs and predictors.

Given the global choice (resolution and width), such a function is a sum (MACs, latency, predicted
accuracy) or a maximum (activation memory) of one term for each stage, and a term may depend on
everything inside its stage. A whole stage is then one table lookup, a population is one matrix
product and one gather, and `labkit.search.exact` can prove which arch is best.

Shapes in trailing comments: T tables, N archs, G genes, S stages, R global choices, C_s codes of
stage s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import TypeGuard

import numpy as np

from labkit.space import SearchSpace

Link = Callable[[np.ndarray], np.ndarray]


class Separable:
    """Base class. A subclass has `space` and `base` (R,), and `stage_values(s)` returns (R, C_s).

    `combine` is what puts the terms together, np.add or np.maximum; `link`, if there is one, is a
    monotone increasing function of the result. Call it on a (N, G) gene matrix, canonical or not.
    """

    space: SearchSpace
    base: np.ndarray
    combine: np.ufunc = np.add
    link: Link | None = None

    def stage_values(self, s: int) -> np.ndarray:
        """(R, C_s): the term of every configuration of stage `s`, by its code.

        Entries of codes that no arch has may be anything.
        """
        raise NotImplementedError

    def rows_of(self, part: SearchSpace) -> list[int]:
        """The rows of the global choices of `part`, which this one's space covers."""
        return list(map(self.space.global_choices.index, part.global_choices))

    @cached_property
    def _flat(self) -> np.ndarray:
        """(sum over s of R * C_s,) the terms of all stages.

        A code of no arch has the term of the arch that it means.
        """
        return np.concatenate(
            [
                self.stage_values(s).take(self.space.canonical_codes(s), axis=1).ravel()
                for s in range(len(self.space.stages))
            ]
        )

    @cached_property
    def _joint(self) -> Joint:
        return Joint((self,))

    def __call__(self, genes: np.ndarray) -> np.ndarray:  # (N,)
        return self._joint(genes)[0]


class StageTable(Separable):
    """A sum of free-form stage terms: base[r] + sum over s of stages[s][r, code], through `link`.

    `stages[s]` is (R, C_s) with C_s = space.stage_sizes[s]; entries of codes that no arch has are
    not read. Raises ValueError for other shapes, or for entries that are read and not finite.
    """

    def __init__(
        self,
        space: SearchSpace,
        base: np.ndarray,
        stages: Sequence[np.ndarray],
        link: Link | None = None,
    ) -> None:
        self.space, self.base, self.link = space, np.asarray(base, dtype=float), link
        self.stages = tuple(np.asarray(values, dtype=float) for values in stages)
        base = (len(space.global_choices),)
        expected = [base + (int(size),) for size in space.stage_sizes]
        shapes = [values.shape for values in self.stages]
        if self.base.shape != base or shapes != expected:
            raise ValueError(
                f"a stage table for {space.name!r} has base {base} and stages {expected}; "
                f"got {self.base.shape} and {shapes}"
            )
        for s, values in enumerate(self.stages):
            if not np.isfinite(values[:, space.valid_codes(s)]).all():
                raise ValueError(
                    f"stage {s} of the table for {space.name!r} misses entries, or they are not"
                    " finite"
                )
        if not np.isfinite(self.base).all():
            raise ValueError(
                f"the base of the table for {space.name!r} has entries that are not finite"
            )

    def part(self, space: SearchSpace) -> StageTable:
        """The table of `space`, which this one's space covers."""
        rows = self.rows_of(space)
        return StageTable(space, self.base[rows], [s[rows] for s in self.stages], self.link)

    def stage_values(self, s: int) -> np.ndarray:
        return self.stages[s]


class Joint:
    """Several separable functions of one space, evaluated together: one index for all of them.

    Calling it on a (N, G) gene matrix returns (T, N), one row for each table. Genes of absent
    blocks are ignored, so the matrix need not be canonical.
    """

    def __init__(self, tables: Sequence[Separable]) -> None:
        space = tables[0].space
        if any(table.space != space for table in tables):
            names = sorted({table.space.name for table in tables})
            raise ValueError(f"tables of different spaces: {', '.join(names)}")
        self._tables = [(table._flat, table.base, table.combine, table.link) for table in tables]
        sizes = len(space.global_choices) * space.stage_sizes
        self._weights = space.stage_weights.T.copy()  # (S, G)
        self._weights[:, 0] = space.stage_sizes  # each global choice has its own row of codes
        self._offsets = (np.cumsum(sizes) - sizes).astype(float)[:, None]  # (S, 1)

    def __call__(self, genes: np.ndarray) -> np.ndarray:  # (T, N)
        index = (self._weights @ genes.T + self._offsets).astype(np.intp)  # (S, N)
        out = np.empty((len(self._tables), len(genes)))
        for row, (flat, base, combine, link) in zip(out, self._tables):
            # Stage after stage, then the base: the order in which exact search adds, so that both
            # round alike. `reduce` would add the stages of a single arch pairwise, so not as it
            # adds those of two.
            terms = flat.take(index)  # (S, N)
            if len(genes) > 1:
                total = combine.reduce(terms, axis=0)
            else:
                total = combine.accumulate(terms, axis=0)[-1]
            combine(total, base.take(genes[:, 0]), out=row)
            if link is not None:
                row[:] = link(row)
        return out


class MaxPlusSum:
    """A maximum over stages plus a sum over stages: what a microcontroller's memory arena takes.

    Not separable itself, but exact search takes it as a budget: for each value t of the maximum,
    the archs whose maximum is at most t and whose sum is at most the limit less t.
    """

    def __init__(self, maximum: Separable, total: Separable) -> None:
        if maximum.combine is not np.maximum or total.combine is not np.add:
            raise ValueError("MaxPlusSum takes a table of maximum type, then an additive one")
        self.space, self.maximum, self.total = maximum.space, maximum, total
        self._joint = Joint((maximum, total))

    def __call__(self, genes: np.ndarray) -> np.ndarray:  # (N,)
        return self._joint(genes).sum(0)

    def floor(self) -> Separable:
        """A maximum over stages that is nowhere above this cost.

        Its terms are what a stage's configuration costs at least, whatever the other stages are, so
        a limit on it takes out only archs that exceed the limit.
        """
        return _Floor(self)


class _Floor(Separable):
    combine = np.maximum

    def __init__(self, cost: MaxPlusSum) -> None:
        self.space, self._cost = cost.space, cost
        codes = list(map(cost.space.valid_codes, range(len(cost.space.stages))))
        peak, self._least = (
            np.array([table.stage_values(s)[:, code].min(1) for s, code in enumerate(codes)])
            for table in (cost.maximum, cost.total)
        )  # (S, R)
        self._peak = np.maximum(peak.max(0), cost.maximum.base)  # (R,)
        self._rest = cost.total.base + self._least.sum(0)
        self.base = self._peak + self._rest

    def stage_values(self, s: int) -> np.ndarray:
        peak = np.maximum(self._cost.maximum.stage_values(s), self._peak[:, None])
        return peak + self._cost.total.stage_values(s) + (self._rest - self._least[s])[:, None]


def lowest(function: Separable) -> float:
    """The smallest value of all archs of an additive or a maximum table, exactly.

    Raises ValueError for one with a link, which need not ascend.
    """
    if function.link is not None:
        raise ValueError("the least of a function with a link is not that of its terms")
    space = function.space
    stages = range(len(space.stages))
    least = [function.stage_values(s)[:, space.valid_codes(s)].min(1) for s in stages]
    return float(function.combine(_one_by_one(function, least), function.base).min())


def highest(function: Separable | MaxPlusSum) -> float:
    """The largest value of all archs, exactly: at one global choice, stages are independent."""
    space = function.space

    def largest(values: Callable[[int], np.ndarray]) -> np.ndarray:  # (S, R)
        stages = range(len(space.stages))
        return np.array([values(s)[:, space.valid_codes(s)].max(1) for s in stages])

    if isinstance(function, MaxPlusSum):
        peak, total = function.maximum, function.total
        terms = largest(total.stage_values)
        # The stage that has the peak gives up some of its share of the sum for it, no other does.
        with_peak = largest(lambda s: peak.stage_values(s) + total.stage_values(s)) - terms
        values = total.base + terms.sum(0) + np.maximum(with_peak.max(0), peak.base)  # (R,)
    else:
        terms = largest(function.stage_values)
        values = function.combine(_one_by_one(function, terms), function.base)
        if function.link is not None:
            values = function.link(values)
    return float(values.max())


def _one_by_one(function: Separable, terms: Sequence[np.ndarray]) -> np.ndarray:  # (S, R) -> (R,)
    """The stages' terms combined in the order in which the function itself does, so that both round
    alike: numpy's own `reduce` may do it in pairs.
    """
    return function.combine.accumulate(terms, axis=0)[-1]


def check_tables(space: SearchSpace, functions: Iterable[object]) -> None:
    """Raise ValueError for a table of another space: its genes may well have the same shape."""
    for function in functions:
        if isinstance(function, (Separable, MaxPlusSum)) and function.space != space:
            raise ValueError(
                f"a table of space {function.space.name!r} says nothing about archs of"
                f" {space.name!r}"
            )


def is_separable(function: object, space: SearchSpace) -> TypeGuard[Separable]:
    return isinstance(function, Separable) and function.space == space
