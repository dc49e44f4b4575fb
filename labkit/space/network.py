"""The network of an arch, written down once: a stem, blocks and a head, as lists of operators.

Everything else that is said about a network follows from these lists: MACs, parameters, memory,
simulated latency, the ONNX graph, the modules of the supernet and of a subnet. All channel numbers
come from here and from `SearchSpace.blocks`. A stem, a block or a head is that of the nominal
channel numbers of its space: for a width multiplier the space is `space.at(width)`.

Callers name the module, as in `network.head(space, side)`.
"""

from __future__ import annotations

from functools import lru_cache, partial
from itertools import groupby

from labkit.space.arch import Arch
from labkit.space.operators import Operator, convolution, global_pool, make_divisible, out_side
from labkit.space.search_space import SearchSpace
from labkit.space.stage import BlockShape


def mid_channels(in_channels: int, expand: float, divisor: int = 8) -> int:
    """Width of an inverted residual block between its two pointwise convolutions, a multiple of
    `divisor`.

    Ratio 1 stands for a block without the first of them, whose middle is its input.

    >>> mid_channels(24, 3)
    72
    """
    return make_divisible(round(in_channels * expand), divisor) if expand > 1 else in_channels


def se_channels(channels: int) -> int:
    """Width of the bottleneck of a squeeze-excite unit over `channels` channels."""
    return make_divisible(channels // 4)


def stem(space: SearchSpace, resolution: int) -> tuple[Operator, ...]:
    """What comes before the elastic blocks: a 3x3 convolution and perhaps a fixed block."""
    sizes = space.in_channels, space.stem_width, 3, resolution, space.stem_stride
    convolved = convolution(*sizes, act=space.stem_act, norm=True, part="stem")
    fixed, side = space.fixed_block, convolved.out_side
    return (convolved, *(block(fixed, 3, 1, side, part="first") if fixed else ()))


@lru_cache(maxsize=1 << 14)
def block(
    shape: BlockShape, kernel: int, expand: float, side: int, part: str = "block"
) -> tuple[Operator, ...]:
    """An inverted residual block on a map of `side` pixels.

    Pointwise expansion (none for ratio 1), depthwise convolution, squeeze-excite where the shape
    has one, pointwise projection, and the shortcut's addition where the shape allows one.
    """
    layer = partial(convolution, norm=True, part=part)
    middle = mid_channels(shape.in_channels, expand, shape.divisor)
    operators = []
    if expand > 1:
        operators.append(layer(shape.in_channels, middle, 1, side, act=shape.act, name="expand"))
    sizes = middle, middle, kernel, side, shape.stride
    depthwise = layer(*sizes, depthwise=True, act=shape.act, name="depthwise")
    out = depthwise.out_side
    operators.append(depthwise)
    if shape.se:
        squeezed, gate = se_channels(middle), partial(convolution, bias=True, part=part)
        operators += [
            global_pool(middle, out, part=part, name="se.pool"),
            gate(middle, squeezed, 1, 1, act="relu", name="se.fc1"),
            gate(squeezed, middle, 1, 1, act="h_sigmoid", name="se.fc2"),
            Operator("scale", middle, middle, out, part=part, name="se.scale", reads=(-4, -1)),
        ]
    operators.append(layer(middle, shape.out_channels, 1, out, name="project"))
    if shape.has_shortcut:
        channels, block_input = shape.out_channels, -1 - len(operators)
        operators.append(
            Operator("add", channels, channels, out, part=part, name="add", reads=(block_input, -1))
        )
    return tuple(operators)


def head(space: SearchSpace, side: int) -> tuple[Operator, ...]:
    """What comes after the elastic blocks, on a map of `side` pixels."""
    width, act, operators = space.blocks[-1].out_channels, space.head_act, []
    if space.final_width is not None:
        operators.append(
            convolution(width, space.final_width, 1, side, act=act, norm=True, part="final")
        )
        width = space.final_width
    operators.append(global_pool(width, side, part="pool"))
    if space.feature_width is not None:
        operators.append(
            convolution(width, space.feature_width, 1, 1, act=act, part="feature", name="0")
        )
        width = space.feature_width
    operators.append(Operator("linear", width, space.num_classes, 1, bias=True, part="classifier"))
    return tuple(operators)


def operators(space: SearchSpace, arch: Arch) -> list[Operator]:
    """All operators of `arch` in the order in which they run.

    Raises ValueError for an arch of another space.
    """
    space.validate(arch)
    space = space.at(arch.width)
    result = [*stem(space, arch.resolution)]
    for shape, side in zip(space.blocks, block_sides(space, arch.resolution)):
        if shape.index < len(arch.stages[shape.stage]):
            kernel, expand = arch.stages[shape.stage][shape.index]
            result += block(shape, kernel, expand, side, part=f"blocks.{shape.name}")
    return [*result, *head(space, final_side(space, arch.resolution))]


def parts(operators: list[Operator] | tuple[Operator, ...]) -> dict[str, list[Operator]]:
    """The operators of each block and of each layer outside of blocks, by the part's name."""
    return {part: list(group) for part, group in groupby(operators, lambda o: o.part)}


def block_sides(space: SearchSpace, resolution: int) -> list[int]:
    """Side of the map that enters each block of `space.blocks`."""
    sides, side = [], out_side(resolution, space.stem_stride)
    for shape in space.blocks:
        sides.append(side)
        side = out_side(side, shape.stride)
    return sides


def final_side(space: SearchSpace, resolution: int) -> int:
    """Side of the map that leaves the last block."""
    return out_side(block_sides(space, resolution)[-1], space.blocks[-1].stride)
