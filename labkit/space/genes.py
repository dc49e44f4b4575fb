"""Genes: many archs at once, as one int8 matrix with a row for each.

The columns are in the order

    global | stage 0: depth, kernel, expand, kernel, expand, ... | stage 1: depth, ... | ...

and a gene is an index into the choices of its column. The global choice is what all stages have in
common: a resolution and a width (`GeneMatrices.global_choices`). Rows are canonical: the kernel and
expand genes of a block that is not there are 0, so one arch has exactly one row, and two archs are
equal when their rows are.

Shapes in trailing comments: N archs, G genes, S stages, B blocks (present or not), R global
choices.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from labkit.space.arch import Arch, Block
from labkit.space.stage import BlockShape, Stage


class GeneMatrices:
    """What a search space does with gene matrices; it has the fields below."""

    name: str
    resolutions: tuple[int, ...]
    widths: tuple[float, ...]
    stages: tuple[Stage, ...]
    blocks: tuple[BlockShape, ...]

    # ---- layout --------------------------------------------------------------------------------

    @cached_property
    def depth_columns(self) -> np.ndarray:  # (S,)
        sizes = [1 + 2 * stage.max_depth for stage in self.stages]
        return 1 + np.cumsum([0, *sizes[:-1]])

    @cached_property
    def kernel_columns(self) -> np.ndarray:  # (B,); the expand gene is in the column after
        return np.array([self.depth_columns[b.stage] + 1 + 2 * b.index for b in self.blocks])

    @cached_property
    def global_choices(self) -> tuple[tuple[int, float], ...]:  # (R,)
        """Every pair of a resolution and a width, all widths of a resolution side by side."""
        return tuple(itertools.product(self.resolutions, self.widths))

    @cached_property
    def choices(self) -> np.ndarray:  # (G,)
        """Number of choices of each gene."""
        counts = [len(self.global_choices)]
        for stage in self.stages:
            block = [len(stage.kernels), len(stage.expands)]
            counts += [len(stage.depths)] + block * stage.max_depth
        return np.array(counts)

    @cached_property
    def num_genes(self) -> int:
        return len(self.choices)

    @cached_property
    def _depth_conditions(self) -> tuple[np.ndarray, np.ndarray]:
        """For each gene the depth column that it depends on, and the least gene there: (G,), (G,).

        Global choice and depths depend on nothing, so any gene will do for them.
        """
        columns = np.zeros(self.num_genes, dtype=np.intp)
        least = np.full(self.num_genes, -1, dtype=np.int8)
        for shape, column in zip(self.blocks, self.kernel_columns):
            depths = self.stages[shape.stage].depths
            columns[column : column + 2] = self.depth_columns[shape.stage]
            least[column : column + 2] = sum(depth <= shape.index for depth in depths)
        return columns, least

    def gene_mask(self, genes: np.ndarray) -> np.ndarray:
        """(N, G) bool: which genes mean something (global, depths, present blocks)."""
        columns, least = self._depth_conditions
        return genes[:, columns] >= least

    def canonical(self, genes: np.ndarray) -> np.ndarray:
        """Set the genes of absent blocks to 0."""
        return genes * self.gene_mask(genes)

    # ---- archs <-> genes -----------------------------------------------------------------------

    def validate(self, arch: Arch) -> None:
        """Raise ValueError, naming the wrong choice, for an arch of another space."""

        def check(what: str, value: float, allowed: tuple[float, ...]) -> None:
            if value not in allowed:
                raise ValueError(
                    f"{what} {value} is not in space {self.name!r}; "
                    f"choose from {', '.join(map(str, allowed))}"
                )

        check("resolution", arch.resolution, self.resolutions)
        check("width", arch.width, self.widths)
        if len(arch.stages) != len(self.stages):
            raise ValueError(
                f"arch has {len(arch.stages)} stages, space {self.name!r} has {len(self.stages)}"
            )
        for s, (blocks, stage) in enumerate(zip(arch.stages, self.stages)):
            check(f"stage {s}: depth", len(blocks), stage.depths)
            for i, (kernel, expand) in enumerate(blocks):
                check(f"stage {s}, block {i}: kernel size", kernel, stage.kernels)
                check(f"stage {s}, block {i}: expand ratio", expand, stage.expands)

    def encode(self, archs: Sequence[Arch]) -> np.ndarray:
        """(N, G) int8 genes of `archs`; raises ValueError for an arch of another space."""
        genes = np.zeros((len(archs), self.num_genes), dtype=np.int8)
        for row, arch in zip(genes, archs):
            self.validate(arch)
            row[0] = self.global_choices.index((arch.resolution, arch.width))
            for blocks, stage, column in zip(arch.stages, self.stages, self.depth_columns):
                row[column] = stage.depths.index(len(blocks))
                for i, (kernel, expand) in enumerate(blocks):
                    row[column + 1 + 2 * i] = stage.kernels.index(kernel)
                    row[column + 2 + 2 * i] = stage.expands.index(expand)
        return genes

    def decode(self, genes: np.ndarray) -> list[Arch]:
        """The archs of a (N, G) gene matrix; raises ValueError for genes out of range."""
        self.check_genes(genes)
        archs = []
        for row in genes.tolist():
            stages = []
            for stage, column in zip(self.stages, self.depth_columns):
                end = column + 1 + 2 * stage.depths[row[column]]
                pairs = zip(row[column + 1 : end : 2], row[column + 2 : end : 2])
                stages.append(tuple(Block(stage.kernels[k], stage.expands[e]) for k, e in pairs))
            resolution, width = self.global_choices[row[0]]
            archs.append(Arch(resolution, tuple(stages), width))
        return archs

    def check_genes(self, genes: np.ndarray) -> None:
        """Raise ValueError unless `genes` is a canonical (N, G) integer matrix of this space."""
        if genes.ndim != 2 or genes.shape[1] != self.num_genes or genes.dtype.kind not in "iu":
            raise ValueError(
                f"genes of {self.name!r} are integers of shape (N, {self.num_genes}), "
                f"got {genes.dtype} of shape {genes.shape}"
            )
        out_of_range = (genes < 0) | (genes >= self.choices)
        if out_of_range.any():
            row, column = np.argwhere(out_of_range)[0]
            raise ValueError(
                f"gene {column} of row {row} is {genes[row, column]}, "
                f"want 0 to {self.choices[column] - 1}"
            )
        if (self.canonical(genes) != genes).any():
            raise ValueError(
                "genes of absent blocks must be 0; pass them through SearchSpace.canonical"
            )

    # ---- drawing and varying -------------------------------------------------------------------

    def sample(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """(n, G) random archs, each choice uniform: global, depths, present blocks.

        As in OFA. It is not uniform over archs, which would put nearly every stage at full depth.
        """
        return self.canonical(self.draw(rng, n))

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """(n, G) uniform genes, absent blocks included: one multiplication for all columns."""
        return (rng.random((n, self.num_genes), dtype=np.float32) * self._scale).astype(np.int8)

    @cached_property
    def _scale(self) -> np.ndarray:
        return self.choices.astype(np.float32)

    def mutate(
        self,
        rng: np.random.Generator,
        genes: np.ndarray,
        *,
        rate: float = 0.1,
        resolution_rate: float = 0.5,
    ) -> np.ndarray:
        """Redraw each stage's depth and each block with probability `rate`: new genes, (N, G).

        Resolution and width have a rate of their own. A block is redrawn as a whole (kernel and
        expand together), as in OFA; a block that a larger depth brings in is always drawn.
        """
        n = len(genes)
        roll = rng.random((n, self.num_genes), dtype=np.float32)
        redraw = roll < rate
        redraw[:, self.kernel_columns + 1] = redraw[:, self.kernel_columns]
        redraw[:, 0] = roll[:, 0] < resolution_rate
        alternatives = self.draw(rng, n)
        absent = ~self.gene_mask(genes)
        mutants = self.canonical(np.where(redraw | absent, alternatives, genes))
        if len(self.widths) > 1:
            mutants[:, 0] = self.redraw_global(rng, genes[:, 0], resolution_rate)
        return mutants

    def redraw_global(
        self, rng: np.random.Generator, choices: np.ndarray, rate: float
    ) -> np.ndarray:  # (N,)
        """Global choices (N,) with the resolution and the width each redrawn by chance."""
        widths, drawn = len(self.widths), rng.integers(len(self.global_choices), size=len(choices))
        redraw = rng.random((2, len(choices))) < rate
        resolution, width = np.where(redraw, np.divmod(drawn, widths), np.divmod(choices, widths))
        return resolution * widths + width
