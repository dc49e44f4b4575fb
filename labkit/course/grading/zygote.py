"""A process that has imported torch, nbval and Jupyter once, and forks a confined child for each
submission.

The import is most of what a kernel's start costs, and it can be shared safely: the process has seen
no labkit exercise, no submission and no secret, has one thread, and nothing comes back into it from
its children. Each child ends with its submission.

    with Zygote() as zygote:
        reply = zygote.run(job, limits, readable, hidden)
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

from labkit.course.execution import job
from labkit.course.grading.sandbox import (
    MIB,
    Limits,
    confine,
    descendants,
    die_with_parent,
    end_all,
    enter_namespaces,
    memory_above,
)

LARGEST_RESULT = 128 * MIB
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


class Zygote:
    """The process, and how to have it run a job. Threads and processes may call `run` at the same
    time.
    """

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        self.folder = tempfile.mkdtemp(prefix="labkit-zygote-")
        self.address = os.path.join(self.folder, "socket")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "labkit.course.grading.zygote", self.address],
            stdin=subprocess.PIPE,
            env=ENVIRONMENT | {"MPLCONFIGDIR": self.folder} | (environment or {}),
            start_new_session=True,
        )

    def __enter__(self) -> Zygote:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()  # which tells it to end
        self.process.wait()
        rmtree(self.folder, ignore_errors=True)

    def wait(self) -> None:
        """Until it has imported what it has to."""
        _connected(self.address).close()

    def run(self, job: dict, limits: Limits, readable: list[Path], hidden: list[Path]) -> dict:
        return ask(self.address, job, limits, readable, hidden)


def ask(address: str, job: dict, limits: Limits, readable: list[Path], hidden: list[Path]) -> dict:
    """The reply of the zygote at `address`: what `job.execute` gives, "walls", "seconds",
    "cpu_s", and perhaps "ended" (it was cut short, and why) or "failure" (the confined process did
    not get as far as running the job)."""
    request = {
        "job": {name: part for name, part in job.items() if name != "inputs"},
        "limits": asdict(limits),
        "readable": list(map(str, readable)),
        "hidden": list(map(str, hidden)),
    }
    with _connected(address) as connection, connection.makefile("rwb") as stream:
        first = json.dumps(request).encode()
        stream.write(len(first).to_bytes(8, "big") + first + json.dumps(job["inputs"]).encode())
        stream.flush()
        connection.shutdown(socket.SHUT_WR)
        reply = stream.read(LARGEST_RESULT + MIB)
    try:
        return json.loads(reply)
    except (ValueError, RecursionError):
        return {"ended": "the run came to an end that left nothing to read"}


def _connected(address: str) -> socket.socket:
    """A connection, once the zygote has imported what it has to."""
    for _ in range(1800):
        connection = socket.socket(socket.AF_UNIX)
        try:
            connection.connect(address)
            return connection
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            time.sleep(0.1)
    raise RuntimeError("the process that runs submissions did not start within 3 minutes")


def serve(address: str) -> None:
    """Answer connections, each in a child, until standard input ends."""
    job.preload()
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
        length = _received(connection, 8)
        if not length:  # somebody only waited until this process was there
            return
        # No byte more: the inputs that follow must not be in this process's memory, which kernels
        # are copies of.
        request = json.loads(_received(connection, int.from_bytes(length, "big")))
        limits, started = Limits(**request["limits"]), time.monotonic()
        folder = Path(
            tempfile.mkdtemp(prefix="lk", dir="/tmp" if os.path.isdir("/tmp") else None)
        ).resolve()
        walls = enter_namespaces()
        die_with_parent()
        receive, send = os.pipe()
        child = os.fork()
        if not child:
            os.close(receive)
            _confined(request, limits, walls, folder, send, connection)
        os.close(send)
        content, ended = _watched(receive, limits, started)
        end_all(child)
        rmtree(folder, ignore_errors=True)
        try:
            result = json.loads(content)
        except (ValueError, RecursionError):
            result = {}
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        about = {
            "walls": str(walls),
            "namespaces": walls.namespaces,
            "seconds": time.monotonic() - started,
            "cpu_s": used.ru_utime + used.ru_stime,
        }
        if ended or not isinstance(result, dict):
            about["ended"] = ended or "nothing came back"
        _received(connection)  # what nobody read would break the connection
        connection.sendall(
            json.dumps((result if isinstance(result, dict) else {}) | about).encode()
        )


def _received(connection: socket.socket, length: int | None = None) -> bytes:
    """The next `length` bytes, or all up to the end."""
    chunks, left = [], LARGEST_RESULT if length is None else length
    while left and (chunk := connection.recv(min(left, 1 << 20))):
        chunks.append(chunk)
        left -= len(chunk)
    return b"".join(chunks)


def _confined(
    request: dict, limits: Limits, walls, folder: Path, send: int, connection: socket.socket
) -> None:
    """What the confined child does; never returns."""
    try:
        confine(
            walls,
            limits,
            folder,
            [Path(p) for p in request["readable"]],
            [Path(p) for p in request["hidden"]],
        )
        result = job.execute(request["job"], folder, lambda: json.loads(_received(connection)))
    except BaseException:
        result = {"failure": traceback.format_exc()[-2000:]}
    with suppress(BaseException), os.fdopen(send, "wb") as pipe:
        pipe.write(json.dumps(result).encode())
    os._exit(0)


def _watched(receive: int, limits: Limits, started: float) -> tuple[bytes, str]:
    """What the child sends, and why it was cut short, if it was."""
    chunks, size = [], 0
    while True:
        ready, _, _ = select.select([receive], [], [], WATCH_S)
        if ready:
            chunk = os.read(receive, 1 << 20)
            chunks.append(chunk)
            size += len(chunk)
            if not chunk:
                return b"".join(chunks), ""
            if size > LARGEST_RESULT:
                return b"", "more was returned than can be read"
            continue
        if time.monotonic() - started > limits.submission_s:
            return b"", f"the notebook did not come to an end within {limits.submission_s:.0f} s"
        if memory_above(descendants(os.getpid()), limits.all_memory_mib):
            return b"", f"the notebook used more than {limits.all_memory_mib} MiB of memory"


if __name__ == "__main__":
    serve(sys.argv[1])
