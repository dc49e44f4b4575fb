"""Where the lab's files are, and how they are written."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.storage.errors import LabError


def data_dir() -> Path:
    """`LABKIT_DATA` if it is set, else data/ beside the package. Never the working directory.

    Raises LabError if LABKIT_DATA is no folder: without its files much would still work,
    differently.
    """
    configured = os.environ.get("LABKIT_DATA")
    if configured and not os.path.isdir(configured):
        raise LabError(
            f"LABKIT_DATA is {configured!r}, which is not a folder; unset it, or set it to a copy "
            "of labkit's data/"
        )
    return Path(configured) if configured else Path(__file__).resolve().parents[2] / "data"


def cache_dir() -> Path:
    """Folder for what this machine computes once: `LABKIT_CACHE`, else ~/.cache/labkit.

    Raises LabError if neither is known, as for a user without a home folder.
    """
    configured = os.environ.get("LABKIT_CACHE")
    try:
        return Path(configured) if configured else Path.home() / ".cache" / "labkit"
    except RuntimeError:
        raise LabError(
            "this user has no home folder for a cache; set LABKIT_CACHE to a folder that can be "
            "written"
        ) from None


@contextmanager
def one_at_a_time(folder: Path) -> Iterator[None]:
    """Wait until no other process is in here with this folder, where the platform has such locks
    (not Windows).
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # gone with the handle, also if this process is killed
        yield
    finally:
        os.close(handle)


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place in one step.

    Whoever reads `path` sees the old file or the new one, whole; a crash leaves the old one. Raises
    OSError that names `path` if its folder cannot be made or written.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix
        )
    except OSError as error:
        elsewhere = "set LABKIT_CACHE to" if path.is_relative_to(cache_dir()) else "choose"
        raise OSError(
            error.errno,
            f"cannot write {path}: {error.strerror}; {elsewhere} a folder that can be written",
        ) from error
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
