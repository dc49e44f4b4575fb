"""From a subnet to a .tflite file that the runtimes of phones and microcontrollers have run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from labkit.data.datasets import DataSet
from labkit.deploy.converted_file import VERIFY_IMAGES, Converted, FileDeployment, deploy_file
from labkit.deploy.deployment import CalibrationImages, require_file_name, top1_percent
from labkit.deploy.litert.conversion import (
    float_model,
    halve,
    quantize,
    record_text,
    with_record,
)
from labkit.deploy.litert.interpreter import litert_model
from labkit.deploy.litert.micro_interpreter import MicroInterpreter, run
from labkit.deploy.litert.packages import require_packages
from labkit.deploy.model_record import ModelRecord, Opened
from labkit.latency.devices import device_names, get_device
from labkit.space import SearchSpace
from labkit.supernet.subnet import Subnet
from labkit.tables.arena import planned_bytes

LITERT_CALIBRATION_IMAGES = 256

__all__ = ["deploy", "open_model", "require_packages"]


@dataclass(frozen=True, kw_only=True)
class MicroDeployment(FileDeployment):
    """A subnet of int8, also in TensorFlow Lite Micro; sizes in bytes.

    `int8_accuracy` is that interpreter's. The arena is its own report on this machine,
    `predicted_arena_bytes` what the search went by.
    """

    arena_bytes: int
    activation_bytes: int
    persistent_bytes: int
    predicted_arena_bytes: int
    fits: tuple[str, ...]  # microcontrollers whose SRAM and flash it fits

    @property
    def memory_bytes(self) -> int:
        return self.arena_bytes

    def lines(self) -> list[str]:
        return [
            *super().lines(),
            f"micro  {self.int8_accuracy:.2f} % in TensorFlow Lite Micro",
            f"arena  {self.arena_bytes / 1000:.1f} kB: {self.activation_bytes / 1000:.1f}"
            f" activations, {self.persistent_bytes / 1000:.1f} persistent"
            f" ({self.predicted_arena_bytes / 1000:.1f} kB predicted)",
            f"flash  {self.file_bytes / 1000:.1f} kB",
            f"fits   {', '.join(self.fits) or 'no microcontroller that labkit knows'}",
        ]


def deploy(
    space: SearchSpace,
    subnet: Subnet,
    dataset: DataSet,
    path: Path,
    *,
    precision: str = "int8",
    progress: bool = False,
    **judged,
) -> FileDeployment:
    """Convert `subnet` to TFLite at `path`, and report on it as `deploy_file` does, with its
    `split`, `images` and `supernet`.

    int8's activation ranges come from 256 training images; int8 runs in TensorFlow Lite Micro, too,
    before anything is written, and gives a `MicroDeployment`. Raises LabError for a path that is no
    .tflite file, MissingPackage without the extra `mcu`, and what `deploy_file` raises.
    """
    path, micro = Path(path), {}
    require_file_name(path, ".tflite", "LiteRT")

    def convert(inputs: Tensor) -> Converted:
        model = converted(space, subnet, dataset, inputs, precision)
        if precision == "int8":
            micro["logits"] = run(model, inputs, progress)
            micro["arena"] = MicroInterpreter(model).arena()
        return Converted(
            litert_model(model),
            lambda target, record: target.write_bytes(with_record(model, record)),
        )

    names = {"runtime": "LiteRT", "layout": "NHWC", "precision": precision}
    report = deploy_file(space, subnet, dataset, path, convert, **names, **judged)
    if precision != "int8":
        return report
    labels = dataset.splits[report.split].labels[: report.images]
    arena = micro["arena"]
    fields = vars(report) | {
        "int8_accuracy": top1_percent(micro["logits"], labels),
        "int8_right": micro["logits"].argmax(1) == labels.numpy(),
    }
    return MicroDeployment(
        **fields,
        arena_bytes=arena.total,
        activation_bytes=arena.activations,
        persistent_bytes=arena.persistent,
        predicted_arena_bytes=planned_bytes(space, subnet.arch),
        fits=fitting_devices(arena.total, report.file_bytes),
    )


def converted(
    space: SearchSpace, subnet: Subnet, dataset: DataSet, inputs: Tensor, precision: str
) -> bytes:
    """The TFLite model of `subnet` in a precision, whose float form agrees with torch on the first
    64 of `inputs` (N, C, r, r).
    """
    model = float_model(space, subnet, inputs[:VERIFY_IMAGES])
    if precision == "float16":
        return halve(model)
    if precision == "int8":
        resolution = subnet.arch.resolution
        return quantize(model, CalibrationImages(dataset, resolution, LITERT_CALIBRATION_IMAGES))
    return model


def open_model(path: Path) -> Opened:
    """The record of a TFLite model that was deployed, and a function of images (N, C, r, r) that
    gives their logits (N, classes).
    """
    model = path.read_bytes()
    litert = litert_model(model)
    return ModelRecord.from_text(record_text(model), path), litert


def fitting_devices(arena_bytes: int, flash_bytes: int) -> tuple[str, ...]:
    """Names of the microcontrollers that run TFLite, with room for such an arena and file."""
    devices = map(get_device, device_names())
    return tuple(
        device.name
        for device in devices
        if device.engine == "tflm"
        and arena_bytes <= device.sram_bytes
        and flash_bytes <= device.flash_bytes
    )
