"""From a subnet to ONNX files that run: exported, verified, quantized, measured."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from labkit.data.datasets import DataSet
from labkit.deploy.deployment import (
    CalibrationImages,
    Deployment,
    median_ms,
    require_file_name,
    split_images,
)
from labkit.deploy.model_record import KEY, ModelRecord, Opened, model_record, write_model
from labkit.deploy.onnx.export import export, run
from labkit.deploy.onnx.quantization import ONNX_CALIBRATION_IMAGES, quantize
from labkit.runtime.onnx_graph import onnx
from labkit.runtime.onnx_session import open_session, require_onnxruntime
from labkit.runtime.timing import onnx_call
from labkit.space import SearchSpace
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

    @property
    def memory_bytes(self) -> int:
        return self.int8_peak_memory_bytes or self.peak_memory_bytes

    @property
    def storage_bytes(self) -> int:
        return self.int8_file_bytes or self.file_bytes

    def lines(self) -> list[str]:
        lines = [
            f"{self.path} agrees with torch within {self.max_difference:.1e} on"
            f" {self.verified_images} images",
            f"fp32  {self.accuracy:.2f} % of {self.split}  {self.latency_ms:.3f} ms here "
            f" {self.file_bytes / 1000:.0f} kB",
        ]
        if self.int8_path is not None:
            lines.append(
                f"int8  {self.int8_accuracy:.2f} % of {self.split}  {self.int8_latency_ms:.3f} ms"
                f" here  {self.int8_file_bytes / 1000:.0f} kB  loses {self.accuracy_drop:.2f}"
                f" points  ({self.int8_path})"
            )
        return lines


def deploy(
    space: SearchSpace,
    subnet: Subnet,
    dataset: DataSet,
    path: Path,
    *,
    int8: bool = False,
    split: str = "test",
    supernet: str | None = None,
    threads: int = 1,
) -> OnnxDeployment:
    """Export `subnet` to `path` (and its int8 form to NAME.int8.onnx beside it) and report on it.

    The export is verified on 256 images of `split` before anything is written; activation ranges
    come from 512 training images. `supernet` is the SHA-256 of the weights that the subnet was
    taken from. Raises LabError for a path that is no .onnx file, ExportError when the export
    differs from torch.
    """
    path = Path(path)
    require_file_name(path, ".onnx", "ONNX Runtime")
    resolution = subnet.arch.resolution
    images, labels = split_images(dataset, split, resolution)
    verified = export(space, subnet, images[:ONNX_VERIFY_IMAGES])
    models = {"float32": verified.model}
    if int8:
        calibration = CalibrationImages(dataset, resolution, ONNX_CALIBRATION_IMAGES)
        models["int8"] = quantize(verified.model, calibration)
    milliseconds = latency_ms(models, (1, space.in_channels, resolution, resolution), threads)
    genes = space.encode([subnet.arch])
    reports = {}
    for (precision, model), width in zip(models.items(), (4, 1)):  # bytes of a value
        right = run(model, images).argmax(1) == labels.numpy()
        percent = float(100 * right.mean())
        file = path if precision == "float32" else path.with_suffix(".int8.onnx")
        record = model_record(
            space,
            subnet.arch,
            dataset,
            layout="NCHW",
            precision=precision,
            percent=percent,
            images=len(images),
            split=split,
            runtime="ONNX Runtime",
            supernet=supernet,
        )
        reports[precision] = {
            "path": str(file),
            "right": right,
            "accuracy": percent,
            "latency_ms": milliseconds[precision],
            "peak_memory_bytes": int(activation_table(space, width)(genes)[0]),
        }
        onnx.helper.set_model_props(model, {KEY: record.to_text()})
        write_model(file, lambda temporary, model=model: onnx.save(model, temporary), record)
        reports[precision]["file_bytes"] = model.ByteSize()
    int8_fields = {f"int8_{name}": value for name, value in reports.get("int8", {}).items()}
    return OnnxDeployment(
        arch=subnet.arch,
        split=split,
        max_difference=verified.max_difference,
        verified_images=verified.images,
        **reports["float32"],
        **int8_fields,
    )


def latency_ms(
    models: dict[str, onnx.ModelProto], shape: tuple[int, ...], threads: int = 1
) -> dict[str, float]:
    """Median milliseconds of each model on one input of `shape`, timed in turns on this machine."""
    return median_ms(
        {
            name: onnx_call(model.SerializeToString(), threads, shape)
            for name, model in models.items()
        }
    )


def open_model(path: Path) -> Opened:
    """The record of an ONNX model that was deployed, and a function of images (N, C, r, r) that
    gives their logits (N, classes).
    """
    session = open_session(str(path))
    text = session.get_modelmeta().custom_metadata_map.get(KEY)
    return ModelRecord.from_text(text, path), partial(run, path)


def require_packages() -> None:
    """Raise MissingPackage, which names the extra, without ONNX Runtime."""
    require_onnxruntime()
