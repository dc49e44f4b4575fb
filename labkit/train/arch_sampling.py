"""How the archs between the largest and the smallest are drawn for a training step."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from labkit.space import Arch, SearchSpace
from labkit.tables.costs import macs_table

POOL = 60_000  # archs to draw from, sorted by MACs
NEIGHBORS = 10  # ranks by which the arch that is drawn may be off, either way


def uniform_choices(space: SearchSpace, rng: np.random.Generator, count: int) -> list[Arch]:
    """Archs each of whose choices is uniform, as in OFA: many of middle size, few at the ends."""
    return space.decode(space.sample(rng, count))


def uniform_log_macs(space: SearchSpace, rng: np.random.Generator, count: int) -> list[Arch]:
    """Archs whose MACs are uniform on a logarithmic scale, from the smallest's to the largest's.

    Where a space spans a factor of hundreds, uniform choices leave its ends untrained: of the space
    `fmnist`, a twentieth of them falls in the lowest third of that scale. An arch is the one of a
    pool of archs with uniform choices that is nearest to the MACs drawn, or one of its neighbors.
    """
    genes, log_macs = _pool(space)
    places = np.searchsorted(log_macs, rng.uniform(log_macs[0], log_macs[-1], count))
    places += rng.integers(-NEIGHBORS, NEIGHBORS + 1, count)
    return space.decode(genes[places.clip(0, len(genes) - 1)])


@lru_cache(maxsize=4)
def _pool(space: SearchSpace) -> tuple[np.ndarray, np.ndarray]:
    """Genes (N, G) of the two ends and of archs with uniform choices, by ascending MACs, and the
    logarithms of these (N,).
    """
    ends = space.encode([space.smallest(), space.largest()])
    genes = np.concatenate([ends, space.sample(np.random.default_rng(0), POOL)])
    log_macs = np.log(macs_table(space)(genes))
    order = np.argsort(log_macs, kind="stable")
    return genes[order], log_macs[order]


Sampling = Callable[[SearchSpace, np.random.Generator, int], list[Arch]]
SAMPLINGS: dict[str, Sampling] = {"choices": uniform_choices, "log-macs": uniform_log_macs}
