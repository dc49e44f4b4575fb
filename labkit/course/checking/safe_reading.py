"""Reading a file that somebody else made, without being led elsewhere, blocked or flooded."""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_regular(path: Path, largest: int) -> bytes:
    """The content of a regular file of at most `largest` bytes.

    Raises OSError for a link, a pipe, a device or a folder, and for a file that cannot be opened;
    ValueError for one that is larger.
    """
    if path.is_symlink():  # where the platform has no O_NOFOLLOW
        raise OSError(0, "a link to another file")
    flags = (
        os.O_RDONLY
        | getattr(os, "O_NOFOLLOW", 0)
        | getattr(os, "O_NONBLOCK", 0)
        | getattr(os, "O_BINARY", 0)
    )
    handle = os.open(path, flags)
    about = os.fstat(handle)
    if not stat.S_ISREG(about.st_mode):
        os.close(handle)
        raise OSError(0, "not a file")
    with os.fdopen(handle, "rb") as file:
        content = file.read(largest + 1) if about.st_size <= largest else b""
    size = max(about.st_size, len(content))
    if size > largest:
        raise ValueError(f"{size / 2**20:.0f} MiB; at most {largest / 2**20:.0f} MiB are read")
    return content
