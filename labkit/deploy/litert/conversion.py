"""A subnet for a microcontroller: int8 TFLite, run by TensorFlow Lite Micro's interpreter.

litert-torch converts, ai-edge-quantizer quantizes (int8 weights with one scale per output channel,
int8 activations with ranges seen on calibration images), and tflite-micro runs the result with the
kernels that run on a board, and says what arena it takes. Input and output are int8; the file is
what goes into flash.

Two things have to be done by hand, or the arena grows far beyond what the network needs:

* A convolution of stride 2 on a map with an even side pads as much before as after in torch, but one less
  before in TFLite's SAME padding. The converter writes a PAD operator there, whose output is a second, larger
  copy of the widest map. A kernel with a row and a column of zeros behind it pads alike in both (`plain`).
* From 256 KiB of weights on, ai-edge-quantizer stores them behind the flatbuffer. The microcontroller's
  interpreter does not know that form: it takes the weights for activations, reserves arena for them and
  computes with whatever is there. `for_flash` moves them back.
"""

from __future__ import annotations

import copy
import io
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.ops import Conv2dNormActivation
from tqdm.auto import tqdm

from labkit.space import SearchSpace, block_name
from labkit.storage.errors import ExportError, MissingPackage
from labkit.supernet.subnet import Subnet
from labkit.tables.costs import block_sides

PACKAGES = ("litert_torch", "ai_edge_quantizer", "tflite_micro")
MISSING = (
    "deploying to a microcontroller needs litert-torch, ai-edge-quantizer and tflite-micro, which"
    " want other versions of some packages than Jupyter does: pip install -e '.[mcu]' in the"
    " checkout, in an environment of its own (`make test-mcu` makes one, .venv-mcu, which has"
    " labkit too)"
)
TOLERANCE = 1e-4  # largest difference of a logit, float TFLite against torch
ARENA_LIMIT = 16 << 20  # bytes that the interpreter is given here; it reports what it used


@dataclass(frozen=True)
class Arena:
    """Bytes of memory that the interpreter used: `activations` are given back between operators and
    shared, `persistent` buffers stay."""

    activations: int
    persistent: int

    @property
    def total(self) -> int:
        return self.activations + self.persistent


def require_packages() -> None:
    """Raise MissingPackage, which names the extra, unless all that this module needs is installed."""
    if not all(map(find_spec, PACKAGES)):
        raise MissingPackage(MISSING)


# ---- conversion --------------------------------------------------------------------------------------


def plain(space: SearchSpace, subnet: Subnet) -> Subnet:
    """A copy of `subnet` that computes the same, batch norms folded, all convolutions padding as
    SAME does.

    With side n even, stride 2 and kernel k = 2p + 1, torch pads p before and after. SAME pads k - 2
    in all, p - 1 of them before; for a kernel of k + 1 it pads 2p in all, p before. So the kernel
    gets a row and a column of zeros at its end.
    """
    copied = copy.deepcopy(subnet)
    for module in copied.modules():
        if isinstance(module, Conv2dNormActivation):
            module[0], module[1] = fuse_conv_bn_eval(module[0], module[1]), nn.Identity()
    layers = [(copied.stem[0], subnet.arch.resolution)]
    for shape, side in zip(space.blocks, block_sides(space, subnet.arch.resolution)):
        if shape.index < len(subnet.arch.stages[shape.stage]):
            block = getattr(copied.blocks, block_name(shape.stage, shape.index))
            layers.append((block.depthwise[0], side))
    for conv, side in layers:
        if conv.stride[0] == 2 and side % 2 == 0:
            conv.weight = nn.Parameter(F.pad(conv.weight.detach(), (0, 1, 0, 1)))
            conv.kernel_size = tuple(conv.weight.shape[2:])
    return copied


def float_model(
    space: SearchSpace, subnet: Subnet, images: Tensor, *, tolerance: float = TOLERANCE
) -> bytes:
    """The subnet as a float32 TFLite model on one image (1, r, r, C), verified on `images` (N, C,
    r, r).

    Raises ExportError when a logit differs from torch's by more than `tolerance`, MissingPackage
    where a package is missing, ValueError for a subnet in training mode.
    """
    if subnet.training:
        raise ValueError(
            "the subnet is in training mode; call eval() first, its batch norms are to be folded"
        )
    try:
        with quiet():
            import litert_torch
    except ImportError as error:
        raise MissingPackage(MISSING) from error
    with quiet(), tempfile.TemporaryDirectory() as folder:
        nhwc = litert_torch.to_channel_last_io(plain(space, subnet), args=[0])
        path = Path(folder) / "float.tflite"
        litert_torch.convert(nhwc, (images[:1].permute(0, 2, 3, 1).contiguous(),)).export(str(path))
        model = path.read_bytes()
    with torch.inference_mode():
        expected = subnet(images).numpy()
    difference = float(np.abs(run_float(model, images) - expected).max())
    if not difference <= tolerance:  # not `>`: a NaN must fail
        raise ExportError(
            f"the TFLite model differs from torch by {difference:.2g} on {len(images)} images, "
            f"allowed is {tolerance:.2g}"
        )
    return model


def run_float(model: bytes, images: Tensor) -> np.ndarray:
    """(N, classes) logits of a float TFLite model on images (N, C, r, r), by the full-size runtime."""
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        interpreter = Interpreter(model_content=model)
        interpreter.allocate_tensors()
    (entry,), (exit_,) = interpreter.get_input_details(), interpreter.get_output_details()
    outputs = []
    for image in channels_last(images):
        interpreter.set_tensor(entry["index"], image)
        interpreter.invoke()
        outputs.append(interpreter.get_tensor(exit_["index"]))
    return np.concatenate(outputs)


