"""Kernels that are forked, not started: torch is imported once, and each exercise still gets a
process of its own.

They are forked before anything runs, while the process has one thread and no sockets, and wait to
be told what to serve. Messages go through sockets in the file system, for there may be no network.
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

from labkit.course.checking.nbval_plugin import POLL, WatchedKernel


class ForkedProcess:
    """What nbval needs of a kernel manager, for one forked process."""

    kernel_spec = None

    def __init__(self, pid: int, go: int) -> None:
        self.pid, self.go = pid, go

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
    """`count` processes, each of which waits for the name of a connection file and then serves as a
    kernel.
    """
    waiting = []
    for _ in range(count):
        receive, send = os.pipe()
        pid = os.fork()
        if not pid:
            _serve(receive)
        os.close(receive)
        waiting.append(ForkedProcess(pid, send))
    return waiting


def _serve(receive: int) -> None:
    """Be a kernel; never returns. The process is a session of its own and has no labkit but what it
    will import.
    """
    try:
        os.setsid()
        for descriptor in range(3, 256):
            if descriptor != receive:
                with suppress(OSError):
                    os.close(descriptor)
        nowhere = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nowhere, descriptor)
        name = os.read(receive, 4096).decode()
        os.close(receive)
        if name:
            for module in [module for module in sys.modules if module.split(".")[0] == "labkit"]:
                del sys.modules[module]
            from ipykernel.kernelapp import IPKernelApp

            IPKernelApp.launch_instance(["-f", name, "--HistoryManager.enabled=False"])
    finally:
        os._exit(0)


def from_pool(waiting: list[ForkedProcess], folder: str) -> type[WatchedKernel]:
    """The class of kernels that nbval is to use: each takes the next of `waiting`."""

    class PooledKernel(WatchedKernel):
        def __init__(
            self, kernel_name: str, cwd: str | None = None, startup_timeout: float = 60
        ) -> None:
            self.km = waiting.pop(0)
            place = os.path.join(folder, f"k{self.km.pid}")
            name, about = write_connection_file(
                f"{place}.json", transport="ipc", ip=place, key=os.urandom(16).hex().encode()
            )
            os.write(self.km.go, name.encode())
            os.close(self.km.go)
            self.kc = BlockingKernelClient()
            self.kc.load_connection_info(about)
            self.kc.start_channels(stdin=False, hb=False)
            self._wait_until_ready(time.monotonic() + startup_timeout)

        def _wait_until_ready(self, until: float) -> None:
            """Until a request is answered and its output arrives, as it will once this end has
            subscribed.
            """
            while True:
                asked = self.kc.kernel_info()
                self.await_reply(asked, until - time.monotonic())
                try:
                    self.await_idle(asked, POLL)
                    return
                except Empty:
                    continue

    return PooledKernel
