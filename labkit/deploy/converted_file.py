"""A subnet converted to a file for a phone's runtime: verified, measured, described and written.

What converting to LiteRT, ExecuTorch and Core ML does alike.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from labkit.data.datasets import DataSet
from labkit.deploy.deployment import (
    MAX_ERROR,
    Deployment,
    channels_last,
    check_agreement,
    median_ms,
    split_images,
    top1_percent,
    torch_logits,
)
from labkit.deploy.model_record import (
    IntegerScale,
    ModelRecord,
    model_record,
    require_class_names,
    write_model,
)
from labkit.space import SearchSpace
from labkit.storage.atomic_write import write_atomic
from labkit.supernet.subnet import Subnet

VERIFY_IMAGES = 64
TORCH = "PyTorch"
# Largest difference of a logit to torch's. With float16 weights it is that of their rounding; what
# int8 changes is judged by its accuracy.
TOLERANCE = {"float32": MAX_ERROR, "float16": 0.1, "int8": np.inf}


class RuntimeModel(NamedTuple):
    """A converted subnet in its runtime on this machine: `call` takes an image (1, r, r, C), or
    (1, C, r, r), and gives (1, classes), of the types that the file has.
    """

    call: Callable[[np.ndarray], np.ndarray]
    channels_last: bool = False
    in_scale: IntegerScale | None = None
    out_scale: IntegerScale | None = None

    def __call__(self, images: Tensor) -> np.ndarray:
        """(N, classes) logits float32 of images (N, C, r, r)."""
        outputs = np.concatenate([self.call(image) for image in self.inputs(images)])
        return outputs if self.out_scale is None else self.out_scale.values(outputs)

    def inputs(self, images: Tensor) -> Iterator[np.ndarray]:
        """What `call` takes for each of the images (N, C, r, r)."""
        for image in channels_last(images) if self.channels_last else images.numpy()[:, None]:
            yield image if self.in_scale is None else self.in_scale.integers(image)


class Converted(NamedTuple):
    model: RuntimeModel | None  # None where the runtime is not to be had
    write: Callable[[Path, ModelRecord], object]  # the file, with its record, to a path
    put: Callable[[Path, Callable[[Path], object]], None] = write_atomic  # in place, in one step


@dataclass(frozen=True, kw_only=True)
class FileDeployment(Deployment):
    """Accuracies are of the first `images` of the split: `accuracy` is torch's in float32,
    `file_accuracy` the file's.

    `max_difference` is that of a logit to torch's on 64 images; `latency_ms` is measured on this
    machine, batch 1. These three are None where the file was not run.
    """

    runtime: str
    precision: str
    images: int
    file_accuracy: float | None
    max_difference: float | None
    latency_ms: float | None
    file_bytes: int

    @property
    def storage_bytes(self) -> int:
        return self.file_bytes

    def lines(self) -> list[str]:
        size, where = f"{self.file_bytes / 1000:.1f} kB", f"first {self.images} images of"
        if self.file_accuracy is None:
            return [
                f"{self.path} is not verified: {self.runtime} does not run on this machine",
                f"{self.precision}  {size}; the subnet has {self.accuracy:.2f} % in torch on the"
                f" {where} {self.split}",
            ]
        return [
            f"{self.path} runs in {self.runtime}, and its logits differ from torch's by at most"
            f" {self.max_difference:.1e}",
            f"{self.precision}  {self.file_accuracy:.2f} % of the {where} {self.split}, loses"
            f" {self.accuracy - self.file_accuracy:.2f} points to torch  {self.latency_ms:.3f} ms"
            f" here  {size}",
        ]


def deploy_file(
    space: SearchSpace,
    subnet: Subnet,
    dataset: DataSet,
    path: Path,
    convert: Callable[[Tensor], Converted],
    *,
    runtime: str,
    precision: str,
    layout: str = "NCHW",
    split: str = "test",
    images: int | None = None,
    supernet: str | None = None,
) -> FileDeployment:
    """Convert `subnet`, run it on the first `images` of `split` (None: all), write it and report.

    `convert` gets these images (N, C, r, r). Nothing is written before the logits of 64 of them
    agree with torch's. `supernet` is the SHA-256 of the weights that the subnet was taken from.
    Raises LabError where the data set does not name the space's classes, ExportError where logits
    differ, ValueError for an unknown precision.
    """
    if precision not in TOLERANCE:
        raise ValueError(f"unknown precision {precision!r}, known: {', '.join(TOLERANCE)}")
    require_class_names(space, dataset)
    inputs, labels = split_images(dataset, split, subnet.arch.resolution, images)
    model, write, put = convert(inputs)
    accuracy = percent = top1_percent(torch_logits(subnet, inputs), labels)
    difference = latency = right = None
    if model is not None:
        logits, checked = model(inputs), inputs[:VERIFY_IMAGES]
        percent, right = top1_percent(logits, labels), logits.argmax(1) == labels.numpy()
        difference = check_agreement(
            logits[:VERIFY_IMAGES], subnet, checked, model=runtime, tolerance=TOLERANCE[precision]
        )
        image = next(model.inputs(inputs))
        latency = median_ms({precision: lambda: model.call(image)})[precision]
    record = model_record(
        space,
        subnet.arch,
        dataset,
        layout=layout,
        precision=precision,
        percent=percent,
        images=len(inputs),
        split=split,
        runtime=TORCH if model is None else runtime,
        supernet=supernet,
        in_scale=getattr(model, "in_scale", None),
        out_scale=getattr(model, "out_scale", None),
    )
    write_model(path, lambda temporary: write(temporary, record), record, put)
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return FileDeployment(
        arch=subnet.arch,
        path=str(path),
        split=split,
        accuracy=accuracy,
        right=right,
        runtime=runtime,
        precision=precision,
        images=len(inputs),
        file_accuracy=None if model is None else percent,
        max_difference=difference,
        latency_ms=latency,
        file_bytes=sum(file.stat().st_size for file in files),
    )
