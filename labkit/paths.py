"""Where the lab's files are, and how they are written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def data_dir() -> Path:
    """`LABKIT_DATA` if it is set, else data/ beside the package. Never the working directory."""
    configured = os.environ.get("LABKIT_DATA")
    return Path(configured) if configured else Path(__file__).resolve().parent.parent / "data"


def cache_dir() -> Path:
    """Folder for what this machine computes once: `LABKIT_CACHE`, else ~/.cache/labkit."""
    configured = os.environ.get("LABKIT_CACHE")
    return Path(configured) if configured else Path.home() / ".cache" / "labkit"


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place in one step.

    Whoever reads `path` sees the old file or the new one, whole; a crash leaves the old one.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "rb"):
            write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o644)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
