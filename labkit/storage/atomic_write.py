"""Writing a file in one step, so that a crash or a second process leaves a whole file behind."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from labkit.storage.paths import cache_dir


@contextmanager
def one_at_a_time(folder: Path, wait: bool = True) -> Iterator[None]:
    """Hold a lock on `folder` that at most one process has; wait for it, or raise BlockingIOError.

    Where the platform has no such locks (Windows) this does nothing.
    """
    try:
        import fcntl
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:  # released if the process dies
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            raise BlockingIOError(
                f"another process writes into {folder}; wait until it has ended, or choose another"
                " folder"
            ) from None
        yield
    finally:
        # Not by closing alone: processes that were forked meanwhile have the handle as well.
        fcntl.flock(handle, fcntl.LOCK_UN)
        os.close(handle)


def write_atomic(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then put it in place in one step.

    Whoever reads `path` sees the old file or the new one, whole; a crash leaves the old one. Raises
    OSError that names `path` if it cannot be written, for lack of room as well.
    """
    path = Path(path)
    with naming_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}{path.suffix}")
        try:
            temporary.touch(exist_ok=False)  # with the permissions that the user's files have
            write(temporary)
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def check_room(path: Path, size: int = 1_000_000) -> None:
    """Raise OSError, as `write_atomic` does, where there is no room for `path`: before long work
    that ends with it.
    """
    with naming_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent) as file:
            file.write(bytes(size))
            file.flush()


def write_folder_atomic(folder: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a folder of the same name, then put it in place of what is at `folder`.

    Whoever looks sees the old files or the new ones; if `write` fails, the old ones stay. Raises
    OSError as `write_atomic` does.
    """
    folder = Path(folder).absolute()
    with naming_errors(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
        try:
            filled = aside / "new" / folder.name
            filled.mkdir(parents=True)
            write(filled)
            if folder.exists():
                os.rename(folder, aside / "old")
            os.rename(filled, folder)
        finally:
            shutil.rmtree(aside, ignore_errors=True)


@contextmanager
def naming_errors(path: Path) -> Iterator[None]:
    """Let the OSErrors inside name `path`; those of a full disk name nothing, others a temporary
    file.
    """
    try:
        yield
    except OSError as error:
        folder = "set LABKIT_CACHE to" if path.is_relative_to(cache_dir()) else "choose"
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        advice = "make room there, or " if full else ""
        raise OSError(
            error.errno,
            f"cannot write {path}: {error.strerror or error}; {advice}{folder} a folder that can be"
            " written",
        ) from error


def write_json(path: Path, value: object) -> None:
    """Write `value` as JSON, in one step."""
    text = json.dumps(value, indent=1) + "\n"
    write_atomic(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))
