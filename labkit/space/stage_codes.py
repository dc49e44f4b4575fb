"""Stage codes: one number for all that an arch chooses inside a stage.

The genes of a stage are the digits of its code, the depth leading. Genes of absent blocks are
digits too, so some codes belong to no arch; such a code means the arch whose code has zeros there.

Shapes in trailing comments: N archs, G genes, S stages, C configurations of a stage.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from labkit.space.genes import GeneMatrices

# Numbers that a table holds of a stage, one for each configuration at each resolution and width. A
# search has some ten such tables.
MAX_ENTRIES = 2 * 10**7


class StageCodes(GeneMatrices):
    """What a search space does with the codes of its stages."""

    @cached_property
    def stage_sizes(self) -> np.ndarray:  # (S,)
        """Number of codes of each stage, those of no arch included."""
        return np.array([len(s.depths) * s.block_choices**s.max_depth for s in self.stages])

    @cached_property
    def stage_weights(self) -> np.ndarray:  # (G, S) float64
        """`genes @ stage_weights` gives the code of each stage.

        Floats, because BLAS multiplies them; exact up to 2**53.
        """
        weights = np.zeros((self.num_genes, len(self.stages)))
        for s, (stage, column) in enumerate(zip(self.stages, self.depth_columns)):
            unit = 1
            for gene in range(column + 2 * stage.max_depth, column - 1, -1):
                weights[gene, s] = unit
                unit *= int(self.choices[gene])
        return weights

    def stage_codes(self, genes: np.ndarray) -> np.ndarray:
        """(N, S) integer code of each stage's configuration."""
        return (genes @ self.stage_weights).astype(np.intp)

    def stage_configs(self, s: int) -> np.ndarray:
        """(C, 1 + 2 * max_depth) int8: the canonical genes of every configuration of stage `s`."""
        return self._configurations[s][0]

    def valid_codes(self, s: int) -> np.ndarray:
        """(C,) the codes that an arch can have, in the order of `stage_configs`."""
        return self._configurations[s][1]

    @cached_property
    def _configurations(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """Configurations and codes of each stage; read-only, because they are shared.

        Raises ValueError for a stage with so many that no table of them fits into memory.
        """
        by_stage = []
        for s, (stage, column) in enumerate(zip(self.stages, self.depth_columns)):
            count = sum(stage.block_choices**depth for depth in stage.depths)
            most = MAX_ENTRIES // len(self.global_choices)
            if count > most:
                raise ValueError(
                    f"stage {s} of space {self.name!r} has {count:,} configurations; with"
                    f" {len(self.global_choices)} resolutions and widths, tables take at most"
                    f" {most:,} a stage: give it fewer blocks, kernels or expand ratios, or make"
                    " two stages of it"
                )
            canonical = self.canonical_codes(s)
            codes = np.flatnonzero(canonical == np.arange(len(canonical)))
            choices = self.choices[column : column + 1 + 2 * stage.max_depth]
            configs = np.stack(np.unravel_index(codes, choices), axis=1).astype(np.int8)
            configs.flags.writeable = codes.flags.writeable = False
            by_stage.append((configs, codes))
        return tuple(by_stage)

    def canonical_codes(self, s: int) -> np.ndarray:
        """For each code of stage `s` the code of the same arch with canonical genes."""
        stage = self.stages[s]
        codes = np.arange(self.stage_sizes[s])
        depths = np.array(stage.depths)[codes // stage.block_choices**stage.max_depth]
        absent = stage.max_depth - depths
        unit = stage.block_choices**absent  # trailing blocks are the low digits
        return codes // unit * unit
