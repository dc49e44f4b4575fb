"""Int8 TFLite models with random weights, written straight from a network's operators.

They have the operators that the converter makes of a subnet, and take milliseconds where it takes
half a minute. Scales are such that no layer saturates.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np

from labkit.space.operators import Operator


@cache
def schema():
    from tflite_micro.python.tflite_micro import runtime

    return runtime.schema_fb


class ModelWriter:
    """Tensors and operators of one graph; both are called by their number."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.tensors, self.operators, self.codes = [], [], []
        self.buffers = [schema().BufferT()]
        self.constants: dict[str, int] = {}  # that operators share

    def tensor(self, shape, scales=None, zero=0, values=None, axis=0) -> int:
        tensor = schema().TensorT()
        tensor.shape, tensor.buffer = list(shape), 0
        tensor.type = schema().TensorType.INT8
        if values is not None:
            if values.dtype == np.int32:
                tensor.type = schema().TensorType.INT32
            buffer = schema().BufferT()
            buffer.data = np.frombuffer(values.tobytes(), np.uint8)
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        if scales is not None:
            tensor.quantization = schema().QuantizationParametersT()
            tensor.quantization.scale = np.atleast_1d(np.asarray(scales, np.float32))
            tensor.quantization.zeroPoint = np.full(tensor.quantization.scale.size, zero, np.int64)
            tensor.quantization.quantizedDimension = axis
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def constant(self, name: str, *tensor) -> int:
        """A tensor that is there once."""
        if name not in self.constants:
            self.constants[name] = self.tensor(*tensor)
        return self.constants[name]

    def activation(self, shape, scale: float, low: bool = False) -> int:
        """A tensor of activations; what is never negative has its zero at the lowest integer."""
        return self.tensor(shape, scale, -128 if low else int(self.rng.integers(-30, 30)))

    def add(self, kind: str, inputs, output: int, options: str | None = None, **fields) -> int:
        code = getattr(schema().BuiltinOperator, kind)
        if code not in self.codes:
            self.codes.append(code)
        operator = schema().OperatorT()
        operator.opcodeIndex, operator.inputs, operator.outputs = (
            self.codes.index(code),
            list(inputs),
            [output],
        )
        if options:
            operator.builtinOptionsType = getattr(schema().BuiltinOptions, options)
            operator.builtinOptions = getattr(schema(), options + "T")()
            for name, value in fields.items():
                setattr(operator.builtinOptions, name, value)
        self.operators.append(operator)
        return output

    def scale_of(self, tensor: int) -> float:
        return float(self.tensors[tensor].quantization.scale[0])

    def model(self, source: int, output: int) -> bytes:
        import flatbuffers

        graph, model = schema().SubGraphT(), schema().ModelT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = [source], [output]
        model.version, model.subgraphs, model.buffers = 3, [graph], self.buffers
        model.operatorCodes = []
        for code in self.codes:
            entry = schema().OperatorCodeT()
            entry.builtinCode, entry.deprecatedBuiltinCode = code, min(code, 127)
            entry.version = 5 if code == schema().BuiltinOperator.FULLY_CONNECTED else 1
            model.operatorCodes.append(entry)
        builder = flatbuffers.Builder(0)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def convolution(self, operator: Operator, source: int) -> int:
        """A convolution with its activation: inside, an operator behind it, or two of them."""
        fan_in = operator.weights // operator.out_channels
        kernel, out = operator.kernel, operator.out_side
        pads_more = operator.stride == 2 and operator.side % 2 == 0 and kernel > 1
        weights = self.rng.integers(-127, 128, (operator.out_channels, kernel, kernel, 1))
        if operator.kind in ("dense", "pointwise", "linear"):
            shape = operator.out_channels, kernel, kernel, operator.in_channels
            weights = self.rng.integers(-127, 128, shape)
        if pads_more:  # as labkit.deploy.litert.conversion.with_same_padding does
            weights = np.pad(weights, ((0, 0), (0, 1), (0, 1), (0, 0)))
        if operator.kind == "linear":
            weights = weights.reshape(operator.weight_shape)
        planar = operator.kind == "depthwise" or (
            operator.kind == "dense" and operator.in_channels == 1
        )
        if planar:
            weights = weights.transpose(3, 1, 2, 0)
        # weights' and activations' standard deviation are about 74 and 40 steps
        scales = self.rng.uniform(0.5, 1.5, operator.out_channels) * 0.02 / np.sqrt(fan_in)
        spread = 74 * 0.02 / np.sqrt(fan_in) * 40 * np.sqrt(fan_in) * self.scale_of(source)
        bias = self.rng.normal(0, 0.3, operator.out_channels) * spread
        bias = np.round(bias / (scales * self.scale_of(source))).astype(np.int32)
        inputs = [
            source,
            self.tensor(weights.shape, scales, 0, weights.astype(np.int8), 3 if planar else 0),
            self.tensor(bias.shape, None, 0, bias),
        ]
        shape = (1, out, out, operator.out_channels)
        rectified = operator.act in ("relu", "relu6")
        fused = {"relu": 1, "relu6": 3, "h_sigmoid": 3}.get(operator.act, 0)
        scale = 6 / 255 if fused == 3 else spread / 40
        options = {"fusedActivationFunction": fused}
        if operator.kind == "linear":
            tensor = self.activation(shape[3:] and (1, operator.out_channels), scale)
            return self.add("FULLY_CONNECTED", inputs, tensor, "FullyConnectedOptions", **options)
        output = self.activation(shape, scale, rectified or operator.act == "h_sigmoid")
        options |= {"strideW": operator.stride, "strideH": operator.stride}
        options |= {"dilationWFactor": 1, "dilationHFactor": 1, "padding": 0}
        if planar:
            options["depthMultiplier"] = operator.out_channels // operator.in_channels
        kind = "DEPTHWISE_CONV_2D" if planar else "CONV_2D"
        self.add(
            kind, inputs, output, "DepthwiseConv2DOptions" if planar else "Conv2DOptions", **options
        )
        if operator.act == "h_swish":
            return self.add("HARD_SWISH", [output], self.activation(shape, scale * 0.7))
        if operator.act == "h_sigmoid":
            sixth = self.constant("sixth", (), 1 / 6 / 255, -128, np.array(127, np.int8))
            gate = self.activation(shape, 1 / 255, True)
            options = {"fusedActivationFunction": 0}
            return self.add("MUL", [output, sixth], gate, "MulOptions", **options)
        return output


