"""From a subnet to a .pte file that ExecuTorch's runtime has run here."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from labkit.data.datasets import DataSet
from labkit.deploy.converted_file import (
    Converted,
    FileDeployment,
    RuntimeModel,
    deploy_file,
)
from labkit.deploy.deployment import require_eval_mode, require_file_name
from labkit.deploy.model_record import KEY, ModelRecord, Opened
from labkit.deploy.quiet import quiet
from labkit.space import SearchSpace
from labkit.storage.errors import MissingPackage
from labkit.supernet.subnet import Subnet

MISSING_EXECUTORCH = (
    "a .pte file needs executorch: pip install -e '.[phone]' in the checkout (or pip install"
    " executorch)"
)


def executorch_model(content: bytes) -> tuple[RuntimeModel, str | None]:
    """A .pte program with one input (1, C, r, r) and one output (1, classes), float32; and the text
    of the record that `program` put into it, None where it did not.
    """
    require_packages()
    with quiet():
        from executorch.runtime import Runtime

        loaded = Runtime.get().load_program(content)
        forward = loaded.load_method("forward")
    text = loaded.load_method(KEY).execute([])[0] if KEY in loaded.method_names else None

    def call(image: np.ndarray, _program=loaded) -> np.ndarray:  # a method needs its program
        return forward.execute([torch.from_numpy(image)])[0].numpy()

    return RuntimeModel(call), text


def program(subnet: Subnet, example: Tensor, record: ModelRecord | None = None) -> bytes:
    """`subnet` as an ExecuTorch program of one image like `example` (1, C, r, r), in XNNPACK.

    With a record it has a second method, which gives that as text.
    """
    require_eval_mode(subnet)
    with quiet():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import to_edge_transform_and_lower

        edge = to_edge_transform_and_lower(
            torch.export.export(subnet, (example,)),
            partitioner=[XnnpackPartitioner()],
            constant_methods={} if record is None else {KEY: record.to_text()},
        )
        return bytes(edge.to_executorch().buffer)


def deploy(
    space: SearchSpace,
    subnet: Subnet,
    dataset: DataSet,
    path: Path,
    **judged,
) -> FileDeployment:
    """Lower `subnet` to a program at `path`, and report on it as `deploy_file` does, with its
    `split`, `images` and `supernet`.

    Raises LabError for a path that is no .pte file, MissingPackage without the extra `phone`, and
    what `deploy_file` raises.
    """
    path = Path(path)
    require_file_name(path, ".pte", "ExecuTorch")
    require_packages()

    def convert(inputs: Tensor) -> Converted:
        example = inputs[:1]
        model, _ = executorch_model(program(subnet, example))
        return Converted(
            model, lambda target, record: target.write_bytes(program(subnet, example, record))
        )

    names = {"runtime": "ExecuTorch", "precision": "float32"}
    return deploy_file(space, subnet, dataset, path, convert, **names, **judged)


def open_model(path: Path) -> Opened:
    """The record of an ExecuTorch program that was deployed, and a function of images (N, C, r, r)
    that gives their logits (N, classes).
    """
    model, text = executorch_model(path.read_bytes())
    return ModelRecord.from_text(text, path), model


def require_packages() -> None:
    """Raise MissingPackage, which names the extra, unless executorch is installed."""
    if find_spec("executorch") is None:
        raise MissingPackage(MISSING_EXECUTORCH)
