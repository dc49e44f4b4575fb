"""The operators that networks consist of, and the memory that a list of them needs.

A network is a list of operators that run one after another. Each reads the output of the one
before, except where `reads` says otherwise, so whoever walks the list keeps a list of outputs:

    outputs = [images]
    for operator in operators:
        outputs.append(run(operator, *(outputs[i] for i in operator.reads)))

One multiply-add is one MAC. Sizes are numbers of values for a batch of 1; how many bytes a value
takes is for the device to say.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

CONVOLUTIONS = ("dense", "pointwise", "depthwise")


class Operator(NamedTuple):
    """One operator on a square map, with the batch norm and the activation that follow it.

    kind: 'dense' (a convolution larger than 1x1), 'pointwise', 'depthwise', 'linear', 'pool' (the
    mean over windows of `kernel`), 'scale' (a map times one factor for each channel) or 'add'.
    Convolutions pad by kernel // 2.

    >>> Operator("pointwise", 8, 16, side=10, norm=True).params  # 128 weights, 32 of the norm
    160
    """

    kind: str
    in_channels: int
    out_channels: int
    side: int  # pixels along an edge of the map that is read
    kernel: int = 1
    stride: int = 1
    act: str | None = None  # 'relu', 'relu6', 'h_swish', 'h_sigmoid'
    norm: bool = False  # followed by a batch norm
    bias: bool = False
    part: str = ""  # the block, or the layer outside of blocks, that it belongs to
    name: str = ""  # its name inside the part
    reads: tuple[int, ...] = (-1,)  # outputs that it reads, counted back: -1 is the one before

    @property
    def place(self) -> str:
        """Name of its module, in supernets and subnets alike."""
        return f"{self.part}.{self.name}" if self.name else self.part

    @property
    def out_side(self) -> int:
        return out_side(self.side, self.stride)

    @property
    def inputs(self) -> int:
        """Values that it reads, weights aside."""
        area = self.side**2
        if self.kind == "add":
            return 2 * self.in_channels * area
        return self.in_channels * (area + 1 if self.kind == "scale" else area)

    @property
    def outputs(self) -> int:
        """Values that it writes."""
        return self.out_channels * self.out_side**2

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of its weights as torch has it, empty for an operator without weights."""
        if self.kind == "linear":
            return (self.out_channels, self.in_channels)
        if self.kind in CONVOLUTIONS:
            fan_in = 1 if self.kind == "depthwise" else self.in_channels
            return (self.out_channels, fan_in, self.kernel, self.kernel)
        return ()

    @property
    def weights(self) -> int:
        """Number of weights, without biases and batch norm."""
        return math.prod(self.weight_shape) if self.weight_shape else 0

    @property
    def filters(self) -> int:
        """Output channels of an operator with weights, otherwise 0."""
        return self.out_channels if self.weight_shape else 0

    @property
    def params(self) -> int:
        """Trainable parameters: weights, biases, and the scale and offset of the batch norm."""
        return self.weights + self.out_channels * (self.bias + 2 * self.norm)

    @property
    def macs(self) -> int:
        return self.weights * self.out_side**2


def make_divisible(value: float, divisor: int = 8) -> int:
    """Round a channel count to a multiple of `divisor`, never losing more than 10 %.

    Source: the MobileNet reference code, which the OFA paper's channel counts follow.

    >>> make_divisible(42), make_divisible(12)
    (40, 16)
    """
    rounded = max(divisor, int(value + divisor / 2) // divisor * divisor)
    return rounded + divisor if rounded < 0.9 * value else rounded


def out_side(side: int, stride: int) -> int:
    """Side of the map that a convolution with an odd kernel and its padding writes."""
    return -(-side // stride)


def convolution(
    in_channels: int,
    out_channels: int,
    kernel: int,
    side: int,
    stride: int = 1,
    *,
    depthwise: bool = False,
    **fields: object,
) -> Operator:
    """A convolution on a map of `side` pixels; `fields` are further fields of `Operator`."""
    kind = "depthwise" if depthwise else "pointwise" if kernel == 1 else "dense"
    return Operator(kind, in_channels, out_channels, side, kernel, stride, **fields)


def global_pool(channels: int, side: int, **fields: object) -> Operator:
    """The mean over the whole map."""
    return Operator("pool", channels, channels, side, side, side, **fields)


# ---- memory --------------------------------------------------------------------------------------


class Buffer(NamedTuple):
    """A tensor, or an operator's scratch memory, and the first and last step that needs it."""

    size: int
    first: int
    last: int


class Schedule:
    """Steps that run one after another; each reads tensors that are there and makes one.

    Tensors are called by their number, the input is 0.
    """

    def __init__(self, input_size: int) -> None:
        self.steps = 0
        self._tensors = [Buffer(input_size, 0, 0)]
        self._scratch: list[Buffer] = []

    def run(self, inputs: Sequence[int], size: int, scratch: Sequence[int] = ()) -> int:
        """Add a step that makes a tensor of `size` and needs buffers of `scratch` meanwhile."""
        self.overwrite(inputs)
        step = self.steps - 1
        self._tensors.append(Buffer(size, step, step))
        self._scratch += [Buffer(buffer, step, step) for buffer in scratch]
        return len(self._tensors) - 1

    def overwrite(self, inputs: Sequence[int]) -> int:
        """Add a step that writes its result over the first of its inputs."""
        for i in inputs:
            self._tensors[i] = self._tensors[i]._replace(last=self.steps)
        self.steps += 1
        return inputs[0]

    @property
    def buffers(self) -> list[Buffer]:
        """All tensors in the order in which they are made, then scratch memory."""
        return [*self._tensors, *self._scratch]

    def alive(self) -> list[int]:
        """For each step the total size of what is in memory while it runs."""
        totals = [0] * self.steps
        for size, first, last in self.buffers:
            for step in range(first, last + 1):
                totals[step] += size
        return totals


def alive_values(operators: Sequence[Operator]) -> list[int]:
    """Activation values in memory while each operator runs, its input and output among them.

    The input of a shortcut stays until it is added, a map until it is scaled. Batch norms and
    activations work in place (they are folded), and so do 'scale' and 'add', which write over one
    of their inputs.

    >>> alive_values([convolution(1, 8, 3, side=10), convolution(8, 4, 1, side=10)])
    [900, 1200]
    """
    schedule, outputs = Schedule(operators[0].inputs), [0]
    for operator in operators:
        inputs = [outputs[i] for i in operator.reads]
        if operator.kind in ("scale", "add"):
            outputs.append(schedule.overwrite(inputs))
        else:
            outputs.append(schedule.run(inputs, operator.outputs))
    return schedule.alive()
