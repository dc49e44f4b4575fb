"""Networks as lists of layers: what a roofline needs to know of a network, and nothing else.

A layer is an operator as a runtime executes it: batch norm and activation are part of the
convolution before them, while pooling, the scale of a squeeze-excite and the addition of a shortcut
are operators of their own. One multiply-add is one MAC.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from labkit.space import BlockShape, SearchSpace, mid_channels, se_channels
from labkit.tables.costs import block_sides, final_side, out_side

KINDS = ("dense", "pointwise", "depthwise", "elementwise")


class Layer(NamedTuple):
    """One operator. Sizes are numbers of values; how many bytes a value has is the device's affair."""

    kind: str  # one of KINDS; 'dense' is a convolution larger than 1x1, 'elementwise' also pools
    macs: int
    inputs: int
    outputs: int
    weights: int = 0  # without biases
    channels: int = 0  # output channels of a layer with weights, else 0
    fan_in: int = 0  # input channels that each output channel sums over

    @property
    def values(self) -> int:
        """Values that cross the memory bus at least once."""
        return self.inputs + self.outputs + self.weights


def conv(
    in_channels: int,
    out_channels: int,
    kernel: int,
    side: int,
    stride: int = 1,
    *,
    depthwise: bool = False,
) -> Layer:
    """A convolution with padding k // 2 on a square map of `side` pixels."""
    out, fan_in = out_side(side, stride), 1 if depthwise else in_channels
    weights = out_channels * fan_in * kernel**2
    kind = "depthwise" if depthwise else "dense" if kernel > 1 else "pointwise"
    return Layer(
        kind,
        weights * out**2,
        in_channels * side**2,
        out_channels * out**2,
        weights,
        out_channels,
        fan_in,
    )


def elementwise(inputs: int, outputs: int) -> Layer:
    return Layer("elementwise", 0, inputs, outputs)


def add(values: int) -> Layer:
    """The sum of two maps of `values` values each."""
    return elementwise(2 * values, values)


def block_layers(shape: BlockShape, kernel: int, expand: int, side: int, se: bool) -> list[Layer]:
    """The operators of an inverted residual block whose input is `side` pixels wide."""
    mid, out = mid_channels(shape.in_channels, expand), out_side(side, shape.stride)
    layers = [conv(shape.in_channels, mid, 1, side)] if expand > 1 else []
    layers.append(conv(mid, mid, kernel, side, shape.stride, depthwise=True))
    if se:
        squeezed = se_channels(mid)
        layers += [
            elementwise(mid * out**2, mid),
            conv(mid, squeezed, 1, 1),
            conv(squeezed, mid, 1, 1),
            elementwise(mid * out**2 + mid, mid * out**2),
        ]
    layers.append(conv(mid, shape.out_channels, 1, out))
    if shape.has_shortcut:
        layers.append(add(shape.out_channels * out**2))
    return layers


def base_layers(space: SearchSpace, resolution: int) -> list[Layer]:
    """The operators that every subnet has: stem, fixed block, final convolution, pooling,
    classifier.
    """
    return [*stem_layers(space, resolution), *head_layers(space, final_side(space, resolution))]


def stem_layers(space: SearchSpace, resolution: int) -> Iterator[Layer]:
    yield conv(space.in_channels, space.stem_width, 3, resolution, space.stem_stride)
    if space.first_width:
        shape = BlockShape(-1, 0, space.stem_width, space.first_width, 1)
        yield from block_layers(shape, 3, 1, out_side(resolution, space.stem_stride), False)


def head_layers(space: SearchSpace, side: int) -> Iterator[Layer]:
    width = space.stages[-1].width
    if space.final_width:
        yield conv(width, space.final_width, 1, side)
        width = space.final_width
    yield elementwise(width * side**2, width)
    if space.feature_width:
        yield conv(width, space.feature_width, 1, 1)
        width = space.feature_width
    yield conv(width, space.num_classes, 1, 1)


def arch_layers(space: SearchSpace, arch) -> list[Layer]:
    """The operators of one subnet, those of the base first."""
    layers = base_layers(space, arch.resolution)
    for shape, side in zip(space.blocks, block_sides(space, arch.resolution)):
        if shape.index < len(arch.stages[shape.stage]):
            kernel, expand = arch.stages[shape.stage][shape.index]
            layers += block_layers(shape, kernel, expand, side, space.stages[shape.stage].se)
    return layers
