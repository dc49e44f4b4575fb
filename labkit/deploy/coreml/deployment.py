"""From a subnet to an .mlpackage for Core ML, which is run, and so verified, on macOS only."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor

from labkit.data.datasets import DataSet
from labkit.deploy.converted_file import (
    Converted,
    FileDeployment,
    RuntimeModel,
    deploy_file,
)
from labkit.deploy.deployment import require_eval_mode
from labkit.deploy.model_record import KEY, ModelRecord, Opened, require_own
from labkit.deploy.quiet import quiet
from labkit.space import SearchSpace
from labkit.storage.atomic_write import write_folder_atomic
from labkit.storage.errors import LabError, MissingPackage
from labkit.supernet.subnet import Subnet

RUNS_HERE = sys.platform == "darwin"
MISSING_COREML = (
    "an .mlpackage needs coremltools: pip install -e '.[phone]' in the checkout (or pip install"
    " coremltools)"
)


def coreml_model(model) -> RuntimeModel:
    """A Core ML model with one input (1, C, r, r) and one output (1, classes), on macOS."""
    return RuntimeModel(lambda image: model.predict({"input": image})["output"])


def package(subnet: Subnet, example: Tensor, precision: str):
    """`subnet` as a Core ML model of one image like `example` (1, C, r, r)."""
    require_eval_mode(subnet)
    with quiet():
        import coremltools as ct

        return ct.convert(
            torch.export.export(subnet, (example,)).run_decompositions({}),
            inputs=[ct.TensorType(name="input", shape=example.shape)],
            outputs=[ct.TensorType(name="output")],
            compute_precision=ct.precision[precision.upper()],
            minimum_deployment_target=ct.target.iOS15,
        )


def deploy(
    space: SearchSpace,
    subnet: Subnet,
    dataset: DataSet,
    path: Path,
    *,
    precision: str = "float16",
    **judged,
) -> FileDeployment:
    """Convert `subnet` to a package at `path`, and report on it as `deploy_file` does, with its
    `split`, `images` and `supernet`.

    Raises LabError for a path that is no .mlpackage or a folder of something else, ValueError for
    int8, MissingPackage without the extra `phone`, and what `deploy_file` raises.
    """
    path = Path(path)
    if path.suffix != ".mlpackage":
        raise LabError(
            f"a model for Core ML is a .mlpackage, got {str(path)!r}; name it like model.mlpackage"
        )
    require_own(path)
    if precision == "int8":
        raise ValueError("a Core ML model is float32 or float16, not int8; choose one of them")
    require_packages()

    def convert(inputs: Tensor) -> Converted:
        model = package(subnet, inputs[:1], precision)

        def write(target: Path, record: ModelRecord) -> None:
            model.user_defined_metadata[KEY] = record.to_text()
            with quiet():
                model.save(str(target))

        return Converted(coreml_model(model) if RUNS_HERE else None, write, write_folder_atomic)

    names = {"runtime": "Core ML", "precision": precision}
    return deploy_file(space, subnet, dataset, path, convert, **names, **judged)


def open_model(path: Path) -> Opened:
    """The record of a Core ML model that was deployed, and a function of images (N, C, r, r) that
    gives their logits (N, classes). Raises LabError off macOS.
    """
    require_packages()
    if not RUNS_HERE:
        raise LabError(f"{path} runs on macOS and iOS only; deploy the subnet to another format")
    import coremltools as ct

    model = ct.models.MLModel(str(path))
    return ModelRecord.from_text(model.user_defined_metadata.get(KEY), path), coreml_model(model)


def require_packages() -> None:
    """Raise MissingPackage, which names the extra, unless coremltools is installed."""
    if find_spec("coremltools") is None:
        raise MissingPackage(MISSING_COREML)
