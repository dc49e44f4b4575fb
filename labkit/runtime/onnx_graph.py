"""ONNX graphs of subnets and of their pieces, built node by node.

The operators are few (convolution, activation, pooling, sum, product, matrix product), so a graph
is written down directly: a thousand times faster than tracing torch, which matters when a lookup
table needs hundreds of block models. One builder makes both the pieces that are timed and the
network that is deployed, so that what is measured is what runs. Batch norm is folded into the
weights beforehand.

A `Weights` source gives the arrays of a layer, by the name that its convolution has in
`labkit.supernet.subnet.Subnet`: the folded weights of a trained subnet, or filler for timing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from labkit.space import Arch, BlockShape, SearchSpace, block_name, mid_channels, se_channels
from labkit.storage.errors import MissingPackage
from labkit.tables.costs import out_side

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

Weights = Callable[
    [str, tuple[int, ...]], tuple[np.ndarray, np.ndarray]
]  # name, shape of weight -> weight, bias


def filler(name: str, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Weights for timing: normal values of a sensible scale that repeat, so that a model packs
    well.
    """
    values = np.random.default_rng(0).standard_normal(61).astype(np.float32)
    scale = np.float32(np.prod(shape[1:]) ** -0.5)
    return np.resize(values * scale, shape), np.resize(values * np.float32(0.1), shape[0])


