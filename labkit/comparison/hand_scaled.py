"""Networks as people scale them without a search, to compare what a search finds with.

One design is made once, and then only its input resolution and its width multiplier are turned, as
in MobileNets (arXiv 1704.04861, sections 3.3 and 3.4). Which size to use is decided by MACs alone:
the largest network that fits is taken to be the best.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from labkit.search import Budget
from labkit.space import Arch, Block, SearchSpace, Stage
from labkit.tables.costs import macs_table


def hand_scaled(
    space: SearchSpace,
    kernel: int | None = None,
    expand: int | None = None,
    depth: int | None = None,
) -> list[Arch]:
    """The archs with one kernel size, one expand ratio and one depth, at each global choice.

    What is None is the usual choice: the smallest kernel of the space, and in each stage the middle
    one of its expand ratios and, of the depths that all stages can have, the middle one. Raises
    ValueError for a choice that a stage lacks.

    >>> from labkit.space import get_space
    >>> for arch in hand_scaled(get_space("ofa-mbv3"), depth=2)[:2]:
    ...     print(arch)
    128px k3e4 k3e4 | k3e4 k3e4 | k3e4 k3e4 | k3e4 k3e4 | k3e4 k3e4
    144px k3e4 k3e4 | k3e4 k3e4 | k3e4 k3e4 | k3e4 k3e4 | k3e4 k3e4
    """
    depths = sorted(set.intersection(*(set(stage.depths) for stage in space.stages)))
    if depth is None and not depths:
        raise ValueError(f"the stages of space {space.name!r} have no depth in common")
    depth = _middle(depths) if depth is None else depth

    def block(stage: Stage) -> Block:
        return Block(
            stage.kernels[0] if kernel is None else kernel,
            _middle(stage.expands) if expand is None else expand,
        )

    stages = tuple((block(stage),) * depth for stage in space.stages)
    archs = [Arch(resolution, stages, width) for resolution, width in space.global_choices]
    for arch in archs:
        space.validate(arch)
    return archs


def largest_within(
    space: SearchSpace, archs: Sequence[Arch], limits: Sequence[Budget]
) -> Arch | None:
    """The arch of most MACs among those that meet all `limits`, None where none does."""
    genes = space.encode(archs)
    feasible = np.all([budget.cost(genes) <= budget.limit for budget in limits], axis=0)
    macs = np.where(feasible, macs_table(space)(genes), -1.0)
    return archs[int(macs.argmax())] if macs.max() >= 0 else None


def _middle(values: Sequence[int]) -> int:
    return values[len(values) // 2]
