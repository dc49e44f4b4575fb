"""Image files classified by a deployed model, the same for every format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from labkit.deploy.model_record import ModelRecord
from labkit.formats.table import format_of
from labkit.storage.errors import ExportError, LabError


class Classification(NamedTuple):
    image: str
    probabilities: dict[str, float]  # of every class, the most likely first

    @property
    def name(self) -> str:
        """The most likely class."""
        return next(iter(self.probabilities))


def classify(model: Path, images: Sequence[Path]) -> list[Classification]:
    """What a deployed model, a file or a folder of firmware, sees in each of the image files.

    They are prepared as the training images were; the model's record says how. Raises LabError,
    which names the file, for a model that `labkit deploy` did not write, that this machine cannot
    run or that is damaged, and for an image that cannot be read.
    """
    if not model.exists():
        raise LabError(f"{model} does not exist; give a file or folder that `labkit deploy` wrote")
    with _errors_of(model):
        record, run = format_of(model).module.open_model(model)
    inputs = torch.cat([_prepared(record, path) for path in images])
    with _errors_of(model):
        logits = torch.from_numpy(run(inputs))
    if not logits.isfinite().all():
        raise LabError(
            f"{model} is damaged: its logits are NaN or infinite; deploy the subnet again"
        )
    if logits.shape[1] != len(record.output.classes):
        raise LabError(
            f"{model} has {logits.shape[1]} outputs, and its record names"
            f" {len(record.output.classes)} classes; deploy the subnet again"
        )
    probabilities = logits.softmax(1)
    results = []
    for path, row in zip(images, probabilities):
        order = row.argsort(descending=True, stable=True)
        names = {record.output.classes[i]: float(row[i]) for i in order}
        results.append(Classification(str(path), names))
    return results


@contextmanager
def _errors_of(model: Path) -> Iterator[None]:
    """Each runtime has errors of its own for a damaged file; they become one."""
    try:
        yield
    except Exception as error:
        # A LabError names the file and the way out already, but for that of a tool that failed.
        if isinstance(error, (LabError, OSError)) and not isinstance(error, ExportError):
            raise
        raise LabError(f"{model} cannot be run ({error}); deploy the subnet again") from error


def _prepared(record: ModelRecord, path: Path) -> Tensor:
    try:
        with Image.open(path) as picture:
            return record.prepared(picture)
    except Exception as error:  # PIL's readers raise anything for a damaged file
        raise LabError(
            f"{path} is no image that can be read ({error}); give JPEG, PNG, WebP or another that"
            " PIL reads"
        ) from error