class Graph:
    """Nodes and weights of one model. Each method adds an operator and returns the name of its
    output.
    """

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[onnx.NodeProto] = []
        self.initializers: list[onnx.TensorProto] = []

    def op(self, kind: str, *inputs: str, **attributes: object) -> str:
        output = f"v{len(self.nodes)}"
        self.nodes.append(
            helper.make_node(kind, inputs, [output], name=f"{kind}_{len(self.nodes)}", **attributes)
        )
        return output

    def constant(self, name: str, value: np.ndarray) -> str:
        self.initializers.append(
            numpy_helper.from_array(np.ascontiguousarray(value, np.float32), name)
        )
        return name

    def layer(self, name: str, shape: tuple[int, ...]) -> tuple[str, str]:
        weight, bias = self.weights(name, shape)
        if weight.shape != shape or bias.shape != shape[:1]:
            raise ValueError(
                f"layer {name!r} needs weights {shape} and a bias {shape[:1]}, "
                f"got {weight.shape} and {bias.shape}"
            )
        return self.constant(f"{name}.weight", weight), self.constant(f"{name}.bias", bias)

    def conv(
        self,
        x: str,
        name: str,
        in_channels: int,
        out_channels: int,
        kernel: int = 1,
        stride: int = 1,
        *,
        act: str | None = None,
        depthwise: bool = False,
    ) -> str:
        shape = (out_channels, 1 if depthwise else in_channels, kernel, kernel)
        y = self.op(
            "Conv",
            x,
            *self.layer(name, shape),
            kernel_shape=[kernel, kernel],
            strides=[stride, stride],
            pads=[kernel // 2] * 4,
            group=in_channels if depthwise else 1,
        )
        return self.activate(y, act) if act else y

    def activate(self, x: str, act: str) -> str:
        if act == "relu":
            return self.op("Relu", x)
        if act == "h_swish":
            return self.op("HardSwish", x)
        if act == "relu6":
            if not any(tensor.name == "six" for tensor in self.initializers):
                self.constant("zero", np.float32(0)), self.constant("six", np.float32(6))
            return self.op("Clip", x, "zero", "six")
        raise ValueError(f"unknown activation {act!r}")

    def squeeze_excite(self, x: str, name: str, channels: int) -> str:
        squeezed = se_channels(channels)
        scale = self.conv(
            self.op("GlobalAveragePool", x), f"{name}.fc1", channels, squeezed, act="relu"
        )
        scale = self.conv(scale, f"{name}.fc2", squeezed, channels)
        return self.op("Mul", x, self.op("HardSigmoid", scale, alpha=1 / 6, beta=0.5))

    def block(
        self, x: str, name: str, shape: BlockShape, kernel: int, expand: int, act: str, se: bool
    ) -> str:
        """Inverted residual block, as `labkit.supernet.subnet.InvertedResidual` with its batch
        norms folded.
        """
        mid = mid_channels(shape.in_channels, expand)
        y = self.conv(x, f"{name}.expand", shape.in_channels, mid, act=act) if expand > 1 else x
        y = self.conv(
            y, f"{name}.depthwise", mid, mid, kernel, shape.stride, act=act, depthwise=True
        )
        if se:
            y = self.squeeze_excite(y, f"{name}.se", mid)
        y = self.conv(y, f"{name}.project", mid, shape.out_channels)
        return self.op("Add", x, y) if shape.has_shortcut else y

    def stem(self, x: str, space: SearchSpace) -> str:
        x = self.conv(
            x, "stem", space.in_channels, space.stem_width, 3, space.stem_stride, act=space.stem_act
        )
        if space.first_width:
            shape = BlockShape(-1, 0, space.stem_width, space.first_width, 1)
            x = self.block(x, "first", shape, 3, 1, space.first_act, False)
        return x

    def head(self, x: str, space: SearchSpace) -> str:
        width = space.stages[-1].width
        if space.final_width:
            x = self.conv(x, "final", width, space.final_width, act=space.head_act)
            width = space.final_width
        x = self.op("GlobalAveragePool", x)
        if space.feature_width:
            x = self.conv(x, "feature.0", width, space.feature_width, act=space.head_act)
            width = space.feature_width
        return self.op(
            "Gemm",
            self.op("Flatten", x),
            *self.layer("classifier", (space.num_classes, width)),
            transB=1,
        )

    def model(
        self, output: str, in_shape: tuple[int | str, ...], out_shape: tuple[int | str, ...]
    ) -> onnx.ModelProto:
        """The finished model, `input` -> `output`; a text in a shape is a free dimension."""
        self.nodes[-1].output[0] = "output"
        assert output == f"v{len(self.nodes) - 1}", "the output is what the last operator made"
        graph = helper.make_graph(
            self.nodes,
            "labkit",
            [helper.make_tensor_value_info("input", TensorProto.FLOAT, in_shape)],
            [helper.make_tensor_value_info("output", TensorProto.FLOAT, out_shape)],
            self.initializers,
        )
        return helper.make_model(
            graph,
            producer_name="labkit",
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )


def network_model(
    space: SearchSpace, arch: Arch, weights: Weights = filler, batch: int | str = 1
) -> onnx.ModelProto:
    """The whole subnet `arch`: images (batch, C, r, r) -> logits (batch, classes)."""
    space.validate(arch)
    graph = Graph(weights)
    x = graph.stem("input", space)
    for shape in space.blocks:
        if shape.index < len(arch.stages[shape.stage]):
            kernel, expand = arch.stages[shape.stage][shape.index]
            stage = space.stages[shape.stage]
            x = graph.block(
                x,
                f"blocks.{block_name(shape.stage, shape.index)}",
                shape,
                kernel,
                expand,
                stage.act,
                stage.se,
            )
    return graph.model(
        graph.head(x, space),
        (batch, space.in_channels, arch.resolution, arch.resolution),
        (batch, space.num_classes),
    )


def block_model(
    shape: BlockShape,
    kernel: int,
    expand: int,
    side: int,
    act: str,
    se: bool,
    weights: Weights = filler,
    batch: int = 1,
) -> onnx.ModelProto:
    """One block alone on a map of `side` pixels. Its layers are `block.expand` and so on."""
    graph, out = Graph(weights), out_side(side, shape.stride)
    y = graph.block("input", "block", shape, kernel, expand, act, se)
    return graph.model(
        y, (batch, shape.in_channels, side, side), (batch, shape.out_channels, out, out)
    )


def stem_model(
    space: SearchSpace, resolution: int, weights: Weights = filler, batch: int = 1
) -> onnx.ModelProto:
    """What comes before the elastic blocks."""
    graph, side = Graph(weights), out_side(resolution, space.stem_stride)
    return graph.model(
        graph.stem("input", space),
        (batch, space.in_channels, resolution, resolution),
        (batch, space.first_width or space.stem_width, side, side),
    )


def head_model(
    space: SearchSpace, side: int, weights: Weights = filler, batch: int = 1
) -> onnx.ModelProto:
    """What comes after the elastic blocks, on a map of `side` pixels."""
    graph = Graph(weights)
    return graph.model(
        graph.head("input", space),
        (batch, space.stages[-1].width, side, side),
        (batch, space.num_classes),
    )
