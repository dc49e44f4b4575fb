"""Work on something that a student made, such as parsing it, in a process that may use only so much
time and memory: what is too much for it stops that process, and no other.
"""

from __future__ import annotations

import json
import math
import os
import resource
import select
import signal
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from labkit.storage.errors import LabError

MIB = 2**20
MAX_RESULT_BYTES = 512 * MIB
MAX_TRACEBACK = 4000  # characters
WALL = 4  # times what the work may compute is what it may take on a busy machine


class LimitExceeded(LabError):
    """The work took more time or memory than it may."""


def in_limited_child(
    work: Callable[[], object], *, seconds: float = 60.0, memory_mib: int = 2048
) -> object:
    """What `work` returns, as JSON gives it back: lists for tuples, and names as texts.

    `seconds` is what it may compute, and `memory_mib` what it may use on top of what this process
    has. Raises LimitExceeded; what `work` raises comes back as RuntimeError, with its traceback as
    the message.
    """
    receiving, sending = os.pipe()
    child = os.fork()
    if not child:
        os.close(receiving)
        _work(work, sending, seconds, memory_mib)
    os.close(sending)
    content = _receive(receiving, time.monotonic() + WALL * seconds)
    with suppress(ProcessLookupError):
        os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    try:
        reply = json.loads(content)
    except ValueError:
        raise LimitExceeded(
            f"it takes more than {seconds:g} s or {memory_mib:,} MiB to read"
        ) from None
    if "error" in reply:
        raise RuntimeError(reply["error"])
    return reply["result"]


def limit_memory(memory_mib: int) -> None:
    """Let this process, and what it forks, use only so much memory on top of what it has."""
    with suppress(OSError, ValueError):  # where there is no /proc, or a lower limit already
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        limit = pages * os.sysconf("SC_PAGE_SIZE") + memory_mib * MIB
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _work(work: Callable[[], object], sending: int, seconds: float, memory_mib: int) -> None:
    """What the child does; never returns. It sends nothing where memory or time ran out."""
    try:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_DFL)
        limit_memory(memory_mib)
        cpu_s = math.ceil(seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_s, cpu_s))
        try:
            reply = {"result": work()}
        except MemoryError:
            os._exit(1)
        except Exception:
            reply = {"error": traceback.format_exc()[-MAX_TRACEBACK:]}
        with os.fdopen(sending, "wb") as pipe:
            pipe.write(json.dumps(reply).encode())
    finally:
        os._exit(1)


def _receive(receiving: int, end: float) -> bytes:
    """All that the child sends until `end`; nothing if that is too late or too much."""
    chunks, size = [], 0
    with os.fdopen(receiving, "rb", buffering=0) as pipe:
        while True:
            remaining_s = end - time.monotonic()
            if remaining_s <= 0 or not select.select([pipe], [], [], remaining_s)[0]:
                return b""
            chunk = pipe.read(MIB)
            if not chunk:
                return b"".join(chunks)
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_RESULT_BYTES:
                return b""
