"""Runs the measuring in a child process, and says what it means where the runtime crashes there.

Copied into kits: it needs Python 3.8 and the standard library.
"""

from __future__ import annotations

import mmap
import os
import signal
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Callable  # noqa: UP035  (for Python 3.8)

INTERRUPTED = 130  # exit code of what was stopped with Ctrl-C
UNUSABLE = 2
MEANINGS = {
    "SIGILL": (
        "this build of it has instructions that the processor lacks, as that of 1.21 has on a"
        " Raspberry Pi 4; install another version, such as pip install onnxruntime==1.20.1"
    ),
    "SIGKILL": (
        "the system ended it, probably because memory is used up; stop other programs, or add swap"
    ),
}
OTHER_VERSION = "install another version of it: pip install onnxruntime==..."


class Activity:
    """What the child is doing, in memory that it shares with its parent."""

    def __init__(self) -> None:
        self.memory, self.parent = mmap.mmap(-1, 256), os.getpid()

    def enter(self, text: str) -> None:
        self.memory[:] = text.encode()[:256].ljust(256, b"\0")

    def __str__(self) -> str:
        return self.memory[:].rstrip(b"\0").decode(errors="replace")

    @property
    def orphaned(self) -> bool:
        """Whether the process that was started by the user is gone, killed perhaps."""
        return self.parent not in (os.getpid(), os.getppid())


def say(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)


def in_child(work: Callable[[Activity], int]) -> int:
    """The exit code of `work(activity)`, called in a child process where the platform forks.

    Ctrl-C and a request to end are passed on to it. If a signal kills it, that is explained.
    """
    activity = Activity()
    child = os.fork() if hasattr(os, "fork") else 0
    if child == 0:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, _interrupt_once)
        try:
            return work(activity)
        except KeyboardInterrupt:
            say("\nstopped; the same command goes on from what was measured so far")
            return INTERRUPTED
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(child, number))
    _, status = os.waitpid(child, 0)
    if os.WIFEXITED(status):
        return os.WEXITSTATUS(status)
    name = signal.Signals(os.WTERMSIG(status)).name
    if name in ("SIGTERM", "SIGHUP", "SIGINT"):
        say(f"\nstopped by {name}; the same command goes on from what was measured so far")
        return INTERRUPTED
    try:
        runtime = f"onnxruntime {version('onnxruntime')}"
    except PackageNotFoundError:
        runtime = "onnxruntime"
    say(f"\n{runtime} crashed with {name} {activity}: {MEANINGS.get(name, OTHER_VERSION)}")
    return UNUSABLE


def _interrupt_once(*_: object) -> None:
    """A terminal sends Ctrl-C to the child, and its parent passes its own on."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    raise KeyboardInterrupt
