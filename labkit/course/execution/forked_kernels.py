"""Kernels that are forked, not started: torch is imported once, and each exercise still gets a
process of its own.

They are forked before anything runs, while the process has one thread and no sockets, and wait to
be told which connection to serve. Messages go through sockets in the file system, since there may
be no network.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from contextlib import suppress
from queue import Empty

from jupyter_client import BlockingKernelClient
from jupyter_client.connect import write_connection_file

from labkit.course.execution.nbval_plugin import POLL_S, WatchedKernel


class ForkedProcess:
    """What nbval needs of a kernel manager, for one forked process. The process serves the
    connection whose file's name is written to the pipe `name_pipe`.
    """

    kernel_spec = None

    def __init__(self, pid: int, name_pipe: int) -> None:
        self.pid, self.name_pipe = pid, name_pipe

    def serve(self, connection_file: str) -> None:
        os.write(self.name_pipe, connection_file.encode())
        os.close(self.name_pipe)

    def is_alive(self) -> bool:
        if self.pid:
            try:
                if os.waitpid(self.pid, os.WNOHANG)[0]:
                    self.pid = 0
            except ChildProcessError:
                self.pid = 0
        return self.pid != 0

    def shutdown_kernel(self, now: bool = True) -> None:
        """Kill the kernel and what it started, as far as that stayed in its session."""
        if self.is_alive():
            os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0

    interrupt_kernel = shutdown_kernel


def fork_kernels(count: int) -> list[ForkedProcess]:
    """`count` processes, each of which waits for a connection and then serves it as a kernel."""
    processes = []
    for _ in range(count):
        receiving, sending = os.pipe()
        pid = os.fork()
        if not pid:
            _be_a_kernel(receiving)
        os.close(receiving)
        processes.append(ForkedProcess(pid, sending))
    return processes


def _be_a_kernel(name_pipe: int) -> None:
    """Never returns. The process gets a session of its own, and imports labkit anew."""
    try:
        os.setsid()
        for descriptor in range(3, 256):
            if descriptor != name_pipe:
                with suppress(OSError):
                    os.close(descriptor)
        devnull = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(devnull, descriptor)
        connection_file = os.read(name_pipe, 4096).decode()
        os.close(name_pipe)
        if connection_file:
            for module in [module for module in sys.modules if module.split(".")[0] == "labkit"]:
                del sys.modules[module]
            from ipykernel.kernelapp import IPKernelApp

            IPKernelApp.launch_instance(["-f", connection_file, "--HistoryManager.enabled=False"])
    finally:
        os._exit(0)


def from_pool(processes: list[ForkedProcess], folder: str) -> type[WatchedKernel]:
    """The class of kernels that nbval is to use: each removes the first of `processes`."""

    class PooledKernel(WatchedKernel):
        def __init__(
            self, kernel_name: str, cwd: str | None = None, startup_timeout: float = 60
        ) -> None:
            self.km = processes.pop(0)
            socket = os.path.join(folder, f"k{self.km.pid}")
            connection_file, connection = write_connection_file(
                f"{socket}.json", transport="ipc", ip=socket, key=os.urandom(16).hex().encode()
            )
            self.km.serve(connection_file)
            self.kc = BlockingKernelClient()
            self.kc.load_connection_info(connection)
            self.kc.start_channels(stdin=False, hb=False)
            try:
                self._wait_until_ready(time.monotonic() + startup_timeout)
            except BaseException:  # open sockets would keep this process from ending
                self.kc.stop_channels()
                raise

        def _wait_until_ready(self, end: float) -> None:
            """Ask until both the reply and its output arrive: output is lost until this end has
            subscribed to it.
            """
            while True:
                request = self.kc.kernel_info()
                self.await_reply(request, end - time.monotonic())
                with suppress(Empty):
                    self.await_idle(request, POLL_S)
                    return

    return PooledKernel
