"""What is in memory while each operator of a subnet runs, for pictures: what it reads, writes, and
what is kept.

The rules are those of `labkit.tables.costs.block_memory`, which gives the peak alone.
"""

from __future__ import annotations

from typing import NamedTuple

from labkit.space import Arch, BlockShape, SearchSpace, block_name, mid_channels, se_channels
from labkit.tables.costs import block_sides, final_side, out_side


class Step(NamedTuple):
    """One operator: activation values that it reads, that it writes, and that wait for a shortcut's
    addition.
    """

    place: str  # the block, or the layer outside of blocks
    operator: str
    reads: int
    writes: int
    kept: int

    @property
    def total(self) -> int:
        return self.reads + self.writes + self.kept


def steps(space: SearchSpace, arch: Arch) -> list[Step]:
    """The operators of `arch` in the order in which they run; an addition writes over one of its
    inputs.
    """
    space.validate(arch)
    pixels = arch.resolution**2
    side = out_side(arch.resolution, space.stem_stride)
    found = [Step("stem", "conv", space.in_channels * pixels, space.stem_width * side**2, 0)]
    if space.first_width:
        found += _block(
            "first", BlockShape(-1, 0, space.stem_width, space.first_width, 1), 1, side, False
        )
    for shape, side in zip(space.blocks, block_sides(space, arch.resolution)):
        if shape.index < len(arch.stages[shape.stage]):
            expand = arch.stages[shape.stage][shape.index].expand
            found += _block(
                block_name(shape.stage, shape.index),
                shape,
                expand,
                side,
                space.stages[shape.stage].se,
            )
    width, area = space.stages[-1].width, final_side(space, arch.resolution) ** 2
    if space.final_width:
        found.append(Step("final", "conv", width * area, space.final_width * area, 0))
        width = space.final_width
    found.append(Step("head", "pool", width * area, width, 0))
    if space.feature_width:
        found.append(Step("head", "feature", width, space.feature_width, 0))
        width = space.feature_width
    return [*found, Step("head", "classify", width, space.num_classes, 0)]


def _block(place: str, shape: BlockShape, expand: int, side: int, se: bool) -> list[Step]:
    middle, out = mid_channels(shape.in_channels, expand), out_side(side, shape.stride)
    source, wide_in, wide_out = shape.in_channels * side**2, middle * side**2, middle * out**2
    kept = source if shape.has_shortcut else 0
    found = []
    if expand > 1:
        found += [
            Step(place, "expand", source, wide_in, 0),
            Step(place, "depthwise", wide_in, wide_out, kept),
        ]
    else:
        found.append(Step(place, "depthwise", source, wide_out, 0))
    if se:
        found.append(Step(place, "squeeze", wide_out, middle + se_channels(middle), kept))
    return [*found, Step(place, "project", wide_out, shape.out_channels * out**2, kept)]
