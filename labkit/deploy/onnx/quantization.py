"""Static int8 quantization of an exported subnet with ONNX Runtime.

Weights are int8 with one scale per output channel, activations uint8 with ranges seen on
calibration images: Jacob et al., arXiv 1712.05877, and Nagel et al., arXiv 2106.08295, section 3.
Unsigned activations are what ONNX Runtime's x86 kernels want: with signed ones half of the
operators fall back to float, and a subnet of `fmnist` takes six times as long.

Integers do not make every network faster: small feature maps spend their time between the
operators. What a subnet gains on a machine is measured, never assumed.
"""

from __future__ import annotations

import io
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from labkit.deploy.onnx.export import accuracy
from labkit.runtime.onnx_graph import onnx
from labkit.runtime.onnx_session import require_onnxruntime

BATCH = 64
# A range that leaves out the very rarest values loses less than one that stretches to the single
# largest, or one that cuts off more: over five subnets of fmnist the logits are off by 0.087 (root
# mean square), with 99.99 by 0.099; the two that lost most accuracy on val lose 0.24 and 0.28
# points instead of 0.57 and 0.50.
PERCENTILE = 99.999


@dataclass(frozen=True)
class Quantized:
    """An int8 model beside the float model it came from. Accuracies in percent on the same images."""

    model: onnx.ModelProto
    accuracy_float: float
    accuracy_int8: float
    bytes_float: int
    bytes_int8: int

    @property
    def drop(self) -> float:
        """Points of accuracy lost."""
        return self.accuracy_float - self.accuracy_int8


def quantize(model: onnx.ModelProto, calibration: Tensor) -> onnx.ModelProto:
    """The int8 form of `model`, activation ranges taken from the images `calibration` (N, C, r, r).

    Raises MissingPackage with the command that installs it where onnxruntime is missing, ValueError
    without calibration images.
    """
    require_onnxruntime()
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if not len(calibration):
        raise ValueError("static quantization needs calibration images")

    class Images(CalibrationDataReader):
        def __init__(self) -> None:
            # Percentiles are taken over batches of one size: what does not fill the last one is
            # left out.
            whole = len(calibration) // BATCH * BATCH or len(calibration)
            self.batches = iter(calibration[:whole].split(BATCH))

        def get_next(self) -> dict | None:
            batch = next(self.batches, None)
            return None if batch is None else {"input": batch.numpy()}

    with tempfile.TemporaryDirectory() as folder, _silence():
        prepared, result = Path(folder) / "prepared.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, prepared)
        quant_pre_process(prepared, prepared, skip_symbolic_shape=True)
        quantize_static(
            prepared,
            result,
            Images(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.Percentile,
            extra_options={"CalibPercentile": PERCENTILE},
        )
        return onnx.load(result)


@contextmanager
def _silence() -> Iterator[None]:
    """ONNX Runtime's quantizer prints its progress, and logs advice to the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        root.setLevel(level)


def quantize_and_compare(
    model: onnx.ModelProto, calibration: Tensor, images: Tensor, labels: Tensor
) -> Quantized:
    """Quantize `model` and measure both models' accuracy on `images` (N, C, r, r)."""
    int8 = quantize(model, calibration)
    return Quantized(
        int8,
        accuracy(model, images, labels),
        accuracy(int8, images, labels),
        model.ByteSize(),
        int8.ByteSize(),
    )
