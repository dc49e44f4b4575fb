"""From a subnet to ONNX files that run: exported, verified, quantized, measured."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labkit.data.datasets import DataSet
from labkit.deploy.deployment import (
    Deployment,
    calibration_images,
    require_file_name,
    split_images,
)
from labkit.deploy.onnx.export import export, run
from labkit.deploy.onnx.quantization import ONNX_CALIBRATION_IMAGES, quantize
from labkit.runtime.onnx_graph import onnx
from labkit.runtime.timing import onnx_call, time_all
from labkit.space import SearchSpace
from labkit.storage.atomic_write import write_atomic
from labkit.supernet.subnet import Subnet
from labkit.tables.costs import activation_table

ONNX_VERIFY_IMAGES = 256


@dataclass(frozen=True, kw_only=True)
class OnnxDeployment(Deployment):
    """Milliseconds are measured on this machine (ONNX Runtime, batch 1), memory is predicted by
    `labkit.tables.costs`. The int8 fields are None without int8.
    """

    max_difference: float  # of a logit, ONNX against torch
    verified_images: int
    latency_ms: float
    file_bytes: int
    peak_memory_bytes: int
    int8_path: str | None = None
    int8_latency_ms: float | None = None
    int8_file_bytes: int | None = None
    int8_peak_memory_bytes: int | None = None


def deploy(
    space: SearchSpace,
    subnet: Subnet,
    dataset: DataSet,
    path: Path,
    *,
    int8: bool = False,
    split: str = "test",
    threads: int = 1,
) -> OnnxDeployment:
    """Export `subnet` to `path` (and its int8 form to NAME.int8.onnx beside it) and report on it.

    The export is verified on 256 images of `split` before anything is written; activation ranges
    come from 512 training images. Raises LabError for a path that is no .onnx file, ExportError
    when the export differs from torch.
    """
    path = Path(path)
    require_file_name(path, ".onnx", "ONNX Runtime")
    resolution = subnet.arch.resolution
    images, labels = split_images(dataset, split, resolution)
    verified = export(space, subnet, images[:ONNX_VERIFY_IMAGES], path)
    models, int8_fields = {"float": verified.model}, {}
    if int8:
        calibration = calibration_images(dataset, resolution, ONNX_CALIBRATION_IMAGES)
        models["int8"] = quantize(verified.model, calibration)
        int8_path = path.with_suffix(".int8.onnx")
        write_atomic(int8_path, lambda temporary: onnx.save(models["int8"], temporary))
        int8_fields["int8_path"] = str(int8_path)
    milliseconds = latency_ms(models, (1, space.in_channels, resolution, resolution), threads)
    genes = space.encode([subnet.arch])
    right = {name: run(model, images).argmax(1) == labels.numpy() for name, model in models.items()}
    report = {
        name: {
            "right": right[name],
            "accuracy": float(100 * right[name].mean()),
            "latency_ms": milliseconds[name],
            "file_bytes": model.ByteSize(),
            "peak_memory_bytes": int(activation_table(space, width)(genes)[0]),
        }
        for (name, model), width in zip(models.items(), (4, 1))  # bytes of a value
    }
    int8_fields.update({f"int8_{name}": value for name, value in report.get("int8", {}).items()})
    return OnnxDeployment(
        arch=subnet.arch,
        path=str(path),
        split=split,
        max_difference=verified.max_difference,
        verified_images=verified.images,
        **report["float"],
        **int8_fields,
    )


def latency_ms(
    models: dict[str, onnx.ModelProto], shape: tuple[int, ...], threads: int = 1
) -> dict[str, float]:
    """Median milliseconds of each model on one input of `shape`, timed in turns on this machine."""
    calls = {
        name: onnx_call(model.SerializeToString(), threads, shape) for name, model in models.items()
    }
    run = time_all(list(calls), calls.__getitem__, next(iter(calls.values())))
    return {name: timing.median_ms for name, timing in run.timings.items()}
