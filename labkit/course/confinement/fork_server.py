"""A process that has imported torch, nbval and Jupyter once, and forks a confined child for each
submission.

The import is most of what a kernel's start costs, and it can be shared safely: the process has seen
no labkit exercise, no submission and no secret, has one thread, and nothing comes back into it from
its children. Each child ends with its submission.

    with ForkServer() as server:
        walls = try_walls(server, view)
        reply = run_job(server.address, job, limits, view, walls.namespaces)

All that it leaves on the disk is in one folder, which it removes when it ends, also when whoever
started it was killed.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from shutil import rmtree

import labkit
from labkit.course.confinement.file_view import FileView
from labkit.course.confinement.limits import MIB, RunLimits, processors
from labkit.course.confinement.process_tree import adopt_orphans, end_all
from labkit.course.confinement.run_folder import make_run_folder
from labkit.course.confinement.supervisor import MAX_RESULT_BYTES, supervise
from labkit.course.confinement.system_calls import call_filter
from labkit.course.confinement.walls import Walls
from labkit.course.execution.job import preload
from labkit.storage.errors import LabError

LABKIT_PARENT = str(Path(labkit.__file__).resolve().parents[1])
ENDING = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
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

    `environment` is added to the few variables that the process gets. `folder` is for what a run
    needs, such as copies of the course; it is gone when the process has ended.
    """

    def __init__(self, environment: dict[str, str] | None = None) -> None:
        self.folder, self._lock = make_run_folder()
        self.address = str(self.folder / "socket")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "labkit.course.confinement.fork_server", self.address],
            stdin=subprocess.PIPE,
            env=ENVIRONMENT
            # labkit as it is here: a notebook may have put it on its path by itself.
            | {"MPLCONFIGDIR": str(self.folder), "PYTHONPATH": LABKIT_PARENT}
            | (environment or {}),
            start_new_session=True,
        )

    def __enter__(self) -> ForkServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()  # which tells it to end
        self.process.wait()
        rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)

    def wait(self) -> None:
        """Wait until it has imported everything, which a busy machine may take minutes for. Raises
        LabError where it ends before.
        """
        while True:
            with suppress(FileNotFoundError, ConnectionRefusedError):
                _connect(self.address).close()
                return
            if self.process.poll() is not None:
                raise LabError(
                    "the process that runs answers ended before it could begin (exit status"
                    f" {self.process.returncode}); it says above why, and where it says nothing,"
                    " there was perhaps too little memory: about 1 GiB has to be free"
                )
            time.sleep(0.1)


def run_job(
    address: str, job: dict, limits: RunLimits, view: FileView, namespaces: bool = True
) -> dict:
    """Have the server at `address`, which has been waited for, run a job (see
    `labkit.course.execution.job`), confined to `view`, in namespaces or without them (see
    `try_walls`), on the processors of whoever asks.

    The reply is the job's result with "walls", "seconds", "cpu_s", and perhaps "ended" (it was cut
    short, and why; "out_of_time" is true if it was for that) or "failure" (the job could not be
    run, which is no fault of whoever answered).
    """
    instructions = {name: part for name, part in job.items() if name != "inputs"}
    return _ask(address, instructions, job["inputs"], limits, view, namespaces)


def try_walls(server: ForkServer, view: FileView) -> Walls:
    """Which walls are up on this system, tried from inside of a confined process.

    Raises LabError where a run would not even find what it needs.
    """
    server.wait()
    bait = server.folder / "bait"
    bait.write_text("to be read by the grader only")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        targets = {
            "file": str(bait),
            "port": listener.getsockname()[1],
            "needed": [str(path) for path in (*view.readable, Path(os.__file__))],
        }
        for namespaces in (True, False):
            reply = _ask(server.address, None, targets, RunLimits(), view, namespaces)
            if "leaks" in reply:
                break
    if "leaks" not in reply:
        advice = (
            " Is this Python in root's home, where others cannot read it?"
            if os.getuid() == 0
            else ""
        )
        raise LabError(
            f"no answer can be run on this system.{advice}\n{reply.get('failure', reply)}"
        )
    if reply["missing"]:
        raise LabError(
            f"answers run as a user who cannot read {', '.join(reply['missing'][:3])}: let others"
            " read it, or grade as an ordinary user and not as root"
        )
    return Walls(**reply["walls"] | {"leaks": tuple(reply["leaks"])})


def _ask(
    address: str,
    job: dict | None,
    inputs: dict,
    limits: RunLimits,
    view: FileView,
    namespaces: bool,
) -> dict:
    """Send a request and read the reply; a `failure` where there is none."""
    request = {
        "job": job,
        "limits": asdict(limits),
        "readable": list(map(str, view.readable)),
        "hidden": list(map(str, view.hidden)),
        "namespaces": namespaces,
        "processors": processors(),
    }
    with _connect(address) as connection, connection.makefile("rwb") as stream:
        first = json.dumps(request).encode()
        stream.write(len(first).to_bytes(8, "big") + first + json.dumps(inputs).encode())
        stream.flush()
        connection.shutdown(socket.SHUT_WR)
        reply = stream.read(MAX_RESULT_BYTES + MIB)
    try:
        return json.loads(reply)
    except (ValueError, RecursionError):  # the supervisor is out of an answer's reach
        return {"failure": "the process that watched the run ended before it"}


def _connect(address: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(address)
    except OSError:
        connection.close()
        raise
    return connection


# ---- the process ---------------------------------------------------------------------------------


def serve(address: str) -> None:
    """Answer connections, each in a child, until standard input ends; then end the children and
    remove the folder that the address is in.
    """
    preload()
    call_filter()
    folder = Path(address).parent
    adopt_orphans()
    # It ends when standard input does, and then in order.
    handlers = {number: signal.signal(number, signal.SIG_IGN) for number in ENDING}
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(address)
    listener.listen(64)
    while True:
        ready, _, _ = select.select([listener, sys.stdin], [], [], 1)
        if sys.stdin in ready:
            break
        _reap()
        if listener not in ready:
            continue
        connection, _ = listener.accept()
        if not os.fork():
            listener.close()
            for number, handler in handlers.items():
                signal.signal(number, handler)
            try:
                supervise(connection, folder)
            finally:
                os._exit(0)
        connection.close()
    end_all()
    rmtree(folder, ignore_errors=True)


def _reap() -> None:
    """Take note of children that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


if __name__ == "__main__":
    serve(sys.argv[1])
