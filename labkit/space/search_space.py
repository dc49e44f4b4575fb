"""Search spaces: what is fixed in a family of networks, and what may vary.

An `Arch` is one choice. Gene matrices (`labkit.space.genes`) hold many archs at once, stage codes
(`labkit.space.stage_codes`) number what an arch can choose inside a stage.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property, lru_cache

from labkit.space.arch import Arch, Block
from labkit.space.operators import make_divisible
from labkit.space.stage import (
    LARGEST,
    BlockShape,
    Stage,
    check_activation,
    is_ascending,
    is_positive,
    is_whole,
    store_as,
)
from labkit.space.stage_codes import StageCodes

# Fields that are whole numbers, and those that may be None as well.
WHOLE = ("in_channels", "num_classes", "stem_width", "stem_stride", "divisor")
WHOLE_OR_NONE = ("first_width", "final_width", "feature_width")


@dataclass(frozen=True)
class SearchSpace(StageCodes):
    """A family of MobileNet-style networks: what is fixed, and what may vary.

    stem (3x3 convolution) -> optional fixed block (kernel 3, expand 1) -> elastic stages
    -> optional pointwise `final_width` -> global pooling -> optional `feature_width` -> classifier

    Channel numbers are those of width 1. An arch of width w has w times as many everywhere, rounded
    to multiples of `divisor` (`at`), except for the bottlenecks of squeeze-excite units, which are
    multiples of 8. `labkit.space.network` has the operators. Raises ValueError, naming the field,
    for values that no network can have.
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
    widths: tuple[float, ...] = (1.0,)  # multipliers of all channel numbers but those of images
    divisor: int = 8  # what channel numbers are multiples of, where a width scales them

    def __post_init__(self) -> None:
        for field in ("resolutions", "stages", "widths"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        if not self.stages:
            raise ValueError(f"space {self.name!r} has no stages")
        for field in ("stem_act", "first_act", "head_act"):
            check_activation(f"space {self.name!r}: {field}", getattr(self, field))
        for problem in self._problems():
            raise ValueError(f"space {self.name!r}: {problem}")
        store_as(self, int, "resolutions", *WHOLE, *WHOLE_OR_NONE)
        store_as(self, float, "widths")

    def _problems(self) -> Iterator[str]:
        """What is wrong with the values; each takes those before it to be right."""
        if not all(map(is_whole, self.resolutions)) or not is_ascending(self.resolutions):
            expected = f"resolutions must be whole numbers from 1 to {LARGEST:,} and ascending"
            yield f"{expected}, got {self.resolutions}"
        for field in (*WHOLE, *WHOLE_OR_NONE):
            value = getattr(self, field)
            if not is_positive(value) and not (value is None and field in WHOLE_OR_NONE):
                yield f"{field} must be a whole number from 1 to {LARGEST:,}, got {value!r}"
        if not (isinstance(self.bn_eps, float) and 0 < self.bn_eps < 1):
            yield f"bn_eps must be a number between 0 and 1, got {self.bn_eps!r}"
        if not is_ascending(self.widths, least=0.01, most=100):
            yield f"widths must be between 0.01 and 100 and ascending, got {self.widths}"
        if self.choices.max() > 127:
            yield "a gene is one int8, at most 127 choices each"
        # A narrow network is made of the first channels of the widest one.
        for narrow, wide in itertools.pairwise(self.widths):
            for (field, channels), (_, more) in zip(self._channels(narrow), self._channels(wide)):
                if channels > more:
                    yield (
                        f"{field} is {channels} at width {narrow:g} and {more} at {wide:g}, because"
                        f" scaled channels are rounded to multiples of {self.divisor} (divisor);"
                        " make it such a multiple, or the divisor smaller"
                    )
        for width in self.widths:
            if self.at(width)._shortcuts() != self.at(self.widths[-1])._shortcuts():
                yield (
                    f"other blocks have a shortcut at width {width:g} than at"
                    f" {self.widths[-1]:g}: numbers of channels that differ at one must differ at"
                    " the other; change widths, divisor or the channels"
                )

    def _channels(self, width: float) -> Iterator[tuple[str, int]]:
        """The numbers of channels that a width scales, by field."""
        scaled = self.at(width)
        for field in ("stem_width", "first_width", "final_width", "feature_width"):
            if getattr(scaled, field) is not None:
                yield field, getattr(scaled, field)
        for s, stage in enumerate(scaled.stages):
            yield f"the width of stage {s}", stage.width

    def _shortcuts(self) -> list[bool]:
        blocks = [*filter(None, [self.fixed_block]), *self.blocks]
        return [block.has_shortcut for block in blocks]

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of everything that this space is.

        What is measured or fitted for a space records it: two spaces of one name, or two versions
        of a space, have different digests.
        """
        # These fields came later: spaces that do not use them keep the digests in recorded files.
        later = ("widths", (1.0,)), ("divisor", 8)
        content = dict(item for item in asdict(self).items() if item not in later)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()

    def at(self, width: float) -> SearchSpace:
        """The space of the archs of one width: channel numbers times `width`, and no other width.

        >>> from labkit.space import get_space
        >>> get_space("ofa-mbv3").at(0.5).stages[3].width
        56
        """
        return _scaled(self, width)

    def covers(self, other: SearchSpace) -> bool:
        """Whether `other` is this space, or what remains of it at some of its resolutions.

        >>> from labkit.space import get_space
        >>> space = get_space("fmnist")
        >>> space.covers(replace(space, resolutions=(20, 28)))
        True
        """
        return set(other.resolutions) <= set(self.resolutions) and self.resembles(other)

    def resembles(self, other: SearchSpace) -> bool:
        """Whether `other` differs from this space in nothing but its resolutions, if at all."""
        return replace(other, resolutions=self.resolutions) == self

    @property
    def fixed_block(self) -> BlockShape | None:
        """The fixed block after the stem, before the first stage; None where there is none."""
        if self.first_width is None:
            return None
        return BlockShape(-1, 0, self.stem_width, self.first_width, 1, self.first_act)

    @cached_property
    def blocks(self) -> tuple[BlockShape, ...]:  # (B,)
        """Every block that may be there, in order of execution."""
        shapes, width = [], self.first_width or self.stem_width
        for s, stage in enumerate(self.stages):
            for i in range(stage.max_depth):
                stride = stage.stride if i == 0 else 1
                block = width, stage.width, stride, stage.act, stage.se, self.divisor
                shapes.append(BlockShape(s, i, *block))
                width = stage.width
        return tuple(shapes)

    def first_block(self, s: int) -> int:
        """Position of the first block of stage `s` in `blocks`."""
        return sum(stage.max_depth for stage in self.stages[:s])

    def size(self) -> int:
        """Exact number of archs: global choices x product over stages of the sum over depths."""
        per_stage = (sum(stage.block_choices**d for d in stage.depths) for stage in self.stages)
        return len(self.global_choices) * math.prod(per_stage)

    def enumerate(self) -> Iterator[Arch]:
        """Every arch, one after another. For small spaces: `size()` says how many there are."""

        def stage_choices(stage: Stage) -> list[tuple[Block, ...]]:
            blocks = [Block(k, e) for k in stage.kernels for e in stage.expands]
            return [run for d in stage.depths for run in itertools.product(blocks, repeat=d)]

        for resolution, width in self.global_choices:
            for stages in itertools.product(*map(stage_choices, self.stages)):
                yield Arch(resolution, stages, width)

    def smallest(self) -> Arch:
        """The arch with the first choice everywhere.

        >>> from labkit.space import get_space
        >>> print(get_space("fmnist").smallest())
        12px x0.25 k3e2 | k3e3 | k3e3
        """
        return self._extreme(0)

    def largest(self) -> Arch:
        """The arch with the last choice everywhere."""
        return self._extreme(-1)

    def _extreme(self, i: int) -> Arch:
        stages = tuple((Block(s.kernels[i], s.expands[i]),) * s.depths[i] for s in self.stages)
        return Arch(self.resolutions[i], stages, self.widths[i])


@lru_cache(maxsize=256)
def _scaled(space: SearchSpace, width: float) -> SearchSpace:
    """`SearchSpace.at`: one object for equal arguments, because it caches its properties."""
    if width == 1:
        return space if space.widths == (1.0,) else replace(space, widths=(1.0,))

    def scaled(part: SearchSpace | Stage, *fields: str) -> dict[str, int | None]:
        numbers = {field: getattr(part, field) for field in fields}
        return {f: n and make_divisible(n * width, space.divisor) for f, n in numbers.items()}

    layers = scaled(space, "stem_width", "first_width", "final_width", "feature_width")
    stages = tuple(replace(stage, **scaled(stage, "width")) for stage in space.stages)
    return replace(space, widths=(1.0,), stages=stages, **layers)
