"""How to feed a deployed model: written once, into the model's file and as JSON beside it.

Whoever has the file can prepare an image as the training did, run it, and read the answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image
from torch import Tensor

from labkit.data.datasets import DataSet, normalize, resize
from labkit.data.decoding import pixels_of
from labkit.data.record import ImageForm
from labkit.space import Arch, SearchSpace
from labkit.storage.atomic_write import write_atomic, write_json
from labkit.storage.errors import LabError
from labkit.storage.json_fields import Fields, is_number, parse_json

SCHEMA = "labkit-model-1"
KEY = "labkit"  # under which the metadata of a model's file hold its record
LAYOUTS = ("NCHW", "NHWC", "HWC")
PRECISIONS = ("float32", "float16", "int8")


# What opening a model's file gives: its record, and a function of prepared images (N, C, r, r) that
# gives their logits (N, classes).
Opened = tuple["ModelRecord", Callable[[Tensor], np.ndarray]]


class IntegerScale(NamedTuple):
    """Integers int8 that stand for the values (integer - zero_point) * scale."""

    scale: float
    zero_point: int

    def integers(self, values: np.ndarray) -> np.ndarray:
        rounded = np.round(values / np.float32(self.scale)) + self.zero_point
        return np.clip(rounded, -128, 127).astype(np.int8)

    def values(self, integers: np.ndarray) -> np.ndarray:
        return (integers.astype(np.float32) - self.zero_point) * np.float32(self.scale)


class ModelInput(NamedTuple):
    """An image is brought to `picture`, resized to `shape`, and normalized: pixels in [0, 1] less
    `mean`, over `std`. Without a `scale` it is then fed as float32.
    """

    layout: str
    shape: tuple[int, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    picture: ImageForm
    scale: IntegerScale | None


class ModelOutput(NamedTuple):
    classes: tuple[str, ...]
    scale: IntegerScale | None  # of the logits


class ModelAccuracy(NamedTuple):
    """Top-1 accuracy on the first `images` of a split, of the file itself in `runtime`; of the
    subnet in PyTorch where the file's own runtime was not there.
    """

    percent: float
    images: int
    dataset: str
    split: str
    runtime: str

    def __str__(self) -> str:
        return f"{self.percent:.2f} % of {self.images} images ({self.dataset}, {self.split})."


@dataclass(frozen=True, kw_only=True)
class ModelRecord:
    space: str
    arch: Arch
    supernet: str | None  # SHA-256 of the weights that the subnet was taken from
    precision: str  # of the weights
    input: ModelInput
    output: ModelOutput
    accuracy: ModelAccuracy

    def prepared(self, picture: Image.Image) -> Tensor:
        """(1, C, r, r) float32 of a picture of any size and mode, prepared as in training."""
        pixels = pixels_of(picture, self.input.picture)
        return resize(normalize(pixels[None], self.input), self.arch.resolution)

    def to_json(self) -> dict:
        entry, exit_ = self.input._asdict(), self.output._asdict()
        entry["picture"] = self.input.picture._asdict()
        return {
            "schema": SCHEMA,
            "space": self.space,
            "arch": self.arch.to_json(),
            "supernet_sha256": self.supernet,
            "precision": self.precision,
            "input": {**_scale_json(entry.pop("scale")), **entry},
            "output": {**_scale_json(exit_.pop("scale")), **exit_},
            "accuracy": self.accuracy._asdict(),
        }

    @classmethod
    def from_json(cls, value: object, source: object) -> ModelRecord:
        """Read what `to_json` gives; raises LabError, which names `source` and the field."""
        fields = Fields(value, source, LabError, advice="deploy the subnet again")
        if fields.value.get("schema") != SCHEMA:
            fields.fail("schema", SCHEMA)
        entry, exit_, accuracy = map(fields.object, ("input", "output", "accuracy"))
        try:
            arch = Arch.from_json(fields.value.get("arch"))
        except ValueError as error:
            raise LabError(f"{source}: field arch: {error}; deploy the subnet again") from None
        picture = ImageForm.from_fields(entry.object("picture"))
        mean, std = (tuple(entry.get(name, list)) for name in ("mean", "std"))
        numbers = all(map(is_number, mean + std))
        if not numbers or not len(mean) == len(std) == picture.channels or min(std) <= 0:
            entry.fail("std", f"{picture.channels} positive numbers, and as many of mean")
        layout, shape = entry.choice("layout", LAYOUTS), tuple(entry.get("shape", list))
        if shape != _shapes(picture.channels, arch.resolution)[layout]:
            entry.fail("shape", f"{layout} of {picture.channels} x {arch.resolution} pixels")
        classes = tuple(exit_.get("classes", list))
        if not classes or not all(isinstance(name, str) for name in classes):
            exit_.fail("classes", "names")
        return cls(
            space=fields.text("space"),
            arch=arch,
            supernet=fields.value.get("supernet_sha256") and fields.text("supernet_sha256"),
            precision=fields.choice("precision", PRECISIONS),
            input=ModelInput(layout, shape, mean, std, picture, _scale_of(entry)),
            output=ModelOutput(classes, _scale_of(exit_)),
            accuracy=ModelAccuracy(
                accuracy.amount("percent"),
                accuracy.get("images", int),
                accuracy.text("dataset"),
                accuracy.text("split"),
                accuracy.text("runtime"),
            ),
        )

    def to_text(self) -> str:
        """One line of JSON, for the metadata of a model's file."""
        return json.dumps(self.to_json(), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_text(cls, text: str | bytes | None, source: Path) -> ModelRecord:
        """Read what `to_text` gives; raises LabError where there is no text, or another one."""
        if not text:
            raise LabError(
                f"{source} does not say how to feed it, because `labkit deploy` did not write it;"
                " deploy the subnet again"
            )
        return cls.from_json(parse_json(text, source, LabError, "deploy the subnet again"), source)


def _shapes(channels: int, side: int) -> dict[str, tuple[int, ...]]:
    """Of one image, in each of LAYOUTS."""
    return {
        "NCHW": (1, channels, side, side),
        "NHWC": (1, side, side, channels),
        "HWC": (side, side, channels),
    }


def _scale_json(scale: IntegerScale | None) -> dict:
    return {"type": "float32"} if scale is None else {"type": "int8", **scale._asdict()}


def _scale_of(fields: Fields) -> IntegerScale | None:
    if fields.choice("type", ("float32", "int8")) == "float32":
        return None
    if not -128 <= fields.get("zero_point", int) <= 127:
        fields.fail("zero_point", "an int from -128 to 127")
    return IntegerScale(fields.positive("scale"), fields.value["zero_point"])


def require_class_names(space: SearchSpace, dataset: DataSet) -> None:
    """Raise LabError unless the data set names as many classes as the space has."""
    if len(dataset.classes) != space.num_classes:
        raise LabError(
            f"space {space.name!r} has {space.num_classes} classes, the data set names"
            f" {len(dataset.classes)}: {', '.join(dataset.classes[:3])}, ..."
        )


def model_record(
    space: SearchSpace,
    arch: Arch,
    dataset: DataSet,
    *,
    layout: str,
    precision: str,
    percent: float,
    images: int,
    split: str,
    runtime: str,
    supernet: str | None,
    in_scale: IntegerScale | None = None,
    out_scale: IntegerScale | None = None,
) -> ModelRecord:
    """The record of a model of `arch` that was right for `percent` of the `images` of a split;
    raises what `require_class_names` raises.
    """
    require_class_names(space, dataset)
    channels, side = dataset.splits["train"].images.shape[1:3]
    return ModelRecord(
        space=space.name,
        arch=arch,
        supernet=supernet,
        precision=precision,
        input=ModelInput(
            layout,
            _shapes(channels, arch.resolution)[layout],
            tuple(dataset.mean),
            tuple(dataset.std),
            dataset.form or ImageForm(channels, side),  # images of one size are used as they are
            in_scale,
        ),
        output=ModelOutput(tuple(dataset.classes), out_scale),
        accuracy=ModelAccuracy(percent, images, dataset.name, split, runtime),
    )


def write_model(
    path: Path,
    write: Callable[[Path], object],
    record: ModelRecord,
    put: Callable[[Path, Callable[[Path], object]], None] = write_atomic,
) -> None:
    """Let `write` write a model to `path`, in one step, then its record to PATH.json.

    `put` is `write_folder_atomic` for a model that is a folder.
    """
    put(path, write)
    write_json(_beside(path), record.to_json())


def require_own(path: Path) -> None:
    """Raise LabError for a model's folder that exists and has no record of ours beside it."""
    if path.exists() and not _beside(path).is_file():
        raise LabError(
            f"{path} is there already, and labkit did not write it; nothing was written; choose"
            " another name"
        )


def _beside(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")