def int8_model(operators: Sequence[Operator], seed: int = 0) -> bytes:
    """An int8 TFLite model of `operators` with random weights."""
    writer = ModelWriter(seed)
    first = operators[0]
    source = writer.activation((1, first.side, first.side, first.in_channels), 0.02)
    outputs = [source]
    for operator in operators:
        inputs = [outputs[i] for i in operator.reads]
        scale = writer.scale_of(inputs[-1])
        shape = (1, operator.out_side, operator.out_side, operator.out_channels)
        if operator.weight_shape:
            outputs.append(writer.convolution(operator, *inputs))
        elif operator.kind == "pool":
            axes = writer.constant("axes", (2,), None, 0, np.array([1, 2], np.int32))
            pooled = writer.activation(shape, scale * writer.rng.uniform(0.2, 0.8))
            last = operator is operators[-2]
            if last:
                writer.tensors[pooled].shape = [1, operator.out_channels]
            outputs.append(
                writer.add("MEAN", [*inputs, axes], pooled, "ReducerOptions", keepDims=not last)
            )
        else:
            fused = {"relu": 1, "relu6": 3}.get(operator.act, 0)
            kind = {"add": "ADD", "scale": "MUL"}[operator.kind]
            scale *= 1.4 if kind == "ADD" else 0.5
            output = writer.activation(shape, scale, bool(fused))
            inputs = inputs if kind == "ADD" else inputs[::-1]  # the gate first
            outputs.append(
                writer.add(
                    kind, inputs, output, kind.title() + "Options", fusedActivationFunction=fused
                )
            )
    return writer.model(source, outputs[-1])
