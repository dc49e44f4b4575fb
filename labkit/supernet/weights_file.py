"""The weights of a supernet as a file: what training leaves and what the repository ships."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from labkit.data.record import DataError, DatasetRecord
from labkit.space import Arch, SearchSpace
from labkit.space.binding import space_fields, space_of
from labkit.storage import tensor_file
from labkit.storage.tensor_file import CheckpointError

if TYPE_CHECKING:
    from labkit.data.datasets import DataSet
    from labkit.supernet.supernet import Supernet

WEIGHTS = "supernet.safetensors"  # as the file is called in a folder of a trained supernet
SCHEMA = "labkit-supernet-2"
# A file that somebody passed to a command is never to be removed.
ADVICE = f"restore it, or give the {WEIGHTS} of a training"


def save(path: Path, supernet: Supernet, record: dict) -> None:
    """Write weights and the record of their training.

    A training records its configuration, curve, hours, machine and date, and as "dataset" the
    `DatasetRecord` of its images.
    """
    only = {} if supernet.only is None else {"only": supernet.only.to_json()}
    header = {"schema": SCHEMA, **space_fields(supernet.space), **only, **record}
    tensor_file.save(path, dict(supernet.named_parameters()), header)


def load(path: Path) -> tuple[Supernet, dict]:
    """A supernet with the weights in `path`, which need no gradients, and their record.

    Raises CheckpointError, naming the file and the tensor or field, if they are not a whole
    supernet, or were made for another space than the one that is now called so.
    """
    from labkit.supernet.supernet import Supernet

    path = Path(path)
    _refuse_folder(path)
    tensors, record = tensor_file.read(path, ADVICE)
    space = _space_of(path, record)
    try:
        # A subnet that was trained alone is saved as a supernet of that one arch.
        only = Arch.from_json(record["only"]) if "only" in record else None
        supernet = Supernet(space, only)
    except ValueError as error:
        raise CheckpointError(f"{path}: space: {error}") from None
    tensor_file.check_tensors(path, tensors, dict(supernet.named_parameters()), ADVICE)
    supernet.load_state_dict(tensors)
    return supernet.requires_grad_(False), record


def read_record(path: Path) -> tuple[SearchSpace, dict]:
    """The space and the record of the weights in `path`, read without torch; raises what `load`
    raises for them.
    """
    _refuse_folder(path)
    record = tensor_file.read_header(path, ADVICE)
    return _space_of(path, record), record


def dataset_record_of(path: Path, record: Mapping) -> DatasetRecord:
    """Name, classes, channels, mean and standard deviation, and splits of the images that the
    weights in `path` were trained on.

    Raises CheckpointError where their record does not say, as that of converted official ones.
    """
    if "dataset" not in record:
        raise CheckpointError(
            f"{path} does not say which data set it was trained on; for official weights use"
            " `labkit evaluate --supernet NAME --arch largest --data imagenet --path FOLDER`"
        )
    return DatasetRecord.from_json(record["dataset"], f"{path}: header", CheckpointError)


def dataset_of(path: Path, record: Mapping, images: Path | None = None) -> DataSet:
    """The images that the weights in `path` were trained on, and those held out.

    `images` is the folder where they are now, if it is another one than they were trained from.
    Raises DataError where they are not here, CheckpointError where the data set that is now called
    so is another one.
    """
    from labkit.data import datasets

    recorded = dataset_record_of(path, record)
    if images is None and recorded.content is not None and not Path(recorded.name).is_dir():
        raise DataError(
            f"the images that {path} was trained on are not in {recorded.name}; say where they are"
            " now (--data DIR)"
        )
    dataset = datasets.load(images or recorded.name, recorded.form)
    # A folder may lie elsewhere; what is in it must be the same.
    if dataset.record != recorded and (recorded.content or "none") != dataset.content:
        before, now = recorded._asdict(), dataset.record._asdict()
        telling = ("classes", "splits", "channels", "mean", "std", "form", "content")
        name = next((name for name in telling if before[name] != now[name]), "name")
        raise CheckpointError(
            f"{path} was trained on other images than those of {images or recorded.name}:"
            f" {name} {before[name]}, here {now[name]}; restore the images, or train again"
        )
    return dataset


def _refuse_folder(path: Path) -> None:
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; give the {WEIGHTS} inside it")


def _space_of(path: Path, record: dict) -> SearchSpace:
    if record.get("schema") != SCHEMA:
        raise CheckpointError(
            f"{path}: schema is {record.get('schema')!r}, this version reads {SCHEMA!r}"
        )
    advice = "train it again, or load it with the space as it was then"
    return space_of(record, path, CheckpointError, advice)
