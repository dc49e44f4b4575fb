"""The layers of an int8 network as the engine runs them: one for each operator of the network.

They are read from the TFLite model that the subnet was converted to, whose operators must be those
of the network in their order. An activation that the converter made an operator of its own (hard
swish, hard sigmoid) becomes a table of 256 bytes inside the convolution before it.

A mean over one pixel is that pixel: the converter leaves it out, or writes the classifier's as a
sum. A classifier that reads one channel gets a reshape before it, which moves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labkit.firmware.integers import Factor, check_sum, factor, mean_factor
from labkit.firmware.tflite_graph import (
    CONVOLUTIONS,
    QuantizedTensor,
    TfliteGraph,
    TfliteOperator,
)
from labkit.space.operators import Operator
from labkit.storage.errors import ExportError

KINDS = {
    "dense": CONVOLUTIONS,
    "pointwise": CONVOLUTIONS,
    "depthwise": CONVOLUTIONS,
    "linear": CONVOLUTIONS,
    "pool": ("MEAN", "SUM"),
    "scale": ("MUL",),
    "add": ("ADD",),
}
TABLES = ("HARD_SWISH", "MUL")  # operators that may be an activation, if they read one tensor


@dataclass(frozen=True, eq=False)
class ConvolutionLayer:
    """Weights (out, kernel, kernel, in per filter) int8, the rest for each output channel.

    `bias` has the input's zero point folded in: it is the sum's start for integers as they are.
    """

    operator: Operator
    weights: np.ndarray
    bias: np.ndarray  # int32
    factors: tuple[Factor, ...]
    activation: np.ndarray | None  # (256,) int8
    in_zero: int
    out_zero: int


@dataclass(frozen=True, eq=False)
class MeanLayer:
    """The mean over a whole map."""

    operator: Operator
    factor: Factor
    in_zero: int
    out_zero: int


@dataclass(frozen=True, eq=False)
class ProductLayer:
    """A map times a gate: one factor for each channel."""

    operator: Operator
    factor: Factor
    map_zero: int
    gate_zero: int
    out_zero: int
    clamp: tuple[int, int]


@dataclass(frozen=True, eq=False)
class SumLayer:
    """The sum of two maps, in the order in which the operator reads them."""

    operator: Operator
    factors: tuple[Factor, Factor, Factor]  # of the inputs, shifted left by 20, and of the sum
    zeros: tuple[int, int]
    out_zero: int
    clamp: tuple[int, int]


Layer = ConvolutionLayer | MeanLayer | ProductLayer | SumLayer


@dataclass(frozen=True, eq=False)
class QuantizedNetwork:
    """An int8 network: its layers, and what the integers of its input and output mean."""

    layers: tuple[Layer, ...]
    input: QuantizedTensor
    output: QuantizedTensor

    @property
    def operators(self) -> list[Operator]:
        return [layer.operator for layer in self.layers]


def quantized_network(model: bytes, operators: Sequence[Operator]) -> QuantizedNetwork:
    """The layers of a TFLite model that was converted from a network of `operators`.

    Raises ExportError, which names the place, where the model is not that network or has what the
    engine lacks.
    """
    graph = TfliteGraph(model)
    layers, tensors, number = [], [graph.input], 0
    for operator in operators:
        if _is_reshape(graph, number, tensors[-1]):
            tensors[-1], number = graph.operators[number].output, number + 1
        if number == len(graph.operators):
            raise ExportError(f"the model ends before {operator.place!r} of the network")
        node = graph.operators[number]
        inputs = [tensors[i] for i in operator.reads]
        if operator.kind == "pool" and operator.side == 1 and node.kind not in KINDS["pool"]:
            zero = graph.tensors[inputs[0]].zero
            layers.append(MeanLayer(operator, mean_factor(1.0, 1), zero, zero))
            tensors.append(inputs[0])
            continue
        _check_kind(graph, operator, node, inputs)
        output, table, number = node.output, None, number + 1
        while operator.weight_shape and _is_activation(graph, number, output):
            step = graph.table(number).astype(np.int16)
            table = step if table is None else step[table + 128]
            output, number = graph.operators[number].output, number + 1
        layers.append(_layer(graph, operator, node, inputs, table))
        tensors.append(output)
    if number != len(graph.operators) or tensors[-1] != graph.output:
        rest = [node.kind for node in graph.operators[number:]]
        raise ExportError(f"the model goes on behind the network's last operator: {rest}")
    return QuantizedNetwork(tuple(layers), graph.tensors[graph.input], graph.tensors[graph.output])


def _check_kind(
    graph: TfliteGraph, operator: Operator, node: TfliteOperator, inputs: Sequence[int]
) -> None:
    variables = {i for i in node.inputs if graph.tensors[i].values is None}
    if node.kind not in KINDS.get(operator.kind, ()) or variables != set(inputs):
        raise ExportError(
            f"{operator.place!r} ({operator.kind}) was converted to {node.kind} of tensors"
            f" {sorted(variables)}; the engine has {', '.join(KINDS)}"
        )
    sums_up = node.kind == "SUM" and operator.side > 1
    if operator.kind == "pool" and (operator.kernel != operator.side or sums_up):
        raise ExportError(f"{operator.place!r}: the engine has means over whole maps only")


def _is_reshape(graph: TfliteGraph, number: int, tensor: int) -> bool:
    """Whether the next operator gives `tensor` another shape."""
    nodes = graph.operators[number : number + 1]
    return any(node.kind == "RESHAPE" and node.inputs[0] == tensor for node in nodes)


def _is_activation(graph: TfliteGraph, number: int, tensor: int) -> bool:
    """Whether the next operator is a function of `tensor` alone, which nothing else reads."""
    if number == len(graph.operators) or graph.readers(tensor) != [number]:
        return False
    node = graph.operators[number]
    variables = [i for i in node.inputs if graph.tensors[i].values is None]
    return node.kind in TABLES and variables == [tensor]


def _layer(
    graph: TfliteGraph,
    operator: Operator,
    node: TfliteOperator,
    inputs: Sequence[int],
    table: np.ndarray | None,
) -> Layer:
    sources, target = [graph.tensors[i] for i in inputs], graph.tensors[node.output]
    if operator.weight_shape:
        return _convolution(graph, operator, node, sources[0], table)
    clamp = graph.clamp(node)
    if operator.kind == "pool":
        scale = mean_factor(sources[0].scale / target.scale, operator.side**2)
        check_sum(255 * operator.side**2, scale, operator.place)
        return MeanLayer(operator, scale, sources[0].zero, target.zero)
    first, second = sources
    if operator.kind == "scale":
        scale = factor(first.scale * second.scale / target.scale)
        check_sum(255 * 255, scale, operator.place)
        return ProductLayer(operator, scale, first.zero, second.zero, target.zero, clamp)
    twice = 2 * max(first.scale, second.scale)
    scale = factor(twice / ((1 << 20) * target.scale))
    check_sum(255 << 20, scale, operator.place)
    factors = factor(first.scale / twice), factor(second.scale / twice), scale
    return SumLayer(operator, factors, (first.zero, second.zero), target.zero, clamp)


def _convolution(
    graph: TfliteGraph,
    operator: Operator,
    node: TfliteOperator,
    source: QuantizedTensor,
    table: np.ndarray | None,
) -> ConvolutionLayer:
    weights, target = graph.tensors[node.inputs[1]], graph.tensors[node.output]
    values = _filters(operator, node.kind, weights.values)
    scales = np.broadcast_to(weights.scales, operator.out_channels).astype(np.float64)
    factors = tuple(factor(source.scale * scale / target.scale) for scale in scales)
    wide = values.reshape(operator.out_channels, -1).astype(np.int64)
    has_bias = len(node.inputs) == 3 and node.inputs[2] >= 0
    bias = graph.tensors[node.inputs[2]].values if has_bias else 0
    bias = bias - source.zero * wide.sum(1)
    for channel, scale in enumerate(factors):
        largest = abs(int(bias[channel])) + 128 * int(np.abs(wide[channel]).sum())
        check_sum(largest, scale, f"{operator.place}, channel {channel}")
    low, high = graph.clamp(node)
    if (low, high) != (-128, 127):  # limits that the type does not set are a table, too
        limited = np.clip(np.arange(-128, 128), low, high)
        table = limited if table is None else table[limited + 128]
    return ConvolutionLayer(
        operator,
        values,
        bias.astype(np.int32),
        factors,
        None if table is None else table.astype(np.int8),
        source.zero,
        target.zero,
    )


def _filters(operator: Operator, kind: str, values: np.ndarray) -> np.ndarray:
    """Weights as (out, kernel, kernel, in per filter).

    The converter may have added a row and a column of zeros behind a kernel, so that TFLite pads as
    torch does; the engine pads as torch does and leaves them out.
    """
    if kind == "FULLY_CONNECTED":
        values = values[:, None, None]
    if kind == "DEPTHWISE_CONV_2D":
        values = values.transpose(3, 1, 2, 0)
    kernel = operator.kernel
    if values[:, kernel:].any() or values[:, :, kernel:].any():
        raise ExportError(f"{operator.place!r}: a kernel of {values.shape[1]}, not {kernel} pixels")
    values = values[:, :kernel, :kernel]
    shape = (operator.out_channels, kernel, kernel, operator.weight_shape[1])
    if values.shape != shape:
        raise ExportError(f"{operator.place!r}: weights of shape {values.shape}, not {shape}")
    return np.ascontiguousarray(values)
