"""A subnet for a microcontroller as an int8 TFLite model.

litert-torch converts, ai-edge-quantizer quantizes: int8 weights with one scale per output channel,
int8 activations with ranges seen on calibration images. Input and output are int8; the file is what
goes into flash.

Two things have to be done by hand, or the arena grows far beyond what the network needs:

* A convolution of stride 2 on a map with an even side pads as much before as after in torch, but
  one less before in TFLite's SAME padding. The converter writes a PAD operator there, whose output
  is a second, larger copy of the widest map. A kernel with a row and a column of zeros behind it
  pads alike in both (`with_same_padding`).
* From 256 KiB of weights on, ai-edge-quantizer stores them behind the flatbuffer. The
  microcontroller's interpreter does not know that form: it takes the weights for activations,
  reserves arena for them and computes with whatever is there. `for_flash` moves them back.
"""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.ops import Conv2dNormActivation

from labkit.deploy.deployment import (
    LOGITS_BATCH,
    MAX_ERROR,
    CalibrationImages,
    channels_last,
    check_agreement,
    finite_batches,
    require_eval_mode,
)
from labkit.deploy.litert.interpreter import litert_model
from labkit.deploy.litert.packages import importing_packages
from labkit.deploy.model_record import KEY, ModelRecord
from labkit.deploy.quiet import quiet
from labkit.space import SearchSpace, network
from labkit.supernet.subnet import Subnet

SWISH_ZERO = -3.0  # hard swish is 0 from here on down


def with_same_padding(space: SearchSpace, subnet: Subnet) -> Subnet:
    """A copy of `subnet` that computes the same, with batch norms folded and SAME padding.

    With side n even, stride 2 and kernel k = 2p + 1, torch pads p before and after. SAME pads k - 2
    in all, p - 1 of them before; for a kernel of k + 1 it pads 2p in all, p before. So the kernel
    gets a row and a column of zeros at its end.
    """
    copied = copy.deepcopy(subnet)
    for module in copied.modules():
        if isinstance(module, Conv2dNormActivation):
            module[0], module[1] = fuse_conv_bn_eval(module[0], module[1]), nn.Identity()
    for operator in network.operators(space, subnet.arch):
        halves = operator.kind in ("dense", "depthwise") and operator.stride == 2
        if halves and operator.side % 2 == 0:
            conv = copied.get_submodule(operator.place)[0]
            conv.weight = nn.Parameter(F.pad(conv.weight.detach(), (0, 1, 0, 1)))
            conv.kernel_size = tuple(conv.weight.shape[2:])
    return copied


def float_model(
    space: SearchSpace, subnet: Subnet, images: Tensor, *, tolerance: float = MAX_ERROR
) -> bytes:
    """The subnet as a float32 TFLite model of one image (1, r, r, C).

    It is verified on `images` (N, C, r, r).

    Raises ExportError when a logit differs from torch's by more than `tolerance`, MissingPackage
    where a package is missing, ValueError for a subnet in training mode.
    """
    require_eval_mode(subnet)
    with importing_packages():
        import litert_torch
    with quiet(), tempfile.TemporaryDirectory() as folder:
        channels_last_subnet = litert_torch.to_channel_last_io(
            with_same_padding(space, subnet), args=[0]
        )
        path, example = Path(folder) / "float.tflite", images[:1].permute(0, 2, 3, 1).contiguous()
        litert_torch.convert(channels_last_subnet, (example,)).export(str(path))
        model = path.read_bytes()
    check_agreement(
        litert_model(model)(images), subnet, images, model="TFLite", tolerance=tolerance
    )
    return model


def halve(model: bytes) -> bytes:
    """A float TFLite model whose weights are float16; it computes in float32, or where a phone can
    in float16.
    """
    with importing_packages():
        from ai_edge_quantizer import qtyping, quantizer
    half = quantizer.Quantizer(bytearray(model))
    half.update_quantization_recipe(
        regex=".*",
        operation_name=qtyping.TFLOperationName.ALL_SUPPORTED,
        op_config=qtyping.OpQuantizationConfig(
            weight_tensor_config=qtyping.TensorQuantizationConfig(
                num_bits=16, dtype=qtyping.TensorDataType.FLOAT
            ),
            compute_precision=qtyping.ComputePrecision.FLOAT,
        ),
        algorithm_key=quantizer.AlgorithmName.FLOAT_CASTING,
    )
    with quiet():
        return bytes(half.quantize().quantized_model)


