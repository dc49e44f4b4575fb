"""Arrays and a JSON header in one npz file, written in one step and read without unpickling."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from labkit.storage.atomic_write import write_atomic
from labkit.storage.errors import UNREADABLE, LabError


class ArtifactError(LabError):
    """A file that labkit makes from others is missing, damaged or of another kind.

    The message names the file, the field, and the command that makes the file again.
    """


def write_npz(path: Path, header: Mapping, arrays: Mapping[str, np.ndarray]) -> None:
    """Write `arrays` and `header` to `path` in one step."""

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            np.savez_compressed(file, header=np.array(json.dumps(header)), **arrays)

    write_atomic(path, write)


def read_npz(
    path: Path,
    schema: str,
    names: Sequence[str],
    advice: str,
    check_header: Callable[[dict], None] = lambda header: None,
) -> tuple[dict, list[np.ndarray]]:
    """The header of `path` and its arrays `names`.

    `check_header` raises what it has against a header before the arrays are read. Raises
    ArtifactError, which names the file and ends with `advice`, where it is missing, damaged, or of
    another schema.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            header = json.loads(str(file["header"]))
            if header.get("schema") != schema:
                raise ArtifactError(
                    f"{path}: schema is {header.get('schema')!r}, this version reads {schema!r};"
                    f" {advice}"
                )
            check_header(header)
            return header, [file[name] for name in names]
    except FileNotFoundError:
        raise ArtifactError(f"{path} is missing; {advice}") from None
    except UNREADABLE as error:
        raise ArtifactError(f"{path} is not a whole {schema} file ({error}); {advice}") from error
