"""From a subnet to files that run: export, verify, quantize, measure. What `labkit deploy` does."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path

from torch import Tensor

from labkit.data.datasets import DataSet, normalize, resize
from labkit.deploy.onnx.export import accuracy, export
from labkit.deploy.onnx.quantization import quantize
from labkit.runtime.onnx_graph import onnx
from labkit.runtime.timing import onnx_call, time_all
from labkit.space import Arch, SearchSpace
from labkit.storage.atomic_write import write_atomic
from labkit.storage.errors import LabError
from labkit.supernet.subnet import Subnet
from labkit.tables.costs import activation_table

VERIFY_IMAGES = 256
CALIBRATION_IMAGES = 512


@dataclass(frozen=True)
class Deployed:
    """One deployed subnet. Accuracies in percent on the split, milliseconds measured on this
    machine (ONNX Runtime, batch 1), memory by the model of `labkit.tables.costs`. int8 fields are
    None without int8."""

    arch: Arch
    path: str
    max_difference: float  # of a logit, ONNX against torch
    verified_images: int
    split: str
    accuracy: float
    latency_ms: float
    file_bytes: int
    peak_memory_bytes: int
    int8_path: str | None = None
    int8_accuracy: float | None = None
    int8_latency_ms: float | None = None
    int8_file_bytes: int | None = None
    int8_peak_memory_bytes: int | None = None

    @property
    def accuracy_drop(self) -> float | None:
        """Points of accuracy that int8 loses."""
        return None if self.int8_accuracy is None else self.accuracy - self.int8_accuracy

    def to_json(self) -> dict:
        return {**asdict(self), "arch": self.arch.to_json(), "accuracy_drop": self.accuracy_drop}


def deploy(
    space: SearchSpace,
    subnet: Subnet,
    dataset: DataSet,
    path: Path,
    *,
    int8: bool = False,
    split: str = "test",
    threads: int = 1,
) -> Deployed:
    """Export `subnet` to `path` (and its int8 form to NAME.int8.onnx beside it) and report on it.

    The export is verified on 256 images of `split` before anything is written; activation ranges
    come from 512 training images. Raises LabError for a path that is no .onnx file, ExportError
    when the export differs from torch.
    """
    path = Path(path)
    if path.suffix != ".onnx" or path.is_dir():
        raise LabError(
            f"a model is written to an .onnx file, got {str(path)!r}; name it like model.onnx"
        )
    resolution = subnet.arch.resolution
    held_out = dataset.splits[split]
    images = resize(normalize(held_out.images, dataset), resolution)
    verified = export(space, subnet, images[:VERIFY_IMAGES], path)
    models = {"float": verified.model}
    if int8:
        models["int8"] = quantize(verified.model, calibration_images(dataset, resolution))
        int8_path = path.with_suffix(".int8.onnx")
        write_atomic(int8_path, lambda temporary: onnx.save(models["int8"], temporary))
    milliseconds = latency_ms(models, (1, space.in_channels, resolution, resolution), threads)
    genes = space.encode([subnet.arch])
    report = {
        name: {
            "accuracy": accuracy(model, images, held_out.labels),
            "latency_ms": milliseconds[name],
            "file_bytes": model.ByteSize(),
            "peak_memory_bytes": int(activation_table(space, width)(genes)[0]),
        }
        for (name, model), width in zip(models.items(), (4, 1))
    }
    quantized = (
        {
            "int8_path": str(int8_path),
            **{f"int8_{key}": value for key, value in report["int8"].items()},
        }
        if int8
        else {}
    )
    return Deployed(
        subnet.arch,
        str(path),
        verified.max_difference,
        verified.images,
        split,
        **report["float"],
        **quantized,
    )


def calibration_images(dataset: DataSet, resolution: int) -> Tensor:
    """(N, C, r, r): training images that set the activation ranges, 512 or all there are."""
    train = dataset.splits["train"].images
    chosen = train[:: max(1, len(train) // CALIBRATION_IMAGES)][:CALIBRATION_IMAGES]
    return resize(normalize(chosen, dataset), resolution)


def latency_ms(
    models: dict[str, onnx.ModelProto], shape: tuple[int, ...], threads: int = 1
) -> dict[str, float]:
    """Median milliseconds of each model on one input of `shape`, timed in turns on this machine."""
    calls = {
        name: onnx_call(model.SerializeToString(), threads, shape) for name, model in models.items()
    }
    session = time_all(list(calls), calls.__getitem__, next(iter(calls.values())))
    return {name: timing.median_ms for name, timing in session.timings.items()}
