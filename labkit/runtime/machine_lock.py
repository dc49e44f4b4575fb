"""Programs that measure the latency of one machine at once would disturb each other: they wait.

Also copied into kits: it needs Python 3.8 and the standard library.
"""

from __future__ import annotations

import os
import sys
import tempfile
import threading
from contextlib import contextmanager
from typing import Iterator  # noqa: UP035  (for Python 3.8)

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOCK = "labkit-measures-this-machine.lock"  # in the folder for temporary files
_THREADS, _HANDLES = threading.RLock(), []  # the lock's handle while this process has it


@contextmanager
def undisturbed() -> Iterator[None]:
    """Hold the lock of those who measure this machine, and wait for it. It may be nested.

    Where the platform has no such locks (Windows) only threads of one process wait for each other.
    """
    with _THREADS:
        handle = None if _HANDLES or fcntl is None else _open_lock()
        if handle is None:
            yield
            return
        _HANDLES.append(handle)
        try:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print("waiting for another program that measures this machine", file=sys.stderr)
                fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            _HANDLES.clear()
            # Not by closing alone: processes that were forked meanwhile have the handle as well.
            fcntl.flock(handle, fcntl.LOCK_UN)
            os.close(handle)


def _open_lock() -> int | None:
    """A lock file of whichever user came first: reading is enough to lock it. None where there is
    no room for one.
    """
    try:
        path = os.path.join(tempfile.gettempdir(), LOCK)
        if os.path.exists(path):
            return os.open(path, os.O_RDONLY)
        handle = os.open(path, os.O_RDONLY | os.O_CREAT, 0o644)
        os.fchmod(handle, 0o644)  # whatever the umask
        return handle
    except OSError:
        return None
