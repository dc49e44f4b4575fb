"""What stands between the grader and one confined run: it starts the run, watches it, ends all that
the run started, and only then replies.
"""

from __future__ import annotations

import json
import os
import resource
import select
import socket
import tempfile
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from shutil import rmtree

from labkit.course.confinement.file_view import FileView
from labkit.course.confinement.limits import MIB, RunLimits, keep_to
from labkit.course.confinement.look_around import look_around
from labkit.course.confinement.process_tree import (
    adopt_orphans,
    descendants,
    die_with_parent,
    end_all,
    memory_above,
    open_files_above,
)
from labkit.course.confinement.walls import confine, enter_namespaces, walls_here
from labkit.course.execution.job import execute

MAX_RESULT_BYTES = 128 * MIB
WATCH_S = 0.25


def supervise(connection: socket.socket, runs_folder: Path) -> None:
    """Answer one request: {"job", "limits", "readable", "hidden", "namespaces", "processors"}, then
    the inputs.

    Without a job, the confined process looks around and says what it can reach.
    """
    with connection:
        length = receive(connection, 8)
        if not length:  # somebody only waited until this process was ready
            return
        # Not a byte more: the inputs that follow must not be in this process's memory, which
        # kernels are copies of.
        request = json.loads(receive(connection, int.from_bytes(length, "big")))
        started = time.monotonic()
        folder = Path(tempfile.mkdtemp(prefix="run-", dir=runs_folder)).resolve()
        try:
            reply = _run(request, folder, connection)
        except OSError:
            reply = {"failure": traceback.format_exc()[-2000:]}
        rmtree(folder, ignore_errors=True)
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        reply["seconds"] = time.monotonic() - started
        reply["cpu_s"] = usage.ru_utime + usage.ru_stime
        receive(connection)  # what nobody read would break the connection
        connection.sendall(json.dumps(reply).encode())


def receive(connection: socket.socket, length: int | None = None) -> bytes:
    """The next `length` bytes, or all up to the end."""
    chunks, missing = [], MAX_RESULT_BYTES if length is None else length
    while missing and (chunk := connection.recv(min(missing, 1 << 20))):
        chunks.append(chunk)
        missing -= len(chunk)
    return b"".join(chunks)


def _run(request: dict, folder: Path, connection: socket.socket) -> dict:
    """What a confined child replied, after its end. Raises OSError where it cannot be confined."""
    walls, limits = walls_here(request["namespaces"]), RunLimits(**request["limits"])
    view = FileView(tuple(map(Path, request["readable"])), tuple(map(Path, request["hidden"])))
    started, number = time.monotonic(), os.getpid()
    if walls.namespaces:
        enter_namespaces()
    adopt_orphans()
    die_with_parent()
    receiving, sending = os.pipe()
    child = os.fork()
    if not child:
        os.close(receiving)

        def work() -> dict:
            keep_to(request["processors"])
            confine(walls, limits, folder, view, number)
            if request["job"] is None:
                return look_around(json.loads(receive(connection)))
            return execute(request["job"], folder, lambda: json.loads(receive(connection)))

        _reply_with(work, sending)
    os.close(sending)
    content, ended = _watch(receiving, limits, started)
    end_all(child)
    reply = _result(content)
    if ended or reply is None:
        reply = ended or {"ended": "nothing came back"}
    return reply | {"walls": asdict(walls)}


def _reply_with(work: Callable[[], dict], sending: int) -> None:
    """What the confined child does; never returns."""
    try:
        result = work()
    except BaseException:
        result = {"failure": traceback.format_exc()[-2000:]}
    with suppress(BaseException), os.fdopen(sending, "wb") as pipe:
        pipe.write(json.dumps(result).encode())
    os._exit(0)


def _result(content: bytes) -> dict | None:
    """What the confined child sent; None for anything else than a dict."""
    try:
        result = json.loads(content)
    except (ValueError, RecursionError):
        return None
    return result if isinstance(result, dict) else None


def _watch(receiving: int, limits: RunLimits, started: float) -> tuple[bytes, dict]:
    """What the child sends, and what the reply says of why it was cut short, if it was."""
    chunks, size = [], 0
    while True:
        ready, _, _ = select.select([receiving], [], [], WATCH_S)
        if ready:
            chunk = os.read(receiving, 1 << 20)
            chunks.append(chunk)
            size += len(chunk)
            if not chunk:
                return b"".join(chunks), {}
            if size > MAX_RESULT_BYTES:
                return b"", {"ended": "more was returned than can be read"}
            continue
        if time.monotonic() - started > limits.submission_s:
            ended = f"the notebook did not come to an end within {limits.submission_s:.0f} s"
            return b"", {"ended": ended, "out_of_time": True}
        below = descendants(os.getpid())
        if memory_above(below, limits.all_memory_mib):
            ended = f"the notebook used more than {limits.all_memory_mib} MiB of memory"
            return b"", {"ended": ended}
        if open_files_above(below, limits.open_files):
            ended = f"the notebook had more than {limits.open_files} files and sockets open"
            return b"", {"ended": ended}