def quantize(model: bytes, calibration: Tensor | CalibrationImages) -> bytes:
    """The int8 form of a float TFLite model, activation ranges taken from images (N, C, r, r).

    The range of an activation is that of its values over all images. The quantizer's own choice, a
    moving average that the last twenty images decide, cuts off too much: on val two subnets of
    fmnist lost 1.06 and 1.12 points by it, and lose -0.02 and 0.22 like this.

    What a hard swish reads is kept from -3 on only: below, hard swish is 0 anyway, and a stem whose
    values reach from -35 to 35 has steps half as wide like this. A background of one value is
    rounded alike in all its pixels, which no sum over pixels evens out.

    Raises ValueError without images, or for some with NaN.
    """
    with importing_packages():
        from ai_edge_litert.interpreter import Interpreter
        from ai_edge_quantizer import calibrator, quantizer, recipe, recipe_manager
        from ai_edge_quantizer.utils.qsv_utils import min_max_update
    with quiet():
        ((signature, names),) = Interpreter(model_content=model).get_signature_list().items()
        scheme, rules = recipe.static_wi8_ai8(), recipe_manager.RecipeManager()
        rules.load_quantization_recipe(scheme)
        content = bytearray(model)
        ranges = calibrator.Calibrator(content, num_threads=1, qsv_update_func=min_max_update)
        # The calibrator makes a list of the images that it gets, so it gets them batch by batch.
        for batch in finite_batches(calibration, LOGITS_BATCH):
            data = [{names["inputs"][0]: image} for image in channels_last(batch)]
            ranges.calibrate({signature: data}, rules)
        seen = ranges.get_model_qsvs()
        for name in swish_inputs(model):
            seen[name] |= {"min": np.maximum(seen[name]["min"], SWISH_ZERO)}
        int8 = quantizer.Quantizer(content, scheme).quantize(seen)
    return for_flash(bytes(int8.quantized_model))


def swish_inputs(model: bytes) -> Iterator[str]:
    """Names of the tensors of a float TFLite model that a hard swish reads: nothing else reads
    them, each is the output of a convolution.
    """
    from ai_edge_litert.schema_py_generated import BuiltinOperator
    from ai_edge_litert.tools import flatbuffer_utils

    content = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    for graph in content.subgraphs:
        for operator in graph.operators:
            operator_code = content.operatorCodes[operator.opcodeIndex]
            code = flatbuffer_utils.get_builtin_code_from_operator_code(operator_code)
            if code == BuiltinOperator.HARD_SWISH:
                yield graph.tensors[operator.inputs[0]].name.decode()


def for_flash(model: bytes) -> bytes:
    """The same TFLite model with all weights inside the flatbuffer, without what no kernel reads.

    Names of tensors and the scales of convolutions' biases (known to be input scale times weight
    scale) make up a quarter of the file of a small network.
    """
    from ai_edge_litert.schema_py_generated import BuiltinOperator
    from ai_edge_litert.tools import flatbuffer_utils

    # Reading it brings all weights inside.
    content = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    convolutions = (BuiltinOperator.CONV_2D, BuiltinOperator.DEPTHWISE_CONV_2D)
    for graph in content.subgraphs:
        for tensor in graph.tensors:
            tensor.name = None
        for operator in graph.operators:
            operator_code = content.operatorCodes[operator.opcodeIndex]
            code = flatbuffer_utils.get_builtin_code_from_operator_code(operator_code)
            if code in convolutions and len(operator.inputs) == 3:
                graph.tensors[operator.inputs[2]].quantization = None
    return bytes(flatbuffer_utils.convert_object_to_bytearray(content))


def with_record(model: bytes, record: ModelRecord) -> bytes:
    """The same TFLite model with its record in its metadata."""
    from ai_edge_litert.schema_py_generated import BufferT, MetadataT
    from ai_edge_litert.tools import flatbuffer_utils

    content = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    entry, buffer = MetadataT(), BufferT()
    entry.name, entry.buffer = KEY, len(content.buffers)
    buffer.data = list(record.to_text().encode())
    content.metadata = [*(content.metadata or ()), entry]
    content.buffers.append(buffer)
    return bytes(flatbuffer_utils.convert_object_to_bytearray(content))


def record_text(model: bytes) -> bytes | None:
    """What `with_record` put into a TFLite model; None where it did not."""
    from ai_edge_litert.tools import flatbuffer_utils

    content = flatbuffer_utils.read_model_from_bytearray(bytearray(model))
    for entry in content.metadata or ():
        if entry.name == KEY.encode():
            return bytes(content.buffers[entry.buffer].data)
    return None
