"""Search spaces, architectures, and genes: the vectorized form of an architecture.

A `SearchSpace` says what may vary, an `Arch` is one choice, and a gene matrix is many of them at
once: one int8 row per arch, in the column order

    resolution | stage 0: depth, kernel, expand, kernel, expand, ... | stage 1: depth, ... | ...

where each gene is an index into the choices of its column. Rows are canonical: the kernel and
expand genes of a block that is not there are 0, so one arch has exactly one row, and two archs
are equal when their rows are.

Shapes in trailing comments: N archs, G genes, S stages, B blocks (present or not).
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import numbers
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from labkit.space.arch import Arch, Block

ACTIVATIONS = ("relu", "relu6", "h_swish")
MAX_CONFIGURATIONS = 10**7  # of a stage, in tables that hold a number for each: a gigabyte or two


def make_divisible(value: float, divisor: int = 8) -> int:
    """Round a channel count to a multiple of `divisor`, never losing more than 10 %.

    Source: the MobileNet reference code, which the OFA paper's channel counts follow.
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def block_name(stage: int, index: int) -> str:
    """Name of a block among the modules of a supernet or subnet."""
    return f"stage{stage}_block{index}"


@dataclass(frozen=True)
class Stage:
    """A run of blocks with one output width; the first of them has the stage's stride.

    A stage of depth d runs its first d blocks, as in OFA.
    """

    width: int
    stride: int
    depths: tuple[int, ...]
    kernels: tuple[int, ...] = (3, 5, 7)
    expands: tuple[int, ...] = (3, 4, 6)
    act: str = "h_swish"
    se: bool = False

    def __post_init__(self) -> None:
        for field in ("depths", "kernels", "expands"):
            values = tuple(getattr(self, field))
            object.__setattr__(self, field, values)  # lists will do, but a space is a key of caches
            if not all(map(_whole, values)):
                raise ValueError(f"stage {field} must be whole numbers, got {values}")
            if not values or list(values) != sorted(set(values)) or values[0] < 1:
                raise ValueError(f"stage {field} must be positive and ascending, got {values}")
        if self.expands[0] == 1 != self.expands[-1]:
            raise ValueError(
                "expand ratio 1 means no expansion, which shares no weights with"
                f" {self.expands[1:]}"
            )
        if any(k % 2 == 0 for k in self.kernels):
            raise ValueError(f"kernel sizes must be odd, got {self.kernels}")
        _check_activation("act", self.act)
        if (
            not _whole(self.width)
            or self.width < 1
            or not _whole(self.stride)
            or self.stride not in (1, 2)
        ):
            raise ValueError(
                f"stage width {self.width} and stride {self.stride}: want >= 1 and 1 or 2"
            )

    @property
    def max_depth(self) -> int:
        return self.depths[-1]

    @property
    def block_choices(self) -> int:
        return len(self.kernels) * len(self.expands)


def _whole(value: object) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _check_activation(where: str, name: str) -> None:
    if name not in ACTIVATIONS:
        raise ValueError(f"{where}: unknown activation {name!r}, known: {', '.join(ACTIVATIONS)}")


class BlockShape(NamedTuple):
    """What of a block does not depend on its own kernel and expand ratio."""

    stage: int
    index: int  # position inside the stage
    in_channels: int
    out_channels: int
    stride: int
    act: str
    se: bool = False

    @property
    def name(self) -> str:
        """Its name among the blocks of a supernet or subnet."""
        return block_name(self.stage, self.index)

    @property
    def has_shortcut(self) -> bool:
        return self.stride == 1 and self.in_channels == self.out_channels


