"""The folder of a generated C library: what is in it, and how it is put in place.

    net.h net.c                    the network: sizes, tables, weights, net_run
    net_kernels.h net_kernels.c    the arithmetic, the same for every network
    main.c sample.h Makefile       an example: one image and the logits it should have
    network.json README.md         how to feed it, for programs and for people

An Arduino library has the first four in src/ and a sketch in examples/classify/.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np

from labkit.deploy.model_record import ModelRecord
from labkit.firmware.c_source import array, c_source, table_bytes
from labkit.firmware.layers import QuantizedNetwork
from labkit.firmware.plan import ArenaPlan
from labkit.space import Arch
from labkit.storage.atomic_write import write_folder_atomic
from labkit.storage.errors import LabError
from labkit.storage.json_fields import read_json

HERE = Path(__file__).parent
LAYOUTS = ("plain", "arduino")
RECORD = "network.json"
GENERATED = {path.name for folder in ("engine", "example") for path in (HERE / folder).iterdir()}
GENERATED |= {"net.c", "sample.h", "library.properties", RECORD}
BUILT = ("*.o", "libnet.a", "example")  # by the Makefile


@dataclass(frozen=True, eq=False, kw_only=True)
class Sample:
    """An image as bytes (r, r, C), its class, and the logits (classes,) int8 of the network."""

    pixels: np.ndarray
    label: int
    logits: np.ndarray

    def source(self) -> str:
        """sample.h"""
        return "\n".join(
            [
                "/* An image, and the logits that the network had for it when it was made. */",
                f"#include <stdint.h>\n\n#define SAMPLE_CLASS {self.label}\n",
                array("uint8_t", "sample_pixels", self.pixels.ravel()),
                array("int8_t", "sample_logits", self.logits),
            ]
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class Library:
    """A network that is to be written as C, and what has to be known to feed it."""

    title: str
    arch: Arch
    network: QuantizedNetwork
    plan: ArenaPlan
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    pixels: np.ndarray  # (channels, 256) int8: what the network takes for a pixel's value

    @property
    def input_shape(self) -> tuple[int, int, int]:
        first = self.network.operators[0]
        return first.side, first.side, first.in_channels

    def quantized(self, pixels: np.ndarray) -> np.ndarray:
        """What the network takes for images (N, r, r, C) of bytes: the same shape, int8."""
        return self.pixels[np.arange(pixels.shape[-1]), pixels]

    @property
    def constant_bytes(self) -> int:
        """Weights, biases, factors and tables of all layers."""
        return sum(map(table_bytes, self.network.layers)) + self.pixels.size

    def record(self, model: ModelRecord) -> dict:
        """What `network.json` says: what the record of every model does, and sizes."""
        sizes = {"arena_bytes": self.plan.arena_bytes, "constant_bytes": self.constant_bytes}
        return model.to_json() | sizes

    def values(self) -> dict[str, object]:
        """What the templates in example/ name."""
        side, _, channels = self.input_shape
        entry, exit_ = self.network.input, self.network.output
        return {
            "title": self.title,
            "side": side,
            "channels": channels,
            "classes": len(self.classes),
            "layers": len(self.network.layers),
            "macs": f"{sum(operator.macs for operator in self.network.operators):,}",
            "arena": self.plan.arena_bytes,
            "constants": self.constant_bytes,
            "input_scale": c_float(entry.scale),
            "input_zero": entry.zero,
            "output_scale": c_float(exit_.scale),
            "output_zero": exit_.zero,
            "mean": ", ".join(map(c_float, self.mean)),
            "std": ", ".join(map(c_float, self.std)),
        }

    def sources(self) -> dict[str, str]:
        """The text of the files that are compiled, by their names."""
        engine = sorted((HERE / "engine").iterdir())
        source = c_source(self.network, self.plan, self.classes, self.pixels)
        texts = {path.name: path.read_text(encoding="utf-8") for path in engine}
        return texts | {"net.h": _filled("net.h", self.values()), "net.c": source}

    def files(self, layout: str, sample: Sample, model: ModelRecord) -> dict[str, str]:
        """The text of every file, by its path in the folder.

        Raises ValueError for an unknown layout.
        """
        if layout not in LAYOUTS:
            raise ValueError(f"unknown layout {layout!r}, known: {', '.join(LAYOUTS)}")
        values = self.values() | {"accuracy": model.accuracy}
        record = json.dumps(self.record(model), indent=1, ensure_ascii=False) + "\n"
        sources, texts = self.sources(), {RECORD: record, "README.md": _filled("README.md", values)}
        if layout == "plain":
            examples = {name: _filled(name, values) for name in ("main.c", "Makefile")}
            return texts | sources | examples | {"sample.h": sample.source()}
        example = {"sample.h": sample.source(), "classify.ino": _filled("classify.ino", values)}
        return {
            **texts,
            "library.properties": self._properties(),
            **{f"src/{name}": text for name, text in sources.items()},
            **{f"examples/classify/{name}": text for name, text in example.items()},
        }

    def _properties(self) -> str:
        return (
            "name=labkit_net\nversion=1.0.0\nauthor=labkit\nmaintainer=labkit\n"
            f"sentence={self.title}\nparagraph=Generated by labkit; README.md says how to use it.\n"
            "category=Data Processing\nurl=\narchitectures=*\nincludes=net.h\n"
        )


def _filled(name: str, values: dict[str, object]) -> str:
    """A file of example/ with its values."""
    return Template((HERE / "example" / name).read_text(encoding="utf-8")).substitute(values)


def c_float(value: float) -> str:
    """A float32 as C writes it.

    >>> c_float(0.5), c_float(1.0)
    ('0.5f', '1.0f')
    """
    return f"{np.float32(value)!s}f"


def require_folder(folder: Path) -> None:
    """Raise LabError unless a library may be put at `folder`: nothing there, or one of ours to
    which nobody has added files.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise LabError(f"firmware is written to a folder, and {str(folder)!r} is a file")
    foreign = sorted(path.name for path in folder.iterdir())
    if not foreign:
        return
    cause = None
    try:
        read_record(folder)
        foreign = [
            str(path.relative_to(folder))
            for path in sorted(folder.rglob("*"))
            if not path.is_dir() and path.name not in GENERATED and not any(map(path.match, BUILT))
        ]
    except LabError as error:
        cause = error
    if foreign:
        raise LabError(
            f"{str(folder)!r} has files that are not firmware of labkit ({', '.join(foreign[:3])});"
            " nothing was written; choose another folder"
        ) from cause


def read_record(folder: Path) -> ModelRecord:
    """How to feed the library in `folder`; raises LabError where it is none."""
    path = folder / RECORD
    return ModelRecord.from_json(read_json(path, LabError, "give a folder of firmware"), path)


def write_library(folder: Path, files: dict[str, str]) -> None:
    """Put texts, by their path in it, into `folder` in one step, in place of an older library;
    raises LabError as `require_folder` does.
    """
    require_folder(folder)
    write_folder_atomic(folder, lambda target: write_files(target, files))


def write_files(folder: Path, files: dict[str, str]) -> None:
    """Write texts by their path in `folder`, whose parents are made."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
