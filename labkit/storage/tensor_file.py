"""Tensors and a JSON header in one safetensors file, written in one step.

Reading a header alone imports no torch.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors import SafetensorError, safe_open

from labkit.storage.atomic_write import write_atomic
from labkit.storage.errors import LabError
from labkit.storage.json_fields import Fields

if TYPE_CHECKING:
    from torch import Tensor

# Advice on the checkpoint of a run, which a new run makes again.
START_OVER = "restore it, or remove it to start over"


class CheckpointError(LabError):
    """A checkpoint or weights file cannot be used; the message names the file and why."""


def save(path: Path, tensors: dict[str, Tensor], header: dict) -> None:
    """Write `path` in one step.

    Raises OSError, and leaves the file that was there before, where that is not possible.
    """
    from safetensors.torch import save as serialized

    # Not by its `save_file`, which leaves a temporary file of its own when it is killed.
    content = serialized(
        {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()},
        metadata={"header": json.dumps(header)},
    )
    write_atomic(path, lambda temporary: temporary.write_bytes(content))


def remove_unfinished(path: Path) -> None:
    """Delete what writes of `path` left behind that were killed on the way."""
    for stray in path.parent.glob(f".{path.name}.*"):
        stray.unlink(missing_ok=True)


def read(path: Path, advice: str = START_OVER) -> tuple[dict[str, Tensor], dict]:
    """The tensors and the header of `path`.

    Raises CheckpointError, with `advice`, where the file is missing, not whole, or not labkit's.
    """
    with _opened(path, "pt", advice) as (file, header):
        return {name: file.get_tensor(name) for name in file.keys()}, header


def read_header(path: Path, advice: str = START_OVER) -> dict:
    """The header of `path` alone; raises what `read` does."""
    with _opened(path, "numpy", advice) as (_, header):
        return header


@contextmanager
def _opened(path: Path, framework: str, advice: str) -> Iterator[tuple[safe_open, dict]]:
    try:
        with safe_open(path, framework=framework) as file:
            header = json.loads((file.metadata() or {})["header"])
            if not isinstance(header, dict):
                raise ValueError("its header is not an object")
            yield file, header
    except FileNotFoundError:
        raise CheckpointError(
            f"{path} does not exist; check its name, or make it with `labkit train`"
        ) from None
    except KeyError:
        raise CheckpointError(
            f"{path} was not written by labkit: it has no header that says what it is"
        ) from None
    except (SafetensorError, OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path} is not a whole labkit safetensors file ({error}); {advice}"
        ) from error


def check_fields(path: Path, header: dict, kinds: Mapping[str, type | tuple[type, ...]]) -> None:
    """Raise CheckpointError unless `header` has all fields of `kinds`, each of its type."""
    fields = Fields(header, f"{path}: header", CheckpointError, advice=START_OVER)
    for name, kind in kinds.items():
        fields.get(name, kind)


def check_step(path: Path, step: int, total: float) -> None:
    """Raise CheckpointError unless a run of `total` steps can stand after `step` of them."""
    if not 0 <= step <= total:
        raise CheckpointError(f"{path}: step {step} is not one of this run's {total}; {START_OVER}")


def check_tensors(
    path: Path, tensors: dict[str, Tensor], expected: dict[str, Tensor], advice: str = START_OVER
) -> None:
    """Raise CheckpointError unless `tensors` has exactly the names and shapes of `expected`, and
    nothing but finite numbers.
    """
    for name in expected.keys() - tensors.keys():
        raise CheckpointError(f"{path}: tensor {name!r} is missing")
    for name in tensors.keys() - expected.keys():
        raise CheckpointError(f"{path}: tensor {name!r} is not part of this network")
    for name, tensor in tensors.items():
        if tensor.shape != expected[name].shape:
            raise CheckpointError(
                f"{path}: tensor {name!r} has shape {tuple(tensor.shape)}, "
                f"this network wants {tuple(expected[name].shape)}"
            )
        if (
            tensor.is_floating_point() != expected[name].is_floating_point()
            or not tensor.isfinite().all()
        ):
            raise CheckpointError(
                f"{path}: tensor {name!r} ({tensor.dtype}) holds values that are no finite"
                " numbers; " + advice
            )
