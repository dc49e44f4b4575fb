"""A TFLite model in LiteRT, the runtime that phones have, on this machine's processor."""

from __future__ import annotations

import numpy as np

from labkit.deploy.converted_file import RuntimeModel
from labkit.deploy.model_record import IntegerScale
from labkit.deploy.quiet import quiet
from labkit.storage.errors import MissingPackage


def litert_model(content: bytes) -> RuntimeModel:
    """A TFLite model with one input (1, r, r, C) and one output (1, classes), float32 or int8.

    Raises MissingPackage without ai-edge-litert, ValueError for bytes that are no model.
    """
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise MissingPackage(
            "running a .tflite model needs ai-edge-litert: pip install ai-edge-litert"
        ) from error
    with quiet():
        interpreter = Interpreter(model_content=content, num_threads=1)
        interpreter.allocate_tensors()
    (entry,), (exit_,) = interpreter.get_input_details(), interpreter.get_output_details()

    def call(image: np.ndarray) -> np.ndarray:
        interpreter.set_tensor(entry["index"], image)
        interpreter.invoke()
        return interpreter.get_tensor(exit_["index"])

    return RuntimeModel(call, True, scale_of(entry), scale_of(exit_))


def scale_of(details: dict) -> IntegerScale | None:
    """The scale of an input or output, from what an interpreter says about it; None for floats."""
    if details["dtype"] != np.int8:
        return None
    parameters = details["quantization_parameters"]
    return IntegerScale(float(parameters["scales"][0]), int(parameters["zero_points"][0]))
