"""How children come from parents: mutation and crossover of gene matrices.

As in OFA, the genes of absent blocks live on unseen and vary with the others;
`SearchSpace.canonical` takes them out when an arch leaves the search.

Shapes in trailing comments: K parents, n children, G genes.
"""

from __future__ import annotations

import numpy as np

from labkit.space import SearchSpace


class Variation:
    """Mutation and crossover, and how often their children meet the budgets."""

    def __init__(
        self,
        space: SearchSpace,
        rng: np.random.Generator,
        mutation: float,
        resolution_mutation: float,
    ) -> None:
        self.rng, self.accepted = (
            rng,
            np.ones(2),
        )  # shares of mutants and of crossed children, lately
        self._rates = np.full(space.num_genes, mutation, dtype=np.float32)
        self._rates[0] = resolution_mutation
        # A block is redrawn as a whole: its expand gene goes by the roll of its kernel gene.
        self._roll_of = np.arange(space.num_genes)
        self._roll_of[space.kernel_columns + 1] = space.kernel_columns
        # A roll below the rate is uniform below it, so the same number tells what to redraw to.
        self._scale = space.choices / np.maximum(self._rates, np.float32(1e-6))
        self._scale[space.kernel_columns + 1] = space.choices[space.kernel_columns + 1]
        # A hair less, so that no product rounds up to a choice that is not there.
        self._scale = (self._scale * (1 - 2.0**-21)).astype(np.float32)
        self._stage_of = np.searchsorted(
            space.depth_columns, np.arange(space.num_genes), side="right"
        )  # (G,)
        self._num_stages = len(space.stages)

    def mutants(self, parents: np.ndarray, n: int) -> np.ndarray:  # (n, G)
        """Random parents with the resolution, each depth and each block redrawn by chance."""
        roll = self.rng.random((n, len(self._rates)), dtype=np.float32)
        redraw = (roll < self._rates).take(self._roll_of, axis=1)
        return np.where(redraw, (roll * self._scale).astype(np.int8), self._pick(parents, n))

    def crossed(self, parents: np.ndarray, n: int) -> np.ndarray:  # (n, G)
        """Two random parents each, mixed gene by gene or, every other child, stage by stage."""
        from_mother = np.empty((n, len(self._rates)), dtype=bool)
        from_mother[::2] = self.rng.random((n - n // 2, len(self._rates)), dtype=np.float32) < 0.5
        by_stage = self.rng.random((n // 2, 1 + self._num_stages), dtype=np.float32) < 0.5
        from_mother[1::2] = by_stage.take(self._stage_of, axis=1)
        return np.where(from_mother, self._pick(parents, n), self._pick(parents, n))

    def _pick(self, parents: np.ndarray, n: int) -> np.ndarray:
        return parents.take((self.rng.random(n) * len(parents)).astype(np.intp), axis=0)

    def note(self, drawn: np.ndarray, met: np.ndarray) -> None:
        """Remember the share of children that met the budgets, at least a tenth."""
        self.accepted = np.where(
            drawn > 0, np.maximum(met / np.maximum(drawn, 1), 0.1), self.accepted
        )
