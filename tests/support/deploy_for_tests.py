"""A data set of two classes, for deployments that take no time."""

import json
from dataclasses import replace

import numpy as np
import torch

from labkit.data.datasets import DataSet, Split
from labkit.deploy.model_record import ModelRecord, model_record
from labkit.space.presets import FMNIST


def tiny_data() -> DataSet:
    """Two classes, told apart by brightness; the four splits of a data set."""

    def split(n: int, seed: int) -> Split:
        rng = np.random.default_rng(seed)
        labels = np.arange(n) % 2
        images = rng.integers(0, 100, (n, 1, 28, 28)) + 100 * labels[:, None, None, None]
        return Split(torch.from_numpy(images.astype(np.uint8)), torch.from_numpy(labels))

    return DataSet(
        {
            name: split(n, i)
            for i, (name, n) in enumerate(
                (("train", 600), ("val-search", 20), ("val", 20), ("test", 300))
            )
        },
        (0.4,),
        (0.3,),
        ("dark", "bright"),
    )


def tiny_record(dataset: DataSet | None = None, **changes) -> ModelRecord:
    """The record of the smallest subnet of fmnist for two classes."""
    values = {
        "layout": "NCHW",
        "precision": "float32",
        "percent": 87.5,
        "images": 300,
        "split": "test",
        "runtime": "ONNX Runtime",
        "supernet": "5" * 64,
    }
    space = replace(FMNIST, num_classes=2)
    return model_record(space, FMNIST.smallest(), dataset or tiny_data(), **values | changes)


def compact(text: str) -> str:
    """A JSON text on one line, without spaces."""
    return json.dumps(json.loads(text), ensure_ascii=False, separators=(",", ":"))
