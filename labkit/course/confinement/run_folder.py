"""The one folder for all that a grading leaves on the disk while it runs.

It is locked as long as the process that made it, or one that this started, is alive. A folder that
nobody holds is what a killed run could not remove: the next run does.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from shutil import rmtree

PREFIX, LOCK = "labkit-run-", "lock"


def make_run_folder() -> tuple[Path, int]:
    """A new folder, and the descriptor of its lock, to be closed when the folder has been removed.
    Removes folders that nobody holds.
    """
    # A socket's path may have 100 characters or so, therefore /tmp.
    parent = Path("/tmp" if os.access("/tmp", os.W_OK) else tempfile.gettempdir()).resolve()
    for path in parent.glob(f"{PREFIX}*"):
        _remove_if_abandoned(path)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    folder.chmod(0o711)  # runs reach their own part of it, whose name they have to know
    lock = os.open(folder / f".{LOCK}", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    (folder / f".{LOCK}").rename(folder / LOCK)  # only a file that is locked gets this name
    return folder, lock


def _remove_if_abandoned(folder: Path) -> None:
    with suppress(OSError):
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # raises where somebody holds it
            rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)
