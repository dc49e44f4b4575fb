"""From a subnet to a .tflite file that TensorFlow Lite Micro has run. What `labkit deploy --to
NAME.tflite` does.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from labkit.data.datasets import DataSet, normalize, resize
from labkit.deploy.litert import conversion as micro
from labkit.latency.devices import device_names, get_device
from labkit.space import Arch, SearchSpace
from labkit.storage.atomic_write import write_atomic
from labkit.storage.errors import LabError
from labkit.supernet.subnet import Subnet
from labkit.tables.arena import arena_table

VERIFY_IMAGES = 64
CALIBRATION_IMAGES = 256
BATCH = 64


@dataclass(frozen=True)
class MicroDeployed:
    """One subnet in TensorFlow Lite Micro. Accuracies in percent on the first `images` of the
    split, sizes in bytes; the arena is the interpreter's own report on this machine,
    `predicted_arena_bytes` the search's."""

    arch: Arch
    path: str
    split: str
    images: int
    accuracy: float  # of torch, in float32
    int8_accuracy: float
    flash_bytes: int
    arena_bytes: int
    activation_bytes: int
    persistent_bytes: int
    predicted_arena_bytes: int
    fits: tuple[str, ...]  # microcontrollers whose SRAM and flash it fits

    @property
    def accuracy_drop(self) -> float:
        """Points of accuracy that int8 loses."""
        return self.accuracy - self.int8_accuracy

    def to_json(self) -> dict:
        return {
            **asdict(self),
            "arch": self.arch.to_json(),
            "fits": list(self.fits),
            "accuracy_drop": self.accuracy_drop,
        }


def deploy_micro(
    space: SearchSpace,
    subnet: Subnet,
    dataset: DataSet,
    path: Path,
    *,
    split: str = "test",
    images: int | None = None,
    progress: bool = False,
) -> MicroDeployed:
    """Convert `subnet` to int8 TFLite at `path`, run it on the first `images` of `split` (None:
    all), and report.

    The float model is verified against torch on 64 images and activation ranges come from 256
    training images; nothing is written before TensorFlow Lite Micro has run it. Raises LabError for
    a path that is no .tflite file, ExportError when the conversion differs from torch,
    MissingPackage without the extra `mcu`.
    """
    path = Path(path)
    if path.suffix != ".tflite" or path.is_dir():
        raise LabError(f"a microcontroller's model is written to a .tflite file, got {str(path)!r}")
    if images is not None and images < 1:
        raise ValueError(f"accuracy needs images, got {images}")
    resolution, train, held_out = (
        subnet.arch.resolution,
        dataset.splits["train"].images,
        dataset.splits[split],
    )
    calibration = train[:: max(1, len(train) // CALIBRATION_IMAGES)][:CALIBRATION_IMAGES]
    inputs = resize(normalize(held_out.images[:images], dataset), resolution)
    labels = held_out.labels[:images]
    model = micro.float_model(space, subnet, inputs[:VERIFY_IMAGES])
    model = micro.quantize(model, resize(normalize(calibration, dataset), resolution))
    with torch.inference_mode():
        expected = torch.cat([subnet(batch) for batch in inputs.split(BATCH)])
    correct = torch.from_numpy(micro.run(model, inputs, progress)).argmax(1) == labels
    arena = micro.MicroInterpreter(model).arena()
    write_atomic(path, lambda temporary: temporary.write_bytes(model))
    return MicroDeployed(
        subnet.arch,
        str(path),
        split,
        len(inputs),
        100 * (expected.argmax(1) == labels).double().mean().item(),
        100 * correct.double().mean().item(),
        len(model),
        arena.total,
        arena.activations,
        arena.persistent,
        int(arena_table(space)(space.encode([subnet.arch]))[0]),
        fitting(arena.total, len(model)),
    )


def fitting(arena_bytes: int, flash_bytes: int) -> tuple[str, ...]:
    """Names of the microcontrollers with room for such an arena and file."""
    devices = [
        device for device in map(get_device, device_names()) if device.sram_bytes is not None
    ]
    return tuple(
        device.name
        for device in devices
        if arena_bytes <= device.sram_bytes and flash_bytes <= (device.flash_bytes or flash_bytes)
    )
