"""Every format that a subnet is deployed to, by the ending of its file's name.

A format is a module with `require_packages()`, which raises MissingPackage, `deploy(space, subnet,
dataset, path, ...)`, which gives a `Deployment`, and `open_model(path)`, which gives the record of
a file that was deployed and a function of prepared images that gives their logits.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from labkit.storage.errors import LabError


class Format(NamedTuple):
    name: str
    example: str  # of a path
    module_name: str
    options: tuple[str, ...]  # of `deploy`, beyond those that all of them take

    @property
    def module(self) -> ModuleType:
        """Imported when it is asked for: each needs packages of its own."""
        return import_module(self.module_name)


FORMATS = {
    ".onnx": Format("ONNX", "model.onnx", "labkit.deploy.onnx.deployment", ("int8",)),
    ".tflite": Format(
        "LiteRT",
        "model.tflite",
        "labkit.deploy.litert.deployment",
        ("precision", "images", "progress"),
    ),
    ".pte": Format("ExecuTorch", "model.pte", "labkit.deploy.executorch.deployment", ("images",)),
    ".mlpackage": Format(
        "Core ML", "model.mlpackage", "labkit.deploy.coreml.deployment", ("precision", "images")
    ),
    "": Format(
        "a C library",
        "firmware/",
        "labkit.firmware.deployment",
        ("layout", "board", "images", "progress"),
    ),
}


def format_of(path: Path) -> Format:
    """The format of a file or folder; raises LabError, which lists them, for another."""
    if path.suffix not in FORMATS:
        examples = ", ".join(f"{form.example} ({form.name})" for form in FORMATS.values())
        raise LabError(
            f"no format is called {str(path)!r}; name it like {examples}, whose folder's name has"
            " no dot"
        )
    return FORMATS[path.suffix]
