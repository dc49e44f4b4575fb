"""What a confined process can reach that it should not: tried out, not concluded."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from contextlib import suppress


def look_around(targets: dict) -> dict:
    """Try to reach what belongs to the grader, and what Python needs.

    `targets` has the path of a file that the grader can read ("file"), a port of this machine that
    somebody listens at ("port"), and paths that a run needs ("needed"). The result says what could
    be reached that should not ("leaks"), and what could not be read ("missing").
    """
    attempts = {
        "the grader's files can be read": lambda: open(targets["file"]).close(),
        "this machine's network can be reached": lambda: _connect(targets["port"]),
        "the grader's process can be ended": _signal_parent,
        "files of Python can be changed": lambda: open(os.__file__, "a").close(),
    }
    return {
        "leaks": [name for name, attempt in attempts.items() if _works(attempt)],
        "missing": [path for path in targets["needed"] if not os.access(path, os.R_OK)],
    }


def _signal_parent() -> None:
    parent = os.getppid()
    if not parent:  # it is in no process table that this process sees
        raise ProcessLookupError
    os.kill(parent, 0)


def _connect(port: int) -> None:
    with socket.socket() as connection:
        connection.settimeout(2)
        connection.connect(("127.0.0.1", port))


def _works(attempt: Callable[[], None]) -> bool:
    with suppress(OSError):
        attempt()
        return True
    return False
