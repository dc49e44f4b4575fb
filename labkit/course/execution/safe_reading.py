"""Reading a file that a student made, without following a link, waiting for a pipe, or filling
memory.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path


def read_regular(path: Path, max_bytes: int) -> bytes:
    """The content of a regular file of at most `max_bytes` bytes.

    Raises OSError for a link, a pipe, a device or a folder, and for a file that cannot be opened;
    ValueError for one that is larger.
    """
    if path.is_symlink():  # where the platform has no O_NOFOLLOW
        raise OSError(0, "a link to another file")
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):  # each platform lacks one of them
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags)
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise OSError(0, "not a file")
    with os.fdopen(descriptor, "rb") as file:
        content = file.read(max_bytes + 1) if status.st_size <= max_bytes else b""
    size = max(status.st_size, len(content))
    if size > max_bytes:
        raise ValueError(f"{size / 2**20:.0f} MiB; at most {max_bytes / 2**20:.0f} MiB are read")
    return content