@dataclass(frozen=True)
class SearchSpace:
    """A family of MobileNet-style networks: what is fixed, and what may vary.

    stem (3x3 convolution) -> optional fixed block (kernel 3, expand 1) -> elastic stages
    -> optional pointwise `final_width` -> global pooling -> optional `feature_width` -> classifier
    """

    name: str
    resolutions: tuple[int, ...]
    stages: tuple[Stage, ...]
    in_channels: int
    num_classes: int
    stem_width: int
    stem_stride: int = 2
    stem_act: str = "h_swish"
    first_width: int | None = None  # output width of the fixed block after the stem
    first_act: str = "relu"
    final_width: int | None = None
    feature_width: int | None = None
    head_act: str = "h_swish"
    # added to every batch norm's variance; part of the function that weights were trained for
    bn_eps: float = 1e-5

    def __post_init__(self) -> None:
        for field in ("resolutions", "stages"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        if not self.stages:
            raise ValueError(f"space {self.name!r} has no stages")
        ascending = list(self.resolutions) == sorted(set(self.resolutions))
        if (
            not self.resolutions
            or not ascending
            or not all(map(_whole, self.resolutions))
            or self.resolutions[0] < 1
        ):
            raise ValueError(
                f"space {self.name!r}: resolutions must be positive whole numbers and ascending,"
                f" got {self.resolutions}"
            )
        for field in (
            "in_channels",
            "num_classes",
            "stem_width",
            "stem_stride",
            "first_width",
            "final_width",
            "feature_width",
        ):
            value = getattr(self, field)
            if not (
                _whole(value)
                and value >= 1
                or value is None
                and getattr(type(self), field, 0) is None
            ):
                raise ValueError(
                    f"space {self.name!r}: {field} must be a whole number of at least 1, got"
                    f" {value!r}"
                )
        for field in ("stem_act", "first_act", "head_act"):
            _check_activation(f"space {self.name!r}: {field}", getattr(self, field))
        if not (isinstance(self.bn_eps, float) and 0 < self.bn_eps < 1):
            raise ValueError(
                f"space {self.name!r}: bn_eps must be a number between 0 and 1, got {self.bn_eps!r}"
            )
        if self.choices.max() > 127:
            raise ValueError(f"space {self.name!r}: a gene is one int8, at most 127 choices each")

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of everything that this space is.

        What is measured or fitted for a space records it: two spaces of one name, or two versions
        of a space, have different digests.
        """
        content = json.dumps(asdict(self), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()

    # ---- layout of the gene matrix -------------------------------------------------------------

    @cached_property
    def blocks(self) -> tuple[BlockShape, ...]:
        """Every block that may be there, in order of execution."""
        shapes, width = [], self.first_width or self.stem_width
        for s, stage in enumerate(self.stages):
            for i in range(stage.max_depth):
                stride = stage.stride if i == 0 else 1
                shapes.append(BlockShape(s, i, width, stage.width, stride, stage.act, stage.se))
                width = stage.width
        return tuple(shapes)

    @cached_property
    def depth_columns(self) -> np.ndarray:  # (S,)
        sizes = [1 + 2 * stage.max_depth for stage in self.stages]
        return 1 + np.cumsum([0, *sizes[:-1]])

    @cached_property
    def kernel_columns(self) -> np.ndarray:  # (B,); the expand gene is in the column after
        return np.array([self.depth_columns[b.stage] + 1 + 2 * b.index for b in self.blocks])

    @cached_property
    def choices(self) -> np.ndarray:  # (G,)
        """Number of choices of each gene."""
        counts = [len(self.resolutions)]
        for stage in self.stages:
            counts += [len(stage.depths)] + [
                len(stage.kernels),
                len(stage.expands),
            ] * stage.max_depth
        return np.array(counts)

    @cached_property
    def num_genes(self) -> int:
        return len(self.choices)

    @cached_property
    def _present_by_depth(self) -> tuple[np.ndarray, np.ndarray]:
        """For the genes of blocks: depth column that rules each, and the index it must reach."""
        ruler = np.zeros(self.num_genes, dtype=np.intp)
        needed = np.full(self.num_genes, -1, dtype=np.int8)
        for shape, column in zip(self.blocks, self.kernel_columns):
            depths = self.stages[shape.stage].depths
            reach = next(i for i, depth in enumerate(depths) if depth > shape.index)
            ruler[column : column + 2] = self.depth_columns[shape.stage]
            needed[column : column + 2] = reach
        return ruler, needed

    def gene_mask(self, genes: np.ndarray) -> np.ndarray:
        """(N, G) bool: which genes mean something (resolution, depths, present blocks)."""
        ruler, needed = self._present_by_depth
        return genes[:, ruler] >= needed

    def canonical(self, genes: np.ndarray) -> np.ndarray:
        """Set the genes of absent blocks to 0."""
        return genes * self.gene_mask(genes)

    # ---- archs <-> genes -----------------------------------------------------------------------

    def validate(self, arch: Arch) -> None:
        """Raise ValueError, naming the choice and its alternatives, if `arch` is not of this space."""

        def check(what: str, value: int, allowed: tuple[int, ...]) -> None:
            if value not in allowed:
                raise ValueError(
                    f"{what} {value} is not in space {self.name!r}; "
                    f"choose from {', '.join(map(str, allowed))}"
                )

        check("resolution", arch.resolution, self.resolutions)
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
            row[0] = self.resolutions.index(arch.resolution)
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
                depth = stage.depths[row[column]]
                pairs = zip(row[column + 1 :: 2], row[column + 2 :: 2])
                stages.append(
                    tuple(
                        Block(stage.kernels[k], stage.expands[e])
                        for _, (k, e) in zip(range(depth), pairs)
                    )
                )
            archs.append(Arch(self.resolutions[row[0]], tuple(stages)))
        return archs

    def check_genes(self, genes: np.ndarray) -> None:
        """Raise ValueError unless `genes` is a canonical (N, G) integer matrix of this space."""
        if genes.ndim != 2 or genes.shape[1] != self.num_genes or genes.dtype.kind not in "iu":
            raise ValueError(
                f"genes of {self.name!r} are integers of shape (N, {self.num_genes}), "
                f"got {genes.dtype} of shape {genes.shape}"
            )
        bad = (genes < 0) | (genes >= self.choices)
        if bad.any():
            row, column = np.argwhere(bad)[0]
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
        """(n, G) random archs, each choice uniform: resolution, depths, present blocks.

        As in OFA. It is not uniform over archs, which would put nearly every stage at full depth.
        """
        return self.canonical(self.draw(rng, n))

    def draw(self, rng: np.random.Generator, n: int) -> np.ndarray:
        """(n, G) uniform genes, absent blocks included. One multiply instead of one draw per
        column.
        """
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
        """Redraw each stage's depth and each block with probability `rate`, the resolution with its
        own.

        A block is redrawn as a whole (kernel and expand together), as in OFA; a block that a larger
        depth brings in is always drawn. Returns new genes, (N, G).
        """
        n = len(genes)
        roll = rng.random((n, self.num_genes), dtype=np.float32)
        redraw = roll < rate
        redraw[:, self.kernel_columns + 1] = redraw[:, self.kernel_columns]
        redraw[:, 0] = roll[:, 0] < resolution_rate
        fresh = self.draw(rng, n)
        was_there = self.gene_mask(genes)
        return self.canonical(np.where(redraw | ~was_there, fresh, genes))

    def crossover(
        self, rng: np.random.Generator, mothers: np.ndarray, fathers: np.ndarray
    ) -> np.ndarray:
        """Take each gene from either parent with equal chance; returns new genes, (N, G).

        A block that only one parent has comes from that parent: the other's genes for it mean
        nothing.
        """
        from_mother = rng.random(mothers.shape, dtype=np.float32) < 0.5
        from_mother |= ~self.gene_mask(fathers)
        from_mother &= self.gene_mask(mothers)
        return self.canonical(np.where(from_mother, mothers, fathers))

    # ---- counting ------------------------------------------------------------------------------

    def size(self) -> int:
        """Exact number of archs: resolutions x product over stages of the sum over depths."""
        per_stage = (sum(stage.block_choices**d for d in stage.depths) for stage in self.stages)
        return len(self.resolutions) * math.prod(per_stage)

    def enumerate(self) -> Iterator[Arch]:
        """Every arch, one after another. For small spaces: `size()` says how many there are."""

        def stage_choices(stage: Stage) -> list[tuple[Block, ...]]:
            blocks = [Block(k, e) for k in stage.kernels for e in stage.expands]
            return [run for d in stage.depths for run in itertools.product(blocks, repeat=d)]

        for resolution in self.resolutions:
            for stages in itertools.product(*map(stage_choices, self.stages)):
                yield Arch(resolution, stages)

    def smallest(self) -> Arch:
        return self._extreme(0)

    def largest(self) -> Arch:
        return self._extreme(-1)

    def _extreme(self, i: int) -> Arch:
        return Arch(
            self.resolutions[i],
            tuple((Block(s.kernels[i], s.expands[i]),) * s.depths[i] for s in self.stages),
        )

    # ---- stage codes: one number for all that happens inside a stage ----------------------------

    @cached_property
    def stage_sizes(self) -> np.ndarray:  # (S,)
        """Number of codes of each stage, those of no arch included."""
        return np.array([len(s.depths) * s.block_choices**s.max_depth for s in self.stages])

    @cached_property
    def stage_weights(self) -> np.ndarray:  # (G, S) float64
        """`genes @ stage_weights` gives the code of each stage (mixed radix, depth leading).

        Floats, because BLAS multiplies them; exact up to 2**53.
        """
        weights = np.zeros((self.num_genes, len(self.stages)))
        for s, (stage, column) in enumerate(zip(self.stages, self.depth_columns)):
            radix = 1
            for gene in range(column + 2 * stage.max_depth, column - 1, -1):
                weights[gene, s] = radix
                radix *= int(self.choices[gene])
        return weights

    def stage_codes(self, genes: np.ndarray) -> np.ndarray:
        """(N, S) integer code of each stage's configuration."""
        return (genes @ self.stage_weights).astype(np.intp)

    def stage_configs(self, s: int) -> np.ndarray:
        """(C, 1 + 2 * max_depth) int8: the canonical genes of every configuration of stage `s`."""
        return self._stages_enumerated[s][0]

    def valid_codes(self, s: int) -> np.ndarray:
        """(C,) the codes that an arch can have, in the order of `stage_configs`."""
        return self._stages_enumerated[s][1]

    @cached_property
    def _stages_enumerated(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        """Configurations and codes of each stage; read-only, because they are shared.

        Raises ValueError for a stage with so many that no table of them fits into memory.
        """
        enumerated = []
        for s, (stage, column) in enumerate(zip(self.stages, self.depth_columns)):
            count = sum(stage.block_choices**depth for depth in stage.depths)
            if count > MAX_CONFIGURATIONS:
                raise ValueError(
                    f"stage {s} of space {self.name!r} has {count:,} configurations, tables take at"
                    f" most {MAX_CONFIGURATIONS:,} a stage; give it fewer blocks, kernels or expand"
                    " ratios, or make two stages of it"
                )
            options = np.array(
                list(itertools.product(range(len(stage.kernels)), range(len(stage.expands))))
            )
            configs = []
            for i, depth in enumerate(stage.depths):
                index = np.stack(np.meshgrid(*[np.arange(len(options))] * depth, indexing="ij"), -1)
                runs = np.zeros((len(options) ** depth, 1 + 2 * stage.max_depth), dtype=np.int8)
                runs[:, 0] = i
                runs[:, 1 : 1 + 2 * depth] = options[index.reshape(-1, depth)].reshape(
                    -1, 2 * depth
                )
                configs.append(runs)
            configs = np.concatenate(configs)
            codes = (configs @ self.stage_weights[column : column + configs.shape[1], s]).astype(
                np.intp
            )
            configs.flags.writeable = codes.flags.writeable = False
            enumerated.append((configs, codes))
        return tuple(enumerated)

    def canonical_codes(self, s: int) -> np.ndarray:
        """(C_s,) for each code of stage `s` the code of the same arch with canonical genes."""
        stage = self.stages[s]
        codes = np.arange(self.stage_sizes[s])
        absent = (
            stage.max_depth - np.array(stage.depths)[codes // stage.block_choices**stage.max_depth]
        )
        unit = stage.block_choices**absent  # trailing blocks are the low digits
        return codes // unit * unit