def channels_last(images: Tensor) -> Iterator[np.ndarray]:
    """Each image of (N, C, r, r) as float32 (1, r, r, C)."""
    yield from np.ascontiguousarray(images.permute(0, 2, 3, 1).numpy())[:, None]


def quantize(model: bytes, calibration: Tensor) -> bytes:
    """The int8 form of a float TFLite model, activation ranges taken from images (N, C, r, r)."""
    if not len(calibration):
        raise ValueError("static quantization needs calibration images")
    try:
        from ai_edge_quantizer import quantizer, recipe
    except ImportError as error:
        raise MissingPackage(MISSING) from error
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        ((signature, names),) = Interpreter(model_content=model).get_signature_list().items()
        ranges = quantizer.Quantizer(bytearray(model), recipe.static_wi8_ai8())
        data = {signature: [{names["inputs"][0]: image} for image in channels_last(calibration)]}
        result = ranges.quantize(ranges.calibrate(data, num_threads=1)).quantized_model
    return for_flash(bytes(result))


def for_flash(model: bytes) -> bytes:
    """The same TFLite model, all of it inside the flatbuffer and without what no kernel reads
    there.

    Names of tensors and the scales of convolutions' biases (known to be input scale times weight
    scale) make up a quarter of the file of a small network.
    """
    from ai_edge_litert.schema_py_generated import BuiltinOperator
    from ai_edge_litert.tools import flatbuffer_utils

    content = flatbuffer_utils.read_model_from_bytearray(
        bytearray(model)
    )  # brings all weights inside
    convolutions = (BuiltinOperator.CONV_2D, BuiltinOperator.DEPTHWISE_CONV_2D)
    for graph in content.subgraphs:
        for tensor in graph.tensors:
            tensor.name = None
        for operator in graph.operators:
            code = flatbuffer_utils.get_builtin_code_from_operator_code(
                content.operatorCodes[operator.opcodeIndex]
            )
            if code in convolutions and len(operator.inputs) == 3:
                graph.tensors[operator.inputs[2]].quantization = None
    return bytes(flatbuffer_utils.convert_object_to_bytearray(content))


# ---- TensorFlow Lite Micro ---------------------------------------------------------------------------


class MicroInterpreter:
    """An int8 TFLite model in TensorFlow Lite Micro's interpreter, with the reference kernels."""

    def __init__(self, model: bytes, arena_bytes: int = ARENA_LIMIT) -> None:
        """Raises MissingPackage without tflite-micro, ExportError when the model does not fit
        `arena_bytes` or has an operator that the interpreter does not know."""
        try:
            from tflite_micro.python.tflite_micro import runtime
        except ImportError as error:
            raise MissingPackage(MISSING) from error
        with quiet():
            try:
                self._interpreter = runtime.Interpreter.from_bytes(model, arena_size=arena_bytes)
            except RuntimeError as error:
                raise ExportError(f"TensorFlow Lite Micro refuses the model: {error}") from error
        self._entry, self._exit = (
            self._interpreter.get_input_details(0),
            self._interpreter.get_output_details(0),
        )

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Logits (classes,) of one float image (1, r, r, C)."""
        self._interpreter.set_input(_to_int8(image, self._entry["quantization_parameters"]), 0)
        self._interpreter.invoke()
        output, (scale, zero) = (
            self._interpreter.get_output(0),
            _scale(self._exit["quantization_parameters"]),
        )
        return (output[0].astype(np.float32) - zero) * scale

    def arena(self) -> Arena:
        """What the interpreter allocated, as it reports itself."""
        with quiet() as said:
            self._interpreter.print_allocations()
        found = dict(re.findall(r"Arena allocation (head|tail) (\d+) bytes", said.text()))
        return Arena(int(found["head"]), int(found["tail"]))


def _scale(parameters: dict) -> tuple[np.float32, int]:
    return parameters["scales"][0], int(parameters["zero_points"][0])


def _to_int8(values: np.ndarray, parameters: dict) -> np.ndarray:
    scale, zero = _scale(parameters)
    return np.clip(np.round(values / scale) + zero, -128, 127).astype(np.int8)


def run(model: bytes, images: Tensor, progress: bool = False) -> np.ndarray:
    """(N, classes) logits of an int8 TFLite model on images (N, C, r, r), by TensorFlow Lite Micro."""
    interpreter = MicroInterpreter(model)
    images_ = tqdm(
        channels_last(images),
        total=len(images),
        desc="TensorFlow Lite Micro",
        unit="image",
        disable=not progress,
    )
    return np.stack([interpreter(image) for image in images_])


# ---- chatter -----------------------------------------------------------------------------------------


class Said:
    """What was written to the two standard streams."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()

    def text(self) -> str:
        self._file.seek(0)
        return self._file.read().decode(errors="replace")


@contextmanager
def quiet() -> Iterator[Said]:
    """Keep what converters and native code print from the terminal, and hand it over."""
    said = Said()
    sys.stdout.flush(), sys.stderr.flush()
    kept = [os.dup(stream) for stream in (1, 2)]
    try:
        for stream in (1, 2):
            os.dup2(said._file.fileno(), stream)
        with (
            io.TextIOWrapper(io.FileIO(os.dup(1), "w"), write_through=True) as text,
            redirect_stdout(text),
            redirect_stderr(text),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            yield said
    finally:
        sys.stdout.flush(), sys.stderr.flush()
        for stream, copy_ in zip((1, 2), kept):
            os.dup2(copy_, stream)
            os.close(copy_)
