"""Recipes: which archs a training step samples, and what they learn from.

A recipe is a value; the loop is the same for all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labkit.space import Arch, SearchSpace
from labkit.train.arch_sampling import SAMPLINGS, uniform_choices
from labkit.train.progressive_shrinking import PROGRESSIVE, Phase, first_steps


@dataclass(frozen=True)
class Recipe:
    """How one training step treats the supernet.

    sandwich: each step trains the largest and the smallest arch, so that all the others lie between
        two trained ones (Yu & Huang, arXiv 1903.05134).
    random_archs: how many archs drawn at random each step trains as well.
    sampling: how these are drawn, a name in `SAMPLINGS`.
    distill: the others learn the largest arch's output on the same batch instead of the labels
        ("in-place distillation", BigNAS, arXiv 2003.11142, section 3.1).
    label_share: the part of their loss that the labels have all the same, without smoothing; the
        teacher has the rest.
    phases: progressive shrinking; each phase says what may be drawn, instead of `random_archs`.
        From the second on, the labels share the loss with a teacher: the network as the first phase
        left it.
    one_arch: every step trains `arch` and nothing else: a subnet on its own.
    """

    name: str
    sandwich: bool
    random_archs: int
    distill: bool
    phases: tuple[Phase, ...] = ()
    one_arch: bool = False
    arch: Arch | None = None
    sampling: str = "choices"
    label_share: float = 0.0

    def __post_init__(self) -> None:
        if self.distill and not self.sandwich:
            raise ValueError(
                f"recipe {self.name!r}: in-place distillation needs the largest arch in every step"
            )

    def archs(
        self, space: SearchSpace, rng: np.random.Generator, phase: Phase | None = None
    ) -> list[Arch]:
        """The archs of one step, the largest first where there is one."""
        if self.arch is not None:
            return [self.arch]
        if phase is not None:
            return uniform_choices(phase.restrict(space), rng, phase.archs)
        ends = [space.largest(), space.smallest()] if self.sandwich else []
        return ends + SAMPLINGS[self.sampling](space, rng, self.random_archs)

    def phase_at(self, step: int, total: int) -> Phase | None:
        """The phase that `step` of `total` belongs to; None for a recipe without phases."""
        current = None
        for phase, first in zip(self.phases, first_steps(self.phases, total)):
            if first <= step:
                current = phase
        return current

    def teacher_from(self, total: int) -> int | None:
        """The step before which the teacher is taken; None for a recipe without one."""
        return first_steps(self.phases, total)[1] if self.phases else None

    def sorted_at(self, total: int) -> int | None:
        """The step before which channels are sorted: the first that may draw narrower blocks."""
        for phase, first in zip(self.phases, first_steps(self.phases, total)):
            if phase.expands > 1:
                return first
        return None


RECIPES = {
    recipe.name: recipe
    for recipe in (
        Recipe("sandwich", sandwich=True, random_archs=1, distill=True),
        Recipe("sandwich-labels", sandwich=True, random_archs=1, distill=False),
        Recipe("single-path", sandwich=False, random_archs=1, distill=False),
        Recipe("progressive", sandwich=False, random_archs=0, distill=False, phases=PROGRESSIVE),
        Recipe("alone", sandwich=False, random_archs=0, distill=False, one_arch=True),
    )
}
