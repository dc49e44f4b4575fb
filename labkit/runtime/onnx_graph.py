"""ONNX graphs of lists of operators: of whole subnets, and of the pieces that are timed.

The kinds of operators are few, so a graph is written down directly: a thousand times faster than
tracing torch, which matters when a lookup table needs hundreds of block models. One function makes
both the pieces that are timed and the network that is deployed, so that what is measured is what
runs. Batch norm is folded into the weights beforehand.

A `Weights` source gives the arrays of a layer, by the name that it has in
`labkit.supernet.subnet.Subnet`: the folded weights of a trained subnet, or filler for timing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from labkit.space import Arch, SearchSpace, network
from labkit.space.operators import CONVOLUTIONS, Operator
from labkit.storage.errors import MissingPackage

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError as error:
    raise MissingPackage(
        "building ONNX models needs onnx: pip install -e '.[deploy]' in the checkout (or pip "
        "install onnx onnxruntime)"
    ) from error

OPSET = 17  # ONNX Runtime 1.13 and newer, so Python 3.8 on a board
IR_VERSION = 8

# name, shape of the weight -> weight, bias
Weights = Callable[[str, tuple[int, ...]], tuple[np.ndarray, np.ndarray]]


def filler(name: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Weights for timing: normal values of a sensible scale that repeat, so that a model packs
    well.
    """
    values = np.random.default_rng(0).standard_normal(61).astype(np.float32)
    scale = np.float32(np.prod(shape[1:]) ** -0.5)
    return np.resize(values * scale, shape), np.resize(values * np.float32(0.1), shape[0])


class Graph:
    """Nodes and weights of one model. Its methods add nodes and return the name of their output."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: dict[str, onnx.TensorProto] = {}

    def node(self, kind: str, *inputs: str, **attributes: object) -> str:
        number = len(self.nodes)
        self.nodes.append(
            helper.make_node(kind, inputs, [f"v{number}"], name=f"{kind}_{number}", **attributes)
        )
        return f"v{number}"

    def constant(self, name: str, value: np.ndarray) -> str:
        array = np.ascontiguousarray(value, np.float32)
        self.initializers.setdefault(name, numpy_helper.from_array(array, name))
        return name

    def layer(self, operator: Operator) -> tuple[str, str]:
        """The weight and the bias of an operator."""
        name, shape = operator.place, operator.weight_shape
        weight, bias = self.weights(name, shape)
        if weight.shape != shape or bias.shape != shape[:1]:
            raise ValueError(
                f"layer {name!r} needs weights {shape} and a bias {shape[:1]}, "
                f"got {weight.shape} and {bias.shape}"
            )
        return self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)

    def run(self, operators: Sequence[Operator], x: str) -> str:
        """All of `operators`, one after another, on `x`."""
        outputs = [x]
        for operator in operators:
            y = self.operator(operator, *(outputs[i] for i in operator.reads))
            outputs.append(self.activation(operator.act, y) if operator.act else y)
        return outputs[-1]

    def operator(self, operator: Operator, *inputs: str) -> str:
        """One operator without its activation."""
        if operator.kind in CONVOLUTIONS:
            kernel, stride = operator.kernel, operator.stride
            return self.node(
                "Conv",
                *inputs,
                *self.layer(operator),
                kernel_shape=[kernel, kernel],
                strides=[stride, stride],
                pads=[kernel // 2] * 4,
                group=operator.in_channels if operator.kind == "depthwise" else 1,
            )
        if operator.kind == "linear":
            flat = self.node("Flatten", *inputs)
            return self.node("Gemm", flat, *self.layer(operator), transB=1)
        kinds = {"pool": "GlobalAveragePool", "scale": "Mul", "add": "Add"}
        return self.node(kinds[operator.kind], *inputs)

    def activation(self, name: str, x: str) -> str:
        if name == "relu":
            return self.node("Relu", x)
        if name == "relu6":
            limits = self.constant("zero", np.float32(0)), self.constant("six", np.float32(6))
            return self.node("Clip", x, *limits)
        if name == "h_swish":
            return self.node("HardSwish", x)
        if name == "h_sigmoid":
            return self.node("HardSigmoid", x, alpha=1 / 6, beta=0.5)
        raise ValueError(f"unknown activation {name!r}")

    def model(
        self, output: str, in_shape: tuple[int | str, ...], out_shape: tuple[int | str, ...]
    ) -> onnx.ModelProto:
        """The finished model, `input` -> `output`; a text in a shape is a free dimension."""
        self.nodes[-1].output[0] = "output"
        assert output == f"v{len(self.nodes) - 1}", "the output is what the last node made"
        graph = helper.make_graph(
            self.nodes,
            "labkit",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, in_shape)],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, out_shape)],
            self.initializers.values(),
        )
        return helper.make_model(
            graph,
            producer_name="labkit",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )


def model_of(
    operators: Sequence[Operator], weights: Weights = filler, batch: int | str = 1
) -> onnx.ModelProto:
    """A model of `operators`, from maps (batch, C, side, side) to maps or logits (batch, classes).

    Raises ValueError when `weights` gives arrays of other shapes.
    """
    graph, first, last = Graph(weights), operators[0], operators[-1]
    out_map = () if last.kind == "linear" else (last.out_side, last.out_side)
    return graph.model(
        graph.run(operators, "input"),
        (batch, first.in_channels, first.side, first.side),
        (batch, last.out_channels, *out_map),
    )


def network_model(
    space: SearchSpace, arch: Arch, weights: Weights = filler, batch: int | str = 1
) -> onnx.ModelProto:
    """The whole subnet `arch`: images (batch, C, r, r) -> logits (batch, classes)."""
    return model_of(network.operators(space, arch), weights, batch)
