"""Supernet weights as files: what training leaves behind and what the repository ships."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from labkit.official.layer_names import OFFICIAL_CLASSES
from labkit.space import Arch
from labkit.space.presets import get_space
from labkit.storage import tensor_file as checkpoint
from labkit.storage.tensor_file import CheckpointError
from labkit.supernet.supernet import Supernet

SCHEMA = "labkit-supernet-1"
# never to remove what somebody passed
ADVICE = "restore it, or give the supernet.safetensors of a training"


def save(path: Path, supernet: Supernet, record: dict) -> None:
    """Write weights and the record of their training (configuration, curve, hours, machine, date)."""
    only = {} if supernet.only is None else {"only": supernet.only.to_json()}
    checkpoint.save(
        path,
        dict(supernet.named_parameters()),
        {"schema": SCHEMA, "space": supernet.space.name, **only, **record},
    )


def load(path: Path) -> tuple[Supernet, dict]:
    """A supernet with the weights in `path`, and their record.

    Raises CheckpointError, naming the file and the tensor or field, if they are not a whole
    supernet.
    """
    path = Path(path)
    if path.is_dir():
        raise CheckpointError(f"{path} is a folder; give the supernet.safetensors inside it")
    if path.stem in OFFICIAL_CLASSES and not path.exists():
        raise CheckpointError(
            f"{path} does not exist, and `labkit train` cannot make it, which takes no ImageNet;"
            f" get the official weights with `labkit weights fetch {path.stem}`, then `labkit"
            " evaluate --data imagenet --path FOLDER` judges them (more in"
            " docs/coming-from-ofa.md)"
        )
    tensors, record = checkpoint.read(path, ADVICE)
    if record.get("schema") != SCHEMA:
        raise CheckpointError(
            f"{path}: schema is {record.get('schema')!r}, this version reads {SCHEMA!r}"
        )
    try:
        only = (
            Arch.from_json(record["only"]) if "only" in record else None
        )  # a subnet that was trained alone
        supernet = Supernet(get_space(record["space"]), only)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: space: {error}") from None
    checkpoint.check_tensors(path, tensors, dict(supernet.named_parameters()), ADVICE)
    supernet.load_state_dict(tensors)
    return supernet.requires_grad_(False), record


def dataset_of(path: Path, record: Mapping) -> str:
    """Name of the data set that the weights in `path` were trained on, from their record.

    Raises CheckpointError where it says none, as that of converted official weights.
    """
    try:
        return record["config"]["dataset"]
    except (KeyError, TypeError):
        raise CheckpointError(
            f"{path} does not say which data set it was trained on; for official weights use "
            "`labkit evaluate --data imagenet --path FOLDER`"
        ) from None
