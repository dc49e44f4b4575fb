"""From a subnet to a .tflite file that TensorFlow Lite Micro has run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from labkit.data.datasets import DataSet
from labkit.deploy.deployment import (
    Deployment,
    calibration_images,
    require_file_name,
    split_images,
    top1_percent,
    torch_logits,
)
from labkit.deploy.litert.conversion import float_model, quantize
from labkit.deploy.litert.micro_interpreter import MicroInterpreter, run
from labkit.latency.devices import device_names, get_device
from labkit.space import SearchSpace
from labkit.storage.atomic_write import write_atomic
from labkit.supernet.subnet import Subnet
from labkit.tables.arena import planned_bytes

LITERT_VERIFY_IMAGES = 64
LITERT_CALIBRATION_IMAGES = 256


@dataclass(frozen=True, kw_only=True)
class MicroDeployment(Deployment):
    """A subnet in TensorFlow Lite Micro, sizes in bytes.

    `accuracy` is torch's in float32; both are of the first `images` of the split. The arena is the
    interpreter's own report on this machine, `predicted_arena_bytes` what the search went by.
    """

    images: int
    flash_bytes: int
    arena_bytes: int
    activation_bytes: int
    persistent_bytes: int
    predicted_arena_bytes: int
    fits: tuple[str, ...]  # microcontrollers whose SRAM and flash it fits


def deploy_micro(
    space: SearchSpace,
    subnet: Subnet,
    dataset: DataSet,
    path: Path,
    *,
    split: str = "test",
    images: int | None = None,
    progress: bool = False,
) -> MicroDeployment:
    """Convert `subnet` to int8 TFLite at `path`, run it on images of `split`, and report on it.

    It runs on the first `images` of the split (None: all). The float model is verified against
    torch on 64 images and activation ranges come from 256 training images; nothing is written
    before TensorFlow Lite Micro has run it. Raises LabError for a path that is no .tflite file,
    ExportError when the conversion differs from torch, MissingPackage without the extra `mcu`.
    """
    path = Path(path)
    require_file_name(path, ".tflite", "a microcontroller")
    if images is not None and images < 1:
        raise ValueError(f"accuracy needs images, got {images}")
    inputs, labels = split_images(dataset, split, subnet.arch.resolution, images)
    model = int8_model(space, subnet, dataset, inputs)
    int8_logits, arena = run(model, inputs, progress), MicroInterpreter(model).arena()
    write_atomic(path, lambda temporary: temporary.write_bytes(model))
    return MicroDeployment(
        arch=subnet.arch,
        path=str(path),
        split=split,
        accuracy=top1_percent(torch_logits(subnet, inputs), labels),
        int8_accuracy=top1_percent(int8_logits, labels),
        images=len(inputs),
        flash_bytes=len(model),
        arena_bytes=arena.total,
        activation_bytes=arena.activations,
        persistent_bytes=arena.persistent,
        predicted_arena_bytes=planned_bytes(space, subnet.arch),
        fits=fitting_devices(arena.total, len(model)),
    )


def int8_model(space: SearchSpace, subnet: Subnet, dataset: DataSet, inputs: Tensor) -> bytes:
    """The int8 TFLite model of `subnet`, whose float form agrees with torch on `inputs`."""
    model = float_model(space, subnet, inputs[:LITERT_VERIFY_IMAGES])
    calibration = calibration_images(dataset, subnet.arch.resolution, LITERT_CALIBRATION_IMAGES)
    return quantize(model, calibration)


def fitting_devices(arena_bytes: int, flash_bytes: int) -> tuple[str, ...]:
    """Names of the microcontrollers with room for such an arena and file."""
    devices = map(get_device, device_names())
    return tuple(
        device.name
        for device in devices
        if device.sram_bytes is not None
        and arena_bytes <= device.sram_bytes
        and flash_bytes <= (device.flash_bytes or flash_bytes)
    )
