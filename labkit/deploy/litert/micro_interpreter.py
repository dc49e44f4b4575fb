"""An int8 TFLite model run by TensorFlow Lite Micro's interpreter.

It has the kernels that run on a board (tflite-micro's reference kernels), and says what arena the
model takes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from torch import Tensor
from tqdm.auto import tqdm

from labkit.deploy.deployment import channels_last
from labkit.deploy.litert.interpreter import scale_of
from labkit.deploy.litert.packages import importing_packages
from labkit.deploy.quiet import quiet
from labkit.storage.errors import ExportError

ARENA_LIMIT = 16 << 20  # bytes that the interpreter may use on this machine


@dataclass(frozen=True)
class Arena:
    """Bytes of memory that the interpreter used.

    Memory of `activations` is shared between operators, `persistent` buffers stay.
    """

    activations: int
    persistent: int

    @property
    def total(self) -> int:
        return self.activations + self.persistent


class MicroInterpreter:
    """An int8 TFLite model in TensorFlow Lite Micro."""

    def __init__(self, model: bytes, arena_bytes: int = ARENA_LIMIT) -> None:
        """Raises MissingPackage without tflite-micro, ExportError when the model does not fit
        `arena_bytes` or has an operator that the interpreter does not know.
        """
        with importing_packages():
            from tflite_micro.python.tflite_micro import runtime
        try:
            with quiet():
                interpreter = runtime.Interpreter.from_bytes(model, arena_size=arena_bytes)
        except RuntimeError as error:
            raise ExportError(f"TensorFlow Lite Micro refuses the model: {error}") from error
        self._interpreter = interpreter
        self.in_scale = scale_of(interpreter.get_input_details(0))
        self.out_scale = scale_of(interpreter.get_output_details(0))

    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Logits (classes,) of one float image (1, r, r, C)."""
        return self.out_scale.values(self.integers(self.in_scale.integers(image)))

    def integers(self, image: np.ndarray) -> np.ndarray:
        """All output integers, int8 and flat, of one image (1, r, r, C) of integers int8."""
        self._interpreter.set_input(image, 0)
        self._interpreter.invoke()
        return self._interpreter.get_output(0).ravel()

    def arena(self) -> Arena:
        """What the interpreter allocated, as it reports itself."""
        with quiet() as output:
            self._interpreter.print_allocations()
            output.seek(0)
            text = output.read().decode(errors="replace")
        sizes = dict(re.findall(r"Arena allocation (head|tail) (\d+) bytes", text))
        return Arena(int(sizes["head"]), int(sizes["tail"]))


def run(model: bytes, images: Tensor, progress: bool = False) -> np.ndarray:
    """(N, classes) logits of an int8 TFLite model on images (N, C, r, r)."""
    interpreter = MicroInterpreter(model)
    batch = tqdm(
        channels_last(images),
        total=len(images),
        desc="TensorFlow Lite Micro",
        unit="image",
        disable=not progress,
    )
    return np.stack([interpreter(image) for image in batch])
