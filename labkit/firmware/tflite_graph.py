"""An int8 TFLite model as values: its operators in the order in which they run, and their tensors.

The flatbuffer is read with the schema that comes with TensorFlow Lite Micro's package.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from labkit.deploy.litert.micro_interpreter import MicroInterpreter
from labkit.deploy.litert.packages import importing_packages
from labkit.storage.errors import ExportError

# Names of the schema's builtin operators that a network of this package is converted to.
CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
# Limits that an activation inside an operator puts on real values; None is the type's own limit.
FUSED_LIMITS = {0: (None, None), 1: (0.0, None), 3: (0.0, 6.0)}  # none, ReLU, ReLU6

TABLE_ARENA = 1 << 16  # bytes that the interpreter may use for one operator


@dataclass(frozen=True, eq=False)
class QuantizedTensor:
    """A tensor's shape, what its integers mean, and its values where it is constant.

    A real value is scale * (integer - zero). `scales` has one entry, or one for each channel of a
    convolution's weights; it is empty for a bias.
    """

    shape: tuple[int, ...]
    scales: np.ndarray  # float32
    zero: int
    values: np.ndarray | None

    @property
    def scale(self) -> float:
        """The scale of all its values, exactly the float32 of the file."""
        if len(self.scales) != 1:
            raise ExportError(
                f"a tensor of shape {self.shape} has {len(self.scales)} scales, not 1"
            )
        return float(self.scales[0])


@dataclass(frozen=True)
class TfliteOperator:
    """One operator: the schema's name of its kind, and numbers of the tensors it reads and
    writes.
    """

    kind: str
    inputs: tuple[int, ...]
    output: int
    fused: int  # the activation inside, as FUSED_LIMITS counts them


class TfliteGraph:
    """The operators and tensors of an int8 model with one input and one output."""

    def __init__(self, model: bytes) -> None:
        """Raises ExportError for bytes that are no such model, MissingPackage without the extra."""
        with importing_packages():
            from tflite_micro.python.tflite_micro import runtime
        self._runtime = runtime
        if model[4:8] != b"TFL3":
            raise ExportError("this is no TFLite model: its bytes 4 to 8 are not 'TFL3'")
        self._model = runtime.convert_bytearray_to_object(bytearray(model))
        (graph,) = self._model.subgraphs
        if len(graph.inputs) != 1 or len(graph.outputs) != 1:
            raise ExportError(
                f"the model has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs; a"
                " network has one of each"
            )
        self.input, self.output = int(graph.inputs[0]), int(graph.outputs[0])
        self.tensors = [self._tensor(tensor) for tensor in graph.tensors]
        self.operators = [self._operator(operator) for operator in graph.operators]

    def _tensor(self, tensor) -> QuantizedTensor:
        schema = self._runtime.schema_fb
        shape = tuple(map(int, tensor.shape if tensor.shape is not None else ()))
        quantization, data = tensor.quantization, self._model.buffers[tensor.buffer].data
        scales = getattr(quantization, "scale", None)
        zeros = getattr(quantization, "zeroPoint", None)
        dtype = {schema.TensorType.INT8: np.int8, schema.TensorType.INT32: np.int32}
        if tensor.type not in dtype:
            raise ExportError(f"a tensor of type {tensor.type} in the model; the engine has int8")
        values = None
        if data is not None and len(data):
            values = np.asarray(data, np.uint8).view(dtype[tensor.type]).reshape(shape)
        return QuantizedTensor(
            shape,
            np.asarray([] if scales is None else scales, np.float32),
            0 if zeros is None or not len(zeros) else int(zeros[0]),
            values,
        )

    def _operator(self, operator) -> TfliteOperator:
        code = self._runtime.get_builtin_code_from_operator_code(
            self._model.operatorCodes[operator.opcodeIndex]
        )
        kinds = vars(self._runtime.schema_fb.BuiltinOperator)
        kind = next(name for name, number in kinds.items() if number == code)
        fused = getattr(operator.builtinOptions, "fusedActivationFunction", 0)
        if fused not in FUSED_LIMITS:
            raise ExportError(f"{kind} with an activation (number {fused}) that the engine lacks")
        return TfliteOperator(
            kind, tuple(map(int, operator.inputs)), int(operator.outputs[0]), fused
        )

    def clamp(self, operator: TfliteOperator) -> tuple[int, int]:
        """The smallest and the largest integer that `operator` may write, by its activation."""
        tensor = self.tensors[operator.output]
        limits = []
        for limit, end in zip(FUSED_LIMITS[operator.fused], (-128, 127)):
            # float32 throughout, as the interpreter computes it; halves are rounded away from 0
            steps = 0.0 if limit is None else float(np.float32(limit) / np.float32(tensor.scale))
            quantized = tensor.zero + int(np.copysign(np.floor(abs(steps) + 0.5), steps))
            limits.append(end if limit is None else max(-128, min(127, quantized)))
        return limits[0], limits[1]

    def table(self, number: int) -> np.ndarray:
        """What operator `number`, of one variable, makes of the integers -128 to 127: (256,) int8.

        TensorFlow Lite Micro runs it alone on all of them.
        """
        schema, (graph,) = self._runtime.schema_fb, self._model.subgraphs
        operator = copy.copy(graph.operators[number])
        numbers = [*operator.inputs, operator.outputs[0]]
        variable = next(i for i in operator.inputs if self.tensors[i].values is None)
        alone, part = copy.copy(self._model), schema.SubGraphT()
        alone.subgraphs, alone.buffers, part.tensors = [part], [schema.BufferT()], []
        for i in numbers:
            tensor = copy.copy(graph.tensors[i])
            if i in (variable, operator.outputs[0]):
                tensor.shape = [1, 1, 1, 256]
            alone.buffers.append(self._model.buffers[tensor.buffer])
            tensor.buffer = len(alone.buffers) - 1
            part.tensors.append(tensor)
        operator.inputs, operator.outputs = list(range(len(numbers) - 1)), [len(numbers) - 1]
        part.operators, part.outputs = [operator], operator.outputs
        part.inputs = [numbers.index(variable)]
        return MicroInterpreter(self._bytes(alone), TABLE_ARENA).integers(
            np.arange(-128, 128).astype(np.int8).reshape(1, 1, 1, 256)
        )

    def _bytes(self, model) -> bytes:
        import flatbuffers

        builder = flatbuffers.Builder(0)
        builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
        return bytes(builder.Output())

    def readers(self, tensor: int) -> Sequence[int]:
        """Numbers of the operators that read a tensor."""
        return [i for i, operator in enumerate(self.operators) if tensor in operator.inputs]
