"""A process that has imported torch, nbval and Jupyter once, and forks a confined child for each
submission.

The import is most of what a kernel's start costs, and it can be shared safely: the process has seen
no labkit exercise, no submission and no secret, has one thread, and nothing comes back into it from
its children. Each child ends with its submission.

    with ForkServer() as server:
        reply = run_job(server.address, job, limits, readable, hidden)
"""

from __future__ import annotations

import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from shutil import rmtree

from labkit.course.confinement.process_tree import (
    MIB,
    descendants,
    die_with_parent,
    end_all,
    memory_above,
)
from labkit.course.confinement.walls import RunLimits, Walls, confine, enter_namespaces
from labkit.course.execution.job import execute, preload

MAX_RESULT_BYTES = 128 * MIB
WATCH_S = 0.25
ENVIRONMENT = {
    "PATH": os.defpath,
    "LANG": "C.UTF-8",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONDONTWRITEBYTECODE": "1",
}


# ---- for whoever has a job run -------------------------------------------------------------------


class ForkServer:
    """Starts the process and ends it. Threads and processes may use its address at the same time.

    `environment` is added to the few variables that the process gets.
    """

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        self.folder = tempfile.mkdtemp(prefix="labkit-fork-server-")
        self.address = os.path.join(self.folder, "socket")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "labkit.course.confinement.fork_server", self.address],
            stdin=subprocess.PIPE,
            env=ENVIRONMENT | {"MPLCONFIGDIR": self.folder} | (environment or {}),
            start_new_session=True,
        )

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()  # which tells it to end
        self.process.wait()
        rmtree(self.folder, ignore_errors=True)

    def wait(self) -> None:
        """Wait until it has imported everything."""
        _connect(self.address).close()


def run_job(
    address: str, job: dict, limits: RunLimits, readable: list[Path], hidden: list[Path]
) -> dict:
    """Have the server at `address` run a job (see `labkit.course.execution.job`), confined.

    The reply is the job's result with "walls", "seconds", "cpu_s", and perhaps "ended" (it was cut
    short, and why) or "failure" (the confined process did not get as far as running the job).
    """
    request = {
        "job": {name: part for name, part in job.items() if name != "inputs"},
        "limits": asdict(limits),
        "readable": list(map(str, readable)),
        "hidden": list(map(str, hidden)),
    }
    with _connect(address) as connection, connection.makefile("rwb") as stream:
        first = json.dumps(request).encode()
        stream.write(len(first).to_bytes(8, "big") + first + json.dumps(job["inputs"]).encode())
        stream.flush()
        connection.shutdown(socket.SHUT_WR)
        reply = stream.read(MAX_RESULT_BYTES + MIB)
    try:
        return json.loads(reply)
    except (ValueError, RecursionError):
        return {"ended": "the run came to an end that left nothing to read"}


def _connect(address: str) -> socket.socket:
    """A connection, once the server has imported everything."""
    for _ in range(1800):
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(address)
            return connection
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            time.sleep(0.1)
    raise RuntimeError("the process that runs submissions did not start within 3 minutes")


# ---- the process ---------------------------------------------------------------------------------


def serve(address: str) -> None:
    """Answer connections, each in a child, until standard input ends."""
    preload()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # children are reaped by the system
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [])
        if sys.stdin in ready:
            return
        connection, _ = listener.accept()
        if not os.fork():
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            listener.close()
            try:
                _supervise(connection)
            finally:
                os._exit(0)
        connection.close()


def _supervise(connection: socket.socket) -> None:
    """Run one job in a confined child, watch it, end all that it started, and only then reply."""
    with connection:
        length = _receive(connection, 8)
        if not length:  # somebody only waited until this process was ready
            return
        # Not a byte more: the inputs that follow must not be in this process's memory, which
        # kernels are copies of.
        request = json.loads(_receive(connection, int.from_bytes(length, "big")))
        limits, started = RunLimits(**request["limits"]), time.monotonic()
        # A socket's path may have 100 characters or so, therefore /tmp.
        parent = "/tmp" if os.path.isdir("/tmp") else None
        folder = Path(tempfile.mkdtemp(prefix="lk", dir=parent)).resolve()
        walls = enter_namespaces()
        die_with_parent()
        receiving, sending = os.pipe()
        child = os.fork()
        if not child:
            os.close(receiving)
            _run_confined(request, limits, walls, folder, sending, connection)
        os.close(sending)
        content, ended = _watch(receiving, limits, started)
        end_all(child)
        rmtree(folder, ignore_errors=True)
        reply = _result(content)
        if ended or reply is None:
            reply = (reply or {}) | {"ended": ended or "nothing came back"}
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        reply |= {
            "walls": str(walls),
            "namespaces": walls.namespaces,
            "seconds": time.monotonic() - started,
            "cpu_s": usage.ru_utime + usage.ru_stime,
        }
        _receive(connection)  # what nobody read would break the connection
        connection.sendall(json.dumps(reply).encode())


def _result(content: bytes) -> dict | None:
    """What the confined child sent; None for anything else than a dict."""
    try:
        result = json.loads(content)
    except (ValueError, RecursionError):
        return {}
    return result if isinstance(result, dict) else None


def _receive(connection: socket.socket, length: int | None = None) -> bytes:
    """The next `length` bytes, or all up to the end."""
    chunks, missing = [], MAX_RESULT_BYTES if length is None else length
    while missing and (chunk := connection.recv(min(missing, 1 << 20))):
        chunks.append(chunk)
        missing -= len(chunk)
    return b"".join(chunks)


def _run_confined(
    request: dict,
    limits: RunLimits,
    walls: Walls,
    folder: Path,
    sending: int,
    connection: socket.socket,
) -> None:
    """What the confined child does; never returns."""
    try:
        readable, hidden = map(Path, request["readable"]), map(Path, request["hidden"])
        confine(walls, limits, folder, list(readable), list(hidden))
        result = execute(request["job"], folder, lambda: json.loads(_receive(connection)))
    except BaseException:
        result = {"failure": traceback.format_exc()[-2000:]}
    with suppress(BaseException), os.fdopen(sending, "wb") as pipe:
        pipe.write(json.dumps(result).encode())
    os._exit(0)


def _watch(receiving: int, limits: RunLimits, started: float) -> tuple[bytes, str]:
    """What the child sends, and why it was cut short, if it was."""
    chunks, size = [], 0
    while True:
        ready, _, _ = select.select([receiving], [], [], WATCH_S)
        if ready:
            chunk = os.read(receiving, 1 << 20)
            chunks.append(chunk)
            size += len(chunk)
            if not chunk:
                return b"".join(chunks), ""
            if size > MAX_RESULT_BYTES:
                return b"", "more was returned than can be read"
            continue
        if time.monotonic() - started > limits.submission_s:
            return b"", f"the notebook did not come to an end within {limits.submission_s:.0f} s"
        if memory_above(descendants(os.getpid()), limits.all_memory_mib):
            return b"", f"the notebook used more than {limits.all_memory_mib} MiB of memory"


if __name__ == "__main__":
    serve(sys.argv[1])
