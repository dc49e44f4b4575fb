"""ONNX Runtime: sessions of models, and the error that says how to install it."""

from __future__ import annotations

from types import ModuleType

from labkit.runtime import timing
from labkit.storage.errors import MissingPackage

MISSING_ONNXRUNTIME = (
    "onnxruntime is not installed: pip install -e '.[deploy]' in the checkout (or pip install onnx "
    "onnxruntime), or measure with runtime 'torch'"
)


def require_onnxruntime() -> ModuleType:
    """The module onnxruntime; raises MissingPackage with the command that installs it."""
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackage(MISSING_ONNXRUNTIME) from error
    return onnxruntime


def open_session(model: bytes | str, threads: int = 1):
    """An `InferenceSession` on the CPU, of a model's bytes or of its file.

    Raises MissingPackage with the command that installs ONNX Runtime.
    """
    require_onnxruntime()
    return timing.onnx_session(model, threads)
