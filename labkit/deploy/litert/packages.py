"""The packages that convert for microcontrollers, and the error that says how to install them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

from labkit.deploy.quiet import quiet
from labkit.storage.errors import MissingPackage

PACKAGES = ("litert_torch", "ai_edge_quantizer", "tflite_micro")
MISSING_LITERT = (
    "a .tflite file or a folder of firmware needs litert-torch, ai-edge-quantizer and"
    " tflite-micro, which want other versions of some packages than Jupyter does: pip install -e"
    " '.[mcu]' in the checkout, in an environment of its own (`make mcu` makes one, .venv-mcu,"
    " which has labkit too)"
)


def require_packages() -> None:
    """Raise MissingPackage, which names the extra, unless all of them are installed."""
    if not all(map(find_spec, PACKAGES)):
        raise MissingPackage(MISSING_LITERT)


@contextmanager
def importing_packages() -> Iterator[None]:
    """Imports inside raise MissingPackage, which names the extra, and print nothing."""
    try:
        with quiet():
            yield
    except ImportError as error:
        raise MissingPackage(MISSING_LITERT) from error
